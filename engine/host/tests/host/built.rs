//! Plugins built from Rust with the SDK, where they have been built (`plugins/target`): the same border, made by a real
//! toolchain. Where none has been built there is nothing to prove.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_host::{Failure, HttpRequest, HttpResponse, Lending, Lent, Nothing, Place};

use crate::support::{Basket, bench, load, stage};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/target/wasm32-unknown-unknown/release")
}

#[tokio::test]
async fn plugins_of_the_sdk_are_what_the_host_expects() {
    let Ok(entries) = std::fs::read_dir(folder()) else {
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

#[tokio::test]
async fn a_file_is_decoded_in_the_sandbox_however_it_is_cut() {
    let file = folder().join("csv.wasm");
    if !file.exists() {
        return;
    }
    let bench = bench();
    let mut stage = stage(Arc::new(Nothing));
    stage.config = r#"{"email":"E-Mail","name":"Name"}"#.to_owned();
    let source = load(&bench, &file).await.source(stage).unwrap();
    let text = "E-Mail;Name\na@b.example;\"A;\nB\"\nc@d.example\ne@f.example;Ü\n";
    let mut outcomes = Vec::new();
    for size in [1, 7, text.len()] {
        let basket = Arc::new(Basket::default());
        let mut state = None;
        for chunk in text.as_bytes().chunks(size) {
            state = source.decode(chunk, Place::Middle, state.as_deref(), basket.clone()).await.unwrap();
        }
        assert_eq!(source.decode(b"", Place::Last, state.as_deref(), basket.clone()).await.unwrap(), None);
        let taken = basket.taken.lock().unwrap().clone();
        assert_eq!(taken.iter().filter(|line| *line == "ragged_row E-Mail;Name\nc@d.example").count(), 1, "{taken:?}");
        assert!(taken.len() == 3 && taken.iter().any(|line| line.contains(r#""name":"A;\nB""#)), "{taken:?}");
        let mut taken = taken;
        taken.sort();
        outcomes.push(taken);
    }
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
}

#[tokio::test]
async fn an_api_is_polled_in_the_sandbox_page_by_page() {
    /// Two pages, and no more.
    struct Api;
    impl Lent for Api {
        fn http(&self, request: HttpRequest) -> Lending<'_, Result<HttpResponse, Failure>> {
            let body = match request.target.as_str() {
                "list" => r#"{"data":[{"id":"a","at":1}],"next":"x"}"#,
                "list?after=x" => r#"{"data":[{"id":"b","at":{}}]}"#,
                _ => "",
            };
            Box::pin(async move { Ok(HttpResponse { status: 200, headers: Vec::new(), body: body.into() }) })
        }
    }
    let file = folder().join("rest.wasm");
    if !file.exists() {
        return;
    }
    let bench = bench();
    let mut stage = stage(Arc::new(Api));
    stage.config = r#"{"request":{"path":"list","query":{"after":"{{ cursor }}"}},"records":"data","paging":{"cursor":{"path":"next"}},"type":"page","message_id":"id","claims":{"n":"at"},"properties":"none"}"#.to_owned();
    let source = load(&bench, &file).await.source(stage).unwrap();
    let basket = Arc::new(Basket::default());
    source.poll(None, basket.clone()).await.unwrap();
    let want = [
        r#"{"type":"page","message_id":"a","claims":[{"type":"n","value":"1"}]}"#,
        r#"state {"newest":null,"next":{"cursor":"\"x\""},"seen":null}"#,
        r#"bad_identifier {"id":"b","at":{}}"#,
        r#"state {"newest":null,"next":null,"seen":null}"#,
    ];
    assert_eq!(*basket.taken.lock().unwrap(), want);
}
