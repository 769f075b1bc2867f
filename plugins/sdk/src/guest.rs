//! The border, from inside the sandbox: generated bindings, and adapters from a plugin's trait to them.
//!
//! Only in builds for `wasm32`. Nothing here is for a plugin's author; [`crate::source!`] and its siblings name it. An instance
//! holds one opened plugin. A panic is logged before it traps, since a trap alone says nothing.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Once;

use crate::contract::{self, Failure};
use crate::traits::{self, Destination, Source, Transform};

// The worlds of the contract, taken apart: all that can be imported, and each exported interface alone. Generated as they
// are, the three worlds would define the exports of `plugin` three times. A plugin exports two of them, and what it never
// calls is not imported, so that the component's world is the contract's.

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all)]
mod imports {
    wit_bindgen::generate!({
        inline: "package weft:sdk; world imports {
            import weft:plugin/log@1.0.0;
            import weft:plugin/http@1.0.0;
            import weft:plugin/email@1.0.0;
            import weft:plugin/crypto@1.0.0;
            import weft:plugin/kv@1.0.0;
            import weft:plugin/identity@1.0.0;
            import weft:plugin/files@1.0.0;
            import weft:plugin/output@1.0.0;
        }",
        path: "wit",
        world: "weft:sdk/imports",
        generate_all,
    });
}

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all)]
pub mod plugin {
    wit_bindgen::generate!({
        inline: "package weft:sdk; world plugin { export weft:plugin/plugin@1.0.0; }",
        path: "wit",
        world: "weft:sdk/plugin",
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        with: { "weft:plugin/types@1.0.0": super::imports::weft::plugin::types },
    });
}

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all)]
pub mod source {
    wit_bindgen::generate!({
        inline: "package weft:sdk; world source { export weft:plugin/source@1.0.0; }",
        path: "wit",
        world: "weft:sdk/source",
        pub_export_macro: true,
        export_macro_name: "export_source",
        with: { "weft:plugin/types@1.0.0": super::imports::weft::plugin::types },
    });
}

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all)]
pub mod transform {
    wit_bindgen::generate!({
        inline: "package weft:sdk; world transform { export weft:plugin/transform@1.0.0; }",
        path: "wit",
        world: "weft:sdk/transform",
        pub_export_macro: true,
        export_macro_name: "export_transform",
        with: { "weft:plugin/types@1.0.0": super::imports::weft::plugin::types },
    });
}

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all)]
pub mod destination {
    wit_bindgen::generate!({
        inline: "package weft:sdk; world destination { export weft:plugin/destination@1.0.0; }",
        path: "wit",
        world: "weft:sdk/destination",
        pub_export_macro: true,
        export_macro_name: "export_destination",
        with: { "weft:plugin/types@1.0.0": super::imports::weft::plugin::types },
    });
}

use imports::weft::plugin as wit;

pub struct AsSource<P>(PhantomData<P>);
pub struct AsTransform<P>(PhantomData<P>);
pub struct AsDestination<P>(PhantomData<P>);

thread_local! {
    /// The plugin of this instance, once it is open.
    static PLUGIN: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

fn with<P: 'static, T>(call: impl FnOnce(&mut P) -> Result<T, Failure>) -> Result<T, wit::types::Failure> {
    PLUGIN.with_borrow_mut(|plugin| {
        let plugin = plugin.as_mut().and_then(|plugin| plugin.downcast_mut());
        plugin.map_or_else(|| Err(Failure::internal("the plugin was called before it was opened")), call).map_err(Into::into)
    })
}

fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| wit::log::write(wit::log::Level::Error, &panic.to_string())));
    });
}

