//! Pages for what people may ask of a company that knows them: to be erased, and to be told what is known.

use super::*;
use crate::access;
use crate::erasure::{self, EraseError, Erasure};

/// Who is to be erased, and why.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ErasureRequest {
    /// `TYPE:VALUE`, such as `email:ann@example.com`, or a customer's id.
    who: Who,
    /// For the next person who asks. It is kept, so it should name nobody.
    reason: String,
}

/// Whose events are taken again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Lift {
    /// `TYPE:VALUE`.
    who: Who,
}

/// What came of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Lifted {
    /// Whether the identifier was suppressed.
    lifted: bool,
}

/// All erasures, the oldest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Erasures {
    erasures: Vec<Erasure>,
}

pub(super) async fn ask(State(pages): State<Arc<Pages>>, body: Result<Json<ErasureRequest>, JsonRejection>) -> Response<Body> {
    let Json(ErasureRequest { who, reason }) = match body {
        Ok(body) => body,
        Err(rejection) => return problem(rejection.status(), &rejection.body_text()),
    };
    if reason.trim().is_empty() || reason.len() > limits::ERASURE_REASON_BYTES_MAX {
        let most = limits::ERASURE_REASON_BYTES_MAX;
        return problem(StatusCode::BAD_REQUEST, &format!("a reason has between 1 and {most} bytes"));
    }
    match pages.eraser.ask(who, reason).await {
        Ok(erasure) => ok(&erasure),
        Err(error) => refused(&error),
    }
}

pub(super) async fn lift(State(pages): State<Arc<Pages>>, body: Result<Json<Lift>, JsonRejection>) -> Response<Body> {
    match body {
        Ok(Json(Lift { who: Who::Identifier(kind, value) })) => match pages.eraser.lift(&kind, &value).await {
            Ok(lifted) => ok(&Lifted { lifted }),
            Err(error) => refused(&error),
        },
        Ok(_) => problem(StatusCode::BAD_REQUEST, "what is suppressed is an identifier: give `TYPE:VALUE`"),
        Err(rejection) => problem(rejection.status(), &rejection.body_text()),
    }
}

fn refused(error: &EraseError) -> Response<Body> {
    let status = match error {
        EraseError::Nobody(_) => StatusCode::NOT_FOUND,
        EraseError::TooMany | EraseError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, &error.to_string())
}

pub(super) async fn all(State(pages): State<Arc<Pages>>) -> Response<Body> {
    match read(move || erasure::list(&pages.ledger)).await {
        Ok(erasures) => ok(&Erasures { erasures }),
        Err(unread) => unread,
    }
}

pub(super) async fn one(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response<Body> {
    match read(move || erasure::find(&pages.ledger, &id)).await {
        Ok(Some(erasure)) => ok(&erasure),
        Ok(None) => problem(StatusCode::NOT_FOUND, "there is no such erasure"),
        Err(unread) => unread,
    }
}

pub(super) async fn access_by_identifier(
    State(pages): State<Arc<Pages>>,
    Path((kind, value)): Path<(String, String)>,
) -> Response<Body> {
    known_of(pages, Who::Identifier(kind, value)).await
}

pub(super) async fn access_by_id(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response<Body> {
    match id.parse() {
        Ok(id) => known_of(pages, Who::Customer(id)).await,
        Err(message) => problem(StatusCode::BAD_REQUEST, &message),
    }
}

async fn known_of(pages: Arc<Pages>, who: Who) -> Response<Body> {
    pages.ledger.commit().await;
    let now = pages.clock.now();
    match read(move || access::open(who, now, pages.ledger.clone(), &**pages.eraser.state())).await {
        Ok(Some(body)) => {
            let mut response = Response::new(body);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
            response
        }
        Ok(None) => problem(StatusCode::NOT_FOUND, "nobody is known by that"),
        Err(unread) => unread,
    }
}
