//! What comes of comparing customers: they become one where the guards allow it, a person has the last word, and what is taken back leaves no trace.

use weft_domain::claim::{Bits, ClaimId, Compared, Decision, Evidence, Guard, Match, Outcome, Proposal, pair};
use weft_domain::event::{Event, Identifier};
use weft_domain::explain::{explain, whose};
use weft_domain::fold::fold;
use weft_domain::identity::{Quarantine, Rules};
use weft_domain::input::{Command, Input, Model, Part};
use weft_domain::limits;
use weft_domain::plan::{MATCHING_LANE, Plan};
use weft_domain::value::Timestamp;
use weft_domain::view::{Memory, View};

struct World {
    plan: Plan,
    state: Memory,
    position: u64,
}

fn identifier(word: &str) -> Identifier {
    let (kind, value) = word.split_once(':').expect("kind:value");
    let kind = match kind {
        "u" => "user_id",
        "e" => "email",
        _ => "anonymous_id",
    };
    Identifier::observed(kind, value)
}

fn claim(words: &str) -> ClaimId {
    let mut identifiers: Vec<Identifier> = words.split(' ').map(identifier).collect();
    identifiers.sort();
    ClaimId::of(&identifiers)
}

impl World {
    /// Each event names these identifiers: `u:ann e:x`.
    fn of(identity: Rules, events: &[&str]) -> World {
        let plan = Plan { identity, matching: true, ..Plan::default() };
        let mut world = World { plan, state: Memory::default(), position: 0 };
        events.iter().for_each(|event| world.tell(event));
        world
    }

