//! The bounds of a connection, each with its reason (invariant 9).

use std::time::Duration;

/// How long an answer may take, all in all, where the configuration says nothing: slow APIs take some seconds, and a lane tries again.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest time that a configuration may ask for: longer work is polled for, not waited for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// Name, socket and TLS together. A host that takes longer is down, and a connection that nobody waits for any more ends here.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// The start that one address gets before the next is tried beside it: "Connection Attempt Delay" of RFC 8305, section 5.
pub const DIAL_HEAD_START: Duration = Duration::from_millis(250);

/// Addresses of one name that are dialled. All are checked.
pub const DIALS_MAX: usize = 8;

/// Bytes of an answer's body, where the configuration says nothing: as they arrive and inflated. A page of an API has some hundred KB.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Bytes of an answer's status line and headers: eight times what common servers send at most. Looked at between two reads, so that
/// up to twice as many may pass.
pub const ANSWER_HEAD_BYTES_MAX: usize = 64 << 10;

/// Bytes of the names and values of a request's headers; most servers refuse more than 8 or 16 KiB.
pub const HEADERS_BYTES_MAX: usize = 16 << 10;

/// Bytes of a target. Servers refuse longer ones.
pub const TARGET_BYTES_MAX: usize = 8 << 10;

/// Times that a target's path is percent-decoded in search of dots: a server behind a proxy decodes twice.
pub const DECODINGS_MAX: usize = 4;

/// Redirects followed for one request. Within one host there is no honest reason for more.
pub const REDIRECTS_MAX: usize = 5;

/// Tries after the first, where the configuration says nothing: enough for a kept connection that the other side has closed, and a slip
/// beside. What lasts longer is the lane's to wait for.
pub const RETRIES: u32 = 2;

/// The wait before the first such try; it doubles, with jitter, up to [`RETRY_WAIT_MAX`].
pub const RETRY_WAIT: Duration = Duration::from_millis(100);
/// See [`RETRY_WAIT`].
pub const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// The longest that one `Retry-After` stills a connection. A slip there must not stop it for a year; who means it says it again.
pub const PAUSE_MAX: Duration = Duration::from_secs(900);

/// The longest span of a rate limit: longer ones are contracts, and would not survive a restart.
pub const RATE_PER_MAX: Duration = Duration::from_secs(31 * 86_400);

/// How long an idle connection is kept. Common servers close theirs after 60 seconds or more.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// Idle connections kept: about as many requests as stages make at once.
pub const IDLE_MAX: usize = 8;

/// The longest time that a token endpoint may take: an hour's worth of requests waits behind it.
pub const TOKEN_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes of a token endpoint's answer: the largest tokens have some 10 KB.
pub const TOKEN_ANSWER_BYTES_MAX: usize = 64 << 10;

/// How long before its end a token is no longer used, though not more than a fifth of its life: a request under way takes a while, and clocks differ.
pub const TOKEN_MARGIN: Duration = Duration::from_secs(60);

/// The longest that a token is used without being had anew, whatever the endpoint says.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(86_400);

/// How long a token that was had anew because of a 401, and met another, is left alone: tokens are not the trouble then.
pub const TOKEN_REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// How long an assertion for a token is good. Salesforce takes no more than five minutes, Google an hour.
pub const ASSERTION_LIFE: Duration = Duration::from_secs(180);

/// Bytes of a proxy's answer to `CONNECT`, of which one line is wanted.
pub const PROXY_HEAD_BYTES_MAX: usize = 8 << 10;

/// How long a recipient or a message waits that a mail server does not take for now. Greylisting lets nobody in within less.
pub const MAIL_LATER: Duration = Duration::from_secs(60);

/// How long a mail server is left alone that asks for patience; SMTP has no `Retry-After`.
pub const MAIL_PATIENCE: Duration = Duration::from_secs(30);
