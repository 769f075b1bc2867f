//! Who ends up with whom, as tables.

use super::*;
use crate::claim::{Decision, Verdict};
use crate::event::Learnt;
use crate::identity::{IdentifierRule, MergeLimit, Quarantine, Strategy};
use crate::value::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// Claims are written `u:ann a:1`, one event each, in the order of their times, a minute after the other; `@3` is the third day.
/// `!` retracts a claim, `+` accepts one and `-` refuses it, `~` marks an alias. `from:list@3` is a source that says so and when,
/// `struck:list` one whose word was taken back. The outcome lists customers by their claims' places, with what was set aside.
fn check(claims: &[&str], want: &str) {
    check_by(&Rules::default(), claims, want);
}

fn check_by(rules: &Rules, claims: &[&str], want: &str) {
    check_apart(rules, &[], claims, want);
}

fn check_apart(rules: &Rules, apart: &[[&str; 2]], claims: &[&str], want: &str) {
    let mut separations = Separations::default();
    for [one, other] in apart.iter().map(|pair| pair.map(identifier)) {
        separations.insert(IdentifierId::of(&one.kind, &one.value), IdentifierId::of(&other.kind, &other.value));
    }
    let told: Vec<(ClaimId, Claim)> = claims.iter().enumerate().map(|(place, text)| read(place, text)).collect();
    let mut order: Vec<usize> = (0..told.len()).collect();
    order.sort_by_key(|place| (told[*place].1.witness(), told[*place].0));
    let sorted: Vec<(ClaimId, &Claim)> = order.iter().map(|place| (told[*place].0, &told[*place].1)).collect();
    let placements = partition(rules, &sorted, &separations);
    let place_of = |id: ClaimId| told.iter().position(|(one, _)| *one == id).expect("a claim's id");
    let mut shown: Vec<(usize, String)> = order
        .iter()
        .zip(&placements)
        .map(|(place, one)| {
            let aside: Vec<String> = one.set_aside.iter().map(|(id, guard)| format!("-{}({guard:?})", id.value)).collect();
            (*place, format!("{}{}", place_of(one.customer.into()), aside.concat()))
        })
        .collect();
    shown.sort();
    let shown: Vec<&str> = shown.iter().map(|(_, text)| &**text).collect();
    assert_eq!(shown.join(" "), want, "{claims:?}");
}

fn identifier(word: &str) -> Identifier {
    let (how, word) = word.strip_prefix('~').map_or((Learnt::Observed, word), |rest| (Learnt::Alias, rest));
    let (kind, value) = word.split_once(':').expect("kind:value");
    let kind = match kind {
        "u" => "user_id",
        "e" => "email",
        "p" => "phone",
        _ => "anonymous_id",
    };
    Identifier { kind: kind.into(), value: value.into(), how }
}

fn read(place: usize, text: &str) -> (ClaimId, Claim) {
    let minute = |day: i64| Timestamp(day * DAY_MS + place as i64 * 60_000);
    let (mut identifiers, mut said, mut struck, mut day) = (Vec::new(), Vec::new(), BTreeMap::new(), 0);
    for word in text.trim_start_matches(['!', '+', '-']).split(' ') {
        if let Some(number) = word.strip_prefix('@') {
            day = number.parse().expect("a day");
        } else if let Some((source, number)) = word.strip_prefix("from:").and_then(|word| word.split_once('@')) {
            said.push((source.to_owned(), number.parse().expect("a day")));
        } else if let Some(source) = word.strip_prefix("struck:") {
            struck.insert(source.to_owned(), "a wrong list".to_owned());
        } else {
            identifiers.push(identifier(word));
        }
    }
    identifiers.sort();
    if said.is_empty() {
        said.push(("web".to_owned(), day));
    }
    let mut witnesses =
        said.into_iter().map(|(source, day)| Witness { occurred: minute(day), message_id: format!("m{place}"), source });
    let mut claim = Claim::new(identifiers, witnesses.next().expect("a witness"));
    for witness in witnesses {
        claim.hear(witness);
    }
    let verdict = |decision| Some(Verdict { decision, reason: "looked at".to_owned() });
    (claim.struck, claim.retracted) = (struck, text.starts_with('!').then(|| "a mistake".to_owned()));
    claim.verdict = match text.chars().next() {
        Some('+') => verdict(Decision::Accept),
        Some('-') => verdict(Decision::Refuse),
        _ => None,
    };
    (ClaimId::of(&claim.identifiers), claim)
}

