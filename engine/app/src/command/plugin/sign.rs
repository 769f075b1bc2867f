//! `weft plugin key`, `sign`, `verify`: who made a plugin. The format is in [`crate::signature`].

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::{read, replace};
use crate::command::{Failed, Output, print};
use crate::signature::{self, PrivateKey, PublicKey};

/// A pair of keys to make.
#[derive(clap::Args)]
pub(in crate::command) struct Key {
    /// What the files are called: NAME.key is to be kept secret, NAME.pub is for everybody.
    name: PathBuf,
}

/// A file to sign.
#[derive(clap::Args)]
pub(in crate::command) struct Sign {
    /// The `.wasm` file.
    file: PathBuf,
    /// The private key, in PEM.
    #[arg(long)]
    key: PathBuf,
}

/// A file to verify.
#[derive(clap::Args)]
pub(in crate::command) struct Verify {
    /// The `.wasm` file.
    file: PathBuf,
    /// The public key: `ed25519:…`, or the file that it is in.
    #[arg(long)]
    key: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn key(key: &Key) -> Result<(), Failed> {
    let (private, pem) = PrivateKey::generate().map_err(anyhow::Error::msg)?;
    let named = |ending: &str| PathBuf::from(format!("{}.{ending}", key.name.display()));
    create(&named("key"), &pem, 0o600)?;
    create(&named("pub"), &format!("{}\n", private.public()), 0o644)?;
    print(&format!(
        "wrote {}, which signs and is to be kept secret, and {}, by which others verify:\n\n  {}\n\nA workspace takes only what it signed with `trusted_keys: [\"{}\"]`.",
        named("key").display(),
        named("pub").display(),
        private.public(),
        private.public()
    ));
    Ok(())
}

/// Writes a file that is not there yet.
fn create(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.with_context(|| format!("cannot make {}: a key is never overwritten", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn sign(sign: &Sign) -> Result<(), Failed> {
    let pem = std::fs::read_to_string(&sign.key).with_context(|| format!("cannot read {}", sign.key.display()))?;
    let key = PrivateKey::read(&pem).map_err(|message| anyhow!("{}: {message}", sign.key.display()))?;
    let plugin = read(&sign.file)?;
    let signed = signature::sign(&plugin, &key).map_err(|message| anyhow!("{} {message}", sign.file.display()))?;
    if signed != plugin {
        replace(&sign.file, &signed)?;
    }
    print(&format!(
        "{} is signed by {}; its digest is sha256:{}",
        sign.file.display(),
        key.public(),
        weft_host::Digest::of(&signed)
    ));
    Ok(())
}

pub(super) fn verify(verify: &Verify) -> Result<(), Failed> {
    let key = public_key(&verify.key)?;
    let plugin = read(&verify.file)?;
    let verified = signature::verify(&plugin, &[key]);
    let shown = verify.file.display();
    match (Output::of(verify.json), &verified) {
        (Output::Json, _) => print(
            &serde_json::json!({ "file": verify.file, "key": key.to_string(), "signed": verified.is_ok(), "message": verified.as_ref().err() })
                .to_string(),
        ),
        (Output::People, Ok(key)) => print(&format!("{shown} is signed by {key}")),
        (Output::People, Err(message)) => print(&format!("{shown} {message}")),
    }
    verified.map(drop).map_err(|_| Failed::Shown)
}

/// A key as it is written, or out of a file.
fn public_key(text: &str) -> anyhow::Result<PublicKey> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let read = std::fs::read_to_string(text).map_err(|_| anyhow!("`{text}` is neither a public key nor a file with one"))?;
    read.parse().map_err(|message| anyhow!("{text}: {message}"))
}
