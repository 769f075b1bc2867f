//! The engine's own pages: profiles, dead letters, status, health and metrics. They read state and never go through the fold.
//!
//! Requests with a token where the workspace has tokens; answers are JSON, errors RFC 9457 problems. The paths of sources are
//! [`crate::door`]'s. Which pages there are is in the table of [`routes`], which [`openapi`] writes down for others.

mod erasures;
mod identity;
mod matching;
pub mod openapi;
mod profiles;
mod rights;
mod routes;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::{mpsc, oneshot, watch};
use weft_domain::claim::ClaimId;
use weft_domain::input::{Command, Input};
use weft_domain::portrait::{Portrait, portray};
use weft_domain::value::{Excerpt, Timestamp};
use weft_domain::view::{Read, View};

use crate::bounds::InForce as InForceBounds;
use crate::clock::Clock;
use crate::config::{Scope, Token};
use crate::door::{Doors, knock, problem};
use crate::erasure::Eraser;
use crate::events::{self, Who};
use crate::export::stream::Exports;
use crate::letters::{self, Asked};
use crate::limits;
use crate::pace::Pace;
use crate::past::{self, PastError};
use crate::retry::{Earnest, Ways};
use crate::rights::Desk;
use crate::status::{Look, Outcome, Reloaded, Status};
use crate::tail::{self, Tails};
use crate::telemetry::Metrics;
use crate::writer::Ledger;

/// The header by which a request says for which workspace it is, by its name. The commands of the binary send it, so that what is meant for one
/// workspace is never done in another whose engine listens at the same address.
pub const WORKSPACE: &str = "weft-workspace";

const ELSEWHERE: &str = "the engine that listens here runs another workspace than the one that was named: nothing was done. Each workspace has an \
                         address of its own in `listen`. Or the engine has not taken on the workspace's new name";

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
    /// Those who look on.
    pub tails: Tails,
    /// Those who take everything.
    pub exports: Exports,
    /// Bounds that the operator sets.
    pub bounds: InForceBounds,
    /// How many requests each sender makes.
    pub pace: Pace,
    /// What carries erasures out.
    pub eraser: Arc<Eraser>,
    /// What takes requests of people.
    pub desk: Arc<Desk>,
    /// The doors of its sources.
    pub doors: Arc<Doors>,
    /// What time it is.
    pub clock: Clock,
}

/// All pages of the engine, and the doors of its sources.
pub fn router(pages: Arc<Pages>) -> Router {
    let doors = pages.doors.clone();
    let slow_down = middleware::from_fn_with_state(pages.clone(), slow_down);
    routes::router(&pages).fallback(knock).with_state(doors).layer(slow_down)
}

/// Refuses requests of a sender who makes too many, at pages and at doors.
async fn slow_down(
    State(pages): State<Arc<Pages>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let max = pages.bounds.borrow().requests_max;
    if max.is_none_or(|max| pages.pace.admits(remote.ip(), max, Instant::now())) {
        return next.run(request).await;
    }
    pages.metrics.too_many.inc();
    let mut refused = wait(problem(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address in one second"));
    // A browser hides an answer without it from its scripts, which then could not know to come again.
    refused.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    refused
}

async fn guard(State((pages, scope)): State<(Arc<Pages>, Scope)>, request: Request, next: Next) -> Response<Body> {
    if !pages.is_of(request.headers()) {
        return problem(StatusCode::MISDIRECTED_REQUEST, ELSEWHERE);
    }
    match pages.admit(request.headers(), scope) {
        Admission::Granted => next.run(request).await,
        Admission::Lacking => problem(StatusCode::FORBIDDEN, "this token's scopes do not have what the page needs"),
        Admission::Unknown => {
            let mut refused = problem(StatusCode::UNAUTHORIZED, "this page needs a bearer token of the workspace");
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            refused
        }
    }
}

/// Whether somebody is let in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Admission {
    /// There is no such token.
    Unknown,
    /// The token is for something else.
    Lacking,
    /// Come in.
    Granted,
}

impl Pages {
    /// Whether a request is for the workspace of this engine: a request that names none is for whichever it reaches.
    fn is_of(&self, headers: &HeaderMap) -> bool {
        headers.get(WORKSPACE).is_none_or(|named| named.as_bytes() == self.status.workspace().as_bytes())
    }

    /// Every token is compared, each in constant time, so that how long it takes tells nothing.
    fn admit(&self, headers: &HeaderMap, scope: Scope) -> Admission {
        let tokens = self.tokens.borrow();
        if tokens.is_empty() {
            return Admission::Granted;
        }
        let Some(token) = headers.get(header::AUTHORIZATION).and_then(|value| token_in(value.as_bytes())) else {
            return Admission::Unknown;
        };
        let hash = Sha256::digest(token);
        let judge = |one: &Token| match bool::from(one.hash.ct_eq(&hash[..])) {
            false => Admission::Unknown,
            true if one.scopes.contains(&scope) || one.scopes.contains(&Scope::Admin) => Admission::Granted,
            true => Admission::Lacking,
        };
        tokens.iter().map(judge).fold(Admission::Unknown, Admission::max)
    }
}

/// The token of a header: after `Bearer` (RFC 6750, section 2.1), or the password after `Basic` (RFC 7617), which is all that some programs for
/// requests of people know, whatever the user is called. The scheme's name is written in any case (RFC 9110, section 11.1).
fn token_in(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (scheme, token) = value.split_at(value.iter().position(|byte| *byte == b' ')? + 1);
    if scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Some(token.into());
    }
    let user_and_password = scheme.eq_ignore_ascii_case(b"Basic ").then(|| BASE64_STANDARD.decode(token).ok())??;
    let colon = user_and_password.iter().position(|byte| *byte == b':')?;
    Some(user_and_password[colon + 1..].to_vec().into())
}

