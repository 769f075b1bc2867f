//! Building a plugin that is written in C: bindings from the contract, clang, and a component of what it gives.
//!
//! Only clang and its linker are needed, with no libc and so with no WASI: what the bindings want of a libc is in the template itself. The bindings are
//! made anew at every build from the `wit` folder of the plugin, so that they follow the contract that it was written for.

use std::path::{Path, PathBuf};
use std::process::Command;

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use wit_component::ComponentEncoder;

use super::{BuildError, Kind, run};

/// Where what is made on the way lies.
const BETWEEN: &str = "build";

/// Programs by the names that distributions give them, the usual one first.
const CLANGS: [&str; 7] = ["clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17"];

/// Builds the plugin in a folder; the file that came of it.
///
/// # Errors
/// What is missing, or what the compiler says.
pub(super) fn build(folder: &Path, kind: Kind) -> Result<PathBuf, BuildError> {
    let between = folder.join(BETWEEN);
    std::fs::create_dir_all(&between)?;
    bindings(folder, kind, &between)?;
    embed(&folder.join("src/manifest.json"), &between.join("manifest.h"))?;
    let core = between.join("plugin.core.wasm");
    let mut sources: Vec<PathBuf> = Vec::new();
    for folder in [folder.join("src"), between.clone()] {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "c" || extension == "o") {
                sources.push(path);
            }
        }
    }
    sources.sort();
    let clang = clang()?;
    let mut command = Command::new(clang);
    command.current_dir(folder).args([
        "--target=wasm32-unknown-unknown",
        "-std=c11",
        "-O2",
        "-Wall",
        "-ffreestanding",
        "-nostdlib",
        "-Wl,--no-entry",
        "-Wl,--strip-debug",
        "-Wl,--export-if-defined=cabi_realloc",
    ]);
    // The headers of the template stand for a libc's.
    command.arg("-isystem").arg(absolute(&folder.join("src/libc"))?).arg("-I").arg(absolute(&between)?);
    for source in &sources {
        command.arg(absolute(source)?);
    }
    command.arg("-o").arg(absolute(&core)?);
    run(&mut command, "clang")?;
    let core = std::fs::read(&core)?;
    let encode = || ComponentEncoder::default().module(&core)?.validate(true).encode();
    let component = encode().map_err(|error| BuildError::Component(format!("{error:#}")))?;
    let built = between.join("plugin.wasm");
    std::fs::write(&built, component)?;
    Ok(built)
}

fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}

fn clang() -> Result<&'static str, BuildError> {
    let works = |name: &&&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    CLANGS.iter().find(works).copied().ok_or(BuildError::Missing {
        program: "clang",
        hint: "`apt-get install clang lld`, `dnf install clang lld`, or `brew install llvm lld`",
    })
}

/// The C bindings of the plugin's world.
fn bindings(folder: &Path, kind: Kind, between: &Path) -> Result<(), BuildError> {
    let wrong = |error: &dyn std::fmt::Display| BuildError::Contract(format!("{}: {error}", folder.join("wit").display()));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(folder.join("wit")).map_err(|error| wrong(&format!("{error:#}")))?;
    let world = format!("{}-plugin", kind.name());
    let world = resolve.select_world(&[package], Some(&world)).map_err(|error| wrong(&format!("{error:#}")))?;
    let options = wit_bindgen_c::Opts { rename_world: Some("plugin".into()), ..wit_bindgen_c::Opts::default() };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).map_err(|error| wrong(&format!("{error:#}")))?;
    for (name, bytes) in files.iter() {
        std::fs::write(between.join(name), bytes)?;
    }
    Ok(())
}

/// A text as an array of C.
fn embed(text: &Path, header: &Path) -> Result<(), BuildError> {
    let bytes = std::fs::read(text).map_err(|error| BuildError::Contract(format!("{}: {error}", text.display())))?;
    serde_json::from_slice::<serde_json::Value>(&bytes)
        .map_err(|error| BuildError::Contract(format!("{} is no JSON: {error}", text.display())))?;
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    std::fs::write(
        header,
        format!(
            "/* Made of manifest.json at every build. */\nstatic const unsigned char MANIFEST[] = {{ {} }};\n",
            numbers.join(",")
        ),
    )?;
    Ok(())
}
