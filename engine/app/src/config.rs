//! shim
pub mod limits;
pub mod secret;
pub mod source;
pub mod tree;
pub mod units;
#[cfg(test)]
mod probe {
    #[test]
    fn probe() {
        for text in std::fs::read_to_string("/tmp/probe.txt").unwrap().split("=====\n") {
            let mut sources = super::source::Sources::default();
            let file = sources.add("weft.yaml".into(), text.to_owned());
            let mut report = super::source::Report::default();
            let node = super::tree::parse(file, text, &mut Default::default(), &mut report);
            println!("-----\n{text}");
            println!("{:?}", node.map(|n| n.to_json_text()));
            for p in &report.finish(&sources) { println!("   {p}\n     {:?}", p.place.as_ref().map(|p| (&p.excerpt,p.mark,p.width))); for r in &p.related {println!("      {}: {:?}", r.message, r.place)} }
        }
    }
}
