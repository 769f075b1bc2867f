//! Pages about the model by which customers are compared.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};

use super::{Pages, ok};
use crate::door::problem;
use crate::matcher::NotLearned;

pub(super) async fn model(State(pages): State<Arc<Pages>>) -> Response<Body> {
    let matcher = pages.status.matcher().cloned();
    // A model is some megabytes of JSON to read.
    let ledger = pages.ledger.clone();
    match tokio::task::spawn_blocking(move || matcher.and_then(|matcher| matcher.model(&ledger))).await {
        Ok(Some(shown)) => ok(&shown),
        Ok(None) => refusal(&NotLearned::Off),
        Err(panic) => problem(StatusCode::INTERNAL_SERVER_ERROR, &panic.to_string()),
    }
}

pub(super) async fn learn(State(pages): State<Arc<Pages>>) -> Response<Body> {
    let Some(matcher) = pages.status.matcher() else { return refusal(&NotLearned::Off) };
    matcher.learn().await.map_or_else(|error| refusal(&error), |shown| ok(&shown))
}

fn refusal(error: &NotLearned) -> Response<Body> {
    let status = match error {
        NotLearned::Off | NotLearned::TooFew(_) | NotLearned::OtherFields => StatusCode::CONFLICT,
        NotLearned::Unread(_) | NotLearned::Unsound(_) => StatusCode::INTERNAL_SERVER_ERROR,
        NotLearned::Ended => StatusCode::SERVICE_UNAVAILABLE,
    };
    problem(status, &error.to_string())
}
