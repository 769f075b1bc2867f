//! `weft init`: writes a workspace that runs, with a test that passes, and says what to do next.
//!
//! It asks nothing that it can guess, and overwrites nothing. What it wrote is checked as `weft check` checks it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::{Failed, Output, load, print};
use crate::config::{MAIN_FILE, schema_text};

/// What to write, and where.
#[derive(clap::Args)]
pub(super) struct Init {
    /// The folder of the workspace; it is made if need be.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// What the workspace is called; the folder's name unless it is said.
    #[arg(long)]
    name: Option<String>,
    /// The folder with the plugins; the one that was built beside this program unless it is said.
    #[arg(long)]
    plugins: Option<PathBuf>,
}

/// The plugins that the workspace begins with.
const PLUGINS: [&str; 3] = ["segment", "normalize", "file"];

/// Where editors find the schema.
const SCHEMA: &str = ".weft/workspace.schema.json";

pub(super) async fn run(init: Init) -> Result<(), Failed> {
    let folder = write(&init)?;
    let (config, _) = load(&folder, Output::People).await?;
    let shown = init.folder.display();
    print(&format!(
        "wrote the workspace `{}` to {shown}/

  {MAIN_FILE:<18} one source, one transform, who is who, one destination, one test
  secrets/WEB_KEY    the key that senders need; keep it out of version control
  {SCHEMA}  for editors that complete YAML

next
  weft test {shown}     its test
  weft run {shown}      until Ctrl-C; it listens on http://{}
  curl -u \"$(cat {shown}/secrets/WEB_KEY):\" -H 'content-type: application/json' http://{}/segment/v1/identify \\
    -d '{{\"userId\":\"u-1\",\"traits\":{{\"email\":\"ann@example.com\"}}}}'
  weft profile email:ann@example.com --workspace {shown}",
        config.name, config.listen, config.listen
    ));
    Ok(())
}

fn write(init: &Init) -> anyhow::Result<PathBuf> {
    let folder = &init.folder;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    let main = folder.join(MAIN_FILE);
    if main.exists() {
        bail!("{} is there already: `weft init` overwrites nothing", main.display());
    }
    let name = match &init.name {
        Some(name) if fit(name) == *name => name.clone(),
        Some(name) => bail!("`{name}` cannot be a name: it has small letters, digits and dashes, such as `{}`", fit(name)),
        None => fit(&folder.file_name().unwrap_or_default().to_string_lossy()),
    };
    let plugins = plugins(init.plugins.as_deref())?;
    fs::create_dir_all(folder.join("secrets")).and_then(|()| fs::create_dir_all(folder.join(".weft")))?;
    create(&folder.join("secrets/WEB_KEY"), key()?.as_bytes(), 0o600)?;
    create(&folder.join(SCHEMA), schema_text().as_bytes(), 0o644)?;
    create(&folder.join(".gitignore"), b"/data/\n/out/\n/secrets/\n", 0o644)?;
    // Last: where it is, the workspace is whole.
    create(&main, workspace(&name, &plugins).as_bytes(), 0o644)?;
    Ok(folder)
}

/// Writes a file that is not there yet; one that is stays as it is.
fn create(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => file.write_all(bytes).with_context(|| format!("cannot write {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot make {}", path.display())),
    }
}

/// The folder with the plugins: the one that was named, else the nearest `plugins/dist` above this program or this folder.
fn plugins(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let has_all = |folder: &Path| PLUGINS.iter().all(|name| folder.join(format!("{name}.wasm")).is_file());
    if let Some(named) = named {
        let found = named.canonicalize().ok().filter(|folder| has_all(folder));
        return found.ok_or_else(|| {
            anyhow!("{} does not hold {}", named.display(), PLUGINS.map(|name| format!("{name}.wasm")).join(", "))
        });
    }
    let begin = [std::env::current_exe().ok(), std::env::current_dir().ok()];
    let above = begin.iter().flatten().flat_map(|path| path.ancestors());
    let found = above.map(|folder| folder.join("plugins/dist")).find(|folder| has_all(folder));
    found.ok_or_else(|| {
        anyhow!("the plugins are not found: build them (`cargo xtask plugins`), or name their folder with --plugins")
    })
}

/// A name that a workspace may have, out of any text.
fn fit(text: &str) -> String {
    let letters = text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' });
    let name: String = letters.collect();
    let name = name.trim_matches(|letter: char| !letter.is_ascii_lowercase());
    if name.is_empty() { "workspace".into() } else { name.into() }
}

/// A key that nobody guesses: 128 bits from the system.
fn key() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("the system gives no random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn workspace(name: &str, plugins: &Path) -> String {
    let plugin = |name: &str| serde_json::json!(plugins.join(format!("{name}.wasm"))).to_string();
    let [segment, normalize, file] = PLUGINS.map(plugin);
    format!(
        r#"# yaml-language-server: $schema={SCHEMA}
version: 1
name: {name}
zone: UTC # a time zone such as Europe/Berlin
listen: 127.0.0.1:8080

plugins:
  segment: {{ path: {segment} }}
  normalize: {{ path: {normalize} }}
  file: {{ path: {file} }}

# Where events come from: point any Segment SDK to http://127.0.0.1:8080/segment, with the key in secrets/WEB_KEY.
sources:
  web:
    plugin: segment
    http: {{ path: /segment }}
    config:
      write_keys: ["${{secret:WEB_KEY}}"]

# What is done with them.
transforms:
  tidy:
    plugin: normalize
    inputs: [web]

# Who is who. The strongest first; one person has one user id.
identity:
  identifiers:
    user_id: {{ limit: 1, login: true }}
    email: {{ limit: 5 }}
    phone: {{ limit: 5 }}
    anonymous_id: {{ limit: 100 }}

# Where events and profiles go: files in out/.
destinations:
  lake:
    plugin: file
    from: {{ events: all, profiles: all }}
    config: {{ path: out }}

# What must be true: `weft test`.
tests:
  - name: a visitor who signs up keeps what she did before
    given:
      - {{ at: "09:00", event: Product Viewed, anonymous_id: laptop }}
      - {{ at: "09:05", type: identify, anonymous_id: laptop, user_id: ann, email: " Ann@Example.COM" }}
    expect:
      customers: 1
      profiles: [{{ anonymous_id: laptop, user_id: ann, email: ann@example.com, events: 2 }}]
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_formatted() {
        let text = workspace("acme", Path::new("/opt/weft/plugins/dist"));
        let formatted = crate::config::format::text(Path::new(MAIN_FILE), text.clone()).expect("it is YAML");
        assert_eq!(formatted.after, text);
    }

    #[test]
    fn any_folder_gives_a_name() {
        let check = |folder: &str, want: &str| assert_eq!(fit(folder), want);
        check("Acme Shop", "acme-shop");
        check("2026-plan", "plan");
        check("日本", "workspace");
        check("", "workspace");
    }
}
