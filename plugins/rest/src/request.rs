//! What is asked: the configuration's templates, read once, and the request of a page.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use weft_plugin::place::plain;
use weft_plugin::template::{Part, Template};
use weft_plugin::{ConfigProblem, Failure, Fields, fields, http};

use crate::config::{Method, Request};

/// What a request may say, beside what is written in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    /// JSON of each word that there is.
    words: Map<String, Value>,
}

impl Words {
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.words.insert(name.to_owned(), value);
    }
}

/// A request with every template read.
#[derive(Debug)]
pub(crate) struct Maker {
    method: Method,
    path: Template,
    query: Vec<(String, Template)>,
    headers: Vec<(String, Template)>,
    body: Option<Shape>,
    /// The words that it uses.
    uses: Vec<String>,
}

/// A body with templates in it.
#[derive(Debug)]
enum Shape {
    Plain(Value),
    Text(Template),
    List(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

/// Reads templates, and notes what is wrong with them.
struct Reader<'k> {
    known: &'k [&'k str],
    uses: Vec<String>,
    problems: Vec<ConfigProblem>,
}

impl Reader<'_> {
    fn template(&mut self, text: &str, at: &str) -> Template {
        let template = Template::parse(text).unwrap_or_else(|message| {
            self.problems.push(ConfigProblem::at(at, message));
            Template::default()
        });
        let words = template.parts().iter().filter_map(|part| if let Part::Value(place) = part { Some(place) } else { None });
        for place in words {
            let used = self.known.iter().find(|word| weft_plugin::template::in_record(word).as_ref() == Some(place));
            match used {
                Some(word) => self.uses.push((*word).to_owned()),
                None => {
                    let hint = match self.known {
                        [] => "`paging` gives cursor, page, offset and size, and `incremental` since".to_owned(),
                        known => format!("with this paging there are {}", known.join(", ")),
                    };
                    self.problems.push(ConfigProblem::at(at, "a template says a word that there is not").hint(hint));
                }
            }
        }
        template
    }

    fn pairs<'p>(&mut self, pairs: impl IntoIterator<Item = (&'p String, &'p String)>, at: &str) -> Vec<(String, Template)> {
        pairs.into_iter().map(|(name, text)| (name.clone(), self.template(text, &place(at, name)))).collect()
    }

    fn shape(&mut self, value: &Value, at: &str) -> Shape {
        match value {
            Value::String(text) if text.contains("{{") => Shape::Text(self.template(text, at)),
            Value::Array(items) => {
                Shape::List(items.iter().enumerate().map(|(index, item)| self.shape(item, &format!("{at}/{index}"))).collect())
            }
            Value::Object(fields) => {
                Shape::Object(fields.iter().map(|(name, value)| (name.clone(), self.shape(value, &place(at, name)))).collect())
            }
            plain => Shape::Plain(plain.clone()),
        }
    }
}

fn place(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Headers that are the engine's, or the connection's.
const NOT_OURS: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "expect",
    "accept-encoding",
    "authorization",
    "cookie",
];

