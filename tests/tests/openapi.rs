//! The OpenAPI document against a validator that nobody here wrote: `openapi-spec-validator` from PyPI, installed into `target/peers`.

use std::process::Command;

use weft_tests::install::{python, skip};
use weft_tests::root;

#[test]
fn the_document_is_openapi() {
    let validator = match python("openapi", &["openapi-spec-validator==0.9.0"]) {
        Ok(python) => python.with_file_name("openapi-spec-validator"),
        Err(why) => return skip("openapi-spec-validator", &why),
    };
    let output = Command::new(&validator).arg(root().join("schemas/openapi.json")).output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    // One that is wrong is found to be: a validator that says yes to everything proves nothing.
    let document = std::fs::read_to_string(root().join("schemas/openapi.json")).expect("it is there");
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = folder.path().join("wrong.json");
    std::fs::write(&wrong, document.replacen(r#""responses""#, r#""answers""#, 1)).expect("it can be written");
    let output = Command::new(&validator).arg(&wrong).output().expect("it can be started");
    assert!(!output.status.success(), "an operation with a key that OpenAPI does not know");
}
