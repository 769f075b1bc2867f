//! Consent at a destination: asked when a delivery leaves and at every try, withheld without a letter, and a withdrawal is told to whoever has the
//! profile. Time is tokio's own and jumps to whatever is waited for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weft::clock::Clock;
use weft::delivery::{Filter, Lane, Standing};
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::intake::Arrived;
use weft::vault::DataFolder;
use weft::writer::Ledger;
use weft_domain::consent::{Need, Purpose, Rule, Unsaid};
use weft_domain::event::{Environment, Event};
use weft_domain::explain::whose;
use weft_domain::input::{Arrival, Input, Named, Stream};
use weft_domain::plan::Plan;
use weft_domain::portrait::portray;
use weft_domain::value::Timestamp;
use weft_domain::view::View;
use weft_host::{Failure, FailureKind, Host, HostOptions, Lending, Lent, Stage, WantedLimits};

const NOON: &str = "2026-03-01T12:00:00.000Z";
const ADS: &str = "ads";

/// The other side: what it was told, while it is there.
#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<serde_json::Value>>,
    is_away: Mutex<bool>,
}

impl Ear {
    fn is_away(&self, is_away: bool) {
        *self.is_away.lock().expect("nobody panicked") = is_away;
    }

    fn heard(&self) -> Vec<serde_json::Value> {
        self.heard.lock().expect("nobody panicked").clone()
    }

    /// Whom the events that it heard of are about, one after the other.
    fn names(&self) -> String {
        let name = |json: &serde_json::Value| json["claims"][0]["value"].as_str().unwrap_or("nobody").to_owned();
        self.heard().iter().map(name).collect::<Vec<_>>().join(" ")
    }
}

impl Lent for Ear {
    fn file_append(&self, _: &str, name: &str, at: u64, bytes: Vec<u8>) -> Lending<'_, Result<u64, Failure>> {
        let answer = match *self.is_away.lock().expect("nobody panicked") {
            true => Err(Failure::new(FailureKind::Unavailable, "away")),
            false => {
                if name != "keys" {
                    self.heard.lock().expect("nobody panicked").push(serde_json::from_slice(&bytes).expect("JSON"));
                }
                Ok(at)
            }
        };
        Box::pin(std::future::ready(answer))
    }
}

fn purpose() -> Purpose {
    Purpose::of(Some("gdpr"), "ads")
}

async fn start(stream: Stream, data: &Path, ear: &Arc<Ear>, clock: Clock) -> Engine {
    let host = Host::new(HostOptions { instances_max: 16, ..HostOptions::new(data.join("cache")) }).expect("a sandbox");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/fixtures/destination.wat");
    let plugin = host.load(&fixture).await.expect("a plugin");
    let lent: Arc<dyn Lent> = ear.clone();
    let stage = Stage { name: ADS.to_owned(), config: "{}".to_owned(), lent, limits: WantedLimits::default() };
    let lane = Lane {
        name: ADS.to_owned(),
        stream,
        filter: Filter::default(),
        batch_records: 6,
        batch_bytes: 1 << 20,
        batch_wait: Duration::from_millis(20),
        concurrency: 1,
        attempts_max: 3,
        ordered: false,
        destination: Arc::new(plugin.destination(stage).expect("a destination")),
        standing: Arc::default(),
        making: None,
    };
    let rule = Rule { needs: Need::Purpose(purpose()), unless_said: Unsaid::default() };
    let (mut plan, lanes) = (Plan { consent: BTreeMap::from([(ADS.to_owned(), rule)]), ..Plan::default() }, vec![ADS.to_owned()]);
    match stream {
        Stream::Events => plan.event_lanes = lanes,
        Stream::Profiles => plan.profile_lanes = lanes,
    }
    let settings =
        Settings { data: DataFolder::at(&data.join("data")), listen: None, terms: Terms { plan, ..Terms::default() }, clock };
    let stages = Stages { lanes: vec![lane], ..Stages::default() };
    Engine::start(settings, async |_: &Ledger| Ok(stages), |_| ()).await.expect("the engine starts")
}

fn noon() -> Clock {
    Clock::at(NOON.parse().expect("valid"))
}

/// An event of a second of the hour before noon, as a door would take it, and everything that comes of it.
async fn say(engine: &Engine, second: u32, kind: &str, who: &str, rest: &str) {
    put(engine, second, kind, who, rest).await;
    engine.settle().await;
}

