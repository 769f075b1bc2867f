//! `weft identity resolve`, `train`, `compare`: matching over a file, by the same model that a running engine compares with; and `train` and
//! `model` of an engine.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use serde_json::json;
use weft_domain::problem::{Code, Problem, Problems};
use weft_matching::model::{probability, weight};
use weft_matching::resolve::{Resolution, Stage, Thresholds, learn, resolve as resolve_records};
use weft_matching::{Evidence, Fields, Model, Record};

use super::super::{Failed, Output, client, complain, print};
use super::Place;
use crate::config::{MatchingSpec, alone};
use crate::matcher::{ModelStanding, Shown};
use crate::table::Table;

/// A file of people, and how they are compared.
#[derive(clap::Args)]
struct People {
    /// The file: CSV, ndjson or Parquet, by its name.
    file: PathBuf,
    /// Which columns are compared, and as what: a YAML file with `compare:`, and `merge_at:` and `review_at:` where the defaults do not suit.
    #[arg(long, value_name = "FIELDS.yaml")]
    fields: PathBuf,
    /// The column that names a row. Default: `id` where there is one, else the first; of ndjson `id`.
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
}

#[derive(clap::Args)]
pub(in crate::command) struct Resolve {
    #[command(flatten)]
    people: People,
    /// Where to write which row is whom: CSV with `id` and `cluster`, which is the id of the person's first row. Default: standard output.
    #[arg(long, value_name = "OUT.csv")]
    clusters: Option<PathBuf>,
    /// Where to write the pairs at or above `review_at`: CSV with `id_a`, `id_b`, `weight` (the binary logarithm of the odds) and `probability`.
    #[arg(long, value_name = "OUT.csv")]
    pairs: Option<PathBuf>,
    /// A model that was learned before. Default: one is learned from the file.
    #[arg(long, value_name = "MODEL.json")]
    model: Option<PathBuf>,
    /// Print what came of it as JSON.
    #[arg(long, requires = "clusters")]
    json: bool,
}