/// What of a customer is asked for.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AsOf {
    /// An instant that is past; of now, where there is none.
    as_of: Option<Timestamp>,
    /// The fields of the profile that are wanted, with commas between them, such as `traits.email,attributes,identifiers`: then the answer is
    /// `profile` with these, and nothing of why it is one. All, where there are none.
    fields: Option<String>,
}

/// A profile of which some fields were asked for.
#[derive(Serialize)]
struct Chosen {
    profile: Box<RawValue>,
}

async fn profile_by_id(
    State(pages): State<Arc<Pages>>,
    Path(id): Path<String>,
    asked: Result<Query<AsOf>, QueryRejection>,
) -> Response<Body> {
    match id.parse() {
        Ok(id) => profile(pages, Who::Customer(id), asked).await,
        Err(message) => problem(StatusCode::BAD_REQUEST, &message),
    }
}

async fn profile_by_identifier(
    State(pages): State<Arc<Pages>>,
    Path((kind, value)): Path<(String, String)>,
    asked: Result<Query<AsOf>, QueryRejection>,
) -> Response<Body> {
    profile(pages, Who::Identifier(kind, value), asked).await
}

async fn profile(pages: Arc<Pages>, who: Who, asked: Result<Query<AsOf>, QueryRejection>) -> Response<Body> {
    let AsOf { as_of, fields } = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let selection = match fields.map(|fields| profiles::selection(&pages, Some(&fields))).transpose() {
        Ok(selection) => selection,
        Err(message) => return problem(StatusCode::BAD_REQUEST, &message),
    };
    let portray = move || -> Result<Option<Portrait>, PastError> {
        let Pages { ledger, clock, .. } = &*pages;
        if let Some(at) = as_of {
            return past::portray(|| ledger.state(), ledger.history(), &who, at);
        }
        let state = ledger.state();
        let Some(id) = who.today(&*state)? else { return Ok(None) };
        Ok(portray(state.plan(), &*state, id, clock.now())?)
    };
    match tokio::task::spawn_blocking(portray).await {
        Ok(Ok(Some(portrait))) => match selection.map(|selection| selection.of(&portrait.explained.profile)) {
            None => ok(&portrait),
            Some(Ok(profile)) => ok(&Chosen { profile }),
            Some(Err(error)) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Ok(Ok(None)) => problem(StatusCode::NOT_FOUND, "nobody is known by that"),
        Ok(Err(error @ PastError::TooMany(_))) => problem(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
        Ok(Err(PastError::View(error))) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(panic) => problem(StatusCode::INTERNAL_SERVER_ERROR, &panic.to_string()),
    }
}

async fn events_by_identifier(
    State(pages): State<Arc<Pages>>,
    Path((kind, value)): Path<(String, String)>,
    asked: Result<Query<events::Asked>, QueryRejection>,
) -> Response<Body> {
    events_of(pages, Who::Identifier(kind, value), asked).await
}

async fn events_by_id(
    State(pages): State<Arc<Pages>>,
    Path(id): Path<String>,
    asked: Result<Query<events::Asked>, QueryRejection>,
) -> Response<Body> {
    match id.parse() {
        Ok(id) => events_of(pages, Who::Customer(id), asked).await,
        // `events` is also a value that an identifier may have.
        Err(_) => profile(pages, Who::Identifier(id, "events".into()), Ok(Query(AsOf::default()))).await,
    }
}

async fn events_of(pages: Arc<Pages>, who: Who, asked: Result<Query<events::Asked>, QueryRejection>) -> Response<Body> {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let list = move || events::list(|| pages.ledger.state(), pages.ledger.history(), &who, &asked);
    match read(list).await {
        Ok(Some(list)) => ok(&list),
        Ok(None) => problem(StatusCode::NOT_FOUND, "nobody is known by that"),
        Err(unread) => unread,
    }
}

/// Events as they become history. A reader that comes again says after which it goes on, as the standard has it.
async fn tail(
    State(pages): State<Arc<Pages>>,
    headers: HeaderMap,
    asked: Result<Query<tail::Asked>, QueryRejection>,
) -> Response<Body> {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let Some(body) = pages.tails.open(pages.ledger.clone(), asked, after) else {
        return wait(problem(StatusCode::TOO_MANY_REQUESTS, &format!("{} look on already", limits::TAILS_MAX)));
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Nginx would gather lines before it passes them on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Says when to come again.
fn wait(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A command has become a part of history.
#[derive(Serialize, JsonSchema)]
struct Logged {
    /// Its place there.
    position: u64,
}

/// Dead letters have been let go.
#[derive(Serialize, JsonSchema)]
struct DroppedLetters {
    /// The command's place in history.
    position: u64,
    /// How many of them were there.
    dropped: usize,
}

/// What is in force.
#[derive(Serialize, JsonSchema)]
struct InForce {
    /// The generation of the plan.
    generation: u64,
    /// What came of looking at the workspace's files, the last time that something was different or wrong.
    last: Option<Reloaded>,
}

/// The engine takes what is sent.
#[derive(Serialize, JsonSchema)]
struct Ready {
    ready: bool,
}

/// Why a claim is retracted.
#[derive(Deserialize, JsonSchema)]
struct Reason {
    /// For the next person who asks.
    reason: String,
}

async fn retract(
    State(pages): State<Arc<Pages>>,
    Path(id): Path<String>,
    body: Result<Json<Reason>, JsonRejection>,
) -> Response<Body> {
    let Json(body) = match body {
        Ok(body) => body,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    let reason = match crate::identity::checked(Some(&body.reason)) {
        Ok(reason) => reason,
        Err(refused) => return problem(StatusCode::BAD_REQUEST, &refused.to_string()),
    };
    command(&pages, &id, |claim| Command::Retract { claim, reason }).await
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
        Some(position) => ok(&Logged { position }),
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
        letters::list(|| ledger.state(), ledger.history(), &asked)
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
        letters::find(|| ledger.state(), ledger.history(), id)
    };
    match read(find).await {
        Ok(Some(letter)) => ok(&letter),
        Ok(None) => problem(StatusCode::NOT_FOUND, "there is no such dead letter"),
        Err(unread) => unread,
    }
}

/// Dead letters that nobody needs any more, and why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Dropped {
    /// Their ids.
    letters: Vec<letters::Id>,
    /// For the next person who asks.
    reason: String,
}

async fn drop_letters(State(pages): State<Arc<Pages>>, body: Result<Json<Dropped>, JsonRejection>) -> Response<Body> {
    let Json(body) = match body {
        Ok(body) => body,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
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
        Some(position) => ok(&DroppedLetters { position, dropped }),
        None => problem(StatusCode::SERVICE_UNAVAILABLE, "the engine stops"),
    }
}

/// Dead letters that are to go again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Again {
    /// Their ids.
    letters: Vec<letters::Id>,
    /// Only to say which would go.
    #[serde(default)]
    dry_run: bool,
}

async fn retry_letters(State(pages): State<Arc<Pages>>, body: Result<Json<Again>, JsonRejection>) -> Response<Body> {
    let Json(body) = match body {
        Ok(body) => body,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
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
    let Pages { ledger, status, doors, clock, .. } = pages;
    match (Ways { intake, ledger, status, doors, clock }).retry(ids, edited, earnest).await {
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
    ok(&InForce { generation, last: pages.status.reloaded() })
}

/// How the workspace's files are looked at.
#[derive(Deserialize, JsonSchema)]
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
    if let Err(mpsc::error::TrySendError::Full(_)) = pages.looks.try_send(Look { apply: !dry_run, answer }) {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "others ask for the same");
    }
    let Ok(reloaded): Result<Reloaded, _> = answered.await else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "nobody looks after the workspace of this engine");
    };
    let mut response = ok(&reloaded);
    if reloaded.outcome == Outcome::Refused {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    response
}

async fn openapi_page() -> Response<Body> {
    ok(&openapi::document())
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
        None => ok(&Ready { ready: true }),
        Some(obstacle) => problem(StatusCode::SERVICE_UNAVAILABLE, &obstacle),
    }
}

fn ok(body: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(body).expect("what the pages show has string keys");
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
