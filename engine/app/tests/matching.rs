//! Customers who share no identifier, on an engine without plugins: who becomes one, who stays apart, what is taken back, and what a crash or
//! a lost index does to it.

use std::path::Path;
use std::time::Duration;

use weft::clock::Clock;
use weft::config::alone::document_of;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::intake::Arrived;
use weft::matcher::Rules;
use weft::vault::{DataFolder, Vault};
use weft_domain::claim::{ClaimId, CustomerId, Decision, Match, Outcome};
use weft_domain::event::{Environment, Event, Identifier};
use weft_domain::explain::whose;
use weft_domain::input::{Arrival, Command, Input, Named};
use weft_domain::plan::{MATCHING_LANE, Plan};
use weft_domain::view::View;

const NOON: &str = "2026-03-01T12:00:00.000Z";

const FIELDS: &str = "compare:\n  name: person_name\n  born: date\n  email: email\n  phone: phone\n  street: address\n  city: text\ntrain: by_hand\n";

/// An engine with a clock that stands still, and its next minute.
struct World {
    engine: Engine,
    clock: Clock,
    minute: u32,
}

impl World {
    async fn start(data: &Path) -> World {
        World::with(data, FIELDS, 0).await
    }

    async fn with(data: &Path, fields: &str, minute: u32) -> World {
        let clock = Clock::at(NOON.parse().expect("valid"));
        clock.set(clock.now().plus_ms(i64::from(minute) * 60_000));
        let engine = Engine::start(settings(data, fields, &clock), async |_| Ok(Stages::default()), |_| ()).await;
        World { engine: engine.expect("the engine starts"), clock, minute }
    }

    /// Tells of people, written `source id|name|born|email|phone|street|city`: each is known by the id, and by nothing that is compared.
    async fn tell(&mut self, people: &[&str]) {
        for text in people {
            let (source, rest) = text.split_once(' ').expect("a source");
            let mut parts = rest.split('|');
            let id = parts.next().expect("an id");
            let names = ["name", "born", "email", "phone", "street", "city"];
            let traits: serde_json::Map<String, serde_json::Value> = names
                .iter()
                .zip(parts)
                .filter(|(_, text)| !text.is_empty())
                .map(|(name, text)| ((*name).to_owned(), text.into()))
                .collect();
            let json = serde_json::json!({ "type": "identify", "traits": traits });
            let mut event = Event::parse(json.to_string().as_bytes()).expect("valid");
            self.minute += 1;
            event.occurred = Some(self.clock.now().plus_ms(i64::from(self.minute)));
            event.claims = id.split('+').map(|id| Identifier::observed("user_id", id)).collect();
            event.stamp(self.clock.now(), Environment::Production);
            let mut arrived = Arrived::default();
            arrived.push(&Arrival::Event { source, named: Named::ByPlace, json: &event.to_json() });
            self.engine.intake().append(arrived).await.expect("intake takes them");
        }
        self.rest().await;
    }

