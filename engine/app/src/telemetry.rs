//! What the engine tells about itself: every metric's name and meaning is here and nowhere else.
//!
//! Names are stable: dashboards and alarms are built on them. Labels are names from the configuration, never anything that a
//! sender chose.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use weft_domain::input::{Input, Passed};
use weft_domain::view::Totals;

/// A stage of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Stage {
    /// Its name.
    pub stage: String,
}

/// A stage, and what became of something there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ending {
    /// The stage.
    pub stage: String,
    /// `ok`, or a stable code.
    pub outcome: String,
}

/// A request of a person about what is known of them, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Right {
    /// `access`, `erasure` or `portability`.
    pub kind: String,
    /// A stable word.
    pub status: String,
}

/// A destination, and what was wanting there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Wanting {
    /// The destination.
    pub stage: String,
    /// The purpose that it asks consent for, by the configuration.
    pub purpose: String,
    /// What the person said of it: `refused` or `nothing`.
    pub said: String,
}

/// All metrics.
pub struct Metrics {
    registry: Registry,
    /// Requests at a source's door, by the status that was answered.
    pub requests: Family<Ending, Counter>,
    /// Requests of senders who make too many.
    pub too_many: Counter,
    /// Events taken at a source's door.
    pub received: Family<Stage, Counter>,
    /// Events folded.
    pub events: Counter,
    /// Events left out as repetitions.
    pub duplicates: Counter,
    /// Events that a transform dropped on purpose.
    pub dropped: Family<Stage, Counter>,
    /// Events left out because they name somebody who was erased.
    pub suppressed: Family<Stage, Counter>,
    /// Requests of people, by the status that they came to.
    pub rights_requests: Family<Right, Counter>,
    /// Callbacks about them: `ok`, `failed` where it is tried again, or `given_up`.
    pub rights_callbacks: Family<Right, Counter>,
    /// Customers forgotten for being silent.
    pub profiles_forgotten: Counter,
    /// Records that became dead letters.
    pub dead_letters: Family<Ending, Counter>,
    /// Deliveries that came to an end.
    pub deliveries: Family<Ending, Counter>,
    /// Deliveries that did not leave for want of consent.
    pub withheld: Family<Wanting, Counter>,
    /// Calls of a destination that failed as a whole.
    pub failures: Family<Ending, Counter>,
    /// Records of intake that wait for the transforms.
    pub intake_waiting: Gauge,
    /// Records of history, or profile deliveries, that wait for a destination.
    pub lane_waiting: Family<Stage, Gauge>,
    /// Whether a destination is tried: 2 with batches, 1 with one record, 0 not at all.
    pub lane_tried: Family<Stage, Gauge>,
    /// What state holds, and what its bounds cost.
    pub totals: TotalsMetrics,
    /// Comparing customers with each other.
    pub matching: MatchingMetrics,
    /// Seconds of a barrier of the intake log: what a sender waits for at least.
    pub intake_sync: Histogram,
    /// Seconds of a barrier of the history log.
    pub history_sync: Histogram,
    /// Seconds of a commit of state.
    pub commit: Histogram,
    /// Seconds that the fold of one event took, averaged over a batch.
    pub fold: Histogram,
}

/// [`Totals`] of state. They are state's own: a restart does not set them back.
pub struct TotalsMetrics {
    events: Gauge,
    customers: Gauge,
    claims: Gauge,
    identifiers: Gauge,
    letters: Gauge,
    claims_shrunk: Counter,
    facts_refused: Counter,
    values_unusable: Counter,
    claims_held: Gauge,
    claims_past_limit: Gauge,
    matches_joined: Gauge,
    matches_open: Gauge,
    matches_refused: Counter,
}

