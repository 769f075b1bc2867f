//! `weft fmt`, as somebody types it, and as an editor or CI calls it.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use weft_tests::engine::binary;

const UNTIDY: &str = "# the shop\nversion:   1\nname: 'acme'\nsources:\n    # web: { plugin: segment }\n";
const TIDY: &str = "# the shop\nversion: 1\nname: \"acme\"\nsources:\n  # web: { plugin: segment }\n";

fn weft(folder: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(folder).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("weft starts");
    // One that reads nothing may be gone before all is written.
    let _ = child.stdin.take().expect("it is piped").write_all(stdin.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("it is there")
}

#[test]
fn a_workspace_is_formatted_once_and_then_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (main, other) = (folder.path().join("weft.yaml"), folder.path().join("tests.yaml"));
    std::fs::write(&main, UNTIDY).expect("writes");
    std::fs::write(&other, "tests: []\n").expect("writes");
    let inode = |path: &Path| std::fs::metadata(path).expect("it is there").ino();
    let untouched = inode(&other);

    let checked = weft(folder.path(), &["fmt", "--check"], "");
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked.stderr));
    let diff = text(&checked.stdout);
    assert!(diff.starts_with("--- ./weft.yaml\n+++ ./weft.yaml\n@@ -1,5 +1,5 @@\n # the shop\n-version:   1\n"), "{diff}");
    assert!(diff.contains("\n+version: 1\n") && !diff.contains("tests.yaml"), "{diff}");
    assert_eq!(read(&main), UNTIDY);

    let formatted = weft(folder.path(), &["fmt"], "");
    assert_eq!((formatted.status.code(), &*text(&formatted.stdout)), (Some(0), "formatted ./weft.yaml\n"));
    assert_eq!(read(&main), TIDY);
    let names: Vec<_> = std::fs::read_dir(folder.path()).expect("it is there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");

    let main_now = inode(&main);
    let again = weft(folder.path(), &["fmt", "--json", "weft.yaml", "."], "");
    let told: serde_json::Value = serde_json::from_slice(&again.stdout).expect("it is JSON");
    let unchanged = |file: &str| serde_json::json!({ "file": file, "changed": false });
    assert_eq!(told, serde_json::json!({ "files": [unchanged("weft.yaml"), unchanged("./tests.yaml")] }));
    assert_eq!((inode(&main), inode(&other)), (main_now, untouched));
    assert_eq!(weft(folder.path(), &["fmt", "--check"], "").status.code(), Some(0));
}

#[test]
fn a_link_stays_a_link_and_what_may_be_done_with_a_file_stays() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let (real, link) = (folder.path().join("real.yaml"), folder.path().join("weft.yaml"));
    std::fs::write(&real, UNTIDY).expect("writes");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    std::os::unix::fs::symlink("real.yaml", &link).expect("links");
    assert!(weft(folder.path(), &["fmt", "weft.yaml"], "").status.success());
    assert!(std::fs::symlink_metadata(&link).expect("it is there").is_symlink());
    let mode = std::fs::metadata(&real).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((read(&real).as_str(), mode), (TIDY, 0o600));
}

#[test]
fn nothing_is_written_where_one_file_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("weft.yaml");
    std::fs::write(&main, UNTIDY).expect("writes");
    std::fs::write(folder.path().join("sources.yaml"), "sources:\n  web: { plugin: segment\n").expect("writes");
    let formatted = weft(folder.path(), &["fmt"], "");
    let said = text(&formatted.stderr);
    assert_eq!(formatted.status.code(), Some(2), "{said}");
    assert!(said.contains("error[yaml/syntax]") && said.contains("sources.yaml:2:25"), "{said}");
    assert_eq!(read(&main), UNTIDY);
    let missing = weft(folder.path(), &["fmt", "nowhere.yaml"], "");
    assert_eq!(missing.status.code(), Some(2), "{}", text(&missing.stderr));
    assert!(text(&missing.stderr).contains("`nowhere.yaml` cannot be read"), "{}", text(&missing.stderr));
}

#[test]
fn an_editor_sends_a_text_and_has_it_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |arguments: &[&str], stdin: &str, code: i32, out: &str| {
        let answer = weft(folder.path(), arguments, stdin);
        assert_eq!((answer.status.code(), &*text(&answer.stdout)), (Some(code), out), "{}", text(&answer.stderr));
        text(&answer.stderr)
    };
    check(&["fmt", "-"], UNTIDY, 0, TIDY);
    check(&["fmt", "-"], "", 0, "");
    check(&["fmt", "--check", "-"], TIDY, 0, "");
    check(&["fmt", "--json", "-"], "a:  1", 0, "{\"changed\":true,\"text\":\"a: 1\\n\"}\n");
    check(&["fmt", "--check", "-"], "a:  1\n", 1, "--- <stdin>\n+++ <stdin>\n@@ -1 +1 @@\n-a:  1\n+a: 1\n");
    let said = check(&["fmt", "-"], "a: 1\na: 2\n", 2, "");
    assert!(said.contains("error[yaml/duplicate-key]") && said.contains("<stdin>:2:1"), "{said}");
    let said = check(&["fmt", "-", "weft.yaml"], "", 1, "");
    assert!(said.contains("`-` stands alone"), "{said}");
}
