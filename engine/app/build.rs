//! Puts what `weft plugin new` writes into the program: the templates, the contract, and the Rust SDK as a crate that stands by itself.
//!
//! Every file of these folders is taken, so that a file more there is a file more in the next new plugin.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../plugins").canonicalize()?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let manifest = out.join("sdk-manifest.toml");
    std::fs::write(&manifest, standing_alone(&root)?)?;
    let mut files = vec![
        ("wit/weft.wit".to_owned(), root.join("contract/weft.wit")),
        ("sdk/Cargo.toml".to_owned(), manifest),
        ("sdk/README.md".to_owned(), root.join("sdk/README.md")),
    ];
    for (name, folder) in [("templates", "templates"), ("sdk/src", "sdk/src"), ("sdk/wit", "sdk/wit")] {
        below(name, &root.join(folder), &mut files)?;
    }
    files.sort();
    let mut text = String::from("static FILES: &[(&str, &str)] = &[\n");
    for (name, path) in &files {
        writeln!(text, "    ({name:?}, include_str!({:?})),", path.display().to_string())?;
    }
    text.push_str("];\n");
    std::fs::write(out.join("templates.rs"), text)?;
    for watched in ["templates", "sdk", "contract", "Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", root.join(watched).display());
    }
    Ok(())
}

fn below(name: &str, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() { below(&name, &entry.path(), files)? } else { files.push((name, entry.path())) }
    }
    Ok(())
}

/// The SDK's manifest with what it takes from its workspace written out, and without what only its own tests need.
fn standing_alone(root: &Path) -> Result<String> {
    let workspace = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let own = std::fs::read_to_string(root.join("sdk/Cargo.toml"))?;
    let (mut text, mut section) = (String::new(), "");
    for line in own.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if section == "[lints]" || section == "[dev-dependencies]" {
            continue;
        }
        match line.strip_suffix(".workspace = true") {
            Some(name) => {
                let inherited = if section == "[package]" { "[workspace.package]" } else { "[workspace.dependencies]" };
                writeln!(text, "{}", entry(&workspace, inherited, name)?)?;
            }
            None => writeln!(text, "{line}")?,
        }
    }
    text.push_str(
        "\n[lints.rust]\nunexpected_cfgs = { level = \"warn\", check-cfg = ['cfg(getrandom_backend, values(\"custom\"))'] }\n",
    );
    Ok(text)
}

/// A line of a section of a manifest.
fn entry<'a>(manifest: &'a str, section: &str, name: &str) -> Result<&'a str> {
    let lines = manifest.lines().skip_while(|line| *line != section).skip(1).take_while(|line| !line.starts_with('['));
    let mut lines = lines.filter(|line| line.split_once(" = ").is_some_and(|(key, _)| key == name));
    lines.next().ok_or_else(|| format!("plugins/Cargo.toml has no `{name}` in {section}").into())
}