/// What every plugin has.
macro_rules! plugin {
    ($adapter:ident, $kind:ident, $manifest:path, $check:expr) => {
        impl<P: $kind> plugin::exports::weft::plugin::plugin::Guest for $adapter<P> {
            fn describe() -> String {
                log_panics();
                $manifest()
            }

            fn validate(config: String) -> Result<(), Vec<plugin::exports::weft::plugin::plugin::ConfigProblem>> {
                log_panics();
                let problems = match traits::read_config(&config) {
                    Ok(config) => P::validate(&config),
                    Err(problem) => vec![problem],
                };
                if problems.is_empty() { Ok(()) } else { Err(problems.into_iter().map(Into::into).collect()) }
            }

            fn open(config: String) -> Result<(), wit::types::Failure> {
                log_panics();
                let config = traits::read_config(&config)
                    .map_err(|problem| Failure::config(format!("{}: {}", problem.path, problem.message)))?;
                let plugin = P::open(config)?;
                PLUGIN.set(Some(Box::new(plugin)));
                Ok(())
            }

            fn check() -> Result<(), wit::types::Failure> {
                let check: fn(&mut P) -> Result<(), Failure> = $check;
                with(check)
            }
        }
    };
}

plugin!(AsSource, Source, traits::manifest_of_source::<P>, P::check);
plugin!(AsTransform, Transform, traits::manifest_of_transform::<P>, |_| Ok(()));
plugin!(AsDestination, Destination, traits::manifest_of_destination::<P>, P::check);

impl<P: Source> source::exports::weft::plugin::source::Guest for AsSource<P> {
    fn receive(
        request: source::exports::weft::plugin::source::Request,
    ) -> Result<source::exports::weft::plugin::source::Received, wit::types::Failure> {
        use source::exports::weft::plugin::source as wit;
        let body = match request.body {
            wit::Body::Bytes(bytes) => contract::Body::Bytes(bytes),
            wit::Body::Unreadable(why) => contract::Body::Unreadable(why),
        };
        let request = contract::Request {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body,
            received_ms: request.received_ms,
            remote: request.remote,
        };
        let contract::Received { response, events, refused } = with(|plugin: &mut P| plugin.receive(request))?;
        let response = wit::Response { status: response.status, headers: response.headers, body: response.body };
        let refused =
            refused.into_iter().map(|refused| wit::Refused { rejection: refused.rejection.into(), bytes: refused.bytes });
        Ok(wit::Received { response, events, refused: refused.collect() })
    }

    fn poll(state: Option<String>) -> Result<(), wit::types::Failure> {
        with(|plugin: &mut P| plugin.poll(state))
    }

    fn decode(chunk: Vec<u8>, last: bool, state: Option<String>) -> Result<Option<String>, wit::types::Failure> {
        with(|plugin: &mut P| plugin.decode(chunk, last, state))
    }
}

impl<P: Transform> transform::exports::weft::plugin::transform::Guest for AsTransform<P> {
    fn apply(records: Vec<Vec<u8>>) -> Result<Vec<transform::exports::weft::plugin::transform::Outcome>, wit::types::Failure> {
        use transform::exports::weft::plugin::transform::Outcome;
        let outcomes = with(|plugin: &mut P| plugin.apply_all(&records))?;
        let outcomes = outcomes.into_iter().map(|outcome| match outcome {
            contract::Outcome::Keep => Outcome::Keep,
            contract::Outcome::Drop => Outcome::Drop,
            contract::Outcome::Replace(bytes) => Outcome::Replace(bytes),
            contract::Outcome::Split(parts) => Outcome::Split(parts),
            contract::Outcome::Reject(rejection) => Outcome::Reject(rejection.into()),
        });
        Ok(outcomes.collect())
    }
}

impl<P: Destination> destination::exports::weft::plugin::destination::Guest for AsDestination<P> {
    fn deliver(
        batch: destination::exports::weft::plugin::destination::Batch,
    ) -> Result<Vec<destination::exports::weft::plugin::destination::Receipt>, wit::types::Failure> {
        use destination::exports::weft::plugin::destination::Receipt;
        let batch = contract::Batch { stream: batch.stream, key: batch.key, records: batch.records, positions: batch.positions };
        let receipts = with(|plugin: &mut P| plugin.deliver(batch))?;
        let receipts = receipts.into_iter().map(|receipt| match receipt {
            contract::Receipt::Ok => Receipt::Ok,
            contract::Receipt::Retry(ms) => Receipt::Retry(ms),
            contract::Receipt::Reject(rejection) => Receipt::Reject(rejection.into()),
        });
        Ok(receipts.collect())
    }
}

