//! `weft token`: tokens of the API. The workspace keeps the hash alone, so a token is shown once and by nobody else.

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Failed, Output, complain, print};
use crate::config::{Scope, is_name};

/// What to do with tokens.
#[derive(Subcommand)]
pub(super) enum Token {
    /// Make a token: prints it, once, and the entry for `tokens:` in a workspace.
    New {
        /// What it is called in the workspace: small letters, digits, `-` and `_`.
        name: String,
        /// What may be done with it; more than once for more.
        #[arg(long = "scope", value_enum, required = true)]
        scopes: Vec<Scope>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// 256 bits, which nobody guesses: a plain hash of them is safe to keep (unlike that of a password).
const TOKEN_BYTES: usize = 32;

pub(super) fn run(Token::New { name, mut scopes, json }: Token) -> Result<(), Failed> {
    if !is_name(&name) {
        return Err(
            anyhow!("`{name}` is not a name: it begins with a small letter, and has small letters, digits, `-` and `_`").into()
        );
    }
    scopes.sort_unstable();
    scopes.dedup();
    let mut bytes = [0; TOKEN_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system gives no random bytes"))?;
    let token = format!("weft_{}", URL_SAFE_NO_PAD.encode(bytes));
    let hash: String = Sha256::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = format!("sha256:{hash}");
    match Output::of(json) {
        Output::Json => print(&json!({ "token": token, "tokens": { name: { "hash": hash, "scopes": scopes } } }).to_string()),
        Output::People => {
            let scopes: Vec<String> = scopes.iter().filter_map(|scope| Some(json!(scope).as_str()?.to_owned())).collect();
            complain("the token, which is kept nowhere and shown this once:");
            print(&token);
            complain("its entry in the workspace:");
            print(&format!("tokens:\n  {name}: {{ hash: \"{hash}\", scopes: [{}] }}", scopes.join(", ")));
        }
    }
    Ok(())
}
