//! Pages of requests of people about what is known of them: those of OpenDSR, in the framework's own shapes, whose every answer is signed; and
//! those for who works on them, like any other page.

use super::*;
use crate::rights::{self, Refusal, signature};
use crate::tail::Lines;

pub(super) async fn submit(State(pages): State<Arc<Pages>>, body: Bytes) -> Response<Body> {
    answer(&pages, StatusCode::CREATED, pages.desk.submit(&body).await)
}

/// Which requests are looked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OfGroup {
    /// What the requests' group is called.
    group_id: String,
}

pub(super) async fn group(State(pages): State<Arc<Pages>>, asked: Result<Query<OfGroup>, QueryRejection>) -> Response<Body> {
    match asked {
        Ok(Query(OfGroup { group_id })) => answer(&pages, StatusCode::OK, pages.desk.group(&group_id).await),
        Err(rejection) => {
            let refusal = Refusal { code: 400, message: rejection.body_text(), details: Vec::new() };
            answer::<()>(&pages, StatusCode::OK, Err(refusal))
        }
    }
}

pub(super) async fn status(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response<Body> {
    answer(&pages, StatusCode::OK, pages.desk.status(&id).await)
}

pub(super) async fn cancel(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response<Body> {
    answer(&pages, StatusCode::ACCEPTED, pages.desk.cancel(&id).await)
}

pub(super) async fn discovery(State(pages): State<Arc<Pages>>) -> Response<Body> {
    answer(&pages, StatusCode::OK, pages.desk.discovery())
}

pub(super) async fn certificate(State(pages): State<Arc<Pages>>) -> Response<Body> {
    match pages.desk.terms() {
        Ok(terms) => {
            let mut response = Response::new(Body::from(terms.certificate.clone()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-pem-file"));
            response
        }
        Err(refusal) => answer::<()>(&pages, StatusCode::OK, Err(refusal)),
    }
}

pub(super) async fn result(State(pages): State<Arc<Pages>>, Path((id, secret)): Path<(String, String)>) -> Response<Body> {
    match pages.desk.result(&id, &secret).await {
        Ok(pieces) => {
            let mut response = Response::new(Body::new(Lines(pieces)));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"known.ndjson\""));
            response
        }
        Err(refusal) => answer::<()>(&pages, StatusCode::OK, Err(refusal)),
    }
}

pub(super) async fn list(State(pages): State<Arc<Pages>>, asked: Result<Query<rights::Asked>, QueryRejection>) -> Response<Body> {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    match pages.desk.list(&asked).await {
        Ok(list) => ok(&list),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(super) async fn one(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response<Body> {
    match pages.desk.find(&id).await {
        Ok(Some(request)) => ok(&request),
        Ok(None) => problem(StatusCode::NOT_FOUND, "there is no such request"),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// An answer of the framework, signed over its bytes (section 8.3).
fn answer<T: Serialize>(pages: &Pages, status: StatusCode, given: Result<T, Refusal>) -> Response<Body> {
    let terms = pages.desk.terms();
    let (status, bytes) = match given {
        Ok(given) => (status, serde_json::to_vec(&given).expect("what the pages show has string keys")),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, serde_json::to_vec(&refusal.shown()).expect("what the pages show has string keys"))
        }
    };
    let signed = terms.ok().map(|terms| Ok::<_, &str>((signature(&terms, &bytes)?, terms.domain.clone()))).transpose();
    let signed = match signed {
        Ok(signed) => signed,
        Err(reason) => {
            let message = format!("answers cannot be signed, and so are not given: the private key cannot be used: {reason}");
            return problem(StatusCode::INTERNAL_SERVER_ERROR, &message);
        }
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some((signature, domain)) = signed {
        let value = |text: &str| HeaderValue::from_str(text).expect("base64 and a domain are ASCII");
        headers.insert("x-opendsr-processor-domain", value(&domain));
        headers.insert("x-opendsr-signature", value(&signature));
    }
    response
}