    /// Lets profiles rest, and the matcher say what it has to say, until nothing follows any more.
    async fn rest(&mut self) {
        let until = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            assert_eq!(self.engine.report().trouble, None);
            assert!(std::time::Instant::now() < until, "it never rests: {:?}", self.engine.matcher().standing());
            let arrived = self.engine.is_caught_up();
            // In this order: what the matcher says sets timers.
            let idle = self.engine.matcher().is_idle(self.engine.ledger());
            let next =
                self.engine.ledger().state().due(weft_domain::value::Timestamp(i64::MAX), 1).expect("readable").first().copied();
            match next {
                None if arrived && idle => return,
                Some((due, _)) if arrived && idle && due > self.clock.now() => self.clock.set(due),
                _ => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }

    fn customer(&self, id: &str) -> CustomerId {
        whose(&*self.engine.ledger().state(), "user_id", id).expect("readable").expect("somebody")
    }

    /// For each of these people the first among them who is the same customer.
    fn persons(&self, ids: &[&str]) -> Vec<usize> {
        let customers: Vec<CustomerId> = ids.iter().map(|id| self.customer(id)).collect();
        customers.iter().map(|one| customers.iter().position(|other| other == one).expect("itself")).collect()
    }

    /// What is known of two by comparison.
    fn known(&self, a: &str, b: &str) -> Option<Match> {
        self.engine.ledger().state().claim(claim(a)).expect("readable").expect("a claim").matched(claim(b)).cloned()
    }

    fn records(&self) -> u64 {
        self.engine.ledger().history().durable_end()
    }

    fn said(&self) -> (u64, u64, u64) {
        let standing = self.engine.matcher().standing().expect("it matches");
        assert_eq!(standing.last_error, None);
        (standing.merges_total, standing.reviews_total, standing.aparts_total)
    }

    async fn stop(self) -> u32 {
        self.engine.stop().await.expect("an orderly stop");
        self.minute
    }
}

fn settings(data: &Path, fields: &str, clock: &Clock) -> Settings {
    let mut plan = Plan { matching: !fields.is_empty(), ..Plan::default() };
    // Lists number people anew, so that one person has several ids.
    plan.identity.identifiers[0].limit = Some(20);
    let matching = if fields.is_empty() { None } else { Some(rules(fields)) };
    let terms = Terms { plan, matching, ..Terms::default() };
    Settings { data: DataFolder::at(data), listen: None, terms, clock: clock.clone() }
}

fn rules(fields: &str) -> Rules {
    Rules::of(&document_of(Path::new("fields.yaml"), fields).expect("is right")).expect("are right")
}

fn claim(id: &str) -> ClaimId {
    ClaimId::of(&[Identifier::observed("user_id", id)])
}

async fn check(people: &[&str], want: &[usize]) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path()).await;
    world.tell(people).await;
    let ids: Vec<&str> = people.iter().map(|text| text.split([' ', '|']).nth(1).expect("an id")).collect();
    assert_eq!(world.persons(&ids), want, "{people:#?}\n{:?}", world.said());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn john_doe_of_the_mailing_list_is_john_d_in_the_app() {
    check(&["list 1|John Doe||john.doe@acme.example||12 Harbour Road|Bonn", "app 2|John D.||john.doe@acme.example|||"], &[0, 0])
        .await;
    check(&["list 1|John Doe|1980-03-04||0170 5551234|12 Harbour Road|Bonn", "app 2|John D.|||+49 170 5551234||"], &[0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_like_john_doe_and_somebody_else_stays_somebody_else() {
    check(
        &[
            "list 1|John Doe|1980-03-04|john.doe@acme.example|0228 555123|12 Harbour Road|Bonn",
            "list 2|Jane Doe|1982-11-30||0228 555123|12 Harbour Road|Bonn",
            "crm 3|John Dean|1975-06-21|||40 Hill Street|Bonn",
            "app 4|J. D.|||||Bonn",
            "app 5|John D.||john.doe@acme.example|||",
        ],
        &[0, 1, 2, 3, 0],
    )
    .await;
    // Father and son of one name at one address; twins; a family with one telephone.
    check(
        &[
            "list 1|John Doe Sr|1950-01-17||0228 555123|12 Harbour Road|Bonn",
            "list 2|John Doe Jr|1980-03-04||0228 555123|12 Harbour Road|Bonn",
            "app 3|John Doe|1980-03-04||0228 555123|12 Harbour Road|Bonn",
        ],
        &[0, 1, 1],
    )
    .await;
    check(
        &[
            "list 1|Anna Doe|2001-05-09||0228 555123|12 Harbour Road|Bonn",
            "list 2|Clara Doe|2001-05-09||0228 555123|12 Harbour Road|Bonn",
        ],
        &[0, 1],
    )
    .await;
    check(
        &[
            "list 1|John Doe|1980-03-04|john@doe.example|0228 555123|12 Harbour Road|Bonn",
            "list 2|Jane Doe|1982-11-30|jane@doe.example|0228 555123|12 Harbour Road|Bonn",
            "list 3|Tim Doe|2010-07-07||0228 555123|12 Harbour Road|Bonn",
            "app 4|Jane Doe||jane@doe.example|||",
            "app 5|Johnny Doe|1980-03-04||0228 555123||Bonn",
        ],
        &[0, 1, 2, 1, 0],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_cannot_say_three_say_together_and_a_corrected_field_takes_a_match_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path()).await;
    world.tell(&["list 1|Xaver Querfurt|1971-09-13|xaver@querfurt.example||4 Mill Lane|Trier"]).await;
    world.tell(&["crm 2|X. Querfurt|||0170 9998877||Trier"]).await;
    assert_eq!(world.persons(&["1", "2"]), [0, 1]);
    world.tell(&["app 3|Xaver Querfurt|1971-09-13|xaver@querfurt.example|0170 9998877||"]).await;
    assert_eq!(world.persons(&["1", "2", "3"]), [0, 0, 0], "{:?}", world.said());
    // The number in the app was typed wrongly, and is another's.
    let (merges, ..) = world.said();
    world.tell(&["app 3|Xaver Querfurt|1971-09-13|xaver@querfurt.example|0171 2223344||"]).await;
    assert_eq!(world.persons(&["1", "2", "3"]), [0, 1, 0]);
    let (merges_now, reviews, aparts) = world.said();
    assert_eq!((merges_now, reviews + aparts), (merges, 1));
    // And it is as it was, when it was right after all.
    world.tell(&["app 3|Xaver Querfurt|1971-09-13|xaver@querfurt.example|0170 9998877||"]).await;
    assert_eq!(world.persons(&["1", "2", "3"]), [0, 0, 0]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_turns_again_and_again_is_left_to_a_person() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path()).await;
    world.tell(&["list 1|John Doe|||0170 5551234||Bonn", "app 2|John D.|||0170 5551234||"]).await;
    for _ in 0..3 {
        assert_eq!(world.persons(&["1", "2"]), [0, 0]);
        world.tell(&["app 2|Dora D.|||0170 5551234||"]).await;
        assert_eq!(world.persons(&["1", "2"]), [0, 1]);
        world.tell(&["app 2|John D.|||0170 5551234||"]).await;
    }
    assert_eq!(world.persons(&["1", "2"]), [0, 1]);
    let known = world.known("1", "2").expect("a person is asked");
    assert!(known.is_open() && known.outcome == Outcome::Review, "{known:?}");
    world.stop().await;
}

/// Records that fit together in many ways: of few names, days and numbers, each with half of its fields.
fn people_in_disorder(count: usize) -> Vec<String> {
    let given = ["John", "Jon", "J.", "Jane", "Johanna", "Dora"];
    let family = ["Doe", "D.", "Dean", "Dohe"];
    let mut dice = 1u64;
    let mut draw = |below: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % below
    };
    let mut people = Vec::new();
    for nth in 1..=count {
        let name = format!("{} {}", given[draw(6)], family[draw(4)]);
        let rest = [
            format!("19{}0-0{}-11", 5 + draw(3), 1 + draw(2)),
            format!("{}@doe.example", ["j", "john", "jane", "d"][draw(4)]),
            format!("0170 555000{}", draw(8)),
            format!("{} Mill Lane", 1 + draw(6)),
            ["Bonn", "Trier"][draw(2)].to_owned(),
        ];
        let rest = rest.map(|text| if draw(2) == 0 { text } else { String::new() });
        people.push(format!("crm {nth}|{name}|{}", rest.join("|")));
    }
    people
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_fit_together_in_many_ways_come_to_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path()).await;
    for one in people_in_disorder(100) {
        world.tell(&[&one]).await;
    }
    // Two of them would be joined and taken apart for ever, with nobody saying anything new: six hundred merges in as many turns as
    // a byte counts.
    let (merges, ..) = world.said();
    assert!(merges > 50 && merges < 150, "{:?}", world.said());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_the_last_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path()).await;
    let people = ["list 1|John Doe||john.doe@acme.example||12 Harbour Road|Bonn", "app 2|John D.||john.doe@acme.example|||"];
    world.tell(&people).await;
    let pair = [claim("1"), claim("2")];
    let decide = |decision| Input::Command(Command::DecideMatch { pair, decision, reason: "asked them".into() });
    world.engine.ledger().log(decide(Some(Decision::Refuse))).await.expect("is logged");
    world.rest().await;
    world.tell(&["app 2|John D.|1980-03-04|john.doe@acme.example||12 Harbour Road|Bonn"]).await;
    assert_eq!(world.persons(&["1", "2"]), [0, 1], "what was refused is not proposed again");
    world.engine.ledger().log(decide(Some(Decision::Accept))).await.expect("is logged");
    world.rest().await;
    world.tell(&["app 2|Carl Carlson|1999-01-01|carl@carlson.example|||Mainz"]).await;
    assert_eq!(world.persons(&["1", "2"]), [0, 0], "what was accepted is not taken back");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_guard_forbids_the_likeliest_the_next_is_found_and_nothing_is_said_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path()).await;
    world
        .tell(&[
            "list 1|John Doe|1980-03-04|john.doe@acme.example|0170 5551234|12 Harbour Road|Bonn",
            "list 2|John Doe||john.doe@acme.example|||",
        ])
        .await;
    assert_eq!(world.persons(&["1", "2"]), [0, 0]);
    let apart = weft::identity::Asked {
        identifiers: vec!["user_id:2".parse().expect("TYPE:VALUE")],
        apart_from: vec!["user_id:1".parse().expect("TYPE:VALUE")],
        reason: Some("two people".into()),
        ..Default::default()
    };
    weft::identity::split(world.engine.ledger(), &apart).await.expect("it can be split");
    world.rest().await;
    assert_eq!(world.persons(&["1", "2"]), [0, 1]);
    world.tell(&["app 3|John D.||john.doe@acme.example|0170 5551234||"]).await;
    assert_eq!(world.persons(&["1", "2", "3"]), [0, 1, 0]);
    let records = world.records();
    world.tell(&["app 3|John D.||john.doe@acme.example|0170 5551234||"]).await;
    // The event, the receipt, a tick at most for each.
    assert!(world.records() - records <= 4, "{} records", world.records() - records);
    world.stop().await;
}