/// What comparing customers with each other comes to.
pub struct MatchingMetrics {
    /// Customers that are found by what they say.
    pub customers: Gauge,
    /// Customers whose profile changed and who wait to be compared.
    pub waiting: Gauge,
    /// Pairs compared.
    pub compared: Counter,
    /// What was said of pairs: `merge`, `review`, `apart`.
    pub said: Family<Said, Counter>,
    /// Keys that so many share that nobody is compared because of them.
    pub keys_closed: Gauge,
    /// Customers and claims past the bounds that were not looked at.
    pub left_out: Counter,
    /// The version of the model in use; 0 for the one that Weft comes with.
    pub model_version: Gauge,
    /// When it was learned, in seconds since 1970; 0 where it was not.
    pub model_learned: Gauge,
    /// Seconds that comparing one customer took whose profile changed.
    pub compare: Histogram,
    /// Pieces of the work that failed, and were done again.
    pub failures: Counter,
}

/// What was said of two customers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Said {
    /// `merge`, `review` or `apart`.
    pub outcome: String,
}

fn seconds() -> Histogram {
    Histogram::new([0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("weft");
        macro_rules! metric {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                registry.register($name, $help, metric.clone());
                metric
            }};
        }
        Metrics {
            requests: metric!("source_requests", "Requests at a source's door by the status answered", Family::default()),
            too_many: metric!("requests_too_many", "Requests refused because their sender makes too many", Counter::default()),
            received: metric!("source_events", "Events taken at a source's door", Family::default()),
            events: metric!("events_folded", "Events folded into state", Counter::default()),
            duplicates: metric!("events_duplicate", "Events left out as repetitions", Counter::default()),
            dropped: metric!("transform_dropped", "Events that a transform dropped on purpose", Family::default()),
            suppressed: metric!(
                "events_suppressed",
                "Events left out because they name somebody who was erased",
                Family::default()
            ),
            rights_requests: metric!("rights_requests", "Requests of people about what is known of them", Family::default()),
            rights_callbacks: metric!("rights_callbacks", "Callbacks about the status of such requests", Family::default()),
            profiles_forgotten: metric!(
                "profiles_forgotten",
                "Customers forgotten because nothing was heard of them",
                Counter::default()
            ),
            dead_letters: metric!("dead_letters", "Records that became dead letters", Family::default()),
            deliveries: metric!("deliveries", "Deliveries that came to an end", Family::default()),
            withheld: metric!("deliveries_withheld", "Deliveries that did not leave for want of consent", Family::default()),
            failures: metric!("delivery_failures", "Calls of a destination that failed as a whole", Family::default()),
            intake_waiting: metric!("intake_waiting_records", "Records of intake that wait for the transforms", Gauge::default()),
            lane_waiting: metric!("lane_waiting_records", "Records that wait for a destination", Family::default()),
            lane_tried: metric!(
                "lane_tried",
                "Whether a destination is tried: 2 with batches, 1 with one record, 0 while it is down or paused",
                Family::default()
            ),
            totals: TotalsMetrics {
                events: metric!("events", "Events that state is made of", Gauge::default()),
                customers: metric!("customers", "Customers alive", Gauge::default()),
                claims: metric!("claims", "Claims kept", Gauge::default()),
                identifiers: metric!("identifiers", "Identifiers known", Gauge::default()),
                letters: metric!("dead_letters_waiting", "Dead letters that wait for somebody to decide", Gauge::default()),
                claims_shrunk: metric!(
                    "claims_shrunk",
                    "Events whose claim had to shrink to stay within the bounds of identity",
                    Counter::default()
                ),
                facts_refused: metric!("facts_refused", "Facts that found no room on their profile", Counter::default()),
                values_unusable: metric!(
                    "values_unusable",
                    "Values that the calculation of an attribute could not use",
                    Counter::default()
                ),
                claims_held: metric!("claims_held", "Claims that are held until somebody decides", Gauge::default()),
                claims_past_limit: metric!(
                    "claims_past_limit",
                    "Claims that would make a customer of more than its limit of merges or identifiers",
                    Gauge::default()
                ),
                matches_joined: metric!(
                    "matches_joined",
                    "Matches by comparison because of which two customers are one",
                    Gauge::default()
                ),
                matches_open: metric!("matches_open", "Matches by comparison that wait for somebody to decide", Gauge::default()),
                matches_refused: metric!(
                    "matches_refused",
                    "Matches by comparison that found no room within the bounds of identity",
                    Counter::default()
                ),
            },
            matching: MatchingMetrics {
                customers: metric!("matching_customers", "Customers that matching finds by what they say", Gauge::default()),
                waiting: metric!("matching_waiting_customers", "Changed customers that wait to be compared", Gauge::default()),
                compared: metric!("matching_compared", "Pairs of customers that were compared", Counter::default()),
                said: metric!("matching_said", "What was said of pairs of customers: merge, review, apart", Family::default()),
                keys_closed: metric!(
                    "matching_keys_closed",
                    "Keys that so many customers share that nobody is compared because of them",
                    Gauge::default()
                ),
                left_out: metric!(
                    "matching_left_out",
                    "Customers and claims past the bounds that matching did not look at",
                    Counter::default()
                ),
                model_version: metric!(
                    "matching_model_version",
                    "The place in history of the model in use; 0 for the one that Weft comes with",
                    Gauge::default()
                ),
                model_learned: metric!(
                    "matching_model_learned_timestamp_seconds",
                    "When the model in use was learned, in seconds since 1970",
                    Gauge::default()
                ),
                compare: metric!(
                    "matching_customer_seconds",
                    "Comparing one customer with those who are like it",
                    Histogram::new([0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05])
                ),
                failures: metric!(
                    "matching_failures",
                    "Pieces of matching's work that failed, and were done again",
                    Counter::default()
                ),
            },
            intake_sync: metric!("intake_sync_seconds", "A barrier of the intake log", seconds()),
            history_sync: metric!("history_sync_seconds", "A barrier of the history log", seconds()),
            commit: metric!("commit_seconds", "A commit of state", seconds()),
            fold: metric!(
                "fold_event_seconds",
                "The fold of one event, averaged over a batch",
                Histogram::new([0.000_001, 0.000_002, 0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.001])
            ),
            registry,
        }
    }
}

