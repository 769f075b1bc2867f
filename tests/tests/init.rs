//! `weft init`, as somebody who has just built Weft types it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use weft_tests::engine::{binary, plugins};

fn weft(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).arg(folder).env_remove("WEFT_SECRETS").env_remove("WEB_KEY");
    command.output().expect("the engine starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_new_workspace_is_in_order_and_passes_its_own_test() {
    let folder = tempfile::tempdir().expect("a folder");
    let acme = folder.path().join("Acme Shop");
    let dist = plugins().display().to_string();
    let made = weft(&["init", "--plugins", &dist], &acme);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("wrote the workspace `acme-shop`"), "{}", text(&made.stdout));

    let checked = weft(&["check"], &acme);
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", text(&checked.stderr));
    let tested = weft(&["test"], &acme);
    assert!(text(&tested.stdout).ends_with("1 passed, 0 failed\n"), "{}{}", text(&tested.stdout), text(&tested.stderr));

    let key = acme.join("secrets/WEB_KEY");
    let mode = std::fs::metadata(&key).expect("there is a key").permissions().mode();
    assert_eq!((mode & 0o777, std::fs::read_to_string(&key).expect("it is text").len()), (0o600, 32));
    let yaml = std::fs::read_to_string(acme.join("weft.yaml")).expect("there is a workspace");

    let again = weft(&["init", "--plugins", &dist], &acme);
    assert!(text(&again.stderr).contains("is there already"), "{}", text(&again.stderr));
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(acme.join("weft.yaml")).expect("it is still there"), yaml);
}

#[test]
fn what_cannot_be_is_said_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let dist = plugins().display().to_string();
    let check = |arguments: &[&str], want: &str| {
        let made = weft(arguments, &folder.path().join("acme"));
        assert!(text(&made.stderr).contains(want), "{}", text(&made.stderr));
        assert_eq!(made.status.code(), Some(1));
        assert!(!folder.path().join("acme/weft.yaml").exists());
    };
    check(&["init", "--plugins", "/nowhere"], "does not hold segment.wasm, normalize.wasm, file.wasm");
    check(&["init", "--plugins", &dist, "--name", "Acme: {"], "such as `acme`");
}