fn some_people() -> Vec<String> {
    let given = ["John", "Berta", "Carl", "Dora", "Emil", "Frieda", "Gustav", "Hedwig", "Igor", "Jutta"];
    let family = ["Amsel", "Birke", "Csonka", "Drossel", "Eiche", "Fink", "Gruber"];
    let mut people = Vec::new();
    // From 1 on: an id of 0 names nobody.
    for nth in 1..=120 {
        let (given, family) = (given[nth % 10], family[nth % 7]);
        let born = format!("19{:02}-0{}-1{}", 40 + nth % 50, 1 + nth % 9, nth % 10);
        let email = format!("{}{nth}@mail.example", given.to_lowercase());
        people.push(format!("crm {nth}|{given} {family}|{born}|{email}|0170 555{nth:04}|{nth} Mill Lane|Bonn"));
        if nth % 3 == 0 {
            people.push(format!("app a{nth}|{given} {}.|{born}|{email}|||", &family[..1]));
        }
    }
    people
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_lost_is_made_anew_and_a_rebuild_says_nothing_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path()).await;
    let people = some_people();
    world.tell(&people.iter().map(|text| &**text).collect::<Vec<_>>()).await;
    let customers = |world: &World| world.engine.ledger().state().totals().customers;
    assert_eq!(customers(&world), 120);
    let minute = world.stop().await;
    let kept = Vault::open(&DataFolder::at(folder.path()), |_| ()).expect("opens");
    let hash = kept.state_hash().expect("readable");
    kept.close().expect("closes");
    let rebuilt = Vault::rebuild(&DataFolder::at(folder.path()), |_| ()).expect("rebuilds");
    assert_eq!(rebuilt.state_hash().expect("readable"), hash);
    rebuilt.close().expect("closes");

    // The index is kept over a restart, and nobody is compared again.
    let mut world = World::with(folder.path(), FIELDS, minute).await;
    world.rest().await;
    let standing = world.engine.matcher().standing().expect("it matches");
    assert_eq!((standing.customers, standing.compared_total), (120, 0));
    let minute = world.stop().await;

    for lose in [true, false] {
        if lose {
            std::fs::remove_dir_all(folder.path().join("matching")).expect("is removed");
        }
        let fields = if lose { FIELDS.to_owned() } else { FIELDS.replace("  city: text\n", "") };
        let mut world = World::with(folder.path(), &fields, minute).await;
        let records = world.records();
        world.rest().await;
        let standing = world.engine.matcher().standing().expect("it matches");
        assert!(standing.compared_total > 0 && standing.building.is_none(), "{standing:?}");
        assert_eq!((standing.customers, customers(&world), world.said()), (120, 120, (0, 0, 0)));
        // A plan, where fields are others in the configuration only; and nothing else.
        assert!(world.records() - records <= 1);
        // It goes on from there.
        world.tell(&[&format!("shop {lose}|Berta B.|1941-02-11|berta1@mail.example|||")]).await;
        assert_eq!(world.customer(&lose.to_string()), world.customer("1"));
        world.engine.matcher().forget().await;
        world.rest().await;
        assert_eq!(world.engine.matcher().standing().expect("it matches").customers, 120);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_its_receipt_has_the_work_done_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let mut world = World::with(&data, "", 0).await;
    world
        .tell(&["list 1|John Doe||john.doe@acme.example||12 Harbour Road|Bonn", "app 2|John D.||john.doe@acme.example|||"])
        .await;
    let minute = world.stop().await;
    let mut world = World::with(&data, FIELDS, minute).await;
    world.rest().await;
    assert_eq!(world.persons(&["1", "2"]), [0, 0], "who was there before matching was is found as well");
    world.tell(&["app 3|Carl Carlson||carl@carlson.example|||"]).await;
    let minute = world.stop().await;

    // The index as it is before the next customer is compared, and after; the logs from before its receipt.
    let mut world = World::with(&data, FIELDS, minute).await;
    world.tell(&["list 4|Carl C.||carl@carlson.example|||"]).await;
    assert_eq!(world.persons(&["3", "4"]), [0, 0]);
    let end = world.records();
    let minute = world.stop().await;
    let history = weft_store::log::Log::open(
        std::sync::Arc::new(weft_store::files::Disk),
        &data.join("history"),
        weft_store::log::Options::default(),
    );
    let (log, _) = history.expect("opens");
    let receipts: Vec<u64> = (0..end).filter(|position| is_receipt(&log, *position)).collect();
    copy_until(&log, &other.join("history"), *receipts.last().expect("there are receipts"));
    log.close().expect("closes");
    for part in ["intake", "matching"] {
        copy(&data.join(part), &other.join(part));
    }
    let mut world = World::with(&other, FIELDS, minute).await;
    world.rest().await;
    assert_eq!((world.persons(&["1", "2", "3", "4"]), world.said()), (vec![0, 0, 2, 2], (0, 0, 0)));
    let lane = world.engine.ledger().state().lane(MATCHING_LANE).expect("readable");
    assert_eq!(lane.profiles_through, lane.profiles_next);
    world.stop().await;
}

