//! Pages about who is who: what people say of it, and why two are one.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::runtime::Handle;
use weft_domain::between::between;
use weft_domain::claim::{ClaimId, Decision};
use weft_domain::explain::Who;

use super::{Pages, Reason, ok, read};
use crate::door::problem;
use crate::identity::{self, Asked, Outcome, Refused, Waiting};
use crate::review::{self, Said};
use crate::writer::Ledger;

/// Two who are asked about.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Two {
    /// `TYPE:VALUE`, or a customer's id.
    a: Who,
    /// The same.
    b: Who,
}

pub(super) async fn explain(State(pages): State<Arc<Pages>>, asked: Result<Query<Two>, QueryRejection>) -> Response<Body> {
    let Two { a, b } = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    match read(move || between(&*pages.ledger.state(), &a, &b)).await {
        Ok(Some(between)) => ok(&between),
        Ok(None) => problem(StatusCode::NOT_FOUND, "nobody is known by one of them"),
        Err(unread) => unread,
    }
}

pub(super) async fn held(State(pages): State<Arc<Pages>>, asked: Result<Query<Waiting>, QueryRejection>) -> Response<Body> {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    read(move || identity::held_of(&pages.ledger, &asked)).await.map_or_else(|unread| unread, |list| ok(&list))
}

pub(super) async fn accept(
    State(pages): State<Arc<Pages>>,
    Path(id): Path<String>,
    body: Result<Json<Reason>, JsonRejection>,
) -> Response<Body> {
    decide(&pages, &id, Decision::Accept, body).await
}

pub(super) async fn refuse(
    State(pages): State<Arc<Pages>>,
    Path(id): Path<String>,
    body: Result<Json<Reason>, JsonRejection>,
) -> Response<Body> {
    decide(&pages, &id, Decision::Refuse, body).await
}

async fn decide(pages: &Pages, id: &str, decision: Decision, body: Result<Json<Reason>, JsonRejection>) -> Response<Body> {
    let Json(body) = match body {
        Ok(body) => body,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    let id: ClaimId = match id.parse() {
        Ok(id) => id,
        Err(message) => return problem(StatusCode::BAD_REQUEST, &message),
    };
    match identity::decide(&pages.ledger, id, decision, &body.reason).await {
        Ok(decided) => ok(&decided),
        Err(refused) => refusal(&refused, StatusCode::NOT_FOUND),
    }
}

pub(super) async fn matches(
    State(pages): State<Arc<Pages>>,
    asked: Result<Query<review::Waiting>, QueryRejection>,
) -> Response<Body> {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    read(move || review::open_of(&pages.ledger, &asked)).await.map_or_else(|unread| unread, |list| ok(&list))
}

pub(super) async fn decide_match(State(pages): State<Arc<Pages>>, body: Result<Json<Said>, JsonRejection>) -> Response<Body> {
    let Json(said) = match body {
        Ok(body) => body,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    match review::decide(&pages.ledger, &said).await {
        Ok(decided) => ok(&decided),
        // Whom the body names is no part of the address: the page is there.
        Err(refused) => refusal(&refused, StatusCode::CONFLICT),
    }
}

pub(super) async fn split(State(pages): State<Arc<Pages>>, body: Result<Json<Asked>, JsonRejection>) -> Response<Body> {
    change(&pages, body, |ledger, asked| Handle::current().block_on(identity::split(ledger, asked))).await
}

pub(super) async fn restore(State(pages): State<Arc<Pages>>, body: Result<Json<Asked>, JsonRejection>) -> Response<Body> {
    change(&pages, body, |ledger, asked| Handle::current().block_on(identity::restore(ledger, asked))).await
}

/// Has something done on a thread that may wait: all claims may have to be looked at.
async fn change(
    pages: &Pages,
    body: Result<Json<Asked>, JsonRejection>,
    change: fn(&Ledger, &Asked) -> Result<Outcome, Refused>,
) -> Response<Body> {
    let Json(asked) = match body {
        Ok(body) => body,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    let ledger = pages.ledger.clone();
    match tokio::task::spawn_blocking(move || change(&ledger, &asked)).await {
        Ok(Ok(outcome)) => ok(&outcome),
        // What the body names is no part of the address: the page is there.
        Ok(Err(refused)) => refusal(&refused, StatusCode::CONFLICT),
        Err(panic) => problem(StatusCode::INTERNAL_SERVER_ERROR, &panic.to_string()),
    }
}

fn refusal(refused: &Refused, unknown: StatusCode) -> Response<Body> {
    let status = match refused {
        Refused::Unclear(_) => StatusCode::BAD_REQUEST,
        Refused::Unknown(_) => unknown,
        Refused::Contradicts(_) => StatusCode::CONFLICT,
        Refused::Unread(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Refused::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, &refused.to_string())
}