impl From<contract::ConfigProblem> for plugin::exports::weft::plugin::plugin::ConfigProblem {
    fn from(contract::ConfigProblem { path, message, hint }: contract::ConfigProblem) -> Self {
        Self { path, message, hint }
    }
}

impl From<contract::Rejection> for wit::types::Rejection {
    fn from(contract::Rejection { code, message }: contract::Rejection) -> Self {
        wit::types::Rejection { code, message }
    }
}

impl From<Failure> for wit::types::Failure {
    fn from(failure: Failure) -> Self {
        use contract::FailureKind as Ours;
        use wit::types::FailureKind as Theirs;
        let kind = match failure.kind {
            Ours::Config => Theirs::Config,
            Ours::Credentials => Theirs::Credentials,
            Ours::RateLimited => Theirs::RateLimited,
            Ours::Unavailable => Theirs::Unavailable,
            Ours::Rejected => Theirs::Rejected,
            Ours::Cancelled => Theirs::Cancelled,
            Ours::Internal => Theirs::Internal,
        };
        wit::types::Failure { kind, message: failure.message, retry_after_ms: failure.retry_after_ms }
    }
}

impl From<wit::types::Failure> for Failure {
    fn from(failure: wit::types::Failure) -> Self {
        use contract::FailureKind as Ours;
        use wit::types::FailureKind as Theirs;
        let kind = match failure.kind {
            Theirs::Config => Ours::Config,
            Theirs::Credentials => Ours::Credentials,
            Theirs::RateLimited => Ours::RateLimited,
            Theirs::Unavailable => Ours::Unavailable,
            Theirs::Rejected => Ours::Rejected,
            Theirs::Cancelled => Ours::Cancelled,
            Theirs::Internal => Ours::Internal,
        };
        Failure { kind, message: failure.message, retry_after_ms: failure.retry_after_ms }
    }
}

/// What [`crate::lent`] calls.
pub(crate) mod engine {
    use super::wit;
    use super::wit::output;
    use crate::contract::{Failure, Rejection};
    use crate::lent::crypto::Algorithm;
    use crate::lent::{email, http, identity, log};

    pub(crate) fn log(level: log::Level, message: &str) {
        let level = match level {
            log::Level::Debug => wit::log::Level::Debug,
            log::Level::Info => wit::log::Level::Info,
            log::Level::Warn => wit::log::Level::Warn,
            log::Level::Error => wit::log::Level::Error,
        };
        wit::log::write(level, message);
    }

    pub(crate) fn send(request: http::Request) -> Result<http::Response, Failure> {
        let http::Request { method, target, headers, body, timeout_ms } = request;
        let response = wit::http::send(&wit::http::Request { method, target, headers, body, timeout_ms })?;
        Ok(http::Response { status: response.status, headers: response.headers, body: response.body })
    }

    fn mailboxes(mailboxes: Vec<email::Mailbox>) -> Vec<wit::email::Mailbox> {
        mailboxes.into_iter().map(mailbox).collect()
    }
    fn mailbox(email::Mailbox { name, address }: email::Mailbox) -> wit::email::Mailbox {
        wit::email::Mailbox { name, address }
    }
    pub(crate) fn mail(message: email::Message) -> Result<email::Outcome, Failure> {
        let message = wit::email::Message {
            from: mailbox(message.from),
            to: mailboxes(message.to),
            cc: mailboxes(message.cc),
            bcc: mailboxes(message.bcc),
            reply_to: mailboxes(message.reply_to),
            subject: message.subject,
            text: message.text,
            html: message.html,
            headers: message.headers,
            message_id: message.message_id,
        };
        Ok(match wit::email::send(&message)? {
            wit::email::Outcome::Accepted => email::Outcome::Accepted,
            wit::email::Outcome::Later(ms) => email::Outcome::Later(ms),
            wit::email::Outcome::Refused(wit::types::Rejection { code, message }) => {
                email::Outcome::Refused(Rejection { code, message })
            }
        })
    }
    pub(crate) fn mail_check() -> Result<(), Failure> {
        wit::email::check().map_err(Into::into)
    }

