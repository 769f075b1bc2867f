//! The engine's own pages: profiles, dead letters, status, health and metrics. They read state and never go through the fold.
//!
//! Requests with a token where the workspace has tokens; answers are JSON, errors RFC 9457 problems. The paths of sources are
//! [`crate::door`]'s.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::{mpsc, oneshot, watch};
use weft_domain::claim::{ClaimId, CustomerId};
use weft_domain::explain::{claims_of, explain, today, whose};
use weft_domain::input::{Command, Input, event_json};
use weft_domain::profile::Entry;
use weft_domain::value::Excerpt;
use weft_domain::view::{Read, View};

use crate::clock::Clock;
use crate::config::{Scope, Token};
use crate::door::{Doors, knock, problem};
use crate::letters::{self, Asked};
use crate::limits;
use crate::retry::{self, Earnest};
use crate::status::{Look, Outcome, Reloaded, Status};
use crate::telemetry::Metrics;
use crate::writer::Ledger;

/// What the pages read from.
pub struct Pages {
    /// State and history.
    pub ledger: Ledger,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// What the engine says of itself.
    pub status: Arc<Status>,
    /// Whom to ask to look at the workspace's files.
    pub looks: mpsc::Sender<Look>,
    /// Who may read, as SHA-256 of their tokens; empty where everybody who reaches the listener may.
    pub tokens: watch::Receiver<Arc<[Token]>>,
}

/// All pages of the engine, and the doors of its sources.
pub fn router(pages: Arc<Pages>, doors: Arc<Doors>) -> Router {
    let guarded = Router::new()
        .route("/api/v1/profiles/{id}", get(profile_by_id))
        .route("/api/v1/profiles/{type}/{value}", get(profile_by_identifier))
        .route("/api/v1/profiles/{type}/{value}/events", get(events_by_identifier))
        .route("/api/v1/claims/{id}/retract", post(retract))
        .route("/api/v1/claims/{id}/restore", post(restore))
        .route("/api/v1/destinations/{name}/pause", post(pause))
        .route("/api/v1/destinations/{name}/resume", post(resume))
        .route("/api/v1/dead-letters", get(dead_letters))
        .route("/api/v1/dead-letters/drop", post(drop_letters))
        .route("/api/v1/dead-letters/retry", post(retry_letters))
        .route("/api/v1/dead-letters/{id}", get(dead_letter))
        .route("/api/v1/dead-letters/{id}/retry", post(retry_letter))
        .route("/api/v1/status", get(status))
        .route("/api/v1/config", get(config))
        .route("/api/v1/config/reload", post(reload))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(pages.clone(), guard))
        .with_state(pages.clone());
    let open = Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).with_state(pages);
    guarded.merge(open).fallback(knock).with_state(doors)
}

async fn guard(State(pages): State<Arc<Pages>>, request: Request, next: Next) -> Response<Body> {
    let scope = if request.method().is_safe() { Scope::Read } else { Scope::Admin };
    if pages.tokens.borrow().is_empty() || pages.lets_in(request.headers(), scope) {
        return next.run(request).await;
    }
    let mut refused = problem(StatusCode::UNAUTHORIZED, "this page needs a bearer token of the workspace");
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refused
}

impl Pages {
    fn lets_in(&self, headers: &HeaderMap, scope: Scope) -> bool {
        let Some(token) = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer ")) else {
            return false;
        };
        let hash = Sha256::digest(token);
        let good = |one: &&Token| one.scopes.contains(&scope) || one.scopes.contains(&Scope::Admin);
        self.tokens.borrow().iter().filter(good).fold(false, |found, one| found | bool::from(one.hash.ct_eq(&hash[..])))
    }
}

