//! How pages follow each other: from an answer to where the next one is.

use serde::{Deserialize, Serialize};
use weft_plugin::place::{Place, plain};
use weft_plugin::{ConfigProblem, Failure, RawValue, http};

use crate::config::{NextLink, Paging};

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Next {
    /// Behind this cursor, whose JSON it is.
    Cursor(String),
    /// At this target.
    Link(String),
    /// It has this number.
    Page(u64),
    /// It begins with the record of this number.
    Offset(u64),
}

/// The configuration's paging, with every path read.
#[derive(Debug)]
pub(crate) enum Pages {
    One,
    Cursor { at: CursorAt, more: Option<Place> },
    Link(LinkAt),
    Numbered { start: u64, size: Option<u32>, more: Option<Place> },
    Offset { size: u32, more: Option<Place> },
}

#[derive(Debug)]
pub(crate) enum CursorAt {
    Answer(Place),
    LastRecord(Place),
}

#[derive(Debug)]
pub(crate) enum LinkAt {
    Header,
    Answer(Place),
}

/// What a page says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    pub(crate) answer: &'a http::Response,
    pub(crate) payload: &'a RawValue,
    pub(crate) records: usize,
    pub(crate) last: Option<&'a RawValue>,
}

impl Pages {
    /// Reads the paging of a configuration.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn read(paging: Option<&Paging>) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut place = |path: &str, at: &str| {
            let bare = path.strip_prefix("$.").unwrap_or(path);
            Place::parse(bare).unwrap_or_else(|| {
                problems.push(ConfigProblem::at(at, format!("`{path}` is no path")).hint("such as paging.next.after"));
                Place::default()
            })
        };
        let mut more = |path: &Option<String>, at: &str| path.as_ref().map(|path| place(path, at));
        let pages = match paging {
            None => Pages::One,
            Some(Paging::Page(page)) => {
                Pages::Numbered { start: page.start, size: page.size, more: more(&page.more, "/paging/page/more") }
            }
            Some(Paging::Offset(offset)) => Pages::Offset { size: offset.size, more: more(&offset.more, "/paging/offset/more") },
            Some(Paging::NextLink(NextLink::Header)) => Pages::Link(LinkAt::Header),
            Some(Paging::NextLink(NextLink::Body(body))) => {
                Pages::Link(LinkAt::Answer(place(&body.path, "/paging/next_link/path")))
            }
            Some(Paging::Cursor(cursor)) => {
                let more = more(&cursor.more, "/paging/cursor/more");
                let at = match (&cursor.path, &cursor.last) {
                    (Some(path), None) => CursorAt::Answer(place(path, "/paging/cursor/path")),
                    (None, Some(path)) => CursorAt::LastRecord(place(path, "/paging/cursor/last")),
                    _ => {
                        let hint = "`path` is where the answer has it, `last` where the last record has it";
                        problems.push(ConfigProblem::at("/paging/cursor", "it needs one of `path` and `last`").hint(hint));
                        CursorAt::Answer(Place::default())
                    }
                };
                Pages::Cursor { at, more }
            }
        };
        if matches!(pages, Pages::Numbered { size: Some(0), .. } | Pages::Offset { size: 0, .. }) {
            problems.push(ConfigProblem::at("/paging", "a page of no records has no next"));
        }
        if problems.is_empty() { Ok(pages) } else { Err(problems) }
    }

    /// The words that a request may say with it.
    pub(crate) fn words(&self) -> &'static [&'static str] {
        match self {
            Pages::One | Pages::Link(_) => &[],
            Pages::Cursor { .. } => &["cursor"],
            Pages::Numbered { size: None, .. } => &["page"],
            Pages::Numbered { size: Some(_), .. } => &["page", "size"],
            Pages::Offset { .. } => &["offset", "size"],
        }
    }

    pub(crate) fn size(&self) -> Option<u32> {
        match self {
            Pages::Numbered { size, .. } => *size,
            Pages::Offset { size, .. } => Some(*size),
            _ => None,
        }
    }

    /// Where the first page is; none where the request needs to say nothing for it.
    pub(crate) fn first(&self) -> Option<Next> {
        match self {
            Pages::Numbered { start, .. } => Some(Next::Page(*start)),
            Pages::Offset { .. } => Some(Next::Offset(0)),
            _ => None,
        }
    }

    /// Where the page behind this one is, which was at `here`; `path` is the request's own. None where there is no more.
    ///
    /// # Errors
    /// It leads to where it cannot.
    pub(crate) fn next(&self, page: Page<'_>, here: Option<&Next>, path: &str) -> Result<Option<Next>, Failure> {
        let goes_on = |more: &Option<Place>| {
            more.as_ref().is_none_or(|more| more.find(page.payload).is_some_and(|more| is_yes(&plain(more))))
        };
        let count = page.records as u64;
        Ok(match self {
            Pages::One => None,
            Pages::Cursor { more, .. } if !goes_on(more) => None,
            Pages::Cursor { at, .. } => {
                let cursor = match at {
                    CursorAt::Answer(place) => place.find(page.payload),
                    CursorAt::LastRecord(place) => page.last.and_then(|record| place.find(record)),
                };
                cursor.filter(|cursor| is_yes(&plain(cursor))).map(|cursor| Next::Cursor(cursor.get().to_owned()))
            }
            Pages::Link(at) => {
                let link = match at {
                    LinkAt::Header => page.answer.header("link").and_then(next_of_header).map(str::to_owned),
                    LinkAt::Answer(place) => {
                        place.find(page.payload).map(|link| plain(link).into_owned()).filter(|link| is_yes(link))
                    }
                };
                link.map(|link| target(&link, path).map(Next::Link)).transpose()?
            }
            Pages::Numbered { start, size, more } => {
                let is_full = size.map_or(count > 0, |size| count >= u64::from(size));
                let Some(Next::Page(number)) = here else { return Ok(is_full.then_some(Next::Page(start + 1))) };
                (is_full && goes_on(more)).then(|| Next::Page(number.saturating_add(1)))
            }
            Pages::Offset { size, more } => {
                let is_full = count >= u64::from(*size);
                let offset = if let Some(Next::Offset(offset)) = here { *offset } else { 0 };
                (is_full && goes_on(more)).then(|| Next::Offset(offset.saturating_add(count)))
            }
        })
    }
}

