//! The table of routes: the router is built from it, and so is the OpenAPI document ([`super::openapi`]), so that they cannot part.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::middleware;
use axum::routing::{self, MethodRouter};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{Pages, identity, matching, profiles, rights};
use crate::config::Scope;
use crate::status::{Reloaded, Report};
use crate::{events, letters, tail};

/// A page: where it is, who may see it, what it takes, and what it answers.
pub(super) struct Route {
    /// The name of the operation, unique.
    pub(super) name: &'static str,
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    /// What it does, in a sentence.
    pub(super) summary: &'static str,
    /// Whose tokens are let in; none where everybody is.
    pub(super) scope: Option<Scope>,
    pub(super) query: Option<Shape>,
    pub(super) body: Option<Shape>,
    pub(super) answer: Answer,
    /// The status of what it answers when it has nothing to refuse.
    pub(super) status: u16,
    /// Statuses with a problem that it may answer, beside those of a missing token and of too many requests.
    pub(super) refusals: &'static [u16],
    /// How those are written; problems of RFC 9457 where it is not said.
    pub(super) refusal: Option<Shape>,
    page: MethodRouter<Arc<Pages>>,
}

/// How something is written, as a JSON Schema.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Delete,
}

/// What a page answers when it has nothing to refuse.
pub(super) enum Answer {
    /// JSON of this shape.
    Json(Shape),
    /// Text of this media type.
    Text(&'static str),
}

/// All pages.
pub(super) fn all() -> Vec<Route> {
    vec![
        get(
            "profile_by_id",
            "/api/v1/profiles/{id}",
            "A customer by its id, or who it was merged into, and why it is one",
            super::profile_by_id,
        )
        .takes::<super::AsOf>()
        .gives::<weft_domain::portrait::Portrait>()
        .refuses(&[400, 404, 422]),
        get(
            "profile",
            "/api/v1/profiles/{type}/{value}",
            "The customer who has an identifier, and why it is one",
            super::profile_by_identifier,
        )
        .takes::<super::AsOf>()
        .gives::<weft_domain::portrait::Portrait>()
        .refuses(&[400, 404, 422]),
        get("profiles", "/api/v1/profiles", "All customers by their ids, a page at a time", profiles::list)
            .takes::<crate::profiles::Asked>()
            .gives::<crate::profiles::List>()
            .refuses(&[400]),
        get(
            "export_profiles",
            "/api/v1/export/profiles",
            "All profiles by their ids, one in each line of JSON; headers say as of when",
            profiles::export_profiles,
        )
        .takes::<crate::export::AskedProfiles>()
        .gives_text("application/x-ndjson")
        .refuses(&[400]),
        get(
            "export_events",
            "/api/v1/export/events",
            "All events in the order of history, one in each line of JSON, each with its place and its source",
            profiles::export_events,
        )
        .takes::<crate::export::AskedEvents>()
        .gives_text("application/x-ndjson")
        .refuses(&[400]),
        get("events_by_id", "/api/v1/profiles/{id}/events", "A customer's events by time, a page at a time", super::events_by_id)
            .takes::<events::Asked>()
            .gives::<events::List>()
            .refuses(&[400, 404]),
        get(
            "events",
            "/api/v1/profiles/{type}/{value}/events",
            "The events by time of the customer who has an identifier, a page at a time",
            super::events_by_identifier,
        )
        .takes::<events::Asked>()
        .gives::<events::List>()
        .refuses(&[400, 404]),
        get("tail", "/api/v1/tail", "Events as they become durable, as server-sent events `event` and `left-out`", super::tail)
            .takes::<tail::Asked>()
            .gives_text("text/event-stream")
            .refuses(&[400]),
        post("retract", "/api/v1/claims/{id}/retract", "Undo what a claim has joined, as if it had never been", super::retract)
            .reads::<super::Reason>()
            .gives::<super::Logged>()
            .refuses(&[400, 404, 413, 415, 422, 503]),
        post("restore", "/api/v1/claims/{id}/restore", "Have a retracted claim join again", super::restore)
            .gives::<super::Logged>()
            .refuses(&[400, 404, 503]),
        get("explain", "/api/v1/explain", "Why two are one customer, or what keeps them apart", identity::explain)
            .takes::<identity::Two>()
            .gives::<weft_domain::between::Between>()
            .refuses(&[400, 404]),
        get(
            "held",
            "/api/v1/identity/held",
            "Claims that are held, each with what would come of accepting it, a page at a time",
            identity::held,
        )
        .takes::<crate::identity::Waiting>()
        .gives::<crate::identity::List>()
        .refuses(&[400]),
        post("accept", "/api/v1/identity/held/{id}/accept", "Let a claim that is held join customers", identity::accept)
            .reads::<super::Reason>()
            .gives::<crate::identity::Decided>()
            .refuses(&[400, 404, 409, 413, 415, 422, 503]),
        post("refuse", "/api/v1/identity/held/{id}/refuse", "Have a claim that is held join no customers", identity::refuse)
            .reads::<super::Reason>()
            .gives::<crate::identity::Decided>()
            .refuses(&[400, 404, 409, 413, 415, 422, 503]),
        get(
            "matches",
            "/api/v1/identity/matches",
            "Matches by comparison that wait for a person, each with what would come of accepting it, a page at a time",
            identity::matches,
        )
        .takes::<crate::review::Waiting>()
        .gives::<crate::review::List>()
        .refuses(&[400]),
        post(
            "decide_match",
            "/api/v1/identity/matches",
            "Say whether two customers are one person, or take that back",
            identity::decide_match,
        )
        .reads::<crate::review::Said>()
        .gives::<crate::identity::Decided>()
        .refuses(&[400, 409, 413, 415, 422, 503]),
        get(
            "matching_model",
            "/api/v1/identity/model",
            "The model by which customers are compared: what each level of each field says",
            matching::model,
        )
        .gives::<crate::matcher::Shown>()
        .refuses(&[409]),
        post(
            "learn_matching_model",
            "/api/v1/identity/model",
            "Learn a model from the customers that there are; the answer comes when it is a part of history",
            matching::learn,
        )
        .gives::<crate::matcher::Shown>()
        .refuses(&[409, 503]),
        post("split", "/api/v1/identity/split", "Take apart what is not one person's", identity::split)
            .reads::<crate::identity::Asked>()
            .gives::<crate::identity::Outcome>()
            .refuses(&[400, 409, 413, 415, 422, 503]),
        post(
            "restore_split",
            "/api/v1/identity/restore",
            "Take a split back, in the words in which it was made",
            identity::restore,
        )
        .reads::<crate::identity::Asked>()
        .gives::<crate::identity::Outcome>()
        .refuses(&[400, 409, 413, 415, 422, 503]),
        get(
            "dead_letters",
            "/api/v1/dead-letters",
            "What no stage could take, the oldest first, a page at a time",
            super::dead_letters,
        )
        .takes::<letters::Asked>()
        .gives::<letters::List>()
        .refuses(&[400]),
        post(
            "drop_dead_letters",
            "/api/v1/dead-letters/drop",
            "Let go of dead letters that nobody needs any more",
            super::drop_letters,
        )
        .reads::<super::Dropped>()
        .gives::<super::DroppedLetters>()
        .refuses(&[400, 413, 415, 422, 503]),
        post("retry_dead_letters", "/api/v1/dead-letters/retry", "Have dead letters go again as they are", super::retry_letters)
            .reads::<super::Again>()
            .gives::<crate::retry::Retried>()
            .refuses(&[400, 413, 415, 422, 503]),
        post(
            "retry_dead_letter",
            "/api/v1/dead-letters/{id}/retry",
            "Have a dead letter go again; the body, where there is one, takes the place of its bytes",
            super::retry_letter,
        )
        .gives::<crate::retry::Retried>()
        .refuses(&[400, 413, 503]),
        post("pause", "/api/v1/destinations/{name}/pause", "Give a destination nothing more until it is resumed", super::pause)
            .gives::<super::Logged>()
            .refuses(&[404, 503]),
        post("resume", "/api/v1/destinations/{name}/resume", "Give a paused destination what waits for it", super::resume)
            .gives::<super::Logged>()
            .refuses(&[404, 503]),
        get("dead_letter", "/api/v1/dead-letters/{id}", "A dead letter with all its bytes", super::dead_letter)
            .gives::<letters::Shown>()
            .refuses(&[400, 404]),
        get("status", "/api/v1/status", "How far everything is, and how each source and destination is doing", super::status)
            .gives::<Report>(),
        get(
            "config",
            "/api/v1/config",
            "The generation in force, and what came of the last look at the workspace's files",
            super::config,
        )
        .gives::<super::InForce>(),
        post("reload", "/api/v1/config/reload", "Look at the workspace's files now; 422 where they are refused", super::reload)
            .takes::<super::Looking>()
            .gives::<Reloaded>()
            .refuses(&[400, 422, 503]),
        post("erase", "/api/v1/erasures", "Have everything go that is known of a person", super::erasures::ask)
            .reads::<super::erasures::ErasureRequest>()
            .gives::<crate::erasure::Erasure>()
            .refuses(&[400, 404, 413, 415, 422, 503]),
        post("lift", "/api/v1/erasures/lift", "Take events of an identifier again that was erased", super::erasures::lift)
            .reads::<super::erasures::Lift>()
            .gives::<super::erasures::Lifted>()
            .refuses(&[400, 413, 415, 422, 503]),
        get("erasures", "/api/v1/erasures", "All erasures, and how far each is", super::erasures::all)
            .gives::<super::erasures::Erasures>(),
        get("erasure", "/api/v1/erasures/{id}", "How far an erasure is, and what went", super::erasures::one)
            .gives::<crate::erasure::Erasure>()
            .refuses(&[404]),
        get(
            "access",
            "/api/v1/access/{type}/{value}",
            "Everything that is known of the customer who has an identifier, as lines of JSON",
            super::erasures::access_by_identifier,
        )
        .gives_text("application/x-ndjson")
        .refuses(&[404]),
        get(
            "access_by_id",
            "/api/v1/access/{id}",
            "Everything that is known of a customer, as lines of JSON",
            super::erasures::access_by_id,
        )
        .gives_text("application/x-ndjson")
        .refuses(&[400, 404]),
        get(
            "rights_requests",
            "/api/v1/rights/requests",
            "All requests of people that are remembered, the newest first, a page at a time",
            rights::list,
        )
        .wants(Scope::Rights)
        .takes::<crate::rights::Asked>()
        .gives::<crate::rights::List>()
        .refuses(&[400]),
        get(
            "rights_request",
            "/api/v1/rights/requests/{id}",
            "How far a request of a person is, until when it is due, and what became of it",
            rights::one,
        )
        .wants(Scope::Rights)
        .gives::<crate::rights::Known>()
        .refuses(&[404]),
        post(
            "opendsr_request",
            "/opendsr/v3/requests",
            "Take a request of a person about what is known of them (OpenDSR)",
            rights::submit,
        )
        .wants(Scope::Rights)
        .reads::<serde_json::Map<String, serde_json::Value>>()
        .gives::<crate::rights::Receipt>()
        .answers(201)
        .refuses_in::<crate::rights::Refused>(&[400, 404, 409, 503]),
        get("opendsr_group", "/opendsr/v3/requests", "How far the requests of a group are", rights::group)
            .wants(Scope::Rights)
            .takes::<rights::OfGroup>()
            .gives::<Vec<crate::rights::Shown>>()
            .refuses_in::<crate::rights::Refused>(&[400, 404]),
        get(
            "opendsr_status",
            "/opendsr/v3/requests/{id}",
            "How far a request is, and where its result can be downloaded",
            rights::status,
        )
        .wants(Scope::Rights)
        .gives::<crate::rights::Shown>()
        .refuses_in::<crate::rights::Refused>(&[404]),
        delete("opendsr_cancel", "/opendsr/v3/requests/{id}", "Call a request off that has not begun", rights::cancel)
            .wants(Scope::Rights)
            .gives::<crate::rights::Cancellation>()
            .answers(202)
            .refuses_in::<crate::rights::Refused>(&[400, 404, 503]),
        get("opendsr_discovery", "/opendsr/v3/discovery", "Which requests and identities are supported", rights::discovery)
            .gives::<crate::rights::Discovery>()
            .open()
            .refuses_in::<crate::rights::Refused>(&[404]),
        get(
            "opendsr_certificate",
            "/opendsr/v3/certificate",
            "The certificate by which signatures are checked",
            rights::certificate,
        )
        .gives_text("application/x-pem-file")
        .open()
        .refuses_in::<crate::rights::Refused>(&[404]),
        get(
            "opendsr_result",
            "/opendsr/v3/results/{id}/{secret}",
            "The result of a request for access: everything that is known, as lines of JSON, at an address that nobody can guess",
            rights::result,
        )
        .gives_text("application/x-ndjson")
        .open()
        .refuses_in::<crate::rights::Refused>(&[404, 410, 503]),
        get("openapi", "/api/v1/openapi.json", "This document", super::openapi_page)
            .gives::<serde_json::Map<String, serde_json::Value>>()
            .open(),
        get("metrics", "/metrics", "Metrics for Prometheus", super::metrics).gives_text("application/openmetrics-text"),
        get("healthz", "/healthz", "Whether the process is alive", super::healthz).gives_text("text/plain").open(),
        get("readyz", "/readyz", "Whether what is sent is kept", super::readyz).gives::<super::Ready>().open().refuses(&[503]),
    ]
}

/// Where the pages of OpenDSR are. With a slash at its end each is the same page: programs that send requests to mParticle write it so.
const OPENDSR: &str = "/opendsr/";

/// The router of all pages.
pub(super) fn router<S: Clone + Send + Sync + 'static>(pages: &Arc<Pages>) -> Router<S> {
    let add = |router: Router<Arc<Pages>>, Route { path, scope, page, .. }: Route| {
        let page = match scope {
            Some(scope) => page.layer(middleware::from_fn_with_state((pages.clone(), scope), super::guard)),
            None => page,
        };
        match path.starts_with(OPENDSR) {
            true => router.route(&format!("{path}/"), page.clone()).route(path, page),
            false => router.route(path, page),
        }
    };
    all().into_iter().fold(Router::new(), add).with_state(pages.clone())
}