/// The default rules, with one type's changed.
fn with(kind: &str, change: impl FnOnce(&mut IdentifierRule)) -> Rules {
    let mut rules = Rules::default();
    let place = rules.priority(kind).expect("a declared type");
    change(&mut rules.identifiers[place]);
    rules
}

#[test]
fn an_anonymous_visitor_becomes_known() {
    check(&["a:1", "a:1 u:ann", "a:2", "a:2 u:ann e:ann@x"], "0 0 0 0");
}

#[test]
fn segments_worked_case_sets_the_email_aside() {
    check(&["u:A e:x", "u:B e:x"], "0 1-x(Limit)");
}

#[test]
fn only_what_stands_in_the_way_is_set_aside() {
    check(&["u:A e:x", "u:B e:x a:9", "a:9"], "0 1-x(Limit) 1");
}

#[test]
fn a_shared_device_does_not_glue_people_together() {
    check(&["a:1 u:ann", "a:1 u:bob", "a:1", "u:bob"], "0 1-1(Limit) 0 1");
}

#[test]
fn without_a_login_nobody_joins_a_known_customer() {
    check(&["u:ann e:ann@x", "a:9", "a:9 e:ann@x"], "0 1 0-9(LoginGate)");
    check(&["u:ann e:ann@x", "a:9", "a:9 e:ann@x u:ann"], "0 0 0");
    check(&["e:ann@x", "a:9", "a:9 e:ann@x"], "0 0 0");
}

#[test]
fn an_alias_joins_two_user_ids() {
    check(&["u:old e:o@x", "u:new", "u:new u:old"], "0 1 1-old(Limit)");
    check(&["u:old e:o@x", "u:new", "u:new ~u:old"], "0 0 0");
    check(&["u:old", "u:new ~u:old", "u:new u:third"], "0 0 0-third(Limit)");
}

#[test]
fn a_retracted_claim_joins_nothing() {
    check(&["u:ann e:1@x", "a:1", "!a:1 u:ann", "a:1"], "0 1 0-1(Retracted) 1");
}

#[test]
fn a_limit_over_a_window_forgets_what_came_before_it() {
    let weekly = with("email", |rule| (rule.limit, rule.within_ms) = (Some(2), Some(7 * DAY_MS as u64)));
    check_by(&weekly, &["u:A e:1", "u:A e:2", "u:A e:3"], "0 0 0-3(Limit)");
    check_by(&weekly, &["u:A e:1", "u:A e:2 @1", "u:A e:3 @6"], "0 0 0-3(Limit)");
    check_by(&weekly, &["u:A e:1", "u:A e:2 @1", "u:A e:3 @7"], "0 0 0");
    check_by(&weekly, &["u:A e:1", "u:A e:2 @1", "u:A e:3 @7", "u:A e:4 @7"], "0 0 0 0-4(Limit)");
    // What two customers have of the last week counts together when they become one.
    check_by(&weekly, &["e:1 e:2", "e:3 a:1", "a:1 e:1"], "0 1 0-1(Limit)");
    check_by(&weekly, &["e:1 e:2", "e:3 a:1 @8", "a:1 e:1 @8"], "0 0 0");
    // An alias does not count, whenever it came.
    let one = with("user_id", |rule| rule.within_ms = Some(DAY_MS as u64));
    check_by(&one, &["u:old", "u:new ~u:old"], "0 0");
    check_by(&one, &["u:old e:x", "u:new e:x"], "0 1-x(Limit)");
    check_by(&one, &["u:old e:x", "u:new e:x @1"], "0 0");
}

#[test]
fn a_unique_value_goes_to_who_signs_in_with_it() {
    let unique = with("email", |rule| rule.unique = true);
    check_by(&unique, &["u:A e:x", "u:B e:x"], "0-x(Moved) 1");
    check_by(&unique, &["u:A e:x", "u:B e:x", "e:x"], "0-x(Moved) 1 1");
    check_by(&unique, &["e:x", "u:A e:x", "u:B e:x"], "2 1-x(Moved) 2");
    // It moves as often as another signs in with it, and only what stands in the way moves.
    check_by(&unique, &["u:A e:x", "u:B e:x a:9", "u:C e:x a:8"], "0-x(Moved) 1-x(Moved) 2");
    // Nobody who is not signed in takes it, and it makes room where it was.
    check_by(&unique, &["u:A e:x", "a:9", "a:9 e:x"], "0 1 0-9(LoginGate)");
    let one = with("email", |rule| (rule.unique, rule.limit) = (true, Some(1)));
    check_by(&one, &["u:A e:x", "u:B e:x", "u:A e:y"], "0-x(Moved) 1 0");
    // There is no room for it where it would go.
    check_by(&one, &["u:A e:x", "u:B e:y", "u:B e:x"], "0 1 1-x(Limit)");
    // The strongest of a claim does not move: it is whom the claim is about.
    let logins = with("user_id", |rule| rule.unique = true);
    check_by(&logins, &["u:A e:x", "u:B e:x", "u:A u:B"], "0 1-x(Limit) 0-B(Limit)");
}