    fn tell(&mut self, words: &str) {
        let mut event = Event::parse(br#"{"type":"identify"}"#).expect("valid");
        event.message_id = Some(format!("m{}", self.position));
        event.occurred = Some(Timestamp(self.position as i64 * 60_000));
        event.claims = words.split(' ').map(identifier).collect();
        self.take(Input::Event { source: "web".into(), intake: self.position, event: Box::new(event) });
    }

    fn take(&mut self, input: Input) {
        let changes = fold(&self.plan, &self.state, self.position, &input).expect("memory can be read");
        self.state.apply(changes);
        self.position += 1;
    }

    fn compare(&mut self, a: &str, b: &str, outcome: Outcome, weight: f64) {
        let (weight, prior, merge_at) = (Bits::of(weight), Bits::of(-9.0), Bits::of(2.5));
        let fields =
            vec![Compared { field: "name".into(), level: "same".into(), weight: Bits(weight.0 - prior.0), without: prior }];
        let evidence = Evidence { weight, prior, shared: Bits(0), fields, merge_at, model: 0, at: Timestamp(7) };
        self.take(Input::Match(Proposal { pair: pair(claim(a), claim(b)), outcome, evidence }));
    }

    fn decide(&mut self, a: &str, b: &str, decision: Option<Decision>) {
        let pair = pair(claim(a), claim(b));
        self.take(Input::Command(Command::DecideMatch { pair, decision, reason: "asked them".into() }));
    }

    fn same(&self, a: &str, b: &str) -> bool {
        let whose = |word: &str| {
            let one = identifier(word);
            whose(&self.state, &one.kind, &one.value).expect("memory can be read")
        };
        whose(a).is_some() && whose(a) == whose(b)
    }

    fn known(&self, a: &str, b: &str) -> Option<&Match> {
        self.state.claims[&claim(a)].matched(claim(b))
    }

    /// Time passes until every profile has rested.
    fn rest(&mut self) {
        self.take(Input::Tick(self.state.clock.plus_ms(100_000)));
    }

    /// What the matcher is told since it last looked.
    fn heard(&mut self) -> Vec<String> {
        self.rest();
        std::mem::take(&mut self.state.deliveries).into_values().map(|text| text.to_string()).collect()
    }
}

#[test]
fn who_looks_alike_is_one_customer_until_it_is_taken_back() {
    let mut world = World::of(Rules::default(), &["u:ann", "e:x", "e:y"]);
    let never = world.state.clone();
    world.compare("u:ann", "e:x", Outcome::Merge, 8.0);
    assert!(world.same("u:ann", "e:x"), "the anonymous one joins the known one without a sign-in");
    assert_eq!((world.state.totals().customers, world.state.totals().matches_joined), (2, 1));
    let customer = whose(&world.state, "email", "x").expect("memory can be read").expect("somebody");
    let explained = explain(&world.state, customer).expect("memory can be read").expect("somebody");
    assert_eq!(explained.matches.len(), 1);
    assert_eq!(explained.matches[0].evidence.as_ref().map(|evidence| evidence.fields[0].weight), Some(Bits(1700)));
    world.compare("u:ann", "e:x", Outcome::Apart, -3.0);
    assert!(!world.same("u:ann", "e:x"));
    assert_eq!((&world.state.claims, &world.state.identifiers), (&never.claims, &never.identifiers));
}

#[test]
fn what_is_not_sure_waits_for_a_person() {
    let mut world = World::of(Rules::default(), &["u:ann", "e:x"]);
    let which = pair(claim("u:ann"), claim("e:x"));
    world.compare("u:ann", "e:x", Outcome::Review, 1.0);
    assert!(!world.same("u:ann", "e:x") && world.state.open_matches.contains(&which));
    for (decision, together, waits) in [
        (Some(Decision::Refuse), false, 0),
        (Some(Decision::Accept), true, 0),
        (None, false, 1),
        (Some(Decision::Refuse), false, 0),
    ] {
        world.decide("u:ann", "e:x", decision);
        assert_eq!((world.same("u:ann", "e:x"), world.state.open_matches.len()), (together, waits), "{decision:?}");
    }
    world.compare("u:ann", "e:x", Outcome::Merge, 20.0);
    assert!(!world.same("u:ann", "e:x"), "a person has the last word");
    world.compare("u:ann", "e:x", Outcome::Apart, -20.0);
    assert!(world.known("u:ann", "e:x").is_some(), "what a person decided is not forgotten");
}

#[test]
fn a_person_may_say_what_no_comparison_says() {
    let mut world = World::of(Rules::default(), &["u:ann", "e:x"]);
    world.decide("u:ann", "e:x", None);
    assert!(world.known("u:ann", "e:x").is_none(), "there was nothing to take back");
    world.decide("u:ann", "e:x", Some(Decision::Accept));
    assert!(world.same("u:ann", "e:x"));
    world.take(Input::Command(Command::Split {
        parts: vec![Part::Match { pair: pair(claim("u:ann"), claim("e:x")) }],
        reason: "no".into(),
    }));
    assert!(!world.same("u:ann", "e:x"));
    world.decide("u:ann", "e:x", None);
    assert!(world.known("u:ann", "e:x").is_none());
}

#[test]
fn guards_stand_before_comparisons() {
    let mut world = World::of(Rules::default(), &["u:ann", "u:bob", "e:x"]);
    world.compare("u:ann", "u:bob", Outcome::Merge, 30.0);
    assert!(!world.same("u:ann", "u:bob"), "one user id for each customer");
    assert_eq!(world.known("u:ann", "u:bob").and_then(|known| known.guard), Some(Guard::Limit));
    // Of two that exclude each other the surer holds, whichever came first.
    world.compare("u:ann", "e:x", Outcome::Merge, 5.0);
    assert!(world.same("u:ann", "e:x"));
    world.compare("e:x", "u:bob", Outcome::Merge, 9.0);
    assert!(world.same("u:ann", "e:x"), "what became of the customer is not compared under its old id");
    let mut world = World::of(Rules::default(), &["u:ann", "u:bob", "e:x"]);
    world.compare("e:x", "u:bob", Outcome::Review, 0.0);
    world.compare("u:ann", "e:x", Outcome::Merge, 5.0);
    world.compare("e:x", "u:bob", Outcome::Merge, 9.0);
    assert!(world.same("u:bob", "e:x") && !world.same("u:ann", "e:x"));
    assert_eq!(world.known("u:ann", "e:x").and_then(|known| known.guard), Some(Guard::Limit));
    // Separated is separated.
    let ids = ["u:ann", "e:x"].map(|word| weft_domain::claim::IdentifierId::of(&identifier(word).kind, &identifier(word).value));
    let mut world = World::of(Rules::default(), &["u:ann", "e:x"]);
    world.take(Input::Command(Command::Split {
        parts: vec![Part::Pair { one: ids[0], other: ids[1], of: None }],
        reason: "two".into(),
    }));
    world.compare("u:ann", "e:x", Outcome::Merge, 30.0);
    assert_eq!(world.known("u:ann", "e:x").and_then(|known| known.guard), Some(Guard::Separated));
}

#[test]
fn merges_of_known_customers_may_be_held() {
    let mut rules = Rules { quarantine: Quarantine { known_with_known: true, larger_than: None }, ..Rules::default() };
    rules.identifiers[0].limit = Some(2);
    let mut world = World::of(rules, &["u:ann", "u:anne"]);
    world.compare("u:ann", "u:anne", Outcome::Merge, 12.0);
    assert!(!world.same("u:ann", "u:anne"));
    assert_eq!(world.state.open_matches.len(), 1, "a person is asked");
    world.decide("u:ann", "u:anne", Some(Decision::Accept));
    assert!(world.same("u:ann", "u:anne") && world.state.open_matches.is_empty());
}

#[test]
fn what_is_out_of_date_changes_nothing() {
    let mut world = World::of(Rules::default(), &["u:ann", "e:x", "u:ann e:x", "a:1"]);
    let before = world.state.claims.clone();
    world.compare("a:1", "e:x", Outcome::Merge, 9.0);
    assert_eq!(world.state.claims, before, "x is Ann by now");
    world.compare("a:1", "e:nobody", Outcome::Merge, 9.0);
    world.compare("a:1", "a:1", Outcome::Merge, 9.0);
    world.decide("a:1", "e:nobody", Some(Decision::Accept));
    world.decide("a:1", "a:1", Some(Decision::Accept));
    assert_eq!(world.state.claims, before);
}

#[test]
fn a_claim_has_room_for_so_many_matches() {
    let names: Vec<String> = (0..=limits::CLAIM_MATCHES_MAX).map(|number| format!("e:n{number}")).collect();
    let mut world = World::of(Rules::default(), &["u:ann"]);
    names.iter().for_each(|name| world.tell(name));
    names.iter().for_each(|name| world.compare("u:ann", name, Outcome::Review, 1.0));
    assert_eq!(world.state.claims[&claim("u:ann")].matches.len(), limits::CLAIM_MATCHES_MAX);
    assert_eq!(world.state.totals().matches_refused, 1);
}

#[test]
fn the_matcher_hears_of_changed_customers_as_long_as_it_is_there() {
    let mut world = World::of(Rules::default(), &["u:ann", "e:x"]);
    let told = |words: &str| format!(r#"{{"customer_id":"{}"}}"#, claim(words));
    let mut want = vec![told("u:ann"), told("e:x")];
    let mut heard = world.heard();
    want.sort();
    heard.sort();
    assert_eq!(heard, want);
    world.compare("u:ann", "e:x", Outcome::Merge, 9.0);
    let heard = world.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard.contains(&told("u:ann")) && heard.iter().any(|text| text.contains("merged_into")));
    // Who stops matching has nothing waiting.
    world.tell("a:1");
    world.rest();
    assert_eq!(world.state.deliveries.len(), 1);
    let plan = Plan { matching: false, ..world.plan.clone() };
    world.take(Input::Plan(plan));
    let lane = world.state.lane(MATCHING_LANE).expect("memory can be read");
    assert!(world.state.deliveries.is_empty() && lane.profiles_through == lane.profiles_next);
}

#[test]
fn a_model_is_known_by_its_place_in_history() {
    let mut world = World::of(Rules::default(), &["u:ann"]);
    world.take(Input::Model(Model { at: Timestamp(5), json: "{}".into() }));
    let model = world.state.model.as_ref().expect("there is one");
    assert_eq!((model.version, model.at, &*model.json), (1, Timestamp(5), "{}"));
}
