//! The stages of a workspace as a picture: what flows from where to where, as Mermaid for a README or as SVG for the eye.
//!
//! Columns follow the way of an event: sources, transforms by their depth, identity, destinations. It reads a checked
//! configuration and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::config::Config;

/// A workspace's stages and what flows between them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Graph {
    /// The stages, column by column.
    pub stages: Vec<Stage>,
    /// What flows, by the stages' names.
    pub flows: Vec<Flow>,
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its plugin, and where it listens; for people.
    pub says: String,
    /// Its column, from the left.
    pub column: usize,
}

/// The kinds of stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Where events come from.
    Source,
    /// What is done with them.
    Transform,
    /// Who is who: there is one.
    Identity,
    /// Where events and profiles go.
    Destination,
}

/// What flows from one stage to another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Flow {
    /// From this stage.
    pub from: String,
    /// To this one.
    pub to: String,
    /// What: `events`, `profiles`, or both.
    pub what: String,
}

/// The name of the stage that is the engine's own; no other can have it.
const IDENTITY: &str = "identity";

impl Graph {
    /// The graph of a workspace.
    #[must_use]
    pub fn of(config: &Config) -> Graph {
        let columns = columns(config);
        let last = columns.values().max().map_or(1, |deepest| deepest + 1);
        let stage = |name: &str, kind, says: String, column| Stage { name: name.to_owned(), kind, says, column };
        let mut stages = Vec::new();
        for (name, source) in &config.sources {
            let at = source.http_path().map_or_else(String::new, |path| format!(" at {path}"));
            stages.push(stage(name, Kind::Source, format!("{}{at}", source.plugin), 0));
        }
        let mut transforms: Vec<_> = config.transforms.iter().collect();
        transforms.sort_by_key(|(name, _)| columns[&***name]);
        for (name, transform) in transforms {
            stages.push(stage(name, Kind::Transform, transform.plugin.clone(), columns[&**name]));
        }
        stages.push(stage(IDENTITY, Kind::Identity, "one customer each".to_owned(), last));
        for (name, destination) in &config.destinations {
            stages.push(stage(name, Kind::Destination, destination.plugin.clone(), last + 1));
        }
        let flow = |from: &str, to: &str, what: &str| Flow { from: from.into(), to: to.into(), what: what.into() };
        let mut flows = Vec::new();
        for (name, transform) in &config.transforms {
            flows.extend(transform.inputs.iter().map(|input| flow(input, name, "events")));
        }
        let is_read = |name: &str| config.transforms.values().any(|transform| transform.inputs.iter().any(|input| input == name));
        let ends = config.sources.keys().chain(config.transforms.keys()).filter(|name| !is_read(name));
        flows.extend(ends.map(|name| flow(name, IDENTITY, "events")));
        for (name, destination) in &config.destinations {
            let what = match (&destination.events, &destination.profiles) {
                (Some(_), Some(_)) => "events, profiles",
                (Some(_), None) => "events",
                _ => "profiles",
            };
            flows.push(flow(IDENTITY, name, what));
        }
        Graph { stages, flows }
    }