#[test]
fn an_immutable_value_is_never_another() {
    let immutable = with("user_id", |rule| (rule.unique, rule.immutable) = (true, true));
    check_by(&immutable, &["u:old e:x", "u:new", "u:new ~u:old"], "0 1 1-old(Immutable)");
    check_by(&immutable, &["u:A e:x", "u:B e:x"], "0 1-x(Immutable)");
    check_by(&immutable, &["a:1", "a:1 u:A", "a:1 u:B"], "0 0 2-1(Immutable)");
}

#[test]
fn an_anonymous_customer_at_a_sign_in() {
    let on_login = |on_login| Rules { on_login, ..Rules::default() };
    let visits = ["a:1", "a:1 u:ann", "a:2", "a:2 u:ann e:ann@x"];
    check_by(&on_login(OnLogin::Join), &visits, "0 0 0 0");
    check_by(&on_login(OnLogin::NewWithHistory), &visits, "1 1 1 1");
    check_by(&on_login(OnLogin::New), &visits, "0 1-1(OnLogin) 2 1-2(OnLogin)");
    // Nobody is anonymous here.
    check_by(&on_login(OnLogin::New), &["u:ann a:1", "a:1 u:ann e:x"], "0 0");
    check_by(&on_login(OnLogin::New), &["a:1", "a:1 e:x", "e:x u:ann"], "0 0 2-x(OnLogin)");
}

#[test]
fn a_device_after_a_sign_out() {
    let rules = Rules { on_logout: OnLogout::New, ..Rules::default() };
    check_by(&rules, &["u:ann a:1", "a:1"], "0-1(Moved) 1");
    check(&["u:ann a:1", "a:1"], "0 0");
    // Whoever signs in next has it, and what was said of it.
    check_by(&rules, &["u:ann a:1", "a:1", "a:1 u:bob"], "0-1(Moved) 1 1");
    check_by(&rules, &["u:ann a:1", "a:1", "a:1 u:ann e:x"], "0 0 0");
    // What names more than devices is not signed out.
    check_by(&rules, &["u:ann e:x a:1", "a:1 e:x"], "0 0");
    // What was said before the sign-in and after it in the same words is one claim, and is of before.
    check_by(&rules, &["a:1", "u:ann a:1"], "0 0");
}

#[test]
fn mparticles_strategies() {
    let check = |strategy: Strategy, claims: &[&str], want: &str| check_by(&strategy.rules(), claims, want);
    let first_login = ["a:1", "a:1 u:ann e:ann@x"];
    let logout = ["u:ann a:1", "a:1", "u:ann a:1 p:7"];
    let shared_email = ["u:ann e:x", "u:bob e:x", "e:x"];
    // The first sign-in is the anonymous visitor's; who signs out is somebody new.
    for strategy in [Strategy::Default, Strategy::ProfileConversion] {
        check(strategy, &first_login, "0 0");
        check(strategy, &logout, "0 0 0");
        check(strategy, &logout[..2], "0-1(Moved) 1");
        check(strategy, &shared_email, "0 1-x(Limit) 0");
    }
    // A new customer, with the anonymous visitor's history; who signs out is somebody new.
    check(Strategy::ProfileLink, &first_login, "1 1");
    check(Strategy::ProfileLink, &logout[..2], "0-1(Moved) 1");
    check(Strategy::ProfileLink, &shared_email, "0-x(Moved) 1 1");
    // A new customer without history; who signs out is the same anonymous visitor again.
    check(Strategy::ProfileIsolation, &first_login, "0 1-1(OnLogin)");
    check(Strategy::ProfileIsolation, &["a:1", "a:1 u:ann e:ann@x", "a:1 p:7", "a:1 u:ann"], "0 1-1(OnLogin) 0 1-1(OnLogin)");
    check(Strategy::ProfileIsolation, &logout, "0-1(Moved) 1 0-1(OnLogin)");
    check(Strategy::ProfileIsolation, &shared_email, "0-x(Moved) 1 1");
    // Nothing signs in: all that is named together is one, two e-mail addresses too.
    check(Strategy::BestMatch, &["u:ann e:1", "e:2 a:1", "a:1 e:1"], "0 0 0");
    check(Strategy::BestMatch, &shared_email, "0 0 0");
}