    fn algorithm(algorithm: Algorithm) -> wit::crypto::Algorithm {
        match algorithm {
            Algorithm::Sha1 => wit::crypto::Algorithm::Sha1,
            Algorithm::Sha256 => wit::crypto::Algorithm::Sha256,
            Algorithm::Sha512 => wit::crypto::Algorithm::Sha512,
        }
    }

    pub(crate) fn equals(secret: &str, candidate: &[u8]) -> bool {
        wit::crypto::equals(secret, candidate)
    }
    pub(crate) fn hmac(secret: &str, by: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        wit::crypto::hmac(secret, algorithm(by), message)
    }
    pub(crate) fn hash(by: Algorithm, message: &[u8]) -> Vec<u8> {
        wit::crypto::hash(algorithm(by), message)
    }

    pub(crate) fn kv_get(key: &str) -> Result<Option<Vec<u8>>, Failure> {
        wit::kv::get(key).map_err(Into::into)
    }
    pub(crate) fn kv_set(key: &str, value: &[u8]) -> Result<(), Failure> {
        wit::kv::set(key, value).map_err(Into::into)
    }
    pub(crate) fn kv_delete(key: &str) -> Result<(), Failure> {
        wit::kv::delete(key).map_err(Into::into)
    }

    pub(crate) fn lookup(identifiers: Vec<identity::Identifier>) -> Result<Option<identity::Known>, Failure> {
        let asked = |identity::Identifier { kind, value }| wit::identity::Identifier { kind, value };
        let told = |wit::identity::Identifier { kind, value }| identity::Identifier { kind, value };
        let identifiers: Vec<wit::identity::Identifier> = identifiers.into_iter().map(asked).collect();
        let known = wit::identity::lookup(&identifiers)?;
        Ok(known.map(|wit::identity::Known { customer, signs_in, matched, identifiers }| identity::Known {
            customer,
            signs_in,
            matched,
            identifiers: identifiers.into_iter().map(told).collect(),
        }))
    }

    pub(crate) fn read(folder: &str, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        wit::files::read(folder, name).map_err(Into::into)
    }
    pub(crate) fn size(folder: &str, name: &str) -> Result<Option<u64>, Failure> {
        wit::files::size(folder, name).map_err(Into::into)
    }
    pub(crate) fn write(folder: &str, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        wit::files::write(folder, name, bytes).map_err(Into::into)
    }
    pub(crate) fn append(folder: &str, name: &str, at: u64, bytes: &[u8]) -> Result<u64, Failure> {
        wit::files::append(folder, name, at, bytes).map_err(Into::into)
    }
    pub(crate) fn rename(folder: &str, from: &str, to: &str) -> Result<(), Failure> {
        wit::files::rename(folder, from, to).map_err(Into::into)
    }
    pub(crate) fn list(folder: &str) -> Result<Vec<String>, Failure> {
        wit::files::list(folder).map_err(Into::into)
    }

    pub(crate) fn emit(events: Vec<Vec<u8>>) -> Result<(), Failure> {
        output::emit(&events).map_err(Into::into)
    }
    pub(crate) fn refuse(refused: Vec<(Rejection, Vec<u8>)>) -> Result<(), Failure> {
        let refused: Vec<output::Refused> =
            refused.into_iter().map(|(why, bytes)| output::Refused { rejection: why.into(), bytes }).collect();
        output::refuse(&refused).map_err(Into::into)
    }
    pub(crate) fn checkpoint(state: &str) -> Result<(), Failure> {
        output::checkpoint(state).map_err(Into::into)
    }
}
