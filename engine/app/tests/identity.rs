//! What people say of who is who, on an engine without plugins: claims that are held, splits, their way back, and what is refused.

use std::path::Path;

use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::identity::{Asked, Decided, Refused, Waiting, decide, held_of, restore, split};
use weft::intake::Arrived;
use weft::review::{self, Said};
use weft::vault::{DataFolder, Vault};
use weft_domain::claim::{Bits, ClaimId, Compared, Decision, Evidence, Outcome, Proposal, pair};
use weft_domain::event::{Environment, Event, Identifier};
use weft_domain::explain::whose;
use weft_domain::identity::{Quarantine, Rules};
use weft_domain::input::{Arrival, Input, Named};
use weft_domain::limits::{REASON_BYTES_MAX, SPLIT_PARTS_MAX};
use weft_domain::plan::Plan;
use weft_domain::view::View;

const NOON: &str = "2026-03-01T12:00:00.000Z";

/// The default rules, with two user ids for one customer and a quarantine for those who are known.
fn rules() -> Rules {
    let mut rules = Rules { quarantine: Quarantine { known_with_known: true, larger_than: None }, ..Rules::default() };
    rules.identifiers[0].limit = Some(2);
    rules
}

async fn start(data: &Path) -> Engine {
    let settings = Settings {
        data: DataFolder::at(data),
        listen: None,
        terms: Terms { plan: Plan { identity: rules(), ..Plan::default() }, ..Terms::default() },
        clock: Clock::at(NOON.parse().expect("valid")),
    };
    Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

/// Tells events, written `source minute u:ann e:x`, minutes after ten.
async fn tell(engine: &Engine, events: &[&str]) {
    for text in events {
        let mut words = text.split(' ');
        let (source, minute) = (words.next().expect("a source"), words.next().expect("a minute"));
        let mut event = Event::parse(br#"{"type":"identify"}"#).expect("valid");
        event.occurred = Some(format!("2026-03-01T10:{minute:0>2}:00Z").parse().expect("valid"));
        event.claims = words.map(identifier).collect();
        event.stamp(NOON.parse().expect("valid"), Environment::Production);
        let mut arrived = Arrived::default();
        arrived.push(&Arrival::Event { source, named: Named::ByPlace, json: &event.to_json() });
        engine.intake().append(arrived).await.expect("intake takes them");
    }
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
}

fn identifier(word: &str) -> Identifier {
    let (kind, value) = word.split_once(':').expect("kind:value");
    let kind = match kind {
        "u" => "user_id",
        "e" => "email",
        "p" => "phone",
        _ => "anonymous_id",
    };
    Identifier::observed(kind, value)
}

fn claim(words: &str) -> ClaimId {
    let mut identifiers: Vec<Identifier> = words.split(' ').map(identifier).collect();
    identifiers.sort();
    ClaimId::of(&identifiers)
}

fn same(engine: &Engine, a: &str, b: &str) -> bool {
    let state = engine.ledger().state();
    let whose = |word: &str| {
        let one = identifier(word);
        whose(&*state, &one.kind, &one.value).expect("state can be read")
    };
    whose(a).is_some() && whose(a) == whose(b)
}

fn claims(words: &str) -> Asked {
    Asked { claims: vec![claim(words)], reason: Some("a shared tablet".into()), ..Asked::default() }
}

fn said(source: Option<&str>, between: Option<(u32, u32)>) -> Asked {
    let at = |minute: u32| format!("2026-03-01T10:{minute:02}:00Z").parse().expect("valid");
    let (from, to) = (between.map(|(from, _)| at(from)), between.map(|(_, to)| at(to)));
    Asked { source: source.map(str::to_owned), from, to, reason: Some("a wrong list".into()), ..Asked::default() }
}

fn named(identifiers: &[&str], apart_from: &[&str]) -> Asked {
    let read = |all: &[&str]| all.iter().map(|text| text.parse().expect("TYPE:VALUE")).collect();
    let reason = Some("two people".into());
    Asked { identifiers: read(identifiers), apart_from: read(apart_from), reason, ..Asked::default() }
}

/// Has the matcher speak of two customers, each by all that its first event names.
async fn compare(engine: &Engine, a: &str, b: &str, outcome: Outcome) {
    let fields =
        vec![Compared { field: "name.given".into(), level: "nickname".into(), weight: Bits::of(6.5), without: Bits::of(-5.0) }];
    let at = NOON.parse().expect("valid");
    let evidence =
        Evidence { weight: Bits::of(1.5), prior: Bits::of(-5.0), shared: Bits(0), fields, merge_at: Bits::of(2.5), model: 0, at };
    let proposal = Proposal { pair: pair(claim(a), claim(b)), outcome, evidence };
    engine.ledger().log(Input::Match(proposal)).await.expect("the engine runs");
}

fn two(a: &str, b: &str, decision: Option<Decision>) -> Said {
    Said { a: a.into(), b: b.into(), decision, reason: decision.map(|_| "asked them".into()) }
}

fn contradicts<T: std::fmt::Debug>(outcome: Result<T, Refused>, want: &str) {
    match outcome {
        Err(Refused::Contradicts(message)) => assert_eq!(message, want),
        other => panic!("expected `{want}`, and it is {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_claim_stays_split_whatever_is_said_later_and_after_a_rebuild() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    tell(&engine, &["web 1 u:ann e:x", "web 2 u:ann a:1", "web 3 a:1"]).await;
    let ledger = engine.ledger();
    let looked = split(ledger, &Asked { dry_run: true, ..claims("u:ann a:1") }).await.expect("it can be split");
    let impact = looked.impact.expect("it was only looked at");
    assert_eq!((looked.parts, looked.positions.len(), impact.customers_total, impact.events_moved), (2, 0, 2, 1));
    assert!(same(&engine, "u:ann", "a:1"), "nothing has happened");
    let outcome = split(ledger, &claims("u:ann a:1")).await.expect("it can be split");
    assert_eq!((outcome.parts, outcome.positions.len()), (2, 1), "the claim, and the pair that parts");
    assert!(!same(&engine, "u:ann", "a:1"));
    // The same two in another claim, later and earlier.
    tell(&engine, &["web 9 u:ann a:1 e:x", "web 0 a:1 e:x"]).await;
    assert!(!same(&engine, "u:ann", "a:1"));
    let id = claim("u:ann a:1");
    contradicts(split(ledger, &claims("u:ann a:1")).await, &format!("the claim {id} is split already: a shared tablet"));
    engine.stop().await.expect("an orderly stop");
    let before = Vault::open(&DataFolder::at(folder.path()), |_| ()).expect("opens");
    let hash = before.state_hash().expect("state can be read");
    before.close().expect("closes");
    let rebuilt = Vault::rebuild(&DataFolder::at(folder.path()), |_| ()).expect("rebuilds");
    assert_eq!(rebuilt.state_hash().expect("state can be read"), hash);
    rebuilt.close().expect("closes");
    let engine = start(folder.path()).await;
    assert!(!same(&engine, "u:ann", "a:1"));
    restore(engine.ledger(), &claims("u:ann a:1")).await.expect("it can be taken back");
    assert!(same(&engine, "u:ann", "a:1"));
    let nothing = format!("the claim {id} is not split: there is nothing to take back");
    contradicts(restore(engine.ledger(), &claims("u:ann a:1")).await, &nothing);
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_said_is_taken_back_without_what_others_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    let many: Vec<String> = (0..SPLIT_PARTS_MAX).map(|number| format!("list 30 e:n{number} p:n{number}")).collect();
    tell(&engine, &["list 1 u:ann e:x", "list 2 a:1 e:x", "web 3 a:1 e:x", "list 20 e:x p:7"]).await;
    tell(&engine, &many.iter().map(|text| &**text).collect::<Vec<_>>()).await;
    let ledger = engine.ledger();
    contradicts(
        split(ledger, &said(Some("crm"), None)).await,
        "no claim of several identifiers that `crm` said is meant by that: nothing would change",
    );
    let some = split(ledger, &said(Some("list"), Some((2, 30)))).await.expect("it can be split");
    assert_eq!((some.parts, some.positions.len()), (2, 1), "what was first said from the second minute on");
    assert!(same(&engine, "u:ann", "e:x") && same(&engine, "a:1", "e:x") && !same(&engine, "e:x", "p:7"));
    let all = split(ledger, &said(Some("list"), None)).await.expect("it can be split");
    assert_eq!((all.parts, all.positions.len()), (1 + SPLIT_PARTS_MAX, 2), "the rest, in pieces");
    assert!(!same(&engine, "u:ann", "e:x") && same(&engine, "a:1", "e:x") && !same(&engine, "e:n200", "p:n200"));
    // The source says it again: its word for that claim is taken back. Another source says it too: so it is.
    tell(&engine, &["list 40 e:n200 p:n200", "crm 41 u:ann e:x"]).await;
    assert!(same(&engine, "u:ann", "e:x") && !same(&engine, "e:n200", "p:n200"));
    let back = restore(ledger, &said(Some("list"), None)).await.expect("it can be taken back");
    assert_eq!(back.parts, 3 + SPLIT_PARTS_MAX);
    assert!(same(&engine, "e:n200", "p:n200") && same(&engine, "u:ann", "p:7"));
    // A time alone is of every source.
    assert_eq!(split(ledger, &said(None, Some((1, 4)))).await.expect("it can be split").parts, 3);
    assert!(!same(&engine, "a:1", "e:x"));
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn identifiers_are_taken_out_of_a_customer() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    tell(&engine, &["web 1 u:ann e:x", "web 2 u:ann e:y", "web 3 e:y p:7", "web 4 u:bob e:z", "web 5 a:1 a:2", "web 6 e:y"])
        .await;
    let ledger = engine.ledger();
    let not_one = "these are not one customer's: there is nothing to split";
    contradicts(split(ledger, &named(&["email:x"], &["user_id:bob"])).await, not_one);
    contradicts(split(ledger, &named(&["email:x", "email:z"], &[])).await, not_one);
    contradicts(
        split(ledger, &named(&["email:x"], &["user_id:ann", "email:x"])).await,
        "`email:x` cannot be kept apart from itself",
    );
    assert_eq!(
        split(ledger, &named(&["email:nobody"], &[])).await,
        Err(Refused::Unknown("nobody is known by `email:nobody`".into()))
    );
    // Both are kept apart from what she signs in with, and stay together.
    assert_eq!(split(ledger, &named(&["email:y", "phone:7"], &[])).await.expect("it can be split").parts, 2);
    assert!(!same(&engine, "u:ann", "e:y") && same(&engine, "e:y", "p:7") && same(&engine, "u:ann", "e:x"));
    // Who does not sign in is kept apart from all the rest.
    assert_eq!(split(ledger, &named(&["anonymous_id:1"], &[])).await.expect("it can be split").parts, 1);
    assert!(!same(&engine, "a:1", "a:2"));
    assert_eq!(restore(ledger, &named(&["email:y", "phone:7"], &[])).await.expect("it can be taken back").parts, 2);
    assert!(same(&engine, "u:ann", "p:7"));
    let nothing = "these are not kept apart from anything: there is nothing to take back";
    contradicts(restore(ledger, &named(&["email:y"], &[])).await, nothing);
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_decided_once_and_can_be_decided_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    tell(&engine, &["web 1 u:ann e:x", "web 2 u:bob", "web 3 u:bob e:x", "web 4 u:eve e:w", "web 5 u:eve e:x"]).await;
    let ledger = engine.ledger();
    let (bob, eve) = (claim("u:bob e:x"), claim("u:eve e:x"));
    let waiting = |after, limit| held_of(ledger, &Waiting { after, limit }).expect("state can be read");
    let list = waiting(None, None);
    let ids: Vec<ClaimId> = list.held.iter().map(|one| one.claim.claim).collect();
    assert_eq!((ids.clone(), list.next), ([bob.min(eve), bob.max(eve)].into(), None));
    assert!(list.held.iter().all(|one| one.impact.customers_total == 2 && one.impact.events_moved > 0), "{list:?}");
    let first = waiting(None, Some(1));
    assert_eq!((first.held.len(), first.next), (1, Some(ids[0])));
    assert_eq!(waiting(first.next, Some(1)).held[0].claim.claim, ids[1]);
    let accepted = decide(ledger, bob, Decision::Accept, "asked them").await.expect("it can be decided");
    assert!(accepted.position.is_some() && same(&engine, "u:ann", "u:bob"));
    let again = decide(ledger, bob, Decision::Accept, "asked them again").await;
    assert_eq!(again, Ok(Decided { position: None }), "it is so already");
    let refused = decide(ledger, bob, Decision::Refuse, "they moved apart").await.expect("it can be decided anew");
    assert!(refused.position.is_some() && !same(&engine, "u:ann", "u:bob"));
    let plain = claim("u:ann e:x");
    contradicts(
        decide(ledger, plain, Decision::Accept, "why not").await,
        &format!("the claim {plain} is not held: there is nothing to decide"),
    );
    split(ledger, &claims("u:ann e:x")).await.expect("it can be split");
    contradicts(
        decide(ledger, plain, Decision::Accept, "why not").await,
        &format!("the claim {plain} is retracted (a shared tablet): `weft identity restore --claim {plain}` first"),
    );
    let unknown = claim("u:nobody");
    let want = format!("there is no claim {unknown}: `weft profile` shows those of a customer");
    assert_eq!(decide(ledger, unknown, Decision::Accept, "why not").await, Err(Refused::Unknown(want)));
    let counted = engine.ledger().state().totals().claims_held;
    assert_eq!(counted, waiting(None, None).held.len() as u64);
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unclear_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    tell(&engine, &["web 1 u:ann e:x", "web 2 a:1"]).await;
    let check = async |asked: Asked, want: &str| {
        assert_eq!(split(engine.ledger(), &asked).await, Err(Refused::Unclear(want.to_owned())));
    };
    check(Asked { reason: None, ..claims("u:ann e:x") }, "say why: `reason` is for the next person who asks").await;
    let long = REASON_BYTES_MAX + 1;
    check(
        Asked { reason: Some("x".repeat(long)), ..claims("u:ann e:x") },
        &format!("the reason has {long} bytes, and {REASON_BYTES_MAX} are kept: say it shorter"),
    )
    .await;
    check(
        Asked { reason: Some("why".into()), ..Asked::default() },
        "name claims, a source or a time, or identifiers: nothing is named",
    )
    .await;
    check(
        Asked { source: Some("web".into()), ..claims("u:ann e:x") },
        "claims, what a source said, and identifiers are split one after the other",
    )
    .await;
    let alone = claim("a:1");
    contradicts(
        split(engine.ledger(), &claims("a:1")).await,
        &format!("the claim {alone} joins nothing: there is nothing to split"),
    );
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_match_waits_for_a_person_who_has_the_last_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    tell(&engine, &["web 1 u:ann e:x", "list 2 e:y", "web 3 u:bob", "list 4 e:z"]).await;
    let ledger = engine.ledger();
    compare(&engine, "u:ann e:x", "e:y", Outcome::Review).await;
    compare(&engine, "u:bob", "e:z", Outcome::Review).await;
    let list = review::open_of(ledger, &review::Waiting { after: None, limit: Some(1) }).expect("state can be read");
    let rest = review::open_of(ledger, &review::Waiting { after: list.next, limit: Some(1) }).expect("state can be read");
    assert_eq!((list.matches.len(), rest.matches.len(), rest.next), (1, 1, None));
    let all: Vec<_> = list.matches.iter().chain(&rest.matches).collect();
    let ann = all.iter().find(|one| one.matched.pair == pair(claim("u:ann e:x"), claim("e:y"))).expect("it waits");
    assert_eq!((ann.impact.customers_total, ann.impact.events_moved), (2, 1));
    let names: Vec<&str> = ann.people.iter().flat_map(|person| &person.identifiers).map(|one| &*one.value).collect();
    assert!(["ann", "x", "y"].iter().all(|name| names.contains(name)), "{names:?}");
    // By identifiers, by customers' ids, in any order; what is so already changes nothing.
    let accept = Some(Decision::Accept);
    assert!(review::decide(ledger, &two("email:y", "user_id:ann", accept)).await.expect("it can be decided").position.is_some());
    assert!(same(&engine, "u:ann", "e:y"));
    let (a, b) = (claim("u:ann e:x").to_string(), claim("e:y").to_string());
    assert_eq!(review::decide(ledger, &two(&a, &b, accept)).await, Ok(Decided { position: None }));
    assert_eq!(review::decide(ledger, &two("email:x", "email:y", accept)).await, Ok(Decided { position: None }));
    review::decide(ledger, &two("email:x", "email:y", Some(Decision::Refuse))).await.expect("it can be decided");
    assert!(!same(&engine, "u:ann", "e:y"));
    // Whoever they are: what no comparison says can be said by a person, and taken back.
    review::decide(ledger, &two("email:y", "email:z", accept)).await.expect("it can be decided");
    assert!(same(&engine, "e:y", "e:z"));
    review::decide(ledger, &two("email:y", "email:z", None)).await.expect("it can be taken back");
    assert!(!same(&engine, "e:y", "e:z"));
    engine.stop().await.expect("an orderly stop");
    // The state is what history says.
    let before = Vault::open(&DataFolder::at(folder.path()), |_| ()).expect("opens");
    let hash = before.state_hash().expect("state can be read");
    let waits = before.overlay.open_matches([ClaimId([0; 16]); 2], 9).expect("state can be read");
    assert_eq!(waits, [pair(claim("u:bob"), claim("e:z"))]);
    before.close().expect("closes");
    let rebuilt = Vault::rebuild(&DataFolder::at(folder.path()), |_| ()).expect("rebuilds");
    assert_eq!(rebuilt.state_hash().expect("state can be read"), hash);
    rebuilt.close().expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_of_two_customers_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path()).await;
    tell(&engine, &["web 1 u:ann e:x", "web 2 e:x a:1", "web 3 u:bob", "web 4 u:cy", "web 5 e:y"]).await;
    let ledger = engine.ledger();
    let (accept, refuse) = (Some(Decision::Accept), Some(Decision::Refuse));
    contradicts(
        review::decide(ledger, &two("user_id:ann", "anonymous_id:1", refuse)).await,
        "`user_id:ann` and `anonymous_id:1` are one customer by what events say: `weft explain user_id:ann anonymous_id:1` shows how, \
         `weft identity split` takes it apart",
    );
    contradicts(
        review::decide(ledger, &two("user_id:ann", "email:y", None)).await,
        "nobody has decided that: there is nothing to take back",
    );
    // Two user ids for one customer, and no third.
    review::decide(ledger, &two("user_id:ann", "user_id:bob", accept)).await.expect("it can be decided");
    for third in ["user_id:ann", "user_id:bob"] {
        match review::decide(ledger, &two(third, "user_id:cy", accept)).await {
            Err(Refused::Contradicts(message)) => assert!(message.starts_with("the rules "), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(same(&engine, "u:ann", "u:bob"));
    // Nor where that would take apart what a comparison joined, and the two would be two all the same.
    tell(&engine, &["list 0 e:z"]).await;
    compare(&engine, "u:cy", "e:z", Outcome::Merge).await;
    contradicts(
        review::decide(ledger, &two("user_id:cy", "user_id:bob", accept)).await,
        "the rules keep the two apart all the same (limit): see `identity` in the configuration",
    );
    let unknown = review::decide(ledger, &two("user_id:ann", "user_id:nobody", accept)).await;
    assert_eq!(unknown, Err(Refused::Unknown("nobody is known by `user_id:nobody`".into())));
    let unclear = review::decide(ledger, &Said { reason: None, ..two("user_id:ann", "email:y", accept) }).await;
    assert_eq!(unclear, Err(Refused::Unclear("say why: `reason` is for the next person who asks".into())));
    assert!(matches!(review::decide(ledger, &two("ann", "email:y", accept)).await, Err(Refused::Unclear(_))));
    engine.stop().await.expect("an orderly stop");
}