impl Metrics {
    /// New metrics, all at zero.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// All metrics as text (OpenMetrics 1.0).
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes all that is written to it");
        text
    }

    /// State has come to this.
    pub fn counted(&self, totals: &Totals) {
        let Totals {
            events,
            customers,
            claims,
            identifiers,
            letters,
            claims_shrunk,
            facts_refused,
            values_unusable,
            claims_held,
            claims_past_limit,
            matches_joined,
            matches_open,
            matches_refused,
        } = *totals;
        let all = &self.totals;
        let gauges = [
            (&all.events, events),
            (&all.customers, customers),
            (&all.claims, claims),
            (&all.identifiers, identifiers),
            (&all.letters, letters),
            (&all.claims_held, claims_held),
            (&all.claims_past_limit, claims_past_limit),
            (&all.matches_joined, matches_joined),
            (&all.matches_open, matches_open),
        ];
        for (gauge, count) in gauges {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        // They never go back: state counts them from its first event on.
        all.claims_shrunk.inner().store(claims_shrunk, Ordering::Relaxed);
        all.facts_refused.inner().store(facts_refused, Ordering::Relaxed);
        all.values_unusable.inner().store(values_unusable, Ordering::Relaxed);
        all.matches_refused.inner().store(matches_refused, Ordering::Relaxed);
    }

    /// A batch was folded in this time.
    pub fn folded(&self, inputs: &[Input], took: Duration) {
        let mut events = 0;
        for input in inputs {
            match input {
                Input::Event { .. } => events += 1,
                Input::Passed { reason: Passed::Duplicate, .. } => {
                    self.duplicates.inc();
                }
                Input::Passed { reason: Passed::Dropped { stage }, .. } => {
                    self.dropped.get_or_create(&Stage { stage: stage.clone() }).inc();
                }
                Input::DeadLetter(letter) => self.dead_letter(&letter.stage, &letter.code),
                _ => (),
            }
        }
        self.events.inc_by(events);
        if events > 0 {
            self.fold.observe(took.as_secs_f64() / events as f64);
        }
    }

    /// A record became a dead letter.
    pub fn dead_letter(&self, stage: &str, code: &str) {
        self.dead_letters.get_or_create(&Ending { stage: stage.to_owned(), outcome: code.to_owned() }).inc();
    }

    /// History was made durable in this time.
    pub fn history_synced(&self, took: Duration) {
        self.history_sync.observe(took.as_secs_f64());
    }

    /// State was committed.
    pub fn committed(&self, _rows: usize, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_of_metrics_is_stable() {
        let metrics = Metrics::default();
        // A family shows itself once it has a member.
        let (stage, ending) = (Stage { stage: "web".into() }, Ending { stage: "web".into(), outcome: "ok".into() });
        for family in [&metrics.requests, &metrics.dead_letters, &metrics.deliveries, &metrics.failures] {
            drop(family.get_or_create(&ending));
        }
        let (purpose, said) = ("gdpr/marketing".to_owned(), "refused".to_owned());
        drop(metrics.withheld.get_or_create(&Wanting { stage: "web".into(), purpose, said }));
        drop(metrics.received.get_or_create(&stage));
        drop(metrics.dropped.get_or_create(&stage));
        drop(metrics.suppressed.get_or_create(&stage));
        let right = Right { kind: "access".into(), status: "completed".into() };
        drop(metrics.rights_requests.get_or_create(&right));
        drop(metrics.rights_callbacks.get_or_create(&right));
        drop(metrics.lane_waiting.get_or_create(&stage));
        drop(metrics.lane_tried.get_or_create(&stage));
        drop(metrics.matching.said.get_or_create(&Said { outcome: "merge".into() }));
        let text = metrics.text();
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let want = "weft_source_requests counter, weft_requests_too_many counter, weft_source_events counter, weft_events_folded counter, \
                    weft_events_duplicate counter, weft_transform_dropped counter, weft_events_suppressed counter, weft_rights_requests counter, weft_rights_callbacks counter, weft_profiles_forgotten counter, weft_dead_letters counter, \
                    weft_deliveries counter, weft_deliveries_withheld counter, weft_delivery_failures counter, weft_intake_waiting_records gauge, \
                    weft_lane_waiting_records gauge, weft_lane_tried gauge, weft_events gauge, weft_customers gauge, weft_claims gauge, \
                    weft_identifiers gauge, weft_dead_letters_waiting gauge, weft_claims_shrunk counter, \
                    weft_facts_refused counter, weft_values_unusable counter, weft_claims_held gauge, \
                    weft_claims_past_limit gauge, weft_matches_joined gauge, weft_matches_open gauge, weft_matches_refused counter, \
                    weft_matching_customers gauge, weft_matching_waiting_customers gauge, weft_matching_compared counter, \
                    weft_matching_said counter, weft_matching_keys_closed gauge, weft_matching_left_out counter, \
                    weft_matching_model_version gauge, weft_matching_model_learned_timestamp_seconds gauge, \
                    weft_matching_customer_seconds histogram, weft_matching_failures counter, weft_intake_sync_seconds histogram, \
                    weft_history_sync_seconds histogram, weft_commit_seconds histogram, weft_fold_event_seconds histogram";
        assert_eq!(names.join(", "), want);
    }
    #[test]
    fn what_state_counts_is_shown_under_its_own_name() {
        let metrics = Metrics::default();
        let totals = Totals {
            events: 1,
            customers: 2,
            claims: 3,
            identifiers: 4,
            letters: 5,
            claims_shrunk: 6,
            facts_refused: 7,
            values_unusable: 8,
            claims_held: 9,
            claims_past_limit: 10,
            matches_joined: 11,
            matches_open: 12,
            matches_refused: 13,
        };
        metrics.counted(&Totals { claims_shrunk: 5, ..totals });
        metrics.counted(&totals);
        let text = metrics.text();
        for line in [
            "weft_events 1",
            "weft_customers 2",
            "weft_claims 3",
            "weft_identifiers 4",
            "weft_dead_letters_waiting 5",
            "weft_claims_shrunk_total 6",
            "weft_facts_refused_total 7",
            "weft_values_unusable_total 8",
            "weft_claims_held 9",
            "weft_claims_past_limit 10",
            "weft_matches_joined 11",
            "weft_matches_open 12",
            "weft_matches_refused_total 13",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }
}
