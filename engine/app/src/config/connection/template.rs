//! What a signature is of, as a text with places: `{timestamp}.{body}`.

/// A text with places for parts of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A part of such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// The request's body.
    Body,
    /// Seconds since 1970.
    Timestamp,
    /// Such as `POST`.
    Method,
    /// Path and query.
    Target,
}

impl Template {
    /// The parts, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.0.iter()
    }

    /// What is signed: the body is among it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn signed(text: &str) -> Result<Self, String> {
        let template = Template::read(text, &["body", "timestamp", "method", "target"])?;
        if template.0.contains(&Part::Body) {
            Ok(template)
        } else {
            Err(format!("`{text}` does not have `{{body}}` in it, which would then not be signed"))
        }
    }

    /// What stands before a signature.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn prefix(text: &str) -> Result<Self, String> {
        if text.contains(|char: char| char.is_control()) || !text.is_ascii() {
            return Err("what stands in a header has no line break and no letter beyond ASCII".into());
        }
        Template::read(text, &["timestamp"])
    }

    fn read(text: &str, known: &[&str]) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (name, after) = after.split_once('}').ok_or_else(|| format!("`{text}` has a `{{` that is not closed"))?;
            parts.push(match name {
                name if !known.contains(&name) => {
                    let known: Vec<String> = known.iter().map(|name| format!("`{{{name}}}`")).collect();
                    return Err(format!("`{{{name}}}` is none of {}", known.join(", ")));
                }
                "body" => Part::Body,
                "timestamp" => Part::Timestamp,
                "method" => Part::Method,
                _ => Part::Target,
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_others_refused() {
        let text = |text: &str| Part::Text(text.into());
        let check = |signed: &str, want: &[Part]| assert_eq!(Template::signed(signed), Ok(Template(want.to_vec())));
        check("{body}", &[Part::Body]);
        check("v0:{timestamp}:{body}", &[text("v0:"), Part::Timestamp, text(":"), Part::Body]);
        check("{method}{target}\n{body}", &[Part::Method, Part::Target, text("\n"), Part::Body]);
        for wrong in ["", "{timestamp}", "{body", "{Body}", "{body}{header}"] {
            assert!(Template::signed(wrong).is_err(), "{wrong}");
        }
        assert!(Template::prefix("t={timestamp},v1=").is_ok() && Template::prefix("").is_ok());
        assert!(Template::prefix("{body}").is_err() && Template::prefix("a\r\nb: ").is_err());
    }
}