async fn profile_by_id(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response<Body> {
    match id.parse::<CustomerId>() {
        Ok(id) => explained(&pages, |view| today(view, id)),
        Err(message) => problem(StatusCode::BAD_REQUEST, &message),
    }
}

async fn profile_by_identifier(State(pages): State<Arc<Pages>>, Path((kind, value)): Path<(String, String)>) -> Response<Body> {
    explained(&pages, |view| whose(view, &kind, &value))
}

fn explained(pages: &Pages, find: impl FnOnce(&weft_store::overlay::Overlay) -> Read<Option<CustomerId>>) -> Response<Body> {
    let state = pages.ledger.state();
    let found = find(&state).and_then(|id| id.map_or(Ok(None), |id| explain(&*state, id)));
    drop(state);
    match found {
        Ok(Some(explained)) => ok(&explained),
        Ok(None) => problem(StatusCode::NOT_FOUND, "nobody is known by that"),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// How much of a customer's events to show.
#[derive(Deserialize)]
struct Shown {
    limit: Option<usize>,
}

/// Events shown at once, unless asked otherwise, and at most.
const EVENTS_SHOWN: usize = 50;
const EVENTS_SHOWN_MAX: usize = 1_000;

async fn events_by_identifier(
    State(pages): State<Arc<Pages>>,
    Path((kind, value)): Path<(String, String)>,
    Query(Shown { limit }): Query<Shown>,
) -> Response<Body> {
    let limit = limit.unwrap_or(EVENTS_SHOWN).min(EVENTS_SHOWN_MAX);
    let entries = match latest_entries(&pages, &kind, &value, limit) {
        Ok(Some(entries)) => entries,
        Ok(None) => return problem(StatusCode::NOT_FOUND, "nobody is known by that"),
        Err(error) => return problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let mut events: Vec<Box<serde_json::value::RawValue>> = Vec::with_capacity(entries.len());
    for entry in entries {
        // An event that was erased, or is not durable yet, is not there.
        let Ok(record) = pages.ledger.history().record(entry.position) else { continue };
        let json = event_json(record.kind, &record.bytes).and_then(|json| serde_json::from_slice(json).ok());
        events.extend(json);
    }
    ok(&events)
}

/// The places in history of a customer's latest events, the latest first.
fn latest_entries(pages: &Pages, kind: &str, value: &str, limit: usize) -> Read<Option<Vec<Entry>>> {
    let state = pages.ledger.state();
    let Some(id) = whose(&*state, kind, value)? else { return Ok(None) };
    let mut entries: Vec<Entry> = Vec::new();
    for claim in claims_of(&*state, id)? {
        let Some(node) = state.node(claim)? else { continue };
        entries.extend(&node.page);
        for number in 0..node.pages {
            entries.extend(state.page(claim, number)?.iter().flat_map(|page| page.iter()));
        }
    }
    entries.sort_unstable_by(|one, other| other.cmp(one));
    entries.truncate(limit);
    Ok(Some(entries))
}

/// Why a claim is retracted.
#[derive(Deserialize)]
struct Reason {
    reason: String,
}

async fn retract(State(pages): State<Arc<Pages>>, Path(id): Path<String>, Json(body): Json<Reason>) -> Response<Body> {
    command(&pages, &id, |claim| Command::Retract { claim, reason: body.reason }).await
}

async fn restore(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response<Body> {
    command(&pages, &id, |claim| Command::Restore { claim }).await
}

async fn command(pages: &Pages, id: &str, order: impl FnOnce(ClaimId) -> Command) -> Response<Body> {
    let claim: ClaimId = match id.parse() {
        Ok(claim) => claim,
        Err(message) => return problem(StatusCode::BAD_REQUEST, &message),
    };
    let known = pages.ledger.state().claim(claim);
    match known {
        Ok(Some(_)) => (),
        Ok(None) => return problem(StatusCode::NOT_FOUND, "there is no such claim"),
        Err(error) => return problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
    match pages.ledger.log(Input::Command(order(claim))).await {
        Some(position) => ok(&serde_json::json!({ "position": position })),
        None => problem(StatusCode::SERVICE_UNAVAILABLE, "the engine stops"),
    }
}

async fn pause(State(pages): State<Arc<Pages>>, Path(lane): Path<String>) -> Response<Body> {
    destination(&pages, &lane, Command::Pause { lane: lane.clone() }).await
}

async fn resume(State(pages): State<Arc<Pages>>, Path(lane): Path<String>) -> Response<Body> {
    destination(&pages, &lane, Command::Resume { lane: lane.clone() }).await
}

/// Has a destination of the plan in force do something else. Asking twice is as good as once.
async fn destination(pages: &Pages, name: &str, order: Command) -> Response<Body> {
    let is_there = {
        let state = pages.ledger.state();
        let plan = state.plan();
        plan.event_lanes.iter().chain(&plan.profile_lanes).any(|lane| lane == name)
    };
    if !is_there {
        return problem(StatusCode::NOT_FOUND, &format!("there is no destination `{}`", Excerpt(name)));
    }
    let Some(position) = pages.ledger.log(Input::Command(order)).await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the engine stops");
    };
    match pages.ledger.state().lane(name) {
        Ok(lane) => ok(&serde_json::json!({ "position": position, "paused": lane.paused })),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn dead_letters(State(pages): State<Arc<Pages>>, asked: Result<Query<Asked>, QueryRejection>) -> Response<Body> {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let list = move || {
        let Pages { ledger, .. } = &*pages;
        letters::list(|from, max| ledger.state().letters(from, max), ledger.history(), &asked)
    };
    read(list).await.map_or_else(|unread| unread, |list| ok(&list))
}

async fn dead_letter(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response<Body> {
    let id: letters::Id = match id.parse() {
        Ok(id) => id,
        Err(message) => return problem(StatusCode::BAD_REQUEST, &message),
    };
    let find = move || {
        let Pages { ledger, .. } = &*pages;
        letters::find(|from, max| ledger.state().letters(from, max), ledger.history(), id)
    };
    match read(find).await {
        Ok(Some(letter)) => ok(&letter),
        Ok(None) => problem(StatusCode::NOT_FOUND, "there is no such dead letter"),
        Err(unread) => unread,
    }
}

/// Dead letters that nobody needs any more, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dropped {
    letters: Vec<letters::Id>,
    reason: String,
}

async fn drop_letters(State(pages): State<Arc<Pages>>, Json(body): Json<Dropped>) -> Response<Body> {
    if body.letters.len() > limits::LETTERS_DROPPED_MAX {
        let most = limits::LETTERS_DROPPED_MAX;
        return problem(
            StatusCode::BAD_REQUEST,
            &format!("{} dead letters at once, and {most} may be dropped", body.letters.len()),
        );
    }
    let letters: Vec<(u64, u32)> = body.letters.iter().map(|letters::Id(position, ordinal)| (*position, *ordinal)).collect();
    let there = {
        let state = pages.ledger.state();
        letters.iter().map(|id| Ok(state.letter(*id)?.is_some())).collect::<Read<Vec<bool>>>()
    };
    let dropped = match there {
        Ok(there) => there.into_iter().filter(|there| *there).count(),
        Err(error) => return problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let order = Input::Command(Command::DropLetters { letters, reason: body.reason });
    match pages.ledger.log(order).await {
        Some(position) => ok(&serde_json::json!({ "position": position, "dropped": dropped })),
        None => problem(StatusCode::SERVICE_UNAVAILABLE, "the engine stops"),
    }
}

/// Dead letters that are to go again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    letters: Vec<letters::Id>,
    /// Only to say which would go.
    #[serde(default)]
    dry_run: bool,
}

async fn retry_letters(State(pages): State<Arc<Pages>>, Json(body): Json<Again>) -> Response<Body> {
    if body.letters.len() > limits::LETTERS_RETRIED_MAX {
        let (asked, most) = (body.letters.len(), limits::LETTERS_RETRIED_MAX);
        return problem(StatusCode::BAD_REQUEST, &format!("{asked} dead letters at once, and {most} may go again"));
    }
    let earnest = if body.dry_run { Earnest::Look } else { Earnest::Go };
    go_again(&pages, &body.letters, None, earnest).await
}

/// Has one dead letter go again: the body of the request, where it has one, takes the place of the original.
async fn retry_letter(State(pages): State<Arc<Pages>>, Path(id): Path<String>, body: Bytes) -> Response<Body> {
    match id.parse() {
        Ok(id) => go_again(&pages, &[id], Some(&body).filter(|body| !body.is_empty()), Earnest::Go).await,
        Err(message) => problem(StatusCode::BAD_REQUEST, &message),
    }
}

async fn go_again(pages: &Pages, ids: &[letters::Id], edited: Option<&Bytes>, earnest: Earnest) -> Response<Body> {
    let Some(intake) = pages.status.intake() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "the engine takes nothing");
    };
    let knows = |source: &str| pages.status.has_source(source);
    match retry::retry((intake, &pages.ledger), ids, edited, knows, (Clock::Wall.now(), earnest)).await {
        Ok(outcome) => ok(&outcome),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

/// Reads what may take a while, on a thread that may wait for the disk.
async fn read<T: Send + 'static>(work: impl FnOnce() -> Read<T> + Send + 'static) -> Result<T, Response<Body>> {
    let done = tokio::task::spawn_blocking(work).await;
    let failed = |error: &dyn std::fmt::Display| problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
    done.map_err(|panic| failed(&panic))?.map_err(|error| failed(&error))
}

async fn status(State(pages): State<Arc<Pages>>) -> Response<Body> {
    ok(&pages.status.report(&pages.ledger))
}

async fn config(State(pages): State<Arc<Pages>>) -> Response<Body> {
    let generation = pages.ledger.state().plan().generation;
    ok(&serde_json::json!({ "generation": generation, "last": pages.status.reloaded() }))
}

/// How the workspace's files are looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Looking {
    /// Only to tell what would change.
    #[serde(default)]
    dry_run: bool,
}

/// Looks at the workspace's files now. 200 where they are in force, 422 where they are refused.
async fn reload(State(pages): State<Arc<Pages>>, query: Result<Query<Looking>, QueryRejection>) -> Response<Body> {
    let Query(Looking { dry_run }) = match query {
        Ok(query) => query,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let (answer, answered) = oneshot::channel();
    let asked = pages.looks.try_send(Look { apply: !dry_run, answer });
    let reloaded: Reloaded = match (asked, answered.await) {
        (Ok(()), Ok(reloaded)) => reloaded,
        (Err(mpsc::error::TrySendError::Full(_)), _) => {
            return problem(StatusCode::SERVICE_UNAVAILABLE, "others ask for the same");
        }
        _ => return problem(StatusCode::SERVICE_UNAVAILABLE, "nobody looks after the workspace of this engine"),
    };
    let mut response = ok(&reloaded);
    if reloaded.outcome == Outcome::Refused {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    response
}

async fn metrics(State(pages): State<Arc<Pages>>) -> Response<Body> {
    let mut response = Response::new(Body::from(pages.metrics.text()));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Alive: the process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready: what is sent is kept. A destination that is down does not change that.
async fn readyz(State(pages): State<Arc<Pages>>) -> Response<Body> {
    match pages.status.obstacle() {
        None => ok(&serde_json::json!({ "ready": true })),
        Some(obstacle) => problem(StatusCode::SERVICE_UNAVAILABLE, &obstacle),
    }
}

fn ok(body: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(body).expect("what the pages show has string keys");
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