#[test]
fn a_customer_is_made_of_so_many_merges_and_identifiers() {
    let limit = |merges, identifiers| Rules { merge_limit: MergeLimit { merges, identifiers }, ..Rules::default() };
    let claims = ["e:1", "e:2", "e:3", "e:1 e:2", "e:2 e:3", "e:3 a:1"];
    check_by(&limit(Some(2), None), &claims, "0 0 0 0 0 0");
    check_by(&limit(Some(1), None), &claims, "0 0 2 0 0-3(MergeLimit) 2");
    // Past the most, nothing is added, and what is known goes on.
    check_by(&limit(None, Some(2)), &["u:A e:1", "u:A a:1", "u:A e:1 a:2", "e:1"], "0 0-1(MergeLimit) 0-2(MergeLimit) 0");
    check_by(&limit(None, Some(3)), &["u:A e:1", "e:2 a:1", "u:A e:2"], "0 1 0-2(MergeLimit)");
}

#[test]
fn a_quarantined_claim_waits_for_a_person() {
    let two = with("user_id", |rule| rule.limit = Some(2));
    let known = Rules { quarantine: Quarantine { known_with_known: true, larger_than: None }, ..two.clone() };
    check_by(&two, &["u:A e:x", "u:B", "u:B e:x"], "0 0 0");
    check_by(&known, &["u:A e:x", "u:B", "u:B e:x"], "0 1 1-x(Held)");
    check_by(&known, &["u:A e:x", "u:B", "+u:B e:x"], "0 0 0");
    check_by(&known, &["u:A e:x", "u:B", "-u:B e:x"], "0 1 1-x(Refused)");
    // A refusal holds under any rules, and only against joining customers.
    check_by(&two, &["u:A e:x", "u:B", "-u:B e:x"], "0 1 1-x(Refused)");
    check_by(&two, &["u:A e:x", "-u:B e:y", "u:B"], "0 1 1");
    // What other guards forbid, they forbid an accepted claim too, and nobody is asked of it.
    let limited = Rules { quarantine: known.quarantine, ..Rules::default() };
    check_by(&limited, &["u:A e:x", "u:B", "u:B e:x"], "0 1 1-x(Limit)");
    check_by(&limited, &["u:A e:x", "u:B", "+u:B e:x"], "0 1 1-x(Limit)");
    let large = Rules { quarantine: Quarantine { known_with_known: false, larger_than: Some(3) }, ..Rules::default() };
    check_by(&large, &["e:1 a:1", "e:2 a:2", "e:1 e:2"], "0 1 0-2(Held)");
    check_by(&large, &["e:1 a:1", "e:2", "e:1 e:2"], "0 0 0");
    check_by(&large, &["e:1 a:1", "e:1 a:2 p:1"], "0 0");
}

#[test]
fn separated_identifiers_are_never_one_customers() {
    let apart = |claims: &[&str], want: &str| check_apart(&Rules::default(), &[["a:1", "u:ann"]], claims, want);
    apart(&["u:ann e:x", "u:ann a:1", "a:1"], "0 0-1(Separated) 2");
    // Neither through others.
    apart(&["u:ann e:x", "a:1 p:7", "p:7 u:ann"], "0 1 0-7(Separated)");
    apart(&["e:x a:1", "u:ann e:x"], "0 1-x(Separated)");
    apart(&["e:x a:1", "u:ann a:2"], "0 1");
    // It comes before what is held, and is no matter of who signs in.
    apart(&["u:ann", "a:1 u:bob"], "0 1");
}

#[test]
fn a_source_can_be_struck_without_the_others() {
    check(&["u:ann e:1@x", "a:1", "a:1 u:ann from:list@0 struck:list"], "0 1 0-1(Retracted)");
    check(&["u:ann e:1@x", "a:1", "a:1 u:ann from:list@0 from:web@2 struck:list"], "0 0 0");
    check(&["u:ann e:1@x", "a:1", "a:1 u:ann from:list@0 from:web@2 struck:list struck:web"], "0 1 0-1(Retracted)");
    // What is left of its word is whom it was about, from its time on.
    check(&["e:x from:web@3", "u:ann e:x from:list@1 from:web@4 struck:list"], "1 1");
}
