use std::sync::Arc; use std::time::Instant;
use weft_store::files::Disk; use weft_store::log::*;
#[test] #[ignore]
fn speed() {
    let dir = tempfile::tempdir_in("/work").unwrap();
    let (mut log, _) = Log::open(Arc::new(Disk), dir.path(), Options::default()).unwrap();
    let mut r = crate::model::Random(1);
    let pays: Vec<Vec<u8>> = (0..4096).map(|i| format!("{{\"type\":\"track\",\"name\":\"Product Viewed\",\"message_id\":\"{:016x}{:016x}\",\"occurred\":\"2026-11-{:02}T10:{:02}:{:02}.{:03}Z\",\"environment\":\"production\",\"claims\":[{{\"type\":\"user_id\",\"value\":\"u{}\"}},{{\"type\":\"anonymous_id\",\"value\":\"{:016x}\"}}],\"properties\":{{\"sku\":\"{:08x}\",\"price\":\"{}.{:02}\",\"category\":\"shoes\",\"url\":\"https://shop.acme.example/p/{}\"}},\"context\":{{\"device\":{{\"os\":\"iOS\",\"model\":\"iPhone 15\"}},\"page\":{{\"path\":\"/p/{}\"}},\"zone\":\"Europe/Berlin\"}}}}", r.next(), r.next(), 1+i%28, r.below(60), r.below(60), r.below(1000), r.below(100000), r.next(), r.next() as u32, r.below(300), r.below(100), r.below(10000), r.below(10000)).into_bytes()).collect();
    let avg = pays.iter().map(|p| p.len()).sum::<usize>()/pays.len();
    for batch in [1usize, 16, 512, 4096] {
        let n = match batch {1=>1000,16=>1000,512=>1500,_=>150};
        let t = Instant::now(); let mut raw=0usize; let before=log.reader().bytes();
        let mut lat: Vec<f64> = vec![];
        for b in 0..n { let recs: Vec<Record> = (0..batch).map(|i| { let p=&pays[(b*7+i)%4096]; raw+=p.len(); Record{kind:1,bytes:p}}).collect();
            let t1=Instant::now(); log.append(&recs).unwrap(); log.sync().unwrap(); lat.push(t1.elapsed().as_secs_f64()*1e3); }
        let e=t.elapsed().as_secs_f64(); lat.sort_by(|a,b|a.total_cmp(b));
        eprintln!("append+sync batch {batch} (avg {avg} B): {:.0} rec/s, {:.1} MB/s, p50 {:.2} ms p99 {:.2} ms, ratio {:.2}", (n*batch) as f64/e, raw as f64/e/1e6, lat[lat.len()/2], lat[lat.len()*99/100], raw as f64/(log.reader().bytes()-before) as f64);
    }
    { let t=Instant::now(); let mut raw=0; for b in 0..400 { let recs: Vec<Record> = (0..2048).map(|i| { let p=&pays[(b*7+i)%4096]; raw+=p.len(); Record{kind:1,bytes:p}}).collect(); log.append(&recs).unwrap(); } let e=t.elapsed().as_secs_f64(); log.sync().unwrap(); eprintln!("append without sync: {:.0} MB/s", raw as f64/e/1e6); }
    let reader=log.reader();
    for _ in 0..2 { let t=Instant::now(); let mut c=reader.cursor(0); let (mut n,mut raw)=(0u64,0usize); while let Some(b)=c.next().unwrap() { for (_,r) in b.records() { raw+=r.bytes.len(); n+=1; } } let e=t.elapsed().as_secs_f64(); eprintln!("scan: {n} records, {:.2} M rec/s, {:.0} MB/s", n as f64/e/1e6, raw as f64/e/1e6); }
    let end=reader.durable_end(); let t=Instant::now(); for _ in 0..2000 { reader.record(r.next()%end).unwrap(); } eprintln!("random record: {:.0} us", t.elapsed().as_secs_f64()/2000.0*1e6);
    log.close().unwrap(); let t=Instant::now(); let (l,_)=Log::open(Arc::new(Disk), dir.path(), Options::default()).unwrap(); eprintln!("open: {:.0} ms for {} MB", t.elapsed().as_secs_f64()*1e3, l.reader().bytes()>>20);
}