/// What APIs write where there is nothing.
fn is_yes(text: &str) -> bool {
    !matches!(text.trim(), "" | "null" | "false" | "0")
}

/// The address that a `Link` header has under `rel="next"` (RFC 8288).
fn next_of_header(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (address, behind) = after.split_once('>')?;
        // The parameters go to the next address; a comma within one is within quotes, and no `<` follows it.
        let end = behind.find('<').unwrap_or(behind.len());
        let is_next = behind[..end].split(';').any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && value.split_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(address);
        }
        rest = &behind[end..];
    }
    None
}

/// A link as a target below the connection's address, of whose path nothing is known here but that the request's own path is below it.
fn target(link: &str, path: &str) -> Result<String, Failure> {
    let link = link.split('#').next().unwrap_or_default();
    let own = path.trim_start_matches('/');
    if link.starts_with('?') {
        return Ok(format!("{own}{link}"));
    }
    let from_path = match link.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]
        }
        _ if link.starts_with("//") => return Err(Failure::config("the next link leads to another host")),
        _ => link,
    };
    let (there, query) = from_path.split_once('?').map_or((from_path, None), |(there, query)| (there, Some(query)));
    let there = match there.strip_prefix('/') {
        None if there.is_empty() => own.to_owned(),
        // Relative to the request's folder.
        None => own.rsplit_once('/').map_or_else(|| there.to_owned(), |(folder, _)| format!("{folder}/{there}")),
        Some(absolute) => below(absolute, own).to_owned(),
    };
    Ok(query.map_or(there.clone(), |query| format!("{there}?{query}")))
}

/// Leaves out the connection's own path, where the request's path shows it; elsewhere the connection is taken to have none.
fn below<'l>(absolute: &'l str, own: &str) -> &'l str {
    if own.is_empty() {
        return absolute;
    }
    let starts = absolute.match_indices(own).map(|(at, _)| at);
    let is_whole = |at: &usize| {
        let (before, behind) = (&absolute[..*at], &absolute[at + own.len()..]);
        (before.is_empty() || before.ends_with('/')) && (behind.is_empty() || behind.starts_with('/'))
    };
    starts.filter(|at| is_whole(at)).last().map_or(absolute, |at| &absolute[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_of_a_header_is_found() {
        let check = |header: &str, want: Option<&str>| assert_eq!(next_of_header(header), want, "{header}");
        check("<https://a.example/x?page=2>; rel=\"next\"", Some("https://a.example/x?page=2"));
        check(
            "<https://a/x?a=1,2>; rel=\"prev\", <https://a/x?p=3>; rel=next, <https://a/l>; rel=\"last\"",
            Some("https://a/x?p=3"),
        );
        check("<a>;title=\"x, y\";rel=\"prev next\"", Some("a"));
        check("<a>; rel=\"previous\",<b>;REL=\"NEXT\"", Some("b"));
        check("<a>; rel=\"prev\"", None);
        check("<a>; rel=\"nextish\"", None);
        check("<a; rel=\"next\"", None);
        check("", None);
    }

    #[test]
    fn links_are_targets_below_the_connection() {
        let check = |link: &str, path: &str, want: &str| {
            assert_eq!(target(link, path).as_deref(), Ok(want), "{link} from {path}");
        };
        check("https://a.example/v1/customers?page=2", "customers", "customers?page=2");
        check("https://a.example/v1/customers?page=2", "/v1/customers", "v1/customers?page=2");
        check("/services/data/v59.0/query/01g-2000", "services/data/v59.0/query", "services/data/v59.0/query/01g-2000");
        check("https://api.github.example/organizations/9/members?page=2", "orgs/acme/members", "organizations/9/members?page=2");
        check("?page=2", "v1/customers", "v1/customers?page=2");
        check("more?page=2#top", "v1/customers", "v1/more?page=2");
        check("https://a.example?page=2", "", "?page=2");
        check("/api/users/users?x=/users", "users", "users?x=/users");
        assert!(target("//evil.example/x", "x").is_err());
    }
}