    /// As a Mermaid flow chart (<https://mermaid.js.org/syntax/flowchart.html>).
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        let id = |name: &str| self.stages.iter().position(|stage| stage.name == name).unwrap_or_default();
        for stage in &self.stages {
            let (open, close) = match stage.kind {
                Kind::Source => ("([", "])"),
                Kind::Transform => ("[", "]"),
                Kind::Identity => ("((", "))"),
                Kind::Destination => ("[/", "/]"),
            };
            let label = format!("{}<br/><small>{}</small>", plain(&stage.name), plain(&stage.says));
            let _ = writeln!(text, "  s{}{open}\"{label}\"{close}", id(&stage.name));
        }
        for flow in &self.flows {
            let (from, to) = (id(&flow.from), id(&flow.to));
            let _ = match &*flow.what {
                "events" => writeln!(text, "  s{from} --> s{to}"),
                what => writeln!(text, "  s{from} -->|{what}| s{to}"),
            };
        }
        text
    }

    /// As an SVG picture that stands by itself, for light and dark pages.
    #[must_use]
    pub fn svg(&self, title: &str) -> String {
        let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
        let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for stage in &self.stages {
            let row = rows.entry(stage.column).or_default();
            places.insert(&stage.name, (stage.column, *row));
            *row += 1;
        }
        let tallest = rows.values().copied().max().unwrap_or(1);
        let columns = rows.keys().max().map_or(1, |last| last + 1);
        let (width, height) =
            (2 * MARGIN + columns * BOX_WIDTH + (columns - 1) * GAP, 2 * MARGIN + tallest * (BOX_HEIGHT + ROW_GAP) - ROW_GAP);
        // Each column stands in the middle of the picture's height.
        let at = |name: &str| {
            let (column, row) = places[name];
            let above = (tallest - rows[&column]) * (BOX_HEIGHT + ROW_GAP) / 2;
            (MARGIN + column * (BOX_WIDTH + GAP), MARGIN + above + row * (BOX_HEIGHT + ROW_GAP))
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{}</title>\n{STYLE}",
            plain(title)
        );
        for flow in &self.flows {
            let ((x, y), (end_x, end_y)) = (at(&flow.from), at(&flow.to));
            let (x, y, end_y) = (x + BOX_WIDTH, y + BOX_HEIGHT / 2, end_y + BOX_HEIGHT / 2);
            let bend = x + (end_x - x) / 2;
            let _ = writeln!(
                svg,
                "<path d=\"M{x} {y} C{bend} {y} {bend} {end_y} {end_x} {end_y}\"><title>{}</title></path>",
                plain(&flow.what)
            );
        }
        for stage in &self.stages {
            let ((x, y), class) = (at(&stage.name), format!("{:?}", stage.kind).to_lowercase());
            let _ = writeln!(
                svg,
                "<g class=\"{class}\"><rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"8\"/><text x=\"{}\" y=\"{}\" class=\"name\">{}</text><text x=\"{}\" y=\"{}\">{}</text></g>",
                x + PADDING,
                y + 20,
                plain(&short(&stage.name)),
                x + PADDING,
                y + 37,
                plain(&short(&stage.says)),
            );
        }
        svg + "</svg>\n"
    }
}

const MARGIN: usize = 16;
const BOX_WIDTH: usize = 170;
const BOX_HEIGHT: usize = 48;
const GAP: usize = 70;
const ROW_GAP: usize = 18;
const PADDING: usize = 12;
/// Letters that fit into a box.
const LETTERS: usize = 23;

const STYLE: &str = "<style>
rect { fill: #fff; stroke-width: 1.5 } text { font: 11px system-ui, sans-serif; fill: #667 } .name { font-size: 13px; font-weight: 600; fill: #223 }
path { fill: none; stroke: #99a; stroke-width: 1.5 }
.source rect { stroke: #2a7 } .transform rect { stroke: #57c } .identity rect { stroke: #c63; fill: #fff7f0 } .destination rect { stroke: #a5a }
@media (prefers-color-scheme: dark) { rect { fill: #1c1f26 } .identity rect { fill: #2a2220 } text { fill: #9aa } .name { fill: #eee } }
</style>
";

/// How many transforms lie before each, and one more.
fn columns(config: &Config) -> BTreeMap<&str, usize> {
    let mut columns: BTreeMap<&str, usize> = BTreeMap::new();
    // There is no circle: this was checked. So each turn settles at least one more.
    while columns.len() < config.transforms.len() {
        for (name, transform) in &config.transforms {
            let of = |input: &String| if config.sources.contains_key(input) { Some(0) } else { columns.get(&**input).copied() };
            if let Some(inputs) = transform.inputs.iter().map(of).collect::<Option<Vec<usize>>>() {
                columns.insert(name, inputs.into_iter().max().unwrap_or(0) + 1);
            }
        }
    }
    columns
}

/// Text that neither Mermaid nor SVG takes for its own.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn short(text: &str) -> String {
    if text.chars().count() <= LETTERS { text.to_owned() } else { text.chars().take(LETTERS - 1).chain(['…']).collect() }
}