#[derive(clap::Args)]
pub(in crate::command) struct Train {
    /// The file: CSV, ndjson or Parquet, by its name. Without one, the running engine learns from its customers, and compares by what it learned.
    #[arg(requires = "fields")]
    file: Option<PathBuf>,
    /// Which columns are compared, and as what: a YAML file with `compare:`.
    #[arg(long, value_name = "FIELDS.yaml", requires_all = ["file", "model"])]
    fields: Option<PathBuf>,
    /// The column that names a row. Default: `id` where there is one, else the first; of ndjson `id`.
    #[arg(long, value_name = "COLUMN", requires = "file")]
    id: Option<String>,
    /// Where to write the model.
    #[arg(long, value_name = "MODEL.json", requires = "file")]
    model: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
pub(in crate::command) struct Compare {
    #[command(flatten)]
    people: People,
    /// The id of the one row.
    a: String,
    /// The id of the other.
    b: String,
    /// A model that was learned before. Default: one is learned from the file.
    #[arg(long, value_name = "MODEL.json")]
    model: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Rows, ready to be compared.
struct Loaded {
    fields: Fields,
    thresholds: Thresholds,
    ids: Vec<String>,
    records: Vec<Record>,
}

/// Rows that are read before they are made into records on all processors.
const ROWS_AT_ONCE: usize = 16 * 1024;

pub(in crate::command) fn resolve(Resolve { people, clusters, pairs, model, json }: &Resolve) -> Result<(), Failed> {
    let output = Output::of(*json);
    let progress = Steps::new();
    let Loaded { fields, thresholds, ids, mut records } = load(people, output, &progress)?;
    let model = model.as_deref().map(|path| read_model(path, &fields)).transpose()?;
    let began = Instant::now();
    let found = resolve_records(&fields, &mut records, model, thresholds, |stage| progress.say(step(stage)));
    progress.end();
    write_clusters(clusters.as_deref(), &ids, &found)?;
    if let Some(path) = pairs {
        write_pairs(path, &ids, &found)?;
    }
    let persons = found.persons.iter().enumerate().filter(|(row, first)| *row as u32 == **first).count();
    let merge = found.pairs.iter().filter(|pair| probability(pair.weight) >= thresholds.merge_at).count();
    let seconds = began.elapsed().as_secs_f64();
    match output {
        Output::Json => print(&serde_json::to_string_pretty(&json!({
            "rows": ids.len(), "persons": persons, "pairs_compared": found.compared_total, "pairs_at_merge": merge,
            "pairs_to_review": found.pairs.len() - merge, "keys_too_common": found.blocks_skipped, "seconds": seconds,
            "merge_at": thresholds.merge_at, "review_at": thresholds.review_at,
        }))?),
        Output::People => complain(&format!(
            "{} rows are {persons} people; {} pairs were compared in {seconds:.1} s, {merge} are at or above {}, {} from {} on are open",
            ids.len(),
            found.compared_total,
            thresholds.merge_at,
            found.pairs.len() - merge,
            thresholds.review_at
        )),
    }
    Ok(())
}

pub(in crate::command) async fn train(Train { file, fields, id, model, place }: &Train) -> Result<(), Failed> {
    let (Some(file), Some(fields), Some(path)) = (file, fields, model) else { return learn_there(place).await };
    let people = People { file: file.clone(), fields: fields.clone(), id: id.clone() };
    let progress = Steps::new();
    let Loaded { fields, mut records, .. } = load(&people, Output::of(place.json), &progress)?;
    let model = learn(&fields, &mut records, |stage| progress.say(step(stage)));
    progress.end();
    let file = File::create(path).with_context(|| format!("`{}` cannot be written", path.display()))?;
    let mut file = BufWriter::new(file);
    serde_json::to_writer(&mut file, &model)?;
    file.flush().with_context(|| format!("`{}` cannot be written", path.display()))?;
    match Output::of(place.json) {
        Output::Json => print(&serde_json::to_string_pretty(&model.summary())?),
        Output::People => {
            let standing = ModelStanding { records: model.records_total, ..ModelStanding::default() };
            print(&learned(&Shown::of(standing, &model)));
        }
    }
    Ok(())
}

/// Has the running engine learn.
async fn learn_there(place: &Place) -> Result<(), Failed> {
    let engine = client::Engine::of(&place.workspace);
    let progress = Steps::new();
    progress.say("the engine learns");
    let answer = client::post_patiently(&engine, "/api/v1/identity/model").await;
    progress.end();
    shown(&engine, answer?, place)
}

/// The model of the running engine.
pub(in crate::command) async fn model(place: &Place) -> Result<(), Failed> {
    let engine = client::Engine::of(&place.workspace);
    shown(&engine, client::get(&engine, "/api/v1/identity/model").await?, place)
}

fn shown(engine: &client::Engine, answer: client::Answer, place: &Place) -> Result<(), Failed> {
    let model: Shown = match answer {
        client::Answer::Nobody => return Err(anyhow!("no engine listens on {engine}: `weft run` starts it").into()),
        client::Answer::NotFound => return Err(anyhow!("the engine that runs is of a version without this page").into()),
        client::Answer::Body(bytes) => serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?,
    };
    match Output::of(place.json) {
        Output::Json => print(&serde_json::to_string_pretty(&model)?),
        Output::People => print(&learned(&model)),
    }
    Ok(())
}

pub(in crate::command) fn compare(Compare { people, a, b, model, json }: &Compare) -> Result<(), Failed> {
    let progress = Steps::new();
    let Loaded { fields, thresholds, ids, mut records } = load(people, Output::of(*json), &progress)?;
    let place = |id: &String| {
        ids.iter().position(|one| one == id).ok_or_else(|| anyhow!("`{}` has no row with the id `{id}`", people.file.display()))
    };
    let (a, b) = (place(a)?, place(b)?);
    let model = match model {
        Some(path) => {
            let model = read_model(path, &fields)?;
            [a, b].into_iter().for_each(|place| model.weigh(&mut records[place]));
            model
        }
        None => learn(&fields, &mut records, |stage| progress.say(step(stage))),
    };
    progress.end();
    let evidence = model.explain(&records[a], &records[b]);
    match Output::of(*json) {
        Output::Json => print(&serde_json::to_string_pretty(&evidence)?),
        Output::People => print(&explained(&evidence, thresholds)),
    }
    Ok(())
}

/// Reads the rows of a file.
fn load(people: &People, output: Output, progress: &Steps) -> Result<Loaded, Failed> {
    let refused = |problems: Problems| Failed::Problems(problems, output);
    let spec: MatchingSpec = alone::document(&people.fields).map_err(refused)?;
    let contradiction = |wrong: crate::config::Contradiction| {
        let message = format!("`{}`: {}", people.fields.display(), wrong.message);
        refused(Problems::from_iter([Problem::error(Code::CONFIG_BAD_VALUE, message)]))
    };
    spec.check().map_err(contradiction)?;
    let fields = spec.fields().map_err(|message| anyhow!(message))?;
    let table = Table::open(&people.file)?;
    let id = match (&people.id, table.columns()) {
        (Some(id), _) => id.clone(),
        (None, Some(columns)) => {
            let usual = columns.iter().find(|column| *column == "id").or_else(|| columns.first());
            usual.cloned().ok_or_else(|| anyhow!("`{}` has no columns", people.file.display()))?
        }
        (None, None) => "id".to_owned(),
    };
    let mut wanted = vec![id];
    let mut origins = Vec::new();
    for from in spec.origins() {
        origins.push(wanted.len()..wanted.len() + from.len());
        wanted.extend(from);
    }
    check_columns(&people.file, table.columns(), &wanted)?;
    let (mut ids, mut records) = (Vec::new(), Vec::new());
    let mut seen = vec![false; wanted.len()];
    let mut rows: Vec<Vec<String>> = Vec::new();
    table
        .each(&wanted, |values| {
            seen.iter_mut().zip(values).for_each(|(seen, value)| *seen |= !value.is_empty());
            ids.push(values[0].to_owned());
            let joined = origins.iter().map(|from| values[from.clone()].join(" "));
            rows.push(joined.collect());
            if rows.len() == ROWS_AT_ONCE {
                records.extend(Record::read_all(&fields, &std::mem::take(&mut rows)));
                progress.count(ids.len());
            }
            if ids.len() > u32::MAX as usize / 64 {
                bail!("there are more rows than can be compared at once");
            }
            Ok(())
        })
        .with_context(|| format!("in `{}`", people.file.display()))?;
    records.extend(Record::read_all(&fields, &rows));
    for (name, _) in wanted.iter().zip(seen).filter(|(_, seen)| !seen) {
        complain(&format!("warning: no row of `{}` has anything in `{name}`", people.file.display()));
    }
    let mut known = HashSet::new();
    let again: Vec<&String> = ids.iter().filter(|id| !known.insert(*id)).collect();
    if let Some(first) = again.first() {
        let (file, column) = (people.file.display(), &wanted[0]);
        complain(&format!(
            "warning: {} rows of `{file}` have the `{column}` of a row before them, such as `{first}`",
            again.len()
        ));
    }
    Ok(Loaded { fields, thresholds: spec.thresholds(), ids, records })
}

fn check_columns(file: &Path, columns: Option<&[String]>, wanted: &[String]) -> anyhow::Result<()> {
    let Some(columns) = columns else { return Ok(()) };
    if let Some(name) = wanted.iter().find(|name| !columns.contains(name)) {
        let near = columns.iter().map(|column| (strsim::jaro_winkler(&column.to_lowercase(), &name.to_lowercase()), column));
        let near = near.filter(|(likeness, _)| *likeness > 0.8).max_by(|one, other| one.0.total_cmp(&other.0));
        let hint = near.map_or_else(String::new, |(_, column)| format!("; did you mean `{column}`?"));
        bail!("`{}` has no column `{name}`: it has {}{hint}", file.display(), columns.join(", "));
    }
    Ok(())
}

fn read_model(path: &Path, fields: &Fields) -> anyhow::Result<Model> {
    let bytes = std::fs::read(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let model: Model = serde_json::from_slice(&bytes).with_context(|| format!("`{}` is no model", path.display()))?;
    model.check().map_err(|message| anyhow!("`{}` is no model that can be used: {message}", path.display()))?;
    if model.fields != *fields {
        let named = |fields: &Fields| {
            fields
                .fields()
                .iter()
                .map(|field| format!("{} as {}", field.name, json!(field.kind).as_str().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join(", ")
        };
        bail!(
            "`{}` was learned from other fields: it compares {}, and {} are asked for. Learn it anew with `weft identity train`",
            path.display(),
            named(&model.fields),
            named(fields)
        );
    }
    Ok(model)
}

fn write_clusters(path: Option<&Path>, ids: &[String], found: &Resolution) -> anyhow::Result<()> {
    let out: Box<dyn Write> = match path {
        Some(path) => Box::new(File::create(path).with_context(|| format!("`{}` cannot be written", path.display()))?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut writer = csv::Writer::from_writer(BufWriter::new(out));
    writer.write_record(["id", "cluster"])?;
    for (id, first) in ids.iter().zip(&found.persons) {
        writer.write_record([id, &ids[*first as usize]])?;
    }
    Ok(writer.flush()?)
}

fn write_pairs(path: &Path, ids: &[String], found: &Resolution) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("`{}` cannot be written", path.display()))?;
    let mut writer = csv::Writer::from_writer(BufWriter::new(file));
    writer.write_record(["id_a", "id_b", "weight", "probability"])?;
    for pair in &found.pairs {
        let (weight, probability) = (format!("{:.3}", pair.weight), format!("{:.6}", probability(pair.weight)));
        writer.write_record([&ids[pair.a as usize], &ids[pair.b as usize], &weight, &probability])?;
    }
    Ok(writer.flush()?)
}

/// What a comparison says, field by field.
fn explained(evidence: &Evidence, thresholds: Thresholds) -> String {
    let verdict = match evidence.probability {
        sure if sure >= thresholds.merge_at => "one person",
        open if open >= thresholds.review_at => "a question for people",
        _ => "two people",
    };
    let merge = weight(thresholds.merge_at);
    let mut text = format!("{verdict}, as far as these two rows say: probability {:.4}\n\n", evidence.probability);
    let _ = writeln!(text, "{:>7.1}  two rows are hardly ever one person", evidence.prior);
    for reason in &evidence.reasons {
        let (a, b) = &reason.values;
        let values = if a.is_empty() && b.is_empty() { String::new() } else { format!("{a} | {b}") };
        let instead = match (evidence.weight >= merge, reason.without >= merge) {
            (true, false) => ": two people",
            (false, true) => ": one person",
            _ => "",
        };
        let without = format!("without it {:>5.1}{instead}", reason.without);
        let (component, level) = (&reason.component, &reason.level);
        let line = format!("{:>+7.1}  {component:<16} {level:<28} {without:<28} {values}", reason.weight);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if evidence.shared < -0.05 {
        let _ = writeln!(text, "{:>+7.1}  people of one household, or namesakes, look like this as well", evidence.shared);
    }
    let _ = writeln!(text, "{:>7.1}  together: bits, each doubles the odds", evidence.weight);
    let _ = writeln!(text, "{merge:>7.1}  or more are needed to be one person");
    text
}

/// What a model has learned, for people.
fn learned(Shown { model: ModelStanding { version, learned, records }, share, levels }: &Shown) -> String {
    let mut text = match (version, learned) {
        (0, None) if *records == 0 => "the model that Weft comes with: it has learned from nobody here\n".to_owned(),
        (_, None) => format!("learned from {records} rows: one in {:.0} pairs is one person\n", 1.0 / share),
        (version, Some(at)) => {
            format!(
                "record {version} of history, learned {at} from {records} customers: one in {:.0} pairs is one person\n",
                1.0 / share
            )
        }
    };
    let _ = writeln!(text, "\n{:<18} {:<26} {:>9} {:>9} {:>9}", "field", "level", "one", "strangers", "bits");
    for row in levels {
        let _ = writeln!(
            text,
            "{:<18} {:<26} {:>8.3}% {:>8.3}% {:>+9.1}",
            row.component,
            row.level,
            100.0 * row.matches,
            100.0 * row.strangers,
            (row.matches / row.strangers).log2()
        );
    }
    text
}

fn step(stage: Stage) -> &'static str {
    match stage {
        Stage::Candidates => "looking for candidates",
        Stage::Training => "learning how much each field says",
        Stage::Weighing => "weighing candidates",
        Stage::Grouping => "grouping",
    }
}

/// Says which step is under way: on one line of a terminal, and in a log not at all.
struct Steps {
    shown: bool,
}

impl Steps {
    fn new() -> Self {
        Steps { shown: std::io::stderr().is_terminal() }
    }

    fn say(&self, what: &str) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K{what} …");
        }
    }

    fn count(&self, rows: usize) {
        self.say(&format!("reading: {rows} rows"));
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
