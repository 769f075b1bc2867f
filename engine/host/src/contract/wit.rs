//! The generated bindings, and the way between them and the engine's own types.
//!
//! One synthetic world holds everything that the three worlds of `weft.wit` name, so that their shared types exist once.
//! No plugin has that world: each kind gets a linker with its own imports, and only its own exports are looked up.

// The generated code is documented by the WIT file, and its style is not ours.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../plugins/contract",
        inline: "
            package weft:host;
            world every-plugin {
                include weft:plugin/source-plugin@1.0.0;
                include weft:plugin/transform-plugin@1.0.0;
                include weft:plugin/destination-plugin@1.0.0;
            }
        ",
        world: "weft:host/every-plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
        require_store_data_send: true,
    });
}

pub(crate) use generated::exports::weft::plugin as exports;
pub(crate) use generated::weft::plugin as imports;

use super::{Email, Failure, FailureKind, HttpRequest, HttpResponse, Identifier, Known, Mailbox, Mailed, Rejection};

impl From<imports::types::FailureKind> for FailureKind {
    fn from(kind: imports::types::FailureKind) -> Self {
        match kind {
            imports::types::FailureKind::Config => FailureKind::Config,
            imports::types::FailureKind::Credentials => FailureKind::Credentials,
            imports::types::FailureKind::RateLimited => FailureKind::RateLimited,
            imports::types::FailureKind::Unavailable => FailureKind::Unavailable,
            imports::types::FailureKind::Rejected => FailureKind::Rejected,
            imports::types::FailureKind::Cancelled => FailureKind::Cancelled,
            imports::types::FailureKind::Internal => FailureKind::Internal,
        }
    }
}

impl From<FailureKind> for imports::types::FailureKind {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Config => imports::types::FailureKind::Config,
            FailureKind::Credentials => imports::types::FailureKind::Credentials,
            FailureKind::RateLimited => imports::types::FailureKind::RateLimited,
            FailureKind::Unavailable => imports::types::FailureKind::Unavailable,
            FailureKind::Rejected => imports::types::FailureKind::Rejected,
            FailureKind::Cancelled => imports::types::FailureKind::Cancelled,
            FailureKind::Internal => imports::types::FailureKind::Internal,
        }
    }
}

impl From<imports::types::Failure> for Failure {
    fn from(failure: imports::types::Failure) -> Self {
        Self { kind: failure.kind.into(), message: failure.message, retry_after_ms: failure.retry_after_ms }
    }
}

impl From<Failure> for imports::types::Failure {
    fn from(failure: Failure) -> Self {
        Self { kind: failure.kind.into(), message: failure.message, retry_after_ms: failure.retry_after_ms }
    }
}

impl From<imports::types::Rejection> for Rejection {
    fn from(rejection: imports::types::Rejection) -> Self {
        Self { code: rejection.code, message: rejection.message }
    }
}

impl From<imports::http::Request> for HttpRequest {
    fn from(request: imports::http::Request) -> Self {
        Self {
            method: request.method,
            target: request.target,
            headers: request.headers,
            body: request.body,
            timeout_ms: request.timeout_ms,
        }
    }
}

impl From<HttpResponse> for imports::http::Response {
    fn from(response: HttpResponse) -> Self {
        Self { status: response.status, headers: response.headers, body: response.body }
    }
}

impl From<imports::email::Mailbox> for Mailbox {
    fn from(mailbox: imports::email::Mailbox) -> Self {
        Self { name: mailbox.name, address: mailbox.address }
    }
}

impl From<imports::email::Message> for Email {
    fn from(message: imports::email::Message) -> Self {
        let mailboxes = |mailboxes: Vec<imports::email::Mailbox>| mailboxes.into_iter().map(Into::into).collect();
        Self {
            from: message.from.into(),
            to: mailboxes(message.to),
            cc: mailboxes(message.cc),
            bcc: mailboxes(message.bcc),
            reply_to: mailboxes(message.reply_to),
            subject: message.subject,
            text: message.text,
            html: message.html,
            headers: message.headers,
            message_id: message.message_id,
        }
    }
}

impl From<Mailed> for imports::email::Outcome {
    fn from(mailed: Mailed) -> Self {
        match mailed {
            Mailed::Accepted => Self::Accepted,
            Mailed::Later(ms) => Self::Later(ms),
            Mailed::Refused(Rejection { code, message }) => Self::Refused(imports::types::Rejection { code, message }),
        }
    }
}

impl From<imports::identity::Identifier> for Identifier {
    fn from(imports::identity::Identifier { kind, value }: imports::identity::Identifier) -> Self {
        Self { kind, value }
    }
}

impl From<Known> for imports::identity::Known {
    fn from(Known { customer, signs_in, matched, identifiers }: Known) -> Self {
        let identifier = |Identifier { kind, value }| imports::identity::Identifier { kind, value };
        Self { customer, signs_in, matched, identifiers: identifiers.into_iter().map(identifier).collect() }
    }
}
