//! `weft dsr`: requests of people, for those who work on them. The engine must run: it takes and follows them.
//!
//! A request that is made here goes the way of all others, through the pages of OpenDSR. What needs no request has commands of its own:
//! `weft access` and `weft erase`.

use std::fmt::Write as _;
use std::io::{Read as _, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;
use weft_domain::value::Timestamp;

use super::dlq::plain;
use super::{Failed, Output, client, print};
use crate::clock::Clock;
use crate::events::Who;
use crate::limits;
use crate::rights::{Asked, Cancellation, Discovery, Kind, Known, List, Place, Receipt, Shown, Status, VERSION};

/// What to do with requests of people.
#[derive(Subcommand)]
pub(super) enum Dsr {
    /// List requests, the newest first, each with its status and until when it is due.
    List {
        /// Those that are so far.
        #[arg(long)]
        status: Option<Status>,
        /// Those of this group.
        #[arg(long)]
        group: Option<String>,
        /// Only those after this one: to go on where a list ended.
        #[arg(long, value_name = "PLACE")]
        after: Option<Place>,
        /// So many at most, and never more than 500.
        #[arg(long, default_value_t = limits::REQUESTS_SHOWN)]
        limit: usize,
        #[command(flatten)]
        there: There,
    },
    /// Show one request, and what became of it.
    Show {
        /// Its id, as a list has it.
        id: String,
        #[command(flatten)]
        there: There,
    },
    /// Call a request off that is pending.
    Cancel {
        /// Its id, as a list has it.
        id: String,
        #[command(flatten)]
        there: There,
    },
    /// Make a request for what is known of a person: a copy is written down, to be fetched for some days. `weft access` prints it at once, without a request.
    Access(Request),
    /// Make a request for what is known of a person, in a form that others read: the same copy as of `access`.
    Portability(Request),
    /// Make a request to erase a person, which waits as long as the workspace says. `weft erase` begins at once, without a request.
    Erasure {
        #[command(flatten)]
        request: Request,
        /// Begin at once, also where the workspace has erasures wait.
        #[arg(long)]
        skip_wait: bool,
    },
    /// Fetch the copy of a request for access that is completed, into a file that only its owner can read.
    Result {
        /// Its id, as a list has it.
        id: String,
        /// The file; one that is there is replaced once the copy is whole.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".")]
        workspace: PathBuf,
    },
}

/// Which engine is asked, and how it is shown.
#[derive(clap::Args)]
pub(super) struct There {
    /// The workspace: a folder, or its weft.yaml.
    #[arg(long, default_value = ".")]
    workspace: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Request {
    /// Who it is about, as one person: `TYPE:VALUE`, such as `email:ann@example.com`, as many as are known.
    #[arg(required = true, value_name = "IDENTITY", value_parser = identity)]
    whom: Vec<(String, String)>,
    /// By which regulation, in small letters, such as gdpr or ccpa. It is kept, and changes nothing.
    #[arg(long, default_value = "gdpr")]
    regulation: String,
    /// What ties it to other requests.
    #[arg(long)]
    group: Option<String>,
    /// When the person asked: a time of RFC 3339, such as 2026-03-01T09:30:00Z; now unless it is said. Until when it is due goes by when it arrives here.
    #[arg(long, value_name = "TIME")]
    submitted: Option<Timestamp>,
    /// Its id: a UUID of version 4; a new one unless it is said.
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    there: There,
}

/// An identifier of a person. Customers' ids are not for others, and requests do not have them.
fn identity(text: &str) -> Result<(String, String), String> {
    match text.parse() {
        Ok(Who::Identifier(kind, value)) => Ok((kind, value)),
        Ok(Who::Customer(_)) => {
            Err("a request names people by identifiers: give TYPE:VALUE, such as email:ann@example.com".into())
        }
        Err(_) => Err("it is not TYPE:VALUE, such as email:ann@example.com".into()),
    }
}

pub(super) async fn run(command: Dsr) -> Result<(), Failed> {
    match command {
        Dsr::List { status, group, after, limit, there } => {
            let path = path_of_list(&Asked { status, group, after, limit: Some(limit) });
            let list: List = read(there.get(&path).await?.context("the engine that runs is of a version without this page")?)?;
            there.show(&list, |list| table(list, Clock::Wall.now()))
        }
        Dsr::Show { id, there } => there.show(&there.known(&id).await?, page),
        Dsr::Cancel { id, there } => {
            let known = there.known(&id).await?;
            let answer = client::delete(&there.engine(), &format!("{REQUESTS}/{}", client::escape(&id))).await?;
            let cancelled: Cancellation = read(there.body(answer)?.context(TAKES_NONE)?)?;
            there.show(&cancelled, |_| format!("the request {} for {} is cancelled", known.id, known.kind.name()))
        }
        Dsr::Access(request) => make(Kind::Access, request, Wait::AsUsual).await,
        Dsr::Portability(request) => make(Kind::Portability, request, Wait::AsUsual).await,
        Dsr::Erasure { request, skip_wait } => {
            make(Kind::Erasure, request, if skip_wait { Wait::Skipped } else { Wait::AsUsual }).await
        }
        Dsr::Result { id, out, workspace } => fetch(&There { workspace, json: false }, &id, &out).await,
    }
}

/// Where requests are made, followed and called off.
const REQUESTS: &str = "/opendsr/v3/requests";

const TAKES_NONE: &str = "the engine that runs takes no requests of people: its workspace has no `rights.opendsr`";

/// Whether an erasure waits as the workspace says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    AsUsual,
    Skipped,
}

impl There {
    fn engine(&self) -> client::Engine {
        client::Engine::of(&self.workspace)
    }

    /// A page of the engine; none where there is no such thing.
    async fn get(&self, path: &str) -> anyhow::Result<Option<bytes::Bytes>> {
        self.body(client::get(&self.engine(), path).await?)
    }

    fn body(&self, answer: client::Answer) -> anyhow::Result<Option<bytes::Bytes>> {
        match answer {
            client::Answer::Nobody => bail!("no engine listens on {}: `weft run` starts it", self.engine()),
            client::Answer::NotFound => Ok(None),
            client::Answer::Body(body) => Ok(Some(body)),
        }
    }

    async fn known(&self, id: &str) -> anyhow::Result<Known> {
        let found = self.get(&format!("/api/v1/rights/requests/{}", client::escape(id))).await?;
        read(found.with_context(|| format!("the engine that runs knows no request `{}`", plain(id)))?)
    }

    fn show<T: Serialize>(&self, shown: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failed> {
        match Output::of(self.json) {
            Output::Json => print(&serde_json::to_string_pretty(shown)?),
            Output::People => print(&text(shown)),
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(body: bytes::Bytes) -> anyhow::Result<T> {
    serde_json::from_slice(&body).context("the engine's answer cannot be read")
}

fn path_of_list(Asked { status, group, after, limit }: &Asked) -> String {
    let named = [
        ("status", status.map(|status| status.name().to_owned())),
        ("group", group.clone()),
        ("after", after.as_ref().map(Place::to_string)),
        ("limit", limit.map(|limit| limit.to_string())),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", client::escape(&value?))));
    format!("/api/v1/rights/requests?{}", named.collect::<Vec<_>>().join("&"))
}

/// Makes a request as any other program does. People are named by the workspace's own types of identifiers, which stand under its domain.
async fn make(kind: Kind, request: Request, wait: Wait) -> Result<(), Failed> {
    let Request { whom, regulation, group, submitted, id, there } = request;
    let discovery: Discovery = read(there.get("/opendsr/v3/discovery").await?.context(TAKES_NONE)?)?;
    let domain = Url::parse(&discovery.processor_certificate).ok().and_then(|url| url.host_str().map(str::to_owned));
    let domain = domain.context("the engine does not say under which domain it is reached")?;
    let id = id.map_or_else(new_id, Ok)?;
    let identity =
        |(kind, value): &(String, String)| json!({ "identity_type": kind, "identity_value": value, "identity_format": "raw" });
    let mut own = json!({ "subject_identities": whom.iter().map(identity).collect::<Vec<_>>() });
    if wait == Wait::Skipped {
        own["skip_waiting_period"] = json!(true);
    }
    let body = json!({
        "api_version": VERSION,
        "regulation": regulation,
        "subject_request_id": id,
        "subject_request_type": kind.name(),
        "submitted_time": submitted.unwrap_or_else(|| Clock::Wall.now()),
        "group_id": group,
        "extensions": { domain: own },
    });
    let answer = client::post(&there.engine(), REQUESTS, &body).await;
    // Whoever does not hear of it may still look whether it was taken.
    let answer = answer.with_context(|| format!("the request {} for {}", plain(&id), kind.name()))?;
    let receipt: Receipt = read(there.body(answer)?.context(TAKES_NONE)?)?;
    there.show(&receipt, |receipt| {
        let Receipt { subject_request_id: id, expected_completion_time: due, .. } = receipt;
        format!("the request {id} for {} is taken, and due by {due}: `weft dsr show {id}` says how far it is", kind.name())
    })
}

/// A UUID of version 4 (RFC 9562, section 5.4).
fn new_id() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system gives no random bytes"))?;
    (bytes[6], bytes[8]) = (bytes[6] & 0x0f | 0x40, bytes[8] & 0x3f | 0x80);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// Fetches a copy into a file, which bears its name once it is whole.
async fn fetch(there: &There, id: &str, out: &Path) -> Result<(), Failed> {
    let known = there.known(id).await?;
    let lines = match (known.kind, known.status, known.result) {
        (Kind::Erasure, ..) => return Err(anyhow!("an erasure has no result: `weft erase --status {id}` says what went").into()),
        (_, Status::Completed, Some(result)) => result.lines,
        (_, Status::Completed, None) => {
            return Err(anyhow!("the result of {id} is not kept any more: make the request again").into());
        }
        (_, status, _) => return Err(anyhow!("the request {id} is {}, and has no result", spoken(status)).into()),
    };
    let shown: Shown = read(there.get(&format!("{REQUESTS}/{}", client::escape(id))).await?.context(TAKES_NONE)?)?;
    let url = shown.results_url.with_context(|| format!("the result of {id} is not kept any more: make the request again"))?;
    let url = Url::parse(&url).context("the engine's answer cannot be read")?;
    let copy = client::stream(&there.engine(), url.path()).await?;
    let mut copy = copy.with_context(|| format!("no engine listens on {}: `weft run` starts it", there.engine()))?;
    let folder = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Such a file is its owner's alone.
    let mut beside = tempfile::NamedTempFile::new_in(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    while let Some(bytes) = copy.next().await? {
        beside.write_all(&bytes).with_context(|| format!("cannot write to {}", folder.display()))?;
    }
    if !is_whole(beside.as_file_mut())? {
        return Err(anyhow!("the result of {id} broke off: try it again").into());
    }
    beside.as_file().sync_data()?;
    beside.persist(out).with_context(|| format!("cannot write {}", out.display()))?;
    print(&format!("{lines} things are known: {}", out.display()));
    Ok(())
}

/// More than the last line of a copy has.
const END_BYTES_MAX: u64 = 4 << 10;

/// Whether a copy ends as a whole one does.
fn is_whole(file: &mut std::fs::File) -> std::io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES_MAX)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let last = end.strip_suffix(b"\n").and_then(|end| end.rsplit(|byte| *byte == b'\n').next()).unwrap_or_default();
    let last: Option<Value> = serde_json::from_slice(last).ok();
    Ok(last.is_some_and(|last| last["kind"] == "end"))
}

fn spoken(status: Status) -> &'static str {
    match status {
        Status::InProgress => "in progress",
        other => other.name(),
    }
}

/// A list for people: a line for each request.
fn table(list: &List, now: Timestamp) -> String {
    if list.requests.is_empty() {
        return "no such request is known\n".to_owned();
    }
    let mut rows = vec![["id", "kind", "status", "received", "due", "group"].map(str::to_owned)];
    // To the second: what is finer stands on the request's own page.
    let second = |at: Timestamp| at.to_string().replacen('T', " ", 1).chars().take(19).collect::<String>();
    rows.extend(list.requests.iter().map(|one| {
        let is_open = matches!(one.status, Status::Pending | Status::InProgress);
        let due = one.due.map_or_else(|| "-".to_owned(), second);
        let due = if is_open && one.due.is_some_and(|due| due < now) { format!("{due} OVERDUE") } else { due };
        let group = one.group.as_deref().map(plain).unwrap_or_default();
        [one.id.clone(), one.kind.name().to_owned(), spoken(one.status).to_owned(), second(one.received), due, group]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [ids, kinds, statuses, times, dues] = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for [id, kind, status, received, due, group] in &rows {
        let line = format!("{id:<ids$}  {kind:<kinds$}  {status:<statuses$}  {received:<times$}  {due:<dues$}  {group}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if let Some(next) = &list.next {
        let _ = writeln!(text, "there may be more: --after {next}");
    }
    text
}

/// One request for people.
fn page(known: &Known) -> String {
    let mut text = format!("request {}\n", known.id);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<11} {value}");
    };
    line("kind", known.kind.name().to_owned());
    line("status", spoken(known.status).to_owned());
    line("regulation", plain(&known.regulation));
    if let Some(group) = &known.group {
        line("group", plain(group));
    }
    line("submitted", known.submitted.to_string());
    line("received", known.received.to_string());
    if let Some(due) = known.due {
        line("due", due.to_string());
    }
    if let Some(until) = known.waits_until {
        line("waits", format!("until {until}: `weft dsr cancel {}` calls it off", known.id));
    }
    if let Some(trouble) = &known.trouble {
        line("trouble", format!("it is tried again: {}", plain(trouble)));
    }
    for change in &known.changes {
        line(spoken(change.status), change.at.to_string());
    }
    match (known.callbacks, known.callbacks_waiting) {
        (0, _) => (),
        (all, 0) => line("callbacks", format!("{all}, and all have heard")),
        (all, waiting) => line("callbacks", format!("{all}, of whom {waiting} have not heard yet")),
    }
    match (&known.result, known.kind, known.status) {
        (Some(result), ..) => {
            let fetch = format!("`weft dsr result {} --out FILE` fetches it", known.id);
            line("result", format!("{} things are known, kept until {}: {fetch}", result.lines, result.until));
        }
        (None, Kind::Erasure, Status::Completed) => line("what went", format!("`weft erase --status {}` says it", known.id)),
        (None, _, Status::Completed) => line("result", "not kept any more".to_owned()),
        _ => (),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "a7551968-d5d6-44b2-9831-815ac9017798";

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn known(kind: Kind, status: Status) -> Known {
        let received = at("2026-03-01T12:00:00.123Z");
        serde_json::from_value(json!({
            "id": ID, "kind": kind, "status": status, "regulation": "gdpr", "submitted": at("2026-02-28T09:30:00Z"), "received": received,
            "due": at("2026-03-31T12:00:00Z"), "changes": [{ "status": Status::Pending, "at": received }], "callbacks": 0, "callbacks_waiting": 0,
        }))
        .expect("is of its form")
    }

    #[test]
    fn a_list_says_what_is_due_and_what_is_late() {
        let group = |known: Known| Known { group: Some("march\u{1b}".into()), ..known };
        let requests = vec![group(known(Kind::Erasure, Status::InProgress)), known(Kind::Access, Status::Completed)];
        let list = List { requests, next: Some(format!("1772366400123-{ID}").parse().expect("a place")) };
        let want =
            "id                                    kind     status       received             due                          group
a7551968-d5d6-44b2-9831-815ac9017798  erasure  in progress  2026-03-01 12:00:00  2026-03-31 12:00:00 OVERDUE  march\\u{1b}
a7551968-d5d6-44b2-9831-815ac9017798  access   completed    2026-03-01 12:00:00  2026-03-31 12:00:00
there may be more: --after 1772366400123-a7551968-d5d6-44b2-9831-815ac9017798
";
        assert_eq!(table(&list, at("2026-04-01T00:00:00Z")), want);
        assert!(!table(&list, at("2026-03-30T00:00:00Z")).contains("OVERDUE"));
        assert_eq!(table(&List { requests: Vec::new(), next: None }, at("2026-03-01T00:00:00Z")), "no such request is known\n");
    }

    #[test]
    fn a_page_says_what_can_be_done() {
        let waits = Known { waits_until: Some(at("2026-03-08T12:00:00Z")), ..known(Kind::Erasure, Status::Pending) };
        let want = "request a7551968-d5d6-44b2-9831-815ac9017798
  kind        erasure
  status      pending
  regulation  gdpr
  submitted   2026-02-28T09:30:00.000Z
  received    2026-03-01T12:00:00.123Z
  due         2026-03-31T12:00:00.000Z
  waits       until 2026-03-08T12:00:00.000Z: `weft dsr cancel a7551968-d5d6-44b2-9831-815ac9017798` calls it off
  pending     2026-03-01T12:00:00.123Z
";
        assert_eq!(page(&waits), want);
        let told = Known { callbacks: 3, callbacks_waiting: 1, ..known(Kind::Erasure, Status::Completed) };
        assert!(
            page(&told).contains("  callbacks   3, of whom 1 have not heard yet\n  what went   `weft erase --status a7551968")
        );
        assert!(page(&known(Kind::Access, Status::Completed)).ends_with("  result      not kept any more\n"));
    }

    #[test]
    fn who_is_meant_is_an_identifier() {
        assert_eq!(identity("email:ann@example.com"), Ok(("email".into(), "ann@example.com".into())));
        for (text, want) in [
            ("email=ann@example.com", "it is not TYPE:VALUE"),
            (&*format!("{:032x}", 7), "a request names people by identifiers"),
        ] {
            let refused = identity(text).expect_err("is none");
            assert!(refused.starts_with(want), "{refused}");
            assert!(!refused.contains(text), "{refused}");
        }
    }

    #[test]
    fn an_id_is_a_uuid_of_version_4() {
        let id = new_id().expect("random bytes");
        assert!(format!("0-{id}").parse::<Place>().is_ok(), "{id}");
        assert_ne!(id, new_id().expect("random bytes"));
    }

    #[test]
    fn a_copy_that_broke_off_is_known() {
        let check = |text: &str, want: bool| {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            assert_eq!(is_whole(&mut file).expect("readable"), want, "{text}");
        };
        check("{\"kind\":\"end\"}\n", true);
        check(&format!("{{\"kind\":\"event\",\"x\":\"{}\"}}\n{{\"kind\":\"end\"}}\n", "x".repeat(9_000)), true);
        check("{\"kind\":\"end\"}\n{\"kind\":\"event\"}\n", false);
        check("{\"kind\":\"end\"}", false);
        check("", false);
    }
}
