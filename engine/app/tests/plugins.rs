//! The plugins that the repository ships, where they have been built (`plugins/dist`): what they show as an example can be written into
//! a workspace. Where none has been built there is nothing to prove.

use std::path::Path;

use weft_host::{Host, HostOptions};

/// The examples against the schema that the engine checks a workspace by; what the schema cannot say is the plugins' own to prove.
#[tokio::test]
async fn examples_match_the_schemas() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/dist");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let cache = tempfile::tempdir().expect("a folder");
    let host = Host::new(HostOptions::new(cache.path())).expect("a sandbox");
    for path in entries
        .map(|entry| entry.expect("a folder can be read").path())
        .filter(|path| path.extension().is_some_and(|found| found == "wasm"))
    {
        let plugin = host.load(&path).await.unwrap_or_else(|error| panic!("{error}"));
        let manifest = plugin.manifest();
        let schema = jsonschema::validator_for(&manifest.config).unwrap_or_else(|error| panic!("{}: {error}", manifest.name));
        assert!(!manifest.examples.is_empty(), "{} shows no example", manifest.name);
        for example in &manifest.examples {
            let wrong: Vec<String> = schema.iter_errors(&example.config).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{}: {}: {wrong:?}", manifest.name, example.title);
        }
    }
}
