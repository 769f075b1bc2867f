//! The shelf: what is refused and why, and what the cache believes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_host::{Capability, HostError, Kind, Nothing, Origin, Outcome};

use crate::support::{Bench, altered, bench, fixture, host, load, records, stage, with_manifest};

async fn refused(bench: &Bench, path: &Path) -> HostError {
    match bench.host.load(path).await {
        Ok(plugin) => panic!("{plugin:?} was loaded"),
        Err(error) => error,
    }
}

async fn check(bench: &Bench, path: &Path, code: &str, says: &str) {
    let error = refused(bench, path).await;
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(says), "{error}");
}

fn file(bench: &Bench, bytes: &[u8]) -> PathBuf {
    let path = bench.folder.path().join("file.wasm");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_with_the_reason() {
    let bench = bench();
    check(&bench, Path::new("no/such.wasm"), "plugin_unreadable", "no/such.wasm").await;
    check(&bench, &file(&bench, b"hello"), "plugin_not_a_component", "is no WebAssembly component").await;
    check(&bench, &file(&bench, b"\0asm\x01\0\0\0"), "plugin_not_a_component", "`wasm-component-ld`").await;
    check(&bench, &file(&bench, b"(component)"), "plugin_not_a_plugin", "does not export `weft:plugin/plugin@1.0.0`").await;
    check(
        &bench,
        &fixture("wasi.wat"),
        "plugin_unknown_import",
        "imports `wasi:clocks/wall-clock@0.2.0`, which Weft does not lend to anybody; build for `wasm32-unknown-unknown`",
    )
    .await;
    let foreign = r#"(component (import "weft:plugin/kv@1.0.0" (instance $kv))"#;
    check(
        &bench,
        &altered(&bench, "transform.wat", &[("(component\n", foreign)]),
        "plugin_foreign_import",
        "is a transform and imports `weft:plugin/kv@1.0.0`, which is never lent to a transform",
    )
    .await;
    check(
        &bench,
        &altered(&bench, "transform.wat", &[("weft:plugin/transform@1.0.0", "weft:plugin/transform@9.0.0")]),
        "plugin_other_contract",
        "`weft:plugin/transform@9.0.0`; this engine supports `weft:plugin@1.0.0`",
    )
    .await;
    check(
        &bench,
        &altered(&bench, "transform.wat", &[("(param \"message\" string)", "(param \"message\" u32) (param \"more\" u32)")]),
        "plugin_misfit",
        "weft:plugin/log@1.0.0",
    )
    .await;
}

#[tokio::test]
async fn a_manifest_that_is_wrong_is_refused_with_the_reason() {
    let bench = bench();
    let manifest = |change: &str| {
        let mut manifest = serde_json::json!({
            "name": "good", "version": "1.0.0", "kind": "transform", "contract": "1.0", "summary": "good", "config": {}
        });
        let change: serde_json::Value = serde_json::from_str(change).unwrap();
        for (key, value) in change.as_object().unwrap() {
            manifest[key] = value.clone();
        }
        manifest.to_string()
    };
    for (text, says) in [
        ("rubbish".to_owned(), "the manifest cannot be read"),
        (manifest(r#"{"contract":"7.0"}"#), "names contract `7.0`; this engine supports 1.0"),
        (manifest(r#"{"kind":"source"}"#), "says that this is a source, but the component exports `transform`"),
        (manifest(r#"{"name":"No Good"}"#), "`name` in the manifest must be"),
        (manifest(r#"{"config":7}"#), "`config` in the manifest must be a JSON Schema"),
        (manifest(r#"{"capabilities":["kv"]}"#), "asks for `kv`, which is never lent to a transform"),
        (manifest(r#"{"accepts":["events"]}"#), "`accepts` in the manifest is for destinations"),
        (manifest(r#"{"colour":"red"}"#), "unknown field `colour`"),
    ] {
        let path = with_manifest(&bench, "transform.wat", &text);
        check(&bench, &path, "plugin_manifest_invalid", says).await;
    }
    load(&bench, &with_manifest(&bench, "transform.wat", &manifest("{}"))).await;
}

#[tokio::test]
async fn a_describe_that_breaks_down_is_told() {
    let bench = bench();
    let describe = "(func (export \"describe\") (result i32)";
    for (body, says) in [
        ("unreachable", "trapped: wasm `unreachable`"),
        ("(loop (br 0))", "ran for more than 1000 ms"),
        ("(drop (call $new (i32.const 16777216)))", "more than it may have"),
    ] {
        let path = altered(&bench, "transform.wat", &[(describe, &format!("{describe} {body}"))]);
        check(&bench, &path, "plugin_describe_crashed", says).await;
    }
}

#[tokio::test]
async fn a_plugin_says_what_it_is() {
    let bench = bench();
    let plugin = load(&bench, &fixture("source.wat")).await;
    assert_eq!(plugin.kind(), Kind::Source);
    assert_eq!(plugin.manifest().name, "obliging");
    assert!(plugin.manifest().asks_for(Capability::Kv) && !plugin.manifest().asks_for(Capability::Files));
    assert_eq!(plugin.digest().to_string().len(), 64);
    let error = plugin.transform(stage(Arc::new(Nothing))).unwrap_err();
    assert_eq!(error.to_string(), "the plugin `obliging` is a source and cannot be used as a transform");
}

fn cached(bench: &Bench, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(bench.folder.path().join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// Loads with a host that has just started, and proves that the plugin works.
async fn restarted(bench: &Bench) -> Origin {
    let host = host(&bench.folder.path().join("cache"));
    let plugin = host.load(&fixture("transform.wat")).await.unwrap();
    let transform = plugin.transform(stage(Arc::new(Nothing))).unwrap();
    let outcomes = transform.apply(&records(&[r#"{"drop":1}"#])).await.unwrap();
    assert!(matches!(outcomes[..], [Outcome::Drop]));
    plugin.origin().clone()
}

#[tokio::test]
async fn code_is_compiled_once() {
    let bench = bench();
    assert_eq!(restarted(&bench).await, Origin::Compiled);
    assert_eq!(restarted(&bench).await, Origin::Cached);
    // In one process, the same file is not even read from the cache again.
    let first = load(&bench, &fixture("transform.wat")).await;
    std::fs::remove_file(&cached(&bench, "code")[0]).unwrap();
    let second = load(&bench, &fixture("transform.wat")).await;
    assert_eq!((first.origin(), second.origin()), (&Origin::Cached, &Origin::Cached));
}

#[tokio::test]
async fn a_cache_file_that_was_touched_is_compiled_again() {
    let bench = bench();
    assert_eq!(restarted(&bench).await, Origin::Compiled);
    let [code] = &cached(&bench, "code")[..] else {
        panic!("not one file of code");
    };
    let whole = std::fs::read(code).unwrap();
    let middle = whole.len() / 2;
    let mut flipped = whole.clone();
    flipped[middle] ^= 1;
    let other = code.with_file_name(format!("{}{}", "0".repeat(64), &code.file_name().unwrap().to_str().unwrap()[64..]));
    for (what, bytes, mode) in [
        ("a bit flipped", &flipped[..], 0o600),
        ("cut short", &whole[..middle], 0o600),
        ("empty", b"", 0o600),
        ("others may write", &whole, 0o620),
    ] {
        std::fs::write(code, bytes).unwrap();
        std::fs::set_permissions(code, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(restarted(&bench).await, Origin::Compiled, "{what}");
        assert_eq!(restarted(&bench).await, Origin::Cached, "after {what}");
    }
    // A file of another plugin under this one's name.
    std::fs::write(&other, &whole).unwrap();
    let manifest = with_manifest(
        &bench,
        "transform.wat",
        r#"{"name":"other","version":"1.0.0","kind":"transform","contract":"1.0","summary":"other","config":{}}"#,
    );
    load(&bench, &manifest).await;
    let theirs = cached(&bench, "code").into_iter().find(|path| path != code && *path != other).unwrap();
    std::fs::copy(&theirs, code).unwrap();
    assert_eq!(restarted(&bench).await, Origin::Compiled);
}

#[tokio::test]
async fn the_cache_is_its_owners_alone() {
    let bench = bench();
    restarted(&bench).await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bench.folder.path().join("cache")), 0o700);
    for path in cached(&bench, "code").iter().chain(&cached(&bench, "manifest")) {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_stops_nothing() {
    let bench = bench();
    // A folder in the place of the file: renaming onto it fails, for root too.
    let name = {
        restarted(&bench).await;
        cached(&bench, "code")[0].clone()
    };
    std::fs::remove_file(&name).unwrap();
    std::fs::create_dir(&name).unwrap();
    let plugin = load(&bench, &fixture("transform.wat")).await;
    assert!(matches!(plugin.origin(), Origin::CompiledUncached(_)), "{:?}", plugin.origin());
}
