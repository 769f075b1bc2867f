//! What an answer means for the records that were sent.

use weft_plugin::{Failure, Rejection, http};

use crate::OnServerError;

/// What became of what was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was taken.
    Taken,
    /// It will never be taken.
    Refused(Rejection),
    /// It, and all that comes after it, has to wait.
    Waits(Failure),
}

/// Reads what `http` gave.
pub(crate) fn fate(answer: Result<http::Response, Failure>, on_500: OnServerError) -> Fate {
    let answer = match answer {
        Ok(answer) => answer,
        // There was an answer, which is too large: asking again would bring it again.
        Err(failure) if failure.kind == weft_plugin::FailureKind::Rejected => {
            return Fate::Refused(Rejection::new("answer_too_large", failure.message));
        }
        Err(failure) => return Fate::Waits(failure),
    };
    let words = answer.excerpt();
    let waits = |failure: Failure| Fate::Waits(Failure { retry_after_ms: answer.retry_after_ms(), ..failure });
    match answer.status {
        200..=299 => Fate::Taken,
        401 | 403 => Fate::Waits(Failure::credentials(words)),
        429 => waits(Failure::rate_limited(words, None)),
        408 | 425 => waits(Failure::unavailable(words)),
        500 if on_500 == OnServerError::Reject => Fate::Refused(Rejection::new("http_500", words)),
        500.. => waits(Failure::unavailable(words)),
        status => Fate::Refused(Rejection::new(format!("http_{status}"), words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_plugin::FailureKind;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> http::Response {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        http::Response { status, headers, body: body.into() }
    }

    #[test]
    fn a_status_says_what_becomes_of_records() {
        let of = |status: u16| fate(Ok(answer(status, &[("retry-after", "7")], "no")), OnServerError::Wait);
        let waits = |status: u16, kind: FailureKind, after: Option<u64>| match of(status) {
            Fate::Waits(failure) => assert_eq!((failure.kind, failure.retry_after_ms), (kind, after), "{status}"),
            other => panic!("{status}: {other:?}"),
        };
        assert!([200, 201, 202, 204, 299].into_iter().all(|status| of(status) == Fate::Taken));
        waits(401, FailureKind::Credentials, None);
        waits(403, FailureKind::Credentials, None);
        waits(408, FailureKind::Unavailable, Some(7000));
        waits(429, FailureKind::RateLimited, Some(7000));
        waits(500, FailureKind::Unavailable, Some(7000));
        waits(503, FailureKind::Unavailable, Some(7000));
        for status in [304, 400, 404, 410, 413, 422] {
            let want = Rejection::new(format!("http_{status}"), format!("the answer is {status}: no"));
            assert_eq!(of(status), Fate::Refused(want));
        }
    }

    #[test]
    fn only_500_itself_can_be_a_record_s_fault() {
        let of = |status: u16| fate(Ok(answer(status, &[], "")), OnServerError::Reject);
        assert_eq!(of(500), Fate::Refused(Rejection::new("http_500", "the answer is 500")));
        assert!(matches!(of(502), Fate::Waits(_)));
    }

    #[test]
    fn no_answer_waits_and_one_that_is_too_large_does_not() {
        let of = |failure: Failure| fate(Err(failure), OnServerError::Wait);
        assert_eq!(of(Failure::unavailable("gone")), Fate::Waits(Failure::unavailable("gone")));
        assert_eq!(of(Failure::rejected("5 MiB")), Fate::Refused(Rejection::new("answer_too_large", "5 MiB")));
    }
}