async fn put(engine: &Engine, second: u32, kind: &str, who: &str, rest: &str) {
    let claims = if who.is_empty() { String::new() } else { format!(r#","claims":[{{"type":"user_id","value":"{who}"}}]"#) };
    let json = format!(
        r#"{{"type":"{kind}","name":"Looked","message_id":"s{second}","occurred":"2026-03-01T11:00:{second:02}.000Z"{claims}{rest}}}"#
    );
    let mut event = Event::parse(json.as_bytes()).expect("an event");
    event.stamp(NOON.parse().expect("valid"), Environment::Production);
    let mut arrived = Arrived::default();
    arrived.push(&Arrival::Event { source: "web", named: Named::BySender, json: &event.to_json() });
    engine.intake().append(arrived).await.expect("intake takes it");
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
}

fn standing(engine: &Engine) -> Standing {
    engine.report().lanes[0].standing.clone()
}

const GRANTED: &str = r#","consent":{"gdpr":{"ads":true}}"#;
const REFUSED: &str = r#","consent":{"gdpr":{"ads":false}}"#;

#[tokio::test(start_paused = true)]
async fn events_of_who_did_not_agree_do_not_leave_and_no_letter_waits() {
    let (folder, ear) = (tempfile::tempdir().expect("a folder"), Arc::<Ear>::default());
    let engine = start(Stream::Events, folder.path(), &ear, noon()).await;
    say(&engine, 1, "track", "ann", GRANTED).await;
    say(&engine, 2, "track", "bob", "").await;
    say(&engine, 3, "track", "cal", REFUSED).await;
    assert_eq!(ear.names(), "ann");
    say(&engine, 5, "track", "ann", REFUSED).await;
    say(&engine, 4, "track", "ann", GRANTED).await;
    assert_eq!(ear.names(), "ann", "she took it back, and what came late does not bring it back");
    say(&engine, 6, "track", "bob", GRANTED).await;
    assert_eq!(ear.names(), "ann bob", "what was withheld stays so");
    say(&engine, 7, "record", "", "").await;
    say(&engine, 8, "track", "", "").await;
    say(&engine, 9, "track", "", GRANTED).await;
    assert_eq!(
        ear.names(),
        "ann bob nobody nobody",
        "a fact without a person leaves, and who is nobody is judged by what is said"
    );
    let counts = |reasons: &[(&str, u64)]| reasons.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    let want: BTreeMap<String, u64> = counts(&[("gdpr/ads not said", 2), ("gdpr/ads refused", 3)]);
    let now = standing(&engine);
    assert_eq!((now.delivered_total, now.rejected_total, now.withheld), (4, 0, want.clone()));
    assert_eq!(engine.ledger().state().totals().letters, 0);
    let mut said = 0;
    let mut cursor = engine.ledger().history().cursor(0);
    while let Some(block) = cursor.next().expect("history can be read") {
        for (_, record) in block.records() {
            if let Ok(Input::Receipts(receipts)) = Input::decode(record.kind, record.bytes) {
                said += receipts.withheld.total();
            }
        }
    }
    assert_eq!(said, 5, "receipts say so");
    engine.stop().await.expect("an orderly stop");
    let engine = start(Stream::Events, folder.path(), &ear, noon()).await;
    engine.settle().await;
    assert_eq!((standing(&engine).withheld, ear.heard().len()), (want, 4), "and so it is after a restart");
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(start_paused = true)]
async fn who_takes_it_back_while_a_delivery_is_tried_is_not_told_of() {
    let (folder, ear) = (tempfile::tempdir().expect("a folder"), Arc::<Ear>::default());
    let engine = start(Stream::Events, folder.path(), &ear, noon()).await;
    ear.is_away(true);
    put(&engine, 1, "track", "ann", GRANTED).await;
    while standing(&engine).last_error.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    put(&engine, 2, "track", "ann", REFUSED).await;
    ear.is_away(false);
    engine.settle().await;
    assert!(ear.heard().is_empty());
    assert_eq!(standing(&engine).withheld, BTreeMap::from([("gdpr/ads refused".to_owned(), 2)]));
    assert_eq!(engine.ledger().state().totals().letters, 0);
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_is_told_to_whoever_has_the_profile_and_a_grant_tells_it_anew() {
    let (folder, ear, clock) = (tempfile::tempdir().expect("a folder"), Arc::<Ear>::default(), noon());
    let engine = start(Stream::Profiles, folder.path(), &ear, clock.clone()).await;
    // Until every profile has rested and everything is told.
    let rest = async || {
        loop {
            let due = engine.ledger().state().due(Timestamp(i64::MAX), 1).expect("state can be read");
            let Some((due, _)) = due.first() else { break };
            clock.set(*due);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        engine.settle().await;
    };
    let city = |name: &str| format!(r#","traits":{{"city":"{name}"}}"#);
    put(&engine, 1, "identify", "ann", &format!("{GRANTED}{}", city("Bonn"))).await;
    put(&engine, 2, "identify", "bob", &city("Ulm")).await;
    rest().await;
    let cities = || ear.heard().iter().map(|told| told["traits"]["city"].to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(cities(), r#""Bonn""#, "Bob said nothing");

    put(&engine, 3, "identify", "ann", REFUSED).await;
    rest().await;
    let heard = ear.heard();
    let told = heard.last().expect("something was told");
    assert_eq!((heard.len(), &told["withdrawn"], &told["traits"]), (2, &serde_json::json!(true), &serde_json::json!({})));
    assert_eq!(told["identifiers"], serde_json::json!([{ "type": "user_id", "value": "ann" }]));
    assert_eq!(
        (&told["consent"], &told["customer_id"]),
        (&serde_json::json!({ "gdpr": { "ads": false } }), &heard[0]["customer_id"])
    );
    put(&engine, 4, "identify", "ann", &city("Jena")).await;
    put(&engine, 5, "identify", "bob", REFUSED).await;
    rest().await;
    assert_eq!(ear.heard().len(), 2, "nothing more of her, and nothing of him");
    let reach = |who: &str| {
        let state = engine.ledger().state();
        let customer = whose(&*state, "user_id", who).expect("readable").expect("known");
        let portrait = portray(state.plan(), &*state, customer, clock.now()).expect("readable").expect("a customer");
        let reach = &portrait.more.destinations[0];
        (reach.withheld.clone(), reach.heard, portrait.explained.consent[0].before.is_some())
    };
    let refused = || Some("gdpr/ads refused".to_owned());
    assert_eq!((reach("ann"), reach("bob")), ((refused(), false, true), (refused(), false, false)));

    put(&engine, 6, "identify", "ann", GRANTED).await;
    rest().await;
    assert_eq!(cities(), r#""Bonn" null "Jena""#, "what she has become is told anew");
    assert_eq!((reach("ann"), standing(&engine).rejected_total), ((None, true, true), 0));
    let withheld = standing(&engine).withheld;
    assert!(withheld["gdpr/ads refused"] >= 2 && withheld["gdpr/ads not said"] == 1, "{withheld:?}");
    engine.stop().await.expect("an orderly stop");
}