fn get<T: 'static>(name: &'static str, path: &'static str, summary: &'static str, page: impl Handler<T, Arc<Pages>>) -> Route {
    Route::new(name, Verb::Get, path, summary, Scope::Read, routing::get(page))
}

fn post<T: 'static>(name: &'static str, path: &'static str, summary: &'static str, page: impl Handler<T, Arc<Pages>>) -> Route {
    Route::new(name, Verb::Post, path, summary, Scope::Admin, routing::post(page))
}

fn delete<T: 'static>(name: &'static str, path: &'static str, summary: &'static str, page: impl Handler<T, Arc<Pages>>) -> Route {
    Route::new(name, Verb::Delete, path, summary, Scope::Admin, routing::delete(page))
}

impl Route {
    fn new(
        name: &'static str,
        verb: Verb,
        path: &'static str,
        summary: &'static str,
        scope: Scope,
        page: MethodRouter<Arc<Pages>>,
    ) -> Route {
        let answer = Answer::Text("text/plain");
        let (status, refusals, refusal) = (200, &[], None);
        Route { name, verb, path, summary, scope: Some(scope), query: None, body: None, answer, status, refusals, refusal, page }
    }

    /// It takes a query of this type.
    fn takes<Q: JsonSchema>(self) -> Route {
        Route { query: Some(SchemaGenerator::subschema_for::<Q>), ..self }
    }

    /// It reads a body of this type.
    fn reads<B: JsonSchema>(self) -> Route {
        Route { body: Some(SchemaGenerator::subschema_for::<B>), ..self }
    }

    fn gives<A: JsonSchema>(self) -> Route {
        Route { answer: Answer::Json(SchemaGenerator::subschema_for::<A>), ..self }
    }

    fn gives_text(self, kind: &'static str) -> Route {
        Route { answer: Answer::Text(kind), ..self }
    }

    fn refuses(self, refusals: &'static [u16]) -> Route {
        Route { refusals, ..self }
    }

    /// What it answers has another status than 200.
    fn answers(self, status: u16) -> Route {
        Route { status, ..self }
    }

    /// It refuses in a form of its own.
    fn refuses_in<R: JsonSchema>(self, refusals: &'static [u16]) -> Route {
        Route { refusals, refusal: Some(SchemaGenerator::subschema_for::<R>), ..self }
    }

    /// Tokens of another scope are let in.
    fn wants(self, scope: Scope) -> Route {
        Route { scope: Some(scope), ..self }
    }

    /// Everybody may see it.
    fn open(self) -> Route {
        Route { scope: None, ..self }
    }
}
