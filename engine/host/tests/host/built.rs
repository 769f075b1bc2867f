//! Plugins built from Rust with the SDK, where they have been built (`plugins/target`): the same border, made by a real
//! toolchain. Where none has been built there is nothing to prove.

use std::path::Path;

use crate::support::bench;

#[tokio::test]
async fn plugins_of_the_sdk_are_what_the_host_expects() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/target/wasm32-unknown-unknown/release");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let bench = bench();
    for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|found| found == "wasm")) {
        let plugin = bench.host.load(&path).await.unwrap_or_else(|error| panic!("{error}"));
        for example in &plugin.manifest().examples {
            assert_eq!(
                plugin.validate(&example.config.to_string()).await,
                Ok(()),
                "{}: {}",
                plugin.manifest().name,
                example.title
            );
        }
    }
}
