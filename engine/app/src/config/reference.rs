//! Whether everything that is named is there, and fits.
//!
//! Names are taken from the tree, also of what is wrong otherwise: a stage with a mistake in it is not unknown besides.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use weft_domain::identity::OnLogout;
use weft_domain::problem::{Code, Problem};
use weft_domain::value::Excerpt;
use weft_host::{Capability, Kind, Manifest, Reads};

use super::attribute;
use super::connection;
use super::limits;
use super::rights;
use super::schema::nearest;
use super::source::{At, Report, Span, join};
use super::spec::consent::{ConsentSpec, WORDS};
use super::spec::matching::MatchingSpec;
use super::spec::stage::{DestinationSpec, PollSpec, SourceSpec, TransformSpec};
use super::spec::{NAMED_SECTIONS, RESERVED_NAMES, WorkspaceSpec};
use super::tree::{Entry, Node};

/// What references are looked up in.
pub(super) struct References<'a> {
    /// The whole configuration.
    pub tree: &'a Node,
    /// What of it could be read.
    pub spec: &'a WorkspaceSpec,
    /// The workspace.
    pub folder: &'a Path,
    /// The manifests of the plugins that could be loaded.
    pub manifests: &'a BTreeMap<String, Manifest>,
}

impl References<'_> {
    /// Reports everything that is named and is not there or does not fit.
    pub(super) fn check(&self, report: &mut Report) {
        self.names(report);
        self.listener(report);
        self.limits(report);
        self.identity(report);
        rights::check(self.tree, self.folder, self.spec, report);
        for (name, connection) in &self.spec.connections {
            connection::check(self.tree, self.folder, name, connection, report);
        }
        for (name, plugin) in &self.spec.plugins {
            for (place, connection) in plugin.allow.iter().flat_map(|allow| &allow.http).enumerate() {
                self.must_exist("connections", "connection", connection, &format!("/plugins/{name}/allow/http/{place}"), report);
            }
        }
        for (name, source) in &self.spec.sources {
            self.source(name, source, report);
        }
        self.paths(report);
        for (name, transform) in &self.spec.transforms {
            self.transform(name, transform, report);
        }
        self.forks(report);
        self.cycles(report);
        for (name, destination) in &self.spec.destinations {
            self.destination(name, destination, report);
        }
        attribute::check(self.tree, self.spec, report);
        for (name, rule) in &self.spec.traits {
            for (place, source) in rule.trust.iter().enumerate() {
                self.must_exist("sources", "source", source, &format!("{}/trust/{place}", join("/traits", name)), report);
            }
        }
        self.scenarios(report);
        // What seems unused may be named where a mistake is.
        if !report.has_errors() {
            self.unused(report);
        }
    }

    fn at(&self, path: &str) -> At {
        let span = self.tree.find(path).map_or(Span::top(0), |(_, span)| span);
        span.at(path)
    }

    fn section(&self, section: &str) -> &[Entry] {
        self.tree.get(section).map_or(&[], Node::entries)
    }

    fn has(&self, section: &str, name: &str) -> bool {
        self.section(section).iter().any(|entry| entry.key == name)
    }

    /// Names that are kept for the engine, and names that two stages share.
    fn names(&self, report: &mut Report) {
        let mut stages: BTreeMap<&str, (&str, At)> = BTreeMap::new();
        // A trait is called as its senders call it.
        for section in NAMED_SECTIONS.into_iter().filter(|section| *section != "traits") {
            for entry in self.section(section) {
                let at = || entry.span.at(join(&join("", section), &entry.key));
                if RESERVED_NAMES.contains(&&*entry.key) {
                    let problem =
                        Problem::error(Code::CONFIG_NAME, format!("the name `{}` is kept for the engine itself", entry.key));
                    report.add(at(), problem.hint("give it another name"));
                }
                if !["sources", "transforms", "destinations"].contains(&section) {
                    continue;
                }
                match stages.get(&*entry.key) {
                    Some((other, first)) => {
                        let message = format!(
                            "the name `{}` is used a second time: a stage is known by its name alone",
                            Excerpt(&entry.key)
                        );
                        let problem = Problem::error(Code::CONFIG_DUPLICATE_NAME, message).hint("give one of them another name");
                        report.add_with(at(), problem, format!("it stands first among the {other}"), first.clone());
                    }
                    None => drop(stages.insert(&entry.key, (section, at()))),
                }
            }
        }
    }

    fn listener(&self, report: &mut Report) {
        let Ok(address) = self.spec.listen.0.parse::<SocketAddr>() else { return };
        if !address.ip().is_loopback() && self.section("tokens").is_empty() {
            let problem = Problem::error(
                Code::CONFIG_LISTEN,
                format!("others can reach `{address}`, and there are no tokens to tell who may use the API"),
            )
            .hint("declare `tokens`, or listen on `127.0.0.1` behind a proxy");
            report.add(self.at("/listen"), problem);
        }
    }

    fn limits(&self, report: &mut Report) {
        let cache = self.spec.limits.state_cache;
        if !limits::STATE_CACHE_BYTES.contains(&cache.as_bytes()) {
            let problem = Problem::error(Code::CONFIG_OUT_OF_RANGE, format!("state cannot be cached in `{cache}`"))
                .expected("between `16 MiB` and `256 GiB`");
            report.add(self.at("/limits/state_cache"), problem);
        }
    }

    /// Types of identifiers whose rules contradict each other, by themselves or with the strategy.
    fn identity(&self, report: &mut Report) {
        let Ok(rules) = self.spec.identity.rules() else { return };
        for rule in &rules.identifiers {
            let path = format!("/identity/identifiers/{}", rule.kind);
            if rule.immutable && !(rule.login && rule.unique) {
                let lacks = if rule.login { "unique" } else { "login" };
                let message = format!("the values of `{}` are immutable, and the type is not `{lacks}`", rule.kind);
                let problem =
                    Problem::error(Code::CONFIG_REFUSED, message).expected("`login: true` and `unique: true` beside it");
                report.add(self.at(&format!("{path}/immutable")), problem);
            } else if rule.immutable && rule.limit.is_some_and(|limit| limit != 1) {
                let message = format!("the values of `{}` are immutable, and one person may have several", rule.kind);
                let problem = Problem::error(Code::CONFIG_REFUSED, message).expected("`limit: 1`, or none");
                report.add(self.at(&format!("{path}/limit")), problem);
            }
            if rule.within_ms == Some(0) {
                let problem = Problem::error(Code::CONFIG_OUT_OF_RANGE, "a window of no time holds nothing");
                report.add(self.at(&format!("{path}/limit/within")), problem.expected("a duration, such as `7d`"));
            }
        }
        if let Some(Err(wrong)) = self.spec.identity.matching.as_ref().map(MatchingSpec::check) {
            let key = format!("/identity/matching/{}", wrong.key);
            let at = if self.tree.find(&key).is_some() { &*key } else { "/identity/matching" };
            report.add(self.at(at), Problem::error(Code::CONFIG_REFUSED, wrong.message));
        }
        if rules.on_logout == OnLogout::New && !rules.identifiers.iter().any(|rule| rule.device) {
            let message = "nobody can sign out: no type of identifier is a device";
            let problem = Problem::error(Code::CONFIG_REFUSED, message);
            let at = if self.tree.find("/identity/on_logout").is_some() { "/identity/on_logout" } else { "/identity/strategy" };
            report.add(self.at(at), problem.hint("say `device: true` of the type that names a browser, or `on_logout: stay`"));
        }
    }

    /// The plugin of a stage, where it is there, loaded and of this kind.
    fn plugin(&self, path: &str, plugin: &str, kind: Kind, report: &mut Report) -> Option<&Manifest> {
        let path = format!("{path}/plugin");
        if !self.must_exist("plugins", "plugin", plugin, &path, report) {
            return None;
        }
        let manifest = self.manifests.get(plugin)?;
        if manifest.kind == kind {
            return Some(manifest);
        }
        let problem = Problem::error(Code::REFERENCE_KIND, format!("the plugin `{plugin}` is a {}, not a {kind}", manifest.kind));
        let others: Vec<&str> =
            self.manifests.iter().filter(|(_, manifest)| manifest.kind == kind).map(|(name, _)| &**name).collect();
        let problem = if others.is_empty() { problem } else { problem.expected(one_of(&others)) };
        report.add(self.at(&path), problem);
        None
    }

    fn source(&self, name: &str, source: &SourceSpec, report: &mut Report) {
        let path = format!("/sources/{name}");
        let manifest = self.plugin(&path, &source.plugin, Kind::Source, report);
        if source.bucket.is_some() {
            if let Some(connection) = &source.connection {
                let path = format!("{path}/connection");
                if self.must_exist("connections", "connection", connection, &path, report) {
                    self.speaks(&path, connection, &[Capability::Http], report);
                }
            }
        } else {
            self.lent(&path, &source.plugin, source.connection.as_deref(), report);
        }
        let Some(manifest) = manifest else { return };
        self.ways(&path, name, source, manifest, report);
        self.schedule(&path, source, report);
    }

    /// That a source has one way by which it comes by what it reads, and that its plugin knows it.
    fn ways(&self, path: &str, name: &str, source: &SourceSpec, manifest: &Manifest, report: &mut Report) {
        let ways = [
            ("http", source.http.is_some(), Reads::Receive, "takes no requests"),
            ("poll", source.poll.is_some(), Reads::Poll, "asks no API"),
            ("file", source.file.is_some(), Reads::Decode, "reads no files"),
            ("bucket", source.bucket.is_some(), Reads::Decode, "reads no files"),
        ];
        let given: Vec<_> = ways.iter().filter(|(_, is_given, ..)| *is_given).collect();
        if let [(first, ..), (second, ..), ..] = given[..] {
            let message = format!("the source `{name}` has both `{first}` and `{second}`, and a source has one way in");
            let problem = Problem::error(Code::REFERENCE_CONFLICT, message).hint("make two sources of it");
            report.add(self.at(&format!("{path}/{second}")), problem);
        }
        if let Some((key, _, reads, message)) = given.first()
            && !manifest.reads.contains(reads)
        {
            let problem = Problem::error(Code::REFERENCE_UNFIT, format!("the plugin `{}` {message}", source.plugin));
            let problem = match example(name, manifest) {
                Some(expected) => problem.expected(expected),
                None => problem.hint(format!("take `{key}` away")),
            };
            report.add(self.at(&format!("{path}/{key}")), problem);
        }
        if given.is_empty() {
            let message = format!("nothing can reach the source `{name}`: it does not say where its events come from");
            let problem = Problem::error(Code::REFERENCE_UNFIT, message);
            let problem = example(name, manifest).into_iter().fold(problem, Problem::expected);
            report.add(self.at(path), problem);
        }
        if source.bucket.is_some() && source.connection.is_none() {
            let problem = Problem::error(Code::REFERENCE_UNFIT, format!("the source `{name}` does not say where its bucket is"))
                .hint("declare its address (`https://host/bucket/`) under `connections`, and name it here as `connection`");
            report.add(self.at(path), problem);
        }
    }

    /// That a rule of consent asks for something, and that what it takes for a regulation is not a word that was mistyped.
    fn consent(&self, path: &str, consent: &ConsentSpec, report: &mut Report) {
        let rule = consent.rule();
        if rule.purposes().is_empty() {
            let problem = Problem::error(Code::CONFIG_MISSING_KEY, "`consent` names no purpose")
                .expected("purposes by regulation, such as `gdpr: [marketing]`, or `all` or `any` of some")
                .hint("leave `consent` out where no consent is needed");
            report.add(self.at(path), problem);
        }
        let regulations = rule.purposes().into_iter().filter_map(|purpose| purpose.regulation.clone());
        for regulation in regulations.chain(rule.unless_said.under.keys().cloned()).collect::<BTreeSet<_>>() {
            if let Some(word) = nearest(&regulation, WORDS) {
                let problem = Problem::error(Code::CONFIG_UNKNOWN_KEY, format!("unknown key `{}`", Excerpt(&regulation)))
                    .expected("`all`, `any`, `unless_said`, or the name of a regulation")
                    .hint(format!("did you mean `{word}`?"));
                report.add(self.at(path), problem);
            }
        }
        for purpose in rule.purposes() {
            if let Err(message) = purpose.check() {
                report.add(self.at(path), Problem::error(Code::CONFIG_BAD_VALUE, message));
            }
        }
        let asked: BTreeSet<_> = rule.purposes().into_iter().filter_map(|purpose| purpose.regulation.as_deref()).collect();
        for regulation in rule.unless_said.under.keys().filter(|regulation| !asked.contains(&***regulation)) {
            let message = format!("`unless_said` names the regulation `{}`, of which nothing is needed", Excerpt(regulation));
            let problem = Problem::error(Code::REFERENCE_UNKNOWN, message);
            let problem = match nearest(regulation, asked.iter().copied()) {
                Some(known) => problem.hint(format!("did you mean `{known}`?")),
                None => problem,
            };
            report.add(self.at(&format!("{path}/unless_said")), problem);
        }
    }

    /// That what is looked for now and then is not looked for all the time.
    fn schedule(&self, path: &str, source: &SourceSpec, report: &mut Report) {
        let poll = if let Some(PollSpec::Every(every)) = &source.poll { Some(every) } else { None };
        let looks = [
            ("poll", poll),
            ("file", source.file.as_ref().map(|file| &file.every)),
            ("bucket", source.bucket.as_ref().map(|bucket| &bucket.every)),
        ];
        for (key, every) in looks.into_iter().filter_map(|(key, every)| Some((key, every?))) {
            if every.as_ms() < limits::LOOK_EVERY_MS_MIN {
                let problem = Problem::error(Code::CONFIG_OUT_OF_RANGE, format!("it cannot be looked every `{every}`"))
                    .expected("`1s` or more");
                report.add(self.at(&format!("{path}/{key}/every")), problem);
            }
        }
        if let Some(file) = &source.file
            && let Err(error) = glob::Pattern::new(&file.path)
        {
            let message = format!("`{}` is no pattern of files: {}", Excerpt(&file.path), error.msg);
            report.add(self.at(&format!("{path}/file/path")), Problem::error(Code::CONFIG_BAD_VALUE, message));
        }
    }

    fn transform(&self, name: &str, transform: &TransformSpec, report: &mut Report) {
        let path = format!("/transforms/{name}");
        self.plugin(&path, &transform.plugin, Kind::Transform, report);
        for (place, input) in transform.inputs.iter().enumerate() {
            let path = format!("{path}/inputs/{place}");
            if self.has("sources", input) || self.has("transforms", input) {
                continue;
            }
            let problem = if self.has("destinations", input) {
                Problem::error(
                    Code::REFERENCE_UNKNOWN,
                    format!("`{}` is a destination, which nothing can be read from", Excerpt(input)),
                )
            } else {
                unknown(
                    "source or transform",
                    input,
                    self.section("sources").iter().chain(self.section("transforms")).map(|entry| &*entry.key),
                )
            };
            report.add(self.at(&path), problem);
        }
    }

    fn destination(&self, name: &str, destination: &DestinationSpec, report: &mut Report) {
        let path = format!("/destinations/{name}");
        let manifest = self.plugin(&path, &destination.plugin, Kind::Destination, report);
        self.lent(&path, &destination.plugin, destination.connection.as_deref(), report);
        if !limits::BATCH_BYTES.contains(&destination.batch.bytes.as_bytes()) {
            let problem = Problem::error(Code::CONFIG_OUT_OF_RANGE, format!("a batch cannot have `{}`", destination.batch.bytes))
                .expected("between `256 KiB` and `4 MiB`");
            report.add(self.at(&format!("{path}/batch/bytes")), problem);
        }
        if let Some(consent) = &destination.consent {
            self.consent(&format!("{path}/consent"), consent, report);
        }
        let Some(manifest) = manifest else { return };
        if manifest.ordered && destination.concurrency > 1 {
            let message = format!("the plugin `{}` takes one batch after the other", destination.plugin);
            let problem = Problem::error(Code::REFERENCE_UNFIT, message).expected("`1`").hint("leave `concurrency` out");
            report.add(self.at(&format!("{path}/concurrency")), problem);
        }
        for (stream, is_fed) in [("events", destination.from.events.is_some()), ("profiles", destination.from.profiles.is_some())]
        {
            if is_fed && !manifest.accepts.iter().any(|accepted| accepted.name() == stream) {
                let accepted: Vec<&str> = manifest.accepts.iter().map(|accepted| accepted.name()).collect();
                let problem =
                    Problem::error(Code::REFERENCE_UNFIT, format!("the plugin `{}` takes no {stream}", destination.plugin))
                        .expected(one_of(&accepted));
                report.add(self.at(&format!("{path}/from/{stream}")), problem);
            }
        }
    }

    /// The connection of a stage: that it is there, that the plugin may use it, and that it wants one.
    fn lent(&self, path: &str, plugin: &str, connection: Option<&str>, report: &mut Report) {
        let manifest = self.manifests.get(plugin);
        let Some(connection) = connection else {
            let needs = |manifest: &Manifest| asks_out(manifest) && !manifest.reads.contains(&Reads::Receive);
            if manifest.is_some_and(needs) {
                let mails = manifest.is_some_and(|manifest| !manifest.asks_for(Capability::Http));
                let what = if mails { "sends messages" } else { "makes requests" };
                let problem = Problem::error(
                    Code::REFERENCE_UNFIT,
                    format!("the plugin `{plugin}` {what}, and no connection is named for them"),
                )
                .hint("declare one under `connections`, and name it here as `connection`");
                report.add(self.at(path), problem);
            }
            return;
        };
        let path = format!("{path}/connection");
        if !self.must_exist("connections", "connection", connection, &path, report) {
            return;
        }
        let allow = self.spec.plugins.get(plugin).and_then(|plugin| plugin.allow.as_ref());
        if let Some(allow) = allow
            && !allow.http.iter().any(|allowed| allowed == connection)
        {
            let problem = Problem::error(
                Code::REFERENCE_NOT_ALLOWED,
                format!("the plugin `{plugin}` may not use the connection `{connection}`"),
            )
            .hint(format!("add it to `plugins.{plugin}.allow.http`"));
            report.add_with(self.at(&path), problem, "this is what it may use", self.at(&format!("/plugins/{plugin}/allow")));
        }
        if let Some(manifest) = manifest.filter(|manifest| asks_out(manifest)) {
            self.speaks(&path, connection, &manifest.capabilities, report);
        }
        if manifest.is_some_and(|manifest| !asks_out(manifest)) {
            let problem = Problem::warning(
                Code::REFERENCE_UNUSED,
                format!("the plugin `{plugin}` makes no requests: the connection is not used"),
            );
            report.add(self.at(&path), problem);
        }
    }

    /// That a connection takes what is sent through it: requests, or messages.
    fn speaks(&self, path: &str, connection: &str, sent: &[Capability], report: &mut Report) {
        let spec = self.spec.connections.get(connection);
        let Some(url) = spec.and_then(|spec| super::schema::url(&spec.base_url.0).ok()) else { return };
        let (wanted, message, expected) = if connection::is_mail(&url) {
            (Capability::Email, "takes messages, and here requests are made", "one whose `base_url` begins with `https://`")
        } else {
            (
                Capability::Http,
                "takes requests, and here messages are sent",
                "one whose `base_url` begins with `smtp://` or `smtps://`",
            )
        };
        if !sent.contains(&wanted) {
            let problem = Problem::error(Code::REFERENCE_UNFIT, format!("the connection `{connection}` {message}"));
            report.add(self.at(path), problem.expected(expected));
        }
    }

    /// Sources on one path.
    fn paths(&self, report: &mut Report) {
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, source) in in_order(self.section("sources"), &self.spec.sources) {
            let Some(http) = &source.http else { continue };
            let path = http.path.0.trim_end_matches('/');
            let at = |name: &str| self.at(&format!("/sources/{name}/http/path"));
            match taken.get(path) {
                Some(first) => {
                    let problem = Problem::error(
                        Code::REFERENCE_CONFLICT,
                        format!("the sources `{first}` and `{name}` have the same path"),
                    )
                    .hint("give each a path of its own");
                    report.add_with(at(name), problem, format!("the path of `{first}`"), at(first));
                }
                None => drop(taken.insert(path, name)),
            }
        }
    }

    /// Stages that two transforms read: an event would go two ways, and come out twice.
    fn forks(&self, report: &mut Report) {
        let mut readers: BTreeMap<&str, String> = BTreeMap::new();
        for (name, transform) in in_order(self.section("transforms"), &self.spec.transforms) {
            for (place, input) in transform.inputs.iter().enumerate() {
                let path = format!("/transforms/{name}/inputs/{place}");
                let Some(first) = readers.get(&**input) else {
                    readers.insert(input, path);
                    continue;
                };
                let message =
                    format!("`{}` is read a second time: its events would go two ways, and come out twice", Excerpt(input));
                let problem = Problem::error(Code::REFERENCE_FORK, message).hint("let one transform read the other");
                report.add_with(self.at(&path), problem, "it is read here first", self.at(first));
            }
        }
    }

    /// Transforms that wait for each other.
    fn cycles(&self, report: &mut Report) {
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for (start, _) in in_order(self.section("transforms"), &self.spec.transforms) {
            let Some(way) = self.way_back(start) else { continue };
            if way.iter().any(|name| told.contains(name)) {
                continue;
            }
            told.extend(&way);
            let shown: Vec<String> = way.iter().chain([&start]).map(|name| format!("`{name}`")).collect();
            let problem = Problem::error(
                Code::REFERENCE_CYCLE,
                format!("these transforms read each other in a circle: {}", shown.join(" reads ")),
            );
            report.add(self.at(&format!("/transforms/{start}/inputs")), problem.hint("an event must be able to come out"));
        }
    }

    /// The shortest way along inputs from a transform back to itself.
    fn way_back<'a>(&'a self, start: &'a str) -> Option<Vec<&'a str>> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut next = std::collections::VecDeque::from([start]);
        while let Some(name) = next.pop_front() {
            for input in self.spec.transforms.get(name).iter().flat_map(|transform| &transform.inputs) {
                if input == start {
                    let mut way = vec![name];
                    while let Some(before) = way.last().and_then(|name| came_from.get(name)) {
                        way.push(before);
                    }
                    way.reverse();
                    return Some(way);
                }
                if !came_from.contains_key(&**input) {
                    came_from.insert(input, name);
                    next.push_back(input);
                }
            }
        }
        None
    }

    fn scenarios(&self, report: &mut Report) {
        for (place, scenario) in self.spec.tests.iter().enumerate() {
            for (given, event) in scenario.given.iter().enumerate() {
                if let Some(source) = &event.source {
                    self.must_exist("sources", "source", source, &format!("/tests/{place}/given/{given}/source"), report);
                }
            }
            for (expected, delivery) in scenario.expect.deliveries.iter().flatten().enumerate() {
                let path = format!("/tests/{place}/expect/deliveries/{expected}/to");
                self.must_exist("destinations", "destination", &delivery.to, &path, report);
            }
        }
    }

    /// Plugins and connections that nothing names.
    fn unused(&self, report: &mut Report) {
        let stages = || ["sources", "transforms", "destinations"].into_iter().flat_map(|section| self.section(section));
        for (section, key, what) in [("plugins", "plugin", "plugin"), ("connections", "connection", "connection")] {
            let named: BTreeSet<&str> = stages().filter_map(|stage| stage.node.get(key)?.text()).collect();
            for entry in self.section(section).iter().filter(|entry| !named.contains(&*entry.key)) {
                let problem =
                    Problem::warning(Code::REFERENCE_UNUSED, format!("no stage uses the {what} `{}`", Excerpt(&entry.key)));
                report.add(entry.span.at(join(&join("", section), &entry.key)), problem);
            }
        }
    }

    /// Whether there is an entry of this name; reports where there is none.
    fn must_exist(&self, section: &str, what: &str, name: &str, path: &str, report: &mut Report) -> bool {
        let exists = self.has(section, name);
        if !exists {
            report.add(self.at(path), unknown(what, name, self.section(section).iter().map(|entry| &*entry.key)));
        }
        exists
    }
}