fn is_receipt(log: &weft_store::log::Log, position: u64) -> bool {
    let record = log.reader().record(position).expect("is there");
    matches!(Input::decode(record.kind, &record.bytes), Ok(Input::Receipts(receipts)) if receipts.lane == MATCHING_LANE)
}

/// A history that ends before a record.
fn copy_until(log: &weft_store::log::Log, to: &Path, end: u64) {
    let opened =
        weft_store::log::Log::open(std::sync::Arc::new(weft_store::files::Disk), to, weft_store::log::Options::default());
    let (mut cut, _) = opened.expect("opens");
    for position in 0..end {
        let record = log.reader().record(position).expect("is there");
        cut.append(&[weft_store::log::Record { kind: record.kind, bytes: &record.bytes }]).expect("is appended");
    }
    cut.sync().expect("is kept");
    cut.close().expect("closes");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("is made");
    for entry in std::fs::read_dir(from).expect("is there") {
        let entry = entry.expect("is read");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to) } else { assert!(std::fs::copy(from, to).is_ok()) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_learned_from_customers_and_a_new_one_weighs_them_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path()).await;
    world.tell(&["list doe|John Doe||john.doe@acme.example||12 Harbour Road|Bonn"]).await;
    let few = world.engine.matcher().learn().await.expect_err("there is nobody to learn from");
    assert_eq!(few.to_string(), "1 customers have something to compare, and from fewer than 100 nothing is learned");
    assert_eq!(world.engine.matcher().model(world.engine.ledger()).expect("it matches").model.version, 0);
    let people = some_people();
    world.tell(&people.iter().map(|text| &**text).collect::<Vec<_>>()).await;
    let shown = world.engine.matcher().learn().await.expect("it learns");
    assert_eq!(shown.model.records, people.len() as u64 + 1, "what it made one counts as the two that it was");
    assert!(shown.model.version > 0 && shown.model.learned == Some(world.clock.now()));
    assert_eq!(world.engine.matcher().model(world.engine.ledger()), Some(shown.clone()));
    world.rest().await;
    let standing = world.engine.matcher().standing().expect("it matches");
    assert_eq!(standing.model, shown.model);
    let minute = world.stop().await;
    // It is kept, and of no use for other fields.
    let mut world = World::with(folder.path(), &FIELDS.replace("  city: text\n", ""), minute).await;
    world.rest().await;
    assert_eq!(world.engine.matcher().standing().expect("it matches").model.version, 0);
    let minute = world.stop().await;
    let mut world =
        World::with(folder.path(), &FIELDS.replace("train: by_hand", "train: { after: 100, every: 7d }"), minute).await;
    world.rest().await;
    assert_eq!(world.engine.matcher().standing().expect("it matches").model.version, shown.model.version);
    // A week later it is time.
    world.clock.set(world.clock.now().plus_ms(8 * 86_400_000));
    world.tell(&["list 777|Zita Zander||zita@zander.example|||"]).await;
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while world.engine.matcher().standing().expect("it matches").model.version == shown.model.version {
        assert!(std::time::Instant::now() < until, "nothing is learned");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_matching_there_is_neither_a_folder_nor_a_lane() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path()).await;
    world.tell(&["list 1|John Doe||john.doe@acme.example|||"]).await;
    assert!(folder.path().join("matching").is_dir() && world.engine.report().matching.is_some());
    let terms = settings(folder.path(), "", &world.clock).terms;
    world.engine.adopt(terms, Stages::default()).await.expect("is adopted");
    world.tell(&["app 2|John D.||john.doe@acme.example|||"]).await;
    assert_eq!(world.persons(&["1", "2"]), [0, 1]);
    assert!(world.engine.report().matching.is_none() && world.engine.report().lanes.is_empty());
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while folder.path().join("matching").exists() {
        assert!(std::time::Instant::now() < until, "the folder stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let lane = world.engine.ledger().state().lane(MATCHING_LANE).expect("readable");
    assert_eq!(lane.profiles_through, lane.profiles_next);
    // And on again: whoever came meanwhile is found.
    let terms = settings(folder.path(), FIELDS, &world.clock).terms;
    world.engine.adopt(terms, Stages::default()).await.expect("is adopted");
    world.rest().await;
    assert_eq!(world.persons(&["1", "2"]), [0, 0]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_is_found_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(folder.path()).await;
    world
        .tell(&["list 1|John Doe||john.doe@acme.example||12 Harbour Road|Bonn", "app 2|Carl Carlson||carl@carlson.example|||"])
        .await;
    let who = weft::events::Who::Identifier("user_id".into(), "1".into());
    let asked = world.engine.eraser().ask(&[who], "asked for it".into()).await.expect("can be asked");
    let until = std::time::Instant::now() + Duration::from_secs(60);
    let done =
        |world: &World| weft::erasure::find(world.engine.ledger(), &asked.id).expect("readable").and_then(|one| one.completed);
    while done(&world).is_none() {
        assert!(std::time::Instant::now() < until, "it is never done");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.rest().await;
    assert_eq!(world.engine.matcher().standing().expect("it matches").customers, 1);
    world.tell(&["app 3|John Doe||john.doe@acme.example||12 Harbour Road|Bonn"]).await;
    assert_ne!(world.customer("3"), world.customer("2"));
    assert_eq!(world.said(), (0, 0, 0));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_matcher_that_fails_holds_nobody_up_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = folder.path().join("matching");
    std::fs::write(&index, "not a folder").expect("is written");
    let mut world = World::start(folder.path()).await;
    let people = ["list 1|John Doe||john.doe@acme.example||12 Harbour Road|Bonn", "app 2|John D.||john.doe@acme.example|||"];
    let told = tokio::time::timeout(Duration::from_secs(4), world.tell(&people)).await;
    assert!(told.is_err(), "it does not come to rest");
    let report = world.engine.report();
    assert_eq!((report.totals.events, report.trouble), (2, None));
    let standing = report.matching.expect("it matches");
    let error = standing.last_error.expect("it says so");
    assert!(error.starts_with("the index of matching: ") && error.contains("matching"), "{error}");
    assert_eq!(standing.waiting, 0, "it has not come so far");
    assert!(world.engine.metrics().text().contains("weft_matching_failures_total "));
    std::fs::remove_file(&index).expect("is removed");
    world.rest().await;
    assert_eq!((world.persons(&["1", "2"]), world.said()), (vec![0, 0], (1, 0, 0)));
    world.stop().await;
}
