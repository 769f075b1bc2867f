//! Pages of all customers: a page at a time, and exports.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use weft_domain::value::Timestamp;
use weft_domain::view::Read;

use super::{Pages, ok, problem, wait};
use crate::export::{AskedEvents, AskedProfiles, Export, ExportError};
use crate::limits;
use crate::moment::position_at;
use crate::profiles::{self, Asked, Stretch};
use crate::selection::{Of, Selection, names_of};

/// What of a profile is wanted; all, where nothing is named.
pub(super) fn selection(pages: &Pages, fields: Option<&str>) -> Result<Selection, String> {
    let Some(fields) = fields else { return Ok(Selection::default()) };
    let plan = pages.ledger.state().plan().clone();
    Selection::parse(fields, Of::Profile(&names_of(&plan.attributes)))
}

pub(super) async fn list(State(pages): State<Arc<Pages>>, asked: Result<Query<Asked>, QueryRejection>) -> Response<Body> {
    let Asked { after, limit, changed_since, fields } = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let selection = match selection(&pages, fields.as_deref()) {
        Ok(selection) => selection,
        Err(message) => return problem(StatusCode::BAD_REQUEST, &message),
    };
    let most = limit.unwrap_or(limits::PROFILES_SHOWN).clamp(1, limits::PROFILES_SHOWN_MAX);
    let list = move || -> Read<profiles::List> {
        let since = changed_since.map_or(Ok(0), |since| position_at(pages.ledger.history(), since))?;
        profiles::page(|| pages.ledger.state(), pages.clock.now(), Stretch { after, since, most }, &selection)
    };
    match super::read(list).await {
        Ok(list) => ok(&list),
        Err(unread) => unread,
    }
}

pub(super) async fn export_profiles(
    State(pages): State<Arc<Pages>>,
    asked: Result<Query<AskedProfiles>, QueryRejection>,
) -> Response<Body> {
    // Then sled has every customer that there is.
    pages.ledger.commit().await;
    export(&pages, asked, |pages, asked| {
        // Found before state is held: it goes through history.
        let history = pages.ledger.history();
        let since = asked.since.map(|since| position_at(history, since)).transpose()?;
        Export::profiles(&pages.ledger.state(), since.unwrap_or(0), asked)
    })
    .await
}

pub(super) async fn export_events(
    State(pages): State<Arc<Pages>>,
    asked: Result<Query<AskedEvents>, QueryRejection>,
) -> Response<Body> {
    export(&pages, asked, |pages, asked| Export::events(pages.ledger.history(), asked)).await
}

async fn export<A: Send + 'static>(
    pages: &Arc<Pages>,
    asked: Result<Query<A>, QueryRejection>,
    begin: fn(&Pages, &A) -> Result<Export, ExportError>,
) -> Response<Body> {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let Some(room) = pages.exports.enter() else {
        return wait(problem(StatusCode::TOO_MANY_REQUESTS, &format!("{} exports run already", limits::EXPORTS_MAX)));
    };
    let (began, reading) = (pages.clock.now(), pages.clone());
    let export = match tokio::task::spawn_blocking(move || begin(&reading, &asked)).await {
        Ok(Ok(export)) => export,
        Ok(Err(ExportError::Wrong(message))) => return problem(StatusCode::BAD_REQUEST, &message),
        Ok(Err(error @ ExportError::View(_))) => return problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(panic) => return problem(StatusCode::INTERNAL_SERVER_ERROR, &panic.to_string()),
    };
    let said = Said { began, position: export.position, total: export.total, missing: export.missing };
    let body = pages.exports.body(room, export, pages.ledger.clone(), pages.clock.clone());
    said.on(Response::new(body))
}

/// What is said of an export before its first line.
struct Said {
    began: Timestamp,
    position: u64,
    total: u64,
    missing: u64,
}

impl Said {
    fn on(&self, mut response: Response<Body>) -> Response<Body> {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Nginx would gather lines before it passes them on.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        if let Ok(began) = HeaderValue::try_from(self.began.to_string()) {
            headers.insert("weft-began", began);
        }
        headers.insert("weft-position", self.position.into());
        headers.insert("weft-total", self.total.into());
        headers.insert("weft-missing", self.missing.into());
        response
    }
}
