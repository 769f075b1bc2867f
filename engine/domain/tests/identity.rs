//! What people see of identity and what they can do about it: why two are one, what would come of a split, and what is held.

use weft_domain::between::{Between, Reason, between};
use weft_domain::claim::{ClaimId, Decision, IdentifierId};
use weft_domain::event::{Event, Identifier, Learnt};
use weft_domain::explain::{Who, explain, whose};
use weft_domain::fold::fold;
use weft_domain::identity::{MergeLimit, Quarantine, Rules};
use weft_domain::impact::{Imagined, Impact};
use weft_domain::input::{Command, Input, Part};
use weft_domain::limits;
use weft_domain::plan::Plan;
use weft_domain::value::{Json, Timestamp};
use weft_domain::view::{Memory, View};

struct World {
    plan: Plan,
    state: Memory,
    position: u64,
}

/// The default rules, with two user ids for one customer, and what `change` makes of them.
fn rules(change: impl FnOnce(&mut Rules)) -> Rules {
    let mut rules = Rules::default();
    rules.identifiers[0].limit = Some(2);
    change(&mut rules);
    rules
}

impl World {
    /// Events are written `source u:ann e:x city=Bonn`, a minute after the other; `+e:x` is added, `-e:x` removed,
    /// `~e:x` an alias.
    fn of(rules: Rules, events: &[&str]) -> World {
        let mut world = World { plan: Plan { identity: rules, ..Plan::default() }, state: Memory::default(), position: 0 };
        events.iter().for_each(|text| world.tell(text));
        world
    }