/// Whether a plugin wants a connection.
fn asks_out(manifest: &Manifest) -> bool {
    manifest.asks_for(Capability::Http) || manifest.asks_for(Capability::Email)
}

/// The entries of a section that could be read, in the order in which they were written.
fn in_order<'a, T>(written: &'a [Entry], read: &'a BTreeMap<String, T>) -> impl Iterator<Item = (&'a str, &'a T)> {
    written.iter().filter_map(|entry| Some((&*entry.key, read.get(&entry.key)?)))
}

/// How a source of this plugin says where its events come from.
fn example(name: &str, manifest: &Manifest) -> Option<String> {
    Some(match manifest.reads.first()? {
        Reads::Receive => format!("`http: {{ path: /{name} }}`"),
        Reads::Poll => "`poll: { every: 15m }`".to_owned(),
        Reads::Decode => format!("`file: {{ path: {name}/* }}`"),
    })
}

fn unknown<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a str>) -> Problem {
    let names: Vec<&str> = names.collect();
    let problem = Problem::error(Code::REFERENCE_UNKNOWN, format!("there is no {what} `{}`", Excerpt(name)));
    let problem = if names.is_empty() { problem } else { problem.expected(one_of(&names)) };
    match nearest(name, names.iter().copied()) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None if what == "plugin" => problem.hint(format!("declare it: `plugins: {{ {}: {{ path: … }} }}`", Excerpt(name))),
        None if what == "connection" => {
            problem.hint(format!("declare it: `connections: {{ {}: {{ base_url: … }} }}`", Excerpt(name)))
        }
        None => problem,
    }
}

fn one_of(names: &[&str]) -> String {
    super::schema::one_of(names)
}