impl Maker {
    /// Reads a request in which these words may be said.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn read(request: &Request, known: &[&str]) -> Result<Self, Vec<ConfigProblem>> {
        let mut reader = Reader { known, uses: Vec::new(), problems: Vec::new() };
        let path = reader.template(&request.path, "/request/path");
        let query = reader.pairs(&request.query, "/request/query");
        let headers = reader.pairs(&request.headers, "/request/headers");
        let body = request.body.as_ref().map(|body| reader.shape(body, "/request/body"));
        let Reader { uses, mut problems, .. } = reader;
        let is_odd = |text: &str| text.contains(['#', '?', '\\']) || text.contains(char::is_whitespace) || text.contains("://");
        if path.parts().iter().any(|part| matches!(part, Part::Text(text) if is_odd(text))) {
            let hint = "such as v1/customers: the connection has the host, and `query` the parameters";
            problems.push(ConfigProblem::at("/request/path", "not a path below the connection's address").hint(hint));
        }
        for name in request.headers.keys() {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let is_ours = !name.is_empty() && name.bytes().all(token) && !NOT_OURS.contains(&&*name.to_ascii_lowercase());
            if !is_ours {
                let problem =
                    ConfigProblem::at(place("/request/headers", name), format!("`{name}` is no header that can be set"));
                problems.push(problem.hint("credentials belong to the connection's `auth`"));
            }
        }
        if request.body.is_some() && request.method == Method::Get {
            problems.push(ConfigProblem::at("/request/body", "a GET has no body").hint("use `method: POST`, or `query`"));
        }
        let method = request.method;
        if problems.is_empty() { Ok(Maker { method, path, query, headers, body, uses }) } else { Err(problems) }
    }

    /// Whether a word is said anywhere.
    pub(crate) fn says(&self, word: &str) -> bool {
        self.uses.iter().any(|used| used == word)
    }

    /// The path, without a query.
    ///
    /// # Errors
    /// A word in it is missing.
    pub(crate) fn path(&self, words: &Words) -> Result<String, Failure> {
        let raw = words.raw();
        let words = fields(&raw).unwrap_or_default();
        let mut target = String::new();
        for part in self.path.parts() {
            match part {
                Part::Text(text) => target.push_str(text),
                Part::Value(place) => {
                    let value = place.find_in(&words).map(plain);
                    let value = value.ok_or_else(|| Failure::config("a word in `request.path` has no value yet"))?;
                    http::push_encoded(&mut target, &value);
                }
            }
        }
        Ok(target)
    }

    /// The request of a page; `target` goes before path and query, which are then the other side's.
    ///
    /// # Errors
    /// A word in the path is missing.
    pub(crate) fn request(&self, words: &Words, target: Option<&str>) -> Result<http::Request, Failure> {
        let raw = words.raw();
        let said = fields(&raw).unwrap_or_default();
        let target = match target {
            Some(target) => target.to_owned(),
            None => {
                let mut target = self.path(words)?;
                let found = self.query.iter().filter_map(|(name, template)| Some((name, text(template, &said)?)));
                for (number, (name, value)) in found.enumerate() {
                    target.push(if number == 0 { '?' } else { '&' });
                    http::push_encoded(&mut target, name);
                    target.push('=');
                    http::push_encoded(&mut target, &value);
                }
                target
            }
        };
        let mut headers: Vec<(String, String)> = vec![("accept".into(), "application/json".into())];
        for (name, template) in &self.headers {
            let name = name.to_ascii_lowercase();
            headers.retain(|(known, _)| *known != name);
            headers.extend(text(template, &said).map(|value| (name, value)));
        }
        let body = self.body.as_ref().and_then(|shape| shape.of(&said)).map(|body| body.to_string());
        if body.is_some() && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".into(), "application/json".into()));
        }
        let method = match self.method {
            Method::Get => "GET".to_owned(),
            Method::Post => "POST".to_owned(),
        };
        Ok(http::Request { method, target, headers, body: body.unwrap_or_default().into_bytes(), timeout_ms: None })
    }
}

impl Words {
    fn raw(&self) -> Box<RawValue> {
        serde_json::value::to_raw_value(&self.words).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }
}

/// A template's text; none where a word in it is missing.
fn text(template: &Template, words: &Fields<'_>) -> Option<String> {
    let mut text = String::new();
    for part in template.parts() {
        match part {
            Part::Text(written) => text.push_str(written),
            Part::Value(place) => text.push_str(&plain(place.find_in(words)?)),
        }
    }
    Some(text)
}

impl Shape {
    /// The body; none where a word in it is missing.
    fn of(&self, words: &Fields<'_>) -> Option<Value> {
        Some(match self {
            Shape::Plain(value) => value.clone(),
            Shape::Text(template) => match template.parts() {
                [Part::Value(place)] => serde_json::from_str(place.find_in(words)?.get()).ok()?,
                _ => Value::String(text(template, words)?),
            },
            Shape::List(items) => Value::Array(items.iter().filter_map(|item| item.of(words)).collect()),
            Shape::Object(fields) => {
                Value::Object(fields.iter().filter_map(|(name, shape)| Some((name.clone(), shape.of(words)?))).collect())
            }
        })
    }
}
