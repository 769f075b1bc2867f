//! What is posted: the configuration's texts and blocks, with a record's values in their places.
//!
//! A value cannot become markup: Slack reads `<…>` as links and mentions, and its three letters of control are escaped as it
//! asks for. What is written in the configuration is left as it is.

use serde_json::{Map, Value};
use weft_plugin::{ConfigProblem, Fields};

use crate::Config;
use weft_plugin::place::plain;
use weft_plugin::template::{Part, Template};

/// The parts of a message.
#[derive(Debug)]
pub(crate) struct Message {
    channel: Option<Template>,
    text: Template,
    blocks: Vec<Node>,
}

/// A part of the blocks.
#[derive(Debug)]
enum Node {
    Fixed(Value),
    Text(Template),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Message {
    /// Reads the templates of a configuration.
    pub(crate) fn read(config: &Config, problems: &mut Vec<ConfigProblem>) -> Self {
        let channel = config.channel.as_ref().map(|channel| template(channel, "/channel", problems));
        let text = template(&config.text, "/text", problems);
        let blocks = config.blocks.iter().enumerate();
        let blocks = blocks.map(|(place, block)| Node::object(block, &format!("/blocks/{place}"), problems)).collect();
        Message { channel, text, blocks }
    }

    /// The message of a record, as JSON text.
    pub(crate) fn of(&self, record: &Fields<'_>) -> String {
        let mut message = Map::new();
        if let Some(channel) = &self.channel {
            // A name, not a text: nothing in it is markup.
            message.insert("channel".into(), fill(channel, record, push).into());
        }
        message.insert("text".into(), fill(&self.text, record, push_escaped).into());
        if !self.blocks.is_empty() {
            message.insert("blocks".into(), self.blocks.iter().map(|block| block.of(record)).collect());
        }
        Value::Object(message).to_string()
    }
}

impl Node {
    fn read(value: &Value, at: &str, problems: &mut Vec<ConfigProblem>) -> Self {
        match value {
            Value::String(text) if text.contains("{{") => Node::Text(template(text, at, problems)),
            Value::Array(items) => Node::List(
                items.iter().enumerate().map(|(place, item)| Node::read(item, &format!("{at}/{place}"), problems)).collect(),
            ),
            Value::Object(fields) => Node::object(fields, at, problems),
            fixed => Node::Fixed(fixed.clone()),
        }
    }

    fn object<'v>(
        fields: impl IntoIterator<Item = (&'v String, &'v Value)>,
        at: &str,
        problems: &mut Vec<ConfigProblem>,
    ) -> Self {
        let mut read = Vec::new();
        for (name, value) in fields {
            let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            read.push((name.clone(), Node::read(value, &at, problems)));
        }
        Node::Object(read)
    }

    fn of(&self, record: &Fields<'_>) -> Value {
        match self {
            Node::Fixed(value) => value.clone(),
            Node::Text(template) => fill(template, record, push_escaped).into(),
            Node::List(items) => items.iter().map(|item| item.of(record)).collect(),
            Node::Object(fields) => Value::Object(fields.iter().map(|(name, node)| (name.clone(), node.of(record))).collect()),
        }
    }
}

fn template(text: &str, at: &str, problems: &mut Vec<ConfigProblem>) -> Template {
    Template::parse(text).unwrap_or_else(|message| {
        problems.push(ConfigProblem::at(at, message).hint("such as {{ event.properties.total }}"));
        Template::default()
    })
}

/// A template's text for a record; what is missing leaves nothing.
fn fill(template: &Template, record: &Fields<'_>, push: fn(&mut String, &str)) -> String {
    let mut text = String::new();
    for part in template.parts() {
        match part {
            Part::Text(fixed) => text.push_str(fixed),
            Part::Value(path) => push(&mut text, &path.find_in(record).map(plain).unwrap_or_default()),
        }
    }
    text
}

fn push(text: &mut String, value: &str) {
    text.push_str(value);
}

/// Escapes what Slack's markup is made of: https://docs.slack.dev/messaging/formatting-message-text#escaping
fn push_escaped(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            letter => text.push(letter),
        }
    }
}
