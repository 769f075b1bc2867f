//! Placeholders in texts: `${env:NAME}`, `${env:NAME:-default}`, `${secret:NAME}`, and `$$` for a dollar sign.
//!
//! They are looked for in the texts of the tree only, never in keys, and what comes in is never looked at again: a value
//! from outside cannot make a key, a list or another placeholder. A text with a secret in it is a secret as a whole.

use weft_domain::problem::{Code, Problem};
use weft_domain::value::Excerpt;

use super::limits;
use super::schema::nearest;
use super::secret::{NoSecret, NotUtf8, Secret, Vault};
use super::source::{At, Report, Span, join};
use super::tree::{Node, Origin, Text, Value};

/// A secret, and the text with placeholders that it was made of: what it is made of again.
#[derive(Clone)]
pub(super) struct Recipe {
    /// Where the text stands.
    pub at: At,
    text: String,
    /// The cell of what it makes, which every configuration of the same environment shares.
    secret: Secret,
}

impl Recipe {
    /// What the text makes now.
    pub(super) fn text_now(&self) -> String {
        self.secret.expose_text().to_string()
    }

    /// Reads again what the text names; whether that made another secret of it. One that cannot be read stays as it is.
    pub(super) fn renew(&self, vault: &Vault<'_>) -> Result<bool, Box<Problem>> {
        let before = self.secret.expose();
        let (_, Origin::Secret(now)) = filled(&self.text, vault)? else { return Ok(false) };
        self.secret.renew(&now.expose_text());
        Ok(*before != *self.secret.expose())
    }
}

/// Puts values in the place of placeholders, everywhere in the tree. A text that becomes a secret gets a handle, `secret:`
/// and its JSON pointer. The recipes of all secrets.
pub(super) fn fill(tree: &mut Node, vault: &Vault<'_>, report: &mut Report) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    refuse_in_keys(tree, "", report);
    tree.texts_mut("", &mut |path, span, text| {
        if !text.text.contains('$') {
            return;
        }
        match filled(&text.text, vault) {
            Ok((_, Origin::Secret(secret))) => {
                recipes.push(Recipe { at: span.at(path), text: text.text.clone(), secret: secret.clone() });
                *text = Text { text: handle(path), origin: Origin::Secret(secret) };
            }
            Ok((value, origin)) => *text = Text { text: value, origin },
            Err(problem) => report.add(span.at(path), *problem),
        }
    });
    recipes
}

/// What stands for the secret at this pointer.
pub(super) fn handle(pointer: &str) -> String {
    format!("secret:{pointer}")
}

fn refuse_in_keys(node: &Node, path: &str, report: &mut Report) {
    let mut refuse = |key: &str, span: Span| {
        if key.contains("${") {
            let problem = Problem::error(Code::PLACEHOLDER_IN_KEY, "a placeholder cannot stand in a key")
                .hint("write the key out: what comes from outside may be a value, never a name");
            report.add(span.at(join(path, key)), problem);
        }
    };
    match &node.value {
        Value::Map(entries) => {
            entries.iter().for_each(|entry| refuse(&entry.key, entry.span));
            entries.iter().for_each(|entry| refuse_in_keys(&entry.node, &join(path, &entry.key), report));
        }
        Value::List(items) => {
            items.iter().enumerate().for_each(|(place, item)| refuse_in_keys(item, &join(path, &place.to_string()), report));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => (),
    }
}

/// The text with its placeholders filled. Of a secret, the text is in the origin and what is returned beside it is empty.
fn filled(text: &str, vault: &Vault<'_>) -> Result<(String, Origin), Box<Problem>> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    let (mut from_environment, mut is_secret) = (false, false);
    while let Some(dollar) = rest.find('$') {
        let (before, tail) = rest.split_at(dollar);
        out.push_str(before);
        rest = if let Some(tail) = tail.strip_prefix("$$") {
            out.push('$');
            tail
        } else if let Some(inner) = tail.strip_prefix("${") {
            let (inside, tail) = inner.split_once('}').ok_or_else(|| {
                let problem = Problem::error(Code::PLACEHOLDER_SYNTAX, "a placeholder begins with `${` and is not closed");
                Box::new(problem.expected("`${env:NAME}` or `${secret:NAME}`").hint("write `$$` for a dollar sign"))
            })?;
            match Placeholder::read(inside)? {
                Placeholder::Environment { name, default } => {
                    out.push_str(&variable(name, default, vault)?);
                    from_environment = true;
                }
                Placeholder::Secret { name } => {
                    out.push_str(&secret(name, vault)?.expose_text());
                    is_secret = true;
                }
            }
            tail
        } else {
            out.push('$');
            &tail[1..]
        };
        if out.len() > limits::TEXT_BYTES_MAX {
            let message = format!("the text has more than {} bytes once its placeholders are filled", limits::TEXT_BYTES_MAX);
            return Err(Box::new(Problem::error(Code::CONFIG_OUT_OF_RANGE, message)));
        }
    }
    out.push_str(rest);
    if is_secret {
        let secret = vault.environment.cell(text, &out);
        return Ok((String::new(), Origin::Secret(secret)));
    }
    Ok((out, if from_environment { Origin::Environment } else { Origin::Written }))
}

enum Placeholder<'a> {
    Environment { name: &'a str, default: Option<&'a str> },
    Secret { name: &'a str },
}

impl<'a> Placeholder<'a> {
    fn read(inside: &'a str) -> Result<Self, Box<Problem>> {
        let wrong = |message: String| Problem::error(Code::PLACEHOLDER_SYNTAX, message);
        let shown = Excerpt(inside);
        let Some((kind, name)) = inside.split_once(':').filter(|(_, name)| !name.starts_with('-')) else {
            let name = inside.split(':').next().unwrap_or_default().trim();
            let hint = if is_variable(name) {
                format!("write `${{env:{name}}}`, or `${{secret:{name}}}` for a secret")
            } else {
                "write `$$` for a dollar sign".into()
            };
            return Err(Box::new(
                wrong(format!("the placeholder `${{{shown}}}` does not say where its value comes from")).hint(hint),
            ));
        };
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (name, None),
        };
        let problem = match kind {
            "env" if is_variable(name) && default.is_none_or(|default| !default.contains("${")) => {
                return Ok(Placeholder::Environment { name, default });
            }
            "env" if is_variable(name) => wrong("a placeholder cannot stand in the default of another".into()),
            "env" => wrong(format!("`{}` is not the name of a variable", Excerpt(name)))
                .expected("letters, digits and `_`, or a default after `:-`"),
            "secret" if default.is_some() => {
                wrong("a secret cannot have a default".into()).hint("a default would be a secret in the file")
            }
            "secret" if is_secret_name(name) => return Ok(Placeholder::Secret { name }),
            "secret" => wrong(format!("`{}` is not the name of a secret", Excerpt(name)))
                .expected("letters, digits, `_`, `-` and `.`, not first"),
            _ => {
                let problem =
                    wrong(format!("`{}` is not a place that values come from", Excerpt(kind))).expected("`env` or `secret`");
                match nearest(kind, ["env", "secret"]) {
                    Some(meant) => problem.hint(format!("did you mean `${{{meant}:{}}}`?", Excerpt(name))),
                    None => problem,
                }
            }
        };
        Err(Box::new(problem))
    }
}

fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| !first.is_ascii_digit())
}

/// A plain file name: the secret's folder cannot be left.
fn is_secret_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.len() <= 255 && name.bytes().all(fits) && !name.starts_with('.') && !name.is_empty()
}

/// As in a shell, a default also stands for a variable that is set and empty.
fn variable(name: &str, default: Option<&str>, vault: &Vault<'_>) -> Result<String, Box<Problem>> {
    let value = vault
        .environment
        .get(name)
        .map_err(|NotUtf8| Box::new(Problem::error(Code::PLACEHOLDER_UNSET, format!("the variable `{name}` is not UTF-8"))))?;
    match (value, default) {
        (Some(""), Some(default)) | (None, Some(default)) => Ok(default.to_owned()),
        (Some(value), _) => Ok(value.to_owned()),
        (None, None) => {
            let problem = Problem::error(Code::PLACEHOLDER_UNSET, format!("the variable `{name}` is not set"));
            Err(Box::new(match nearest(name, vault.environment.names()) {
                Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                None => problem.hint(format!("set it, or write a default: `${{env:{name}:-default}}`")),
            }))
        }
    }
}

fn secret(name: &str, vault: &Vault<'_>) -> Result<Secret, Box<Problem>> {
    vault.get(name).map_err(|reason| {
        Box::new(match reason {
            NoSecret::Unset => {
                let problem = Problem::error(Code::SECRET_UNSET, format!("there is no secret `{name}`"));
                let names = vault.names();
                match nearest(name, names.iter().map(String::as_str)) {
                    Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                    None => {
                        problem.hint(format!("write it to `{}`, or set the variable `{name}`", vault.folder.join(name).display()))
                    }
                }
            }
            NoSecret::Empty => Problem::error(Code::SECRET_EMPTY, format!("the secret `{name}` is empty")),
            NoSecret::Unreadable(reason) => {
                Problem::error(Code::SECRET_UNREADABLE, format!("the secret `{name}` cannot be read: {reason}"))
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Environment;

    /// Fills a text; `secret` stands for a text that is one, and a problem shows as its code.
    fn check(text: &str, want: &str) {
        let environment: Environment =
            [("HOST", "db"), ("EMPTY", ""), ("EVIL", "${secret:KEY} $$"), ("KEY", "hunter2")].into_iter().collect();
        let vault = Vault { folder: "/nowhere/at/all".into(), environment: &environment };
        let got = match filled(text, &vault) {
            Ok((_, Origin::Secret(secret))) => format!("secret {}", secret.expose_text()),
            Ok((text, _)) => text,
            Err(problem) => problem.code.to_string(),
        };
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn placeholders_are_filled() {
        check("${env:HOST}:80", "db:80");
        check("${env:NONE:-x}", "x");
        check("${env:EMPTY:-x}", "x");
        check("${env:EMPTY}", "");
        check("${env:NONE:-}", "");
        check("Bearer ${secret:KEY}", "secret Bearer hunter2");
        check("$$ $${env:HOST} $5 $", "$ ${env:HOST} $5 $");
    }

    #[test]
    fn what_comes_from_outside_is_not_looked_at_again() {
        check("${env:EVIL}", "${secret:KEY} $$");
    }

    #[test]
    fn what_cannot_be_filled_is_refused() {
        check("${HOST}", "placeholder/syntax");
        check("${HOST:-x}", "placeholder/syntax");
        check("${env:HOST", "placeholder/syntax");
        check("${vault:HOST}", "placeholder/syntax");
        check("${env:}", "placeholder/syntax");
        check("${env:A:-${env:B}}", "placeholder/syntax");
        check("${secret:KEY:-x}", "placeholder/syntax");
        check("${secret:../KEY}", "placeholder/syntax");
        check("${secret:.KEY}", "placeholder/syntax");
        check("${env:NONE}", "placeholder/unset");
        check("${secret:NONE}", "secret/unset");
        check("${secret:EMPTY}", "secret/empty");
    }
}