    fn tell(&mut self, text: &str) {
        let mut words = text.split(' ');
        let source = words.next().expect("a source").to_owned();
        let mut event = Event::parse(br#"{"type":"identify"}"#).expect("valid");
        event.message_id = Some(format!("m{}", self.position));
        event.occurred = Some(Timestamp(self.position as i64 * 60_000));
        for word in words {
            match word.split_once('=') {
                Some((name, value)) => drop(event.traits.insert(name.into(), Json::string(value))),
                None => event.claims.push(learnt(word)),
            }
        }
        self.take(Input::Event { source, intake: self.position, event: Box::new(event) });
    }

    fn take(&mut self, input: Input) {
        let changes = fold(&self.plan, &self.state, self.position, &input).expect("memory can be read");
        self.state.apply(changes);
        self.position += 1;
    }

    fn split(&mut self, parts: Vec<Part>) {
        self.take(Input::Command(Command::Split { parts, reason: "two people".into() }));
    }

    fn between(&self, a: &str, b: &str) -> Option<Between> {
        let who = |word: &str| {
            let one = identifier(word);
            Who::Identifier(one.kind, one.value)
        };
        between(&self.state, &who(a), &who(b)).expect("memory can be read")
    }

    fn imagine(&self, command: Command) -> Impact {
        let mut imagined = Imagined::on(&self.state);
        imagined.order(&self.plan, command).expect("memory can be read");
        imagined.impact(&self.plan.identity).expect("memory can be read")
    }

    fn same(&self, a: &str, b: &str) -> bool {
        let whose = |word: &str| {
            let one = identifier(word);
            whose(&self.state, &one.kind, &one.value).expect("memory can be read")
        };
        whose(a).is_some() && whose(a) == whose(b)
    }
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

fn learnt(word: &str) -> Identifier {
    let marks = [('+', Learnt::Added), ('-', Learnt::Removed), ('~', Learnt::Alias)];
    let marked = marks.iter().find_map(|(mark, how)| Some((word.strip_prefix(*mark)?, *how)));
    marked.map_or_else(|| identifier(word), |(word, how)| Identifier { how, ..identifier(word) })
}

fn claim(words: &str) -> ClaimId {
    let mut identifiers: Vec<Identifier> = words.split(' ').map(identifier).collect();
    identifiers.sort();
    ClaimId::of(&identifiers)
}

fn id(word: &str) -> IdentifierId {
    let one = identifier(word);
    IdentifierId::of(&one.kind, &one.value)
}

/// The way from one to the other, as text.
fn shown(between: &Between) -> String {
    let values = |all: &[Identifier]| all.iter().map(|one| one.value.clone()).collect::<Vec<_>>().join("+");
    let reason = |reason: &Reason| match reason {
        Reason::Claim(link) => {
            let guards: Vec<String> =
                link.kept_apart.iter().map(|aside| format!(" -{}({})", aside.identifier.value, aside.guard.name())).collect();
            let end = |one: &Option<Identifier>| one.as_ref().map_or_else(|| "·".to_owned(), |one| one.value.clone());
            format!("{}>[{}{}]>{}", end(&link.from), values(&link.because.identifiers), guards.concat(), end(&link.to))
        }
        Reason::Match(one) => {
            let guard = one.guard.map_or_else(String::new, |guard| format!(" -({})", guard.name()));
            format!("~{:?}{guard}", one.outcome).to_lowercase()
        }
        Reason::Separation(one) => format!("{}|{} {}", one.a.value, one.b.value, one.reason),
        Reason::NothingInCommon => "nothing in common".to_owned(),
        Reason::TooMany => "too many".to_owned(),
    };
    let reasons: Vec<String> = between.reasons.iter().map(reason).collect();
    format!("{}: {}", if between.together { "one" } else { "two" }, reasons.join(", "))
}

#[test]
fn the_way_between_two_is_the_shortest_that_no_guard_stands_on() {
    let world = World::of(rules(|_| ()), &["web a:1", "web a:1 u:ann", "crm u:ann e:x p:7", "web e:x a:2", "web a:3"]);
    let check = |a: &str, b: &str, want: &str| {
        assert_eq!(world.between(a, b).map(|between| shown(&between)), Some(want.to_owned()), "{a} {b}");
    };
    check("a:1", "a:2", "one: 1>[1+ann]>ann, ann>[x+7+ann]>x, x>[2+x]>2");
    check("u:ann", "p:7", "one: ann>[x+7+ann]>7");
    check("a:1", "a:3", "two: nothing in common");
    assert!(world.between("a:1", "a:4").is_none(), "nobody knows the second");
    // By customers' ids, also by one that a claim was merged away under.
    let ids = [claim("a:1 u:ann"), claim("a:2 e:x")].map(|id| Who::Customer(id.into()));
    let found = between(&world.state, &ids[0], &ids[1]).expect("memory can be read").expect("both are known");
    assert_eq!(shown(&found), "one: ·>[1+ann]>ann, ann>[x+7+ann]>x, x>[2+x]>·");
}

#[test]
fn what_keeps_two_apart_is_said_with_its_place() {
    let limited = World::of(Rules::default(), &["web u:ann e:x", "web u:bob e:x"]);
    let found = limited.between("u:ann", "u:bob").expect("both are known");
    assert_eq!(shown(&found), "two: ann>[x+ann]>x, x>[x+bob -x(limit)]>bob");
    let Reason::Claim(link) = &found.reasons[1] else { panic!("{found:?}") };
    assert_eq!((&*link.because.source, &*link.because.message_id), ("web", "m1"));
    let mut apart = World::of(rules(|_| ()), &["web u:ann a:1", "web a:1"]);
    apart.split(vec![Part::Pair { one: id("u:ann"), other: id("a:1"), of: None }]);
    let found = apart.between("u:ann", "a:1").expect("both are known");
    assert_eq!(shown(&found), "two: ann>[1+ann -1(separated)]>1, ann|1 two people");
}

#[test]
fn a_split_can_be_looked_at_before_it_is_made() {
    let world =
        World::of(rules(|_| ()), &["web u:ann e:x city=Bonn", "web a:1 city=Ulm", "web u:ann a:1 city=Jena", "web a:1 age=7"]);
    let impact = world.imagine(Command::Split { parts: vec![Part::Claim { claim: claim("a:1 u:ann") }], reason: String::new() });
    // The retracted claim stays Ann's; the visits, of two events, are somebody's own again.
    assert_eq!((impact.customers_total, impact.events_moved), (2, 2));
    let ann = impact.customers.iter().find(|one| one.before.is_some()).expect("Ann was there");
    let (before, after) = (ann.before.as_ref().expect("was"), ann.after.as_ref().expect("is"));
    assert_eq!((before.events_total, after.events_total), (4, 2));
    assert_eq!((before.identifiers_total, after.identifiers_total), (3, 2));
    let age = &ann.traits["age"];
    assert_eq!((age.before.as_ref().map(|value| value.text()), age.after.as_ref()), (Some("\"7\""), None));
    assert!(!ann.traits.contains_key("city"), "the claim that said Jena is still Ann's");
    let has: Vec<(&str, usize, u32)> = before.limits.iter().map(|one| (&*one.kind, one.has, one.limit)).collect();
    assert_eq!(has, [("user_id", 1, 2), ("email", 1, 5), ("anonymous_id", 1, 100)]);
    let other = impact.customers.iter().find(|one| one.before.is_none()).expect("somebody new");
    assert_eq!(other.after.as_ref().map(|after| after.events_total), Some(2));
    assert!(world.same("u:ann", "a:1"), "nothing has happened");
}

#[test]
fn what_is_separated_stays_so_whatever_is_said_later() {
    let mut world = World::of(rules(|_| ()), &["web u:ann e:x", "web u:ann a:1", "web a:1"]);
    let pair = Part::Pair { one: id("u:ann"), other: id("a:1"), of: Some(claim("a:1 u:ann")) };
    let parts = vec![Part::Claim { claim: claim("a:1 u:ann") }, pair];
    world.split(parts.clone());
    assert!(!world.same("u:ann", "a:1"));
    world.tell("crm u:ann a:1 e:x");
    world.tell("web e:x a:1");
    assert!(!world.same("u:ann", "a:1"));
    world.take(Input::Command(Command::Rejoin { parts }));
    assert!(world.same("u:ann", "a:1"));
    // Two splits that say the same are two: taking one back leaves the other.
    let pair = |of| Part::Pair { one: id("u:ann"), other: id("a:1"), of };
    world.split(vec![pair(None), pair(Some(claim("a:1 u:ann")))]);
    world.take(Input::Command(Command::Rejoin { parts: vec![pair(None)] }));
    assert!(!world.same("u:ann", "a:1"));
}

#[test]
fn what_another_source_says_too_stays() {
    let mut world = World::of(rules(|_| ()), &["list u:ann e:x", "web a:1 e:x", "list a:1 e:x", "list e:x p:7"]);
    let word = |words: &str| Part::Word { claim: claim(words), source: "list".into() };
    let parts = vec![word("e:x u:ann"), word("a:1 e:x"), word("e:x p:7")];
    world.split(parts.clone());
    assert!(world.same("e:x", "a:1"), "web says so too");
    assert!(!world.same("u:ann", "e:x") && !world.same("e:x", "p:7"));
    let customer = whose(&world.state, "email", "x").expect("memory can be read").expect("somebody");
    let explained = explain(&world.state, customer).expect("memory can be read").expect("somebody");
    let because = explained.claims.iter().find(|one| one.claim == claim("a:1 e:x")).expect("the claim");
    let words: Vec<_> = because.words.iter().map(|one| (&*one.source, one.struck.as_deref())).collect();
    assert_eq!(words, [("web", None), ("list", Some("two people"))]);
    world.take(Input::Command(Command::Rejoin { parts }));
    assert!(world.same("u:ann", "p:7"));
}

#[test]
fn what_is_held_is_listed_until_it_is_decided() {
    let held = rules(|rules| rules.quarantine = Quarantine { known_with_known: true, larger_than: None });
    let mut world = World::of(held, &["web u:ann e:x city=Bonn", "web u:bob", "web u:bob e:x city=Ulm"]);
    let which = claim("e:x u:bob");
    assert_eq!(world.state.held.iter().copied().collect::<Vec<_>>(), [which]);
    assert_eq!(world.state.totals().claims_held, 1);
    let decide = |decision| Command::Decide { claim: which, decision, reason: "asked them".into() };
    let impact = world.imagine(decide(Some(Decision::Accept)));
    assert_eq!((impact.customers_total, impact.events_moved), (2, 2));
    let gone = impact.customers.iter().find(|one| one.after.is_none()).expect("one of them is gone");
    let left = impact.customers.iter().find(|one| one.after.is_some()).expect("the other stays");
    assert_eq!(gone.becomes, Some(left.customer));
    assert_eq!(left.traits["city"].after.as_ref().map(|value| value.text()), Some("\"Ulm\""));
    for (decision, together, waits) in [
        (Some(Decision::Refuse), false, 0),
        (Some(Decision::Refuse), false, 0),
        (Some(Decision::Accept), true, 0),
        (None, false, 1),
    ] {
        world.take(Input::Command(decide(decision)));
        assert_eq!((world.same("u:ann", "u:bob"), world.state.held.len()), (together, waits), "{decision:?}");
    }
}

#[test]
fn what_is_past_a_limit_of_merges_is_counted() {
    let capped = rules(|rules| rules.merge_limit = MergeLimit { merges: None, identifiers: Some(2) });
    let mut world = World::of(capped, &["web e:x a:1", "web e:x a:2"]);
    assert_eq!(world.state.totals().claims_past_limit, 1);
    world.take(Input::Command(Command::Retract { claim: claim("a:1 e:x"), reason: "a mistake".into() }));
    assert_eq!(world.state.totals().claims_past_limit, 0);
}

#[test]
fn aliases_join_who_signed_in_in_chains_and_in_any_order() {
    let events = ["web a:3", "web a:1", "web u:ann a:2", "web a:1 ~a:3", "web a:2 ~a:1"];
    for turn in 0..events.len() {
        let mut told = events;
        told.rotate_left(turn);
        let world = World::of(Rules::default(), &told);
        assert_eq!(["a:3", "a:1", "a:2"].map(|word| world.same("u:ann", word)), [true; 3], "{told:?}");
    }
    let world = World::of(Rules::default(), &["web u:ann a:1", "web u:bob a:2", "web a:2 ~a:1"]);
    assert!(!world.same("u:ann", "u:bob") && world.same("u:ann", "a:1"), "two who signed in stay two");
}

#[test]
fn what_is_removed_is_not_the_persons_until_it_is_added_again() {
    let mut world = World::of(Rules::default(), &["web u:ann e:x a:1", "web a:2 e:x", "app u:ann +e:y -e:x"]);
    let owns = |world: &World, word: &str| world.same("u:ann", word);
    assert_eq!(["e:x", "e:y", "a:1"].map(|word| owns(&world, word)), [false, true, true]);
    world.tell("web u:ann e:x");
    assert!(!owns(&world, "e:x"), "to be said beside her is not to be said outright");
    world.tell("web e:x a:3");
    assert!(world.same("e:x", "a:3") && !owns(&world, "a:3"), "it is whose it is otherwise");
    let between = world.between("u:ann", "e:x").expect("both are known");
    assert!(!between.together && shown(&between).contains("removed by app in message m2"), "{}", shown(&between));
    world.tell("app u:ann +e:x");
    assert_eq!(["e:x", "e:y", "a:1"].map(|word| owns(&world, word)), [true; 3]);
}

#[test]
fn who_says_it_keeps_what_was_said() {
    let mut world = World::of(Rules::default(), &["web a:1 u:ann", "app a:1 +e:x city=Bonn", "app a:1 -e:x"]);
    assert!(world.same("u:ann", "a:1") && !world.same("e:x", "e:x"), "the address is nobody's, and the event still hers");
    let ann = whose(&world.state, "user_id", "ann").expect("memory can be read").expect("she is known");
    let profile = explain(&world.state, ann).expect("memory can be read").expect("she is known").profile;
    assert_eq!((profile.events_total, profile.traits.len(), profile.identifiers.len()), (3, 1, 2));
    world.tell("app a:1 +e:x");
    assert!(world.same("u:ann", "e:x"));
}

#[test]
fn a_removal_is_of_the_person_who_is_meant() {
    let removed = || World::of(Rules::default(), &["web u:ann e:x", "app u:ann -e:x"]);
    let mut world = removed();
    world.tell("app u:bob +e:x");
    assert!(world.same("u:bob", "e:x") && !world.same("u:ann", "e:x"), "another may have it");
    let mut world =
        World::of(Rules::default(), &["web u:ann e:x", "web u:bob e:y", "app u:bob -e:x", "app a:unknown -e:x", "app -e:x"]);
    assert!(world.same("u:ann", "e:x"), "nobody takes it from another");
    world.split(vec![Part::Pair { one: id("u:ann"), other: id("e:x"), of: None }]);
    world.tell("app u:ann +e:x");
    assert!(!world.same("u:ann", "e:x"), "what people said stays");
}

#[test]
fn one_who_does_not_sign_in_loses_it_to_all_the_rest() {
    let mut world = World::of(Rules::default(), &["web a:1 p:7", "web a:1 e:x", "app a:1 -e:x"]);
    assert!(world.same("a:1", "p:7") && !world.same("a:1", "e:x"));
    world.tell("app a:1 +e:x");
    assert!(world.same("a:1", "e:x"));
}

#[test]
fn a_customer_of_ten_thousand_identifiers_costs_no_more_than_the_bounds() {
    let mut world = World::of(rules(|rules| rules.identifiers[1].limit = None), &[]);
    for number in 0..10_000 {
        world.tell(&format!("web u:ann e:n{number}"));
    }
    // The first that fit are Ann's. The others' events are hers as well, and join nothing.
    let totals = world.state.totals();
    assert_eq!((totals.events, totals.customers, totals.claims), (10_000, 1, limits::IDENTIFIER_CLAIMS_MAX as u64));
    assert_eq!(totals.claims_shrunk, 10_000 - limits::IDENTIFIER_CLAIMS_MAX as u64);
    let customer = whose(&world.state, "user_id", "ann").expect("memory can be read").expect("somebody");
    let explained = explain(&world.state, customer).expect("memory can be read").expect("somebody");
    assert_eq!(explained.profile.events_total, 10_000);
    // As many in events of many each.
    let mut world = World::of(rules(|rules| rules.identifiers[1].limit = None), &[]);
    for event in 0..400 {
        let emails: Vec<String> = (0..25).map(|number| format!("e:n{}", event * 25 + number)).collect();
        world.tell(&format!("web e:n0 {}", emails.join(" ")));
    }
    let totals = world.state.totals();
    assert_eq!((totals.customers, totals.claims), (1, limits::IDENTIFIER_CLAIMS_MAX as u64));
    world.split(vec![Part::Claim { claim: claim("e:n0 u:nobody") }]);
    assert_eq!(world.state.totals(), totals, "what was never joined cannot be split, and nothing changes");
}
