//! Writes the quickstart's events: a month of an invented shop, as its web site and its app would send it to Segment.
//!
//! The same file each time: numbers come from a fixed seed, times from a fixed month, and no clock is asked. It holds what makes
//! identity hard: visitors who sign up later, second devices, a laptop that two people use, spellings, events that come late or twice, and
//! calls that name nobody. Numbers of phones are those that the German regulator keeps free for films.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use crate::steps::{QUICKSTART, root, step};

/// Ann and Bob, whose month is written out, and those who follow a pattern.
const PEOPLE: usize = 100;
const ANN_AND_BOB: usize = 2;

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const FIRST_NAMES: [&str; 20] = [
    "Mia", "Noah", "Emma", "Liam", "Lena", "Paul", "Clara", "Finn", "Ida", "Leon", "Nora", "Jonas", "Marie", "Elias", "Sofia",
    "Luis", "Greta", "Oskar", "Alma", "Hugo",
];
const LAST_NAMES: [&str; 10] = ["Weber", "Schulz", "Novak", "Meyer", "Rossi", "Keller", "Braun", "Dubois", "Vogel", "Lang"];
const CAMPAIGNS: [(&str, &str); 3] = [("autumn-sale", "newsletter"), ("new-arrivals", "instagram"), ("brand", "google")];
/// Id, name, category, price in cents.
const PRODUCTS: [(&str, &str, &str, u64); 8] = [
    ("p-101", "Oak Shelf", "Furniture", 12_900),
    ("p-102", "Reading Lamp", "Lighting", 4_950),
    ("p-103", "Wool Blanket", "Textiles", 6_900),
    ("p-104", "Espresso Cup", "Kitchen", 1_250),
    ("p-105", "Bread Board", "Kitchen", 2_990),
    ("p-106", "Desk Chair", "Furniture", 23_900),
    ("p-107", "Linen Curtain", "Textiles", 5_900),
    ("p-108", "Candle Holder", "Lighting", 1_890),
];

/// Writes `events.ndjson` of the quickstart.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write() -> Result<()> {
    step("sample events");
    let (file, lines) = (root().join(QUICKSTART).join("events.ndjson"), lines());
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    fs::write(&file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
    println!("   {QUICKSTART}/events.ndjson: {} calls, {} kB", lines.len(), text.len().div_ceil(1_000));
    Ok(())
}

/// All calls, in the order in which they arrive.
fn lines() -> Vec<String> {
    let mut shop = Shop { dice: Dice(0x5745_4654), calls: Vec::new(), orders: 0 };
    shop.ann_and_bob();
    (ANN_AND_BOB..PEOPLE).for_each(|number| shop.person(number));
    shop.broken();
    shop.calls.sort_by_key(|call| call.arrives);
    shop.calls.into_iter().map(|call| call.json).collect()
}

/// A generator of numbers: Steele, Lea and Flood's SplitMix64, which is a few lines and the same everywhere.
struct Dice(u64);

impl Dice {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}

/// A call that was made.
struct Call {
    /// When it arrives, in seconds of the month: sometimes long after it was made.
    arrives: u64,
    json: String,
}

/// Whom a call names.
#[derive(Clone, Copy)]
struct Who<'a> {
    user: Option<&'a str>,
    device: Option<&'a str>,
}

impl<'a> Who<'a> {
    fn visitor(device: &'a str) -> Self {
        Who { user: None, device: Some(device) }
    }

    fn signed_in(user: &'a str, device: &'a str) -> Self {
        Who { user: Some(user), device: Some(device) }
    }
}

/// Where a call comes from: the library, and what it tells of itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Web,
    App,
    Server,
}

impl From {
    fn context(self) -> &'static str {
        match self {
            From::Web => r#""library":{"name":"analytics.js","version":"next-1.81.0"},"locale":"de-DE""#,
            From::App => r#""library":{"name":"analytics-ios","version":"4.1.8"},"device":{"type":"ios","model":"iPhone15,4"}"#,
            From::Server => r#""library":{"name":"analytics-node","version":"2.2.1"}"#,
        }
    }
}

struct Shop {
    dice: Dice,
    calls: Vec<Call>,
    orders: u64,
}

impl Shop {
    /// Makes a call. `body` is what it says besides: fields of JSON.
    fn call(&mut self, at: u64, from: From, who: Who<'_>, body: &str) {
        let mut json = String::from("{");
        write!(json, r#""messageId":"m-{:05}","timestamp":"{}""#, self.calls.len() + 1, time(at))
            .expect("a string takes every write");
        for (name, id) in [("userId", who.user), ("anonymousId", who.device)] {
            if let Some(id) = id {
                write!(json, r#","{name}":"{id}""#).expect("a string takes every write");
            }
        }
        write!(json, r#",{body},"context":{{{}}}}}"#, from.context()).expect("a string takes every write");
        self.calls.push(Call { arrives: at, json });
    }

    /// The last call arrives so much later than it was made: the phone was in a tunnel.
    fn late(&mut self, by: u64) {
        if let Some(call) = self.calls.last_mut() {
            call.arrives += by;
        }
    }

    /// The last call is sent again: the answer to the first did not come through.
    fn again(&mut self, after: u64) {
        if let Some(call) = self.calls.last() {
            let (arrives, json) = (call.arrives + after, call.json.clone());
            self.calls.push(Call { arrives, json });
        }
    }

    fn page(&mut self, at: u64, who: Who<'_>, name: &str, path: &str) {
        self.call(
            at,
            From::Web,
            who,
            &format!(r#""type":"page","name":"{name}","properties":{{"path":"{path}","url":"https://shop.example{path}"}}"#),
        );
    }

    fn screen(&mut self, at: u64, who: Who<'_>, name: &str) {
        self.call(at, From::App, who, &format!(r#""type":"screen","name":"{name}""#));
    }

    fn track(&mut self, at: u64, from: From, who: Who<'_>, event: &str, properties: &str) {
        self.call(at, from, who, &format!(r#""type":"track","event":"{event}","properties":{{{properties}}}"#));
    }

    fn identify(&mut self, at: u64, from: From, who: Who<'_>, traits: &str) {
        self.call(at, from, who, &format!(r#""type":"identify","traits":{{{traits}}}"#));
    }

    /// Looks at a product, and puts it into the cart or not.
    fn browse(&mut self, at: u64, from: From, who: Who<'_>, product: usize) {
        let (id, name, category, price) = PRODUCTS[product];
        let about = format!(r#""product_id":"{id}","name":"{name}","category":"{category}","price":{}"#, money(price));
        self.track(at, from, who, "Product Viewed", &about);
        if self.dice.below(3) == 0 {
            self.track(at + MINUTE, from, who, "Product Added", &format!(r#"{about},"quantity":1"#));
        }
    }

    fn order(&mut self, at: u64, from: From, who: Who<'_>, products: &[usize]) {
        self.orders += 1;
        let total: u64 = products.iter().map(|product| PRODUCTS[*product].3).sum();
        let product = |place: &usize| {
            let (id, name, category, price) = PRODUCTS[*place];
            format!(r#"{{"product_id":"{id}","name":"{name}","category":"{category}","price":{},"quantity":1}}"#, money(price))
        };
        let list: Vec<String> = products.iter().map(product).collect();
        let properties = format!(
            r#""order_id":"o-{:04}","total":{},"currency":"EUR","products":[{}]"#,
            self.orders,
            money(total),
            list.join(",")
        );
        self.track(at, from, who, "Order Completed", &properties);
    }

    /// Ann looks around on her laptop, signs up, buys, and takes the app. Later Bob signs in on her laptop: it stays hers.
    fn ann_and_bob(&mut self) {
        let (laptop, phone, ann) = ("web-ann-laptop", "app-ann-phone", "u-ann");
        let visitor = Who::visitor(laptop);
        let campaign =
            r#""type":"page","name":"Home","properties":{"path":"/","url":"https://shop.example/?utm_campaign=autumn-sale"}"#;
        self.call(DAY + 9 * HOUR, From::Web, visitor, campaign);
        self.page(DAY + 9 * HOUR + 2 * MINUTE, visitor, "Lighting", "/lighting");
        self.browse(DAY + 9 * HOUR + 5 * MINUTE, From::Web, visitor, 1);
        self.page(3 * DAY + 20 * HOUR, visitor, "Sign up", "/sign-up");
        let signed_up = 3 * DAY + 20 * HOUR + 3 * MINUTE;
        let on_laptop = Who::signed_in(ann, laptop);
        let traits = r#""name":"Ann  Doe","email":" Ann@Example.COM","phone":"030 23125 001","city":"Berlin""#;
        self.identify(signed_up, From::Web, on_laptop, traits);
        self.order(signed_up + 10 * MINUTE, From::Web, on_laptop, &[1, 3]);
        self.again(4 * SECOND);
        self.track(
            signed_up + 2 * DAY,
            From::Server,
            Who { user: Some(ann), device: None },
            "Order Shipped",
            r#""order_id":"o-0001","carrier":"DHL""#,
        );

        let began = 9 * DAY + 7 * HOUR;
        self.track(began, From::App, Who::visitor(phone), "Application Opened", r#""from_background":false"#);
        self.screen(began + 10 * SECOND, Who::visitor(phone), "Welcome");
        let on_phone = Who::signed_in(ann, phone);
        self.identify(
            began + 2 * MINUTE,
            From::App,
            on_phone,
            r#""email":"ann@example.com","phone":"+49 30 23125001","push_enabled":true"#,
        );
        self.screen(began + 3 * MINUTE, on_phone, "Orders");
        self.browse(began + 4 * MINUTE, From::App, on_phone, 2);
        self.late(7 * HOUR);
        self.order(15 * DAY + 18 * HOUR, From::App, on_phone, &[2]);

        let bob = "u-bob";
        self.identify(
            12 * DAY + 19 * HOUR,
            From::Web,
            Who::signed_in(bob, "web-bob"),
            r#""name":"Bob Doe","email":"bob@example.com","phone":"030/23125-002""#,
        );
        let on_anns = Who::signed_in(bob, laptop);
        self.identify(13 * DAY + 20 * HOUR, From::Web, on_anns, r#""email":"BOB@example.com""#);
        self.order(13 * DAY + 20 * HOUR + 6 * MINUTE, From::Web, on_anns, &[4]);
        self.page(17 * DAY + 21 * HOUR, on_laptop, "Lighting", "/lighting");
        self.browse(17 * DAY + 21 * HOUR + MINUTE, From::Web, on_laptop, 7);
    }

    /// One of the others. Of ten, one never says who she is, two have a second device, and the rest sign up.
    fn person(&mut self, number: usize) {
        let (first, last) = (FIRST_NAMES[number % FIRST_NAMES.len()], LAST_NAMES[number / 10 % LAST_NAMES.len()]);
        let (device, user) = (format!("web-{number:03}"), format!("u-{number:03}"));
        let start = self.dice.below(18) * DAY + 7 * HOUR + self.dice.below(14 * 60) * MINUTE;
        let visitor = Who::visitor(&device);
        let (campaign, medium) = self.dice.of(&CAMPAIGNS);
        let home =
            format!(r#""type":"page","name":"Home","properties":{{"path":"/","campaign":"{campaign}","source":"{medium}"}}"#);
        self.call(start, From::Web, visitor, &home);
        for look in 0..1 + self.dice.below(3) {
            let product = self.dice.below(PRODUCTS.len() as u64) as usize;
            self.browse(start + (3 + 4 * look) * MINUTE, From::Web, visitor, product);
        }
        if number % 10 == 9 {
            return;
        }

        let signed_up = start + 20 * MINUTE;
        let known = Who::signed_in(&user, &device);
        let (email, phone) = (spelled_email(first, last, number), spelled_phone(number));
        let city = self.dice.of(&["Berlin", "Hamburg", "Köln"]);
        let traits = format!(r#""name":"{first} {last}","email":"{email}","phone":"{phone}","city":"{city}""#);
        self.identify(signed_up, From::Web, known, &traits);
        if number.is_multiple_of(6) {
            let company = number % 4;
            let group = format!(
                r#""type":"group","groupId":"company-{company}","traits":{{"name":"Company {company}","plan":"business"}}"#
            );
            self.call(signed_up + MINUTE, From::Server, Who { user: Some(&user), device: None }, &group);
        }
        for visit in 0..self.dice.below(4) {
            let day = signed_up + (1 + visit * 2) * DAY + self.dice.below(6) * HOUR;
            self.page(day, known, "Home", "/");
            let product = self.dice.below(PRODUCTS.len() as u64) as usize;
            self.browse(day + 2 * MINUTE, From::Web, known, product);
            if self.dice.below(2) == 0 {
                let other = self.dice.below(PRODUCTS.len() as u64) as usize;
                self.order(day + 9 * MINUTE, From::Web, known, &[product, other]);
                if number.is_multiple_of(7) {
                    self.again(30 * SECOND);
                }
            }
        }
        if matches!(number % 10, 4 | 7) {
            self.second_device(number, signed_up + 2 * DAY, &user, &email);
        }
        if number % 25 == 3 {
            // The old number of a customer becomes her new one: an alias says that both are her.
            let renamed = format!("customer-{number:03}");
            self.call(
                signed_up + 6 * DAY,
                From::Server,
                Who { user: Some(&renamed), device: None },
                &format!(r#""type":"alias","previousId":"{user}""#),
            );
            self.order(signed_up + 7 * DAY, From::Server, Who { user: Some(&renamed), device: None }, &[0]);
        }
    }

    fn second_device(&mut self, number: usize, at: u64, user: &str, email: &str) {
        let phone = format!("app-{number:03}");
        self.track(at, From::App, Who::visitor(&phone), "Application Opened", r#""from_background":false"#);
        self.screen(at + 20 * SECOND, Who::visitor(&phone), "Welcome");
        let known = Who::signed_in(user, &phone);
        self.identify(
            at + MINUTE,
            From::App,
            known,
            &format!(r#""email":"{}","push_enabled":true"#, email.trim().to_lowercase()),
        );
        for visit in 0..3 {
            let opened = at + visit * DAY + 2 * HOUR;
            self.screen(opened, known, "Home");
            let product = self.dice.below(PRODUCTS.len() as u64) as usize;
            self.browse(opened + MINUTE, From::App, known, product);
            self.late(self.dice.0 % 30 * HOUR);
            if visit == 1 {
                self.again(5 * MINUTE);
            }
        }
    }

    /// What broken senders send.
    fn broken(&mut self) {
        let nobody = Who { user: None, device: None };
        self.track(6 * DAY, From::Server, nobody, "Order Refunded", r#""order_id":"o-0007""#);
        self.call(
            8 * DAY,
            From::Server,
            Who { user: Some("u-010"), device: None },
            r#""type":"group","traits":{"name":"A company without an id"}"#,
        );
        self.call(11 * DAY, From::Web, Who::visitor("web-010"), r#""type":"trak","event":"Product Viewed""#);
    }
}

/// An instant of September 2025.
fn time(at: u64) -> String {
    format!("2025-09-{:02}T{:02}:{:02}:{:02}.000Z", 1 + at / DAY, at / HOUR % 24, at / MINUTE % 60, at % 60)
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// An e-mail address as people write theirs.
fn spelled_email(first: &str, last: &str, number: usize) -> String {
    match number % 4 {
        0 => format!("{first}.{last}{number}@Example.com"),
        1 => format!(" {}.{}{number}@example.com", first.to_lowercase(), last.to_lowercase()),
        2 => format!("{}.{}{number}@EXAMPLE.COM", first.to_uppercase(), last.to_uppercase()),
        _ => format!("{}.{}{number}@example.com", first.to_lowercase(), last.to_lowercase()),
    }
}

/// A phone number as people write theirs: 030 23125 000 to 999 belong to nobody (Bundesnetzagentur, numbers for media productions).
fn spelled_phone(number: usize) -> String {
    match number % 4 {
        0 => format!("030 23125 {number:03}"),
        1 => format!("(030) 23125-{number:03}"),
        2 => format!("+49 30 23125{number:03}"),
        _ => format!("0049 (0)30 23125 {number:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_the_generator_writes() {
        let file = fs::read_to_string(root().join(QUICKSTART).join("events.ndjson")).expect("the file is in the repository");
        assert!(file.lines().eq(lines().iter()), "events.ndjson is not what `cargo xtask sample` writes");
        assert!(file.len() < 400_000, "{} bytes", file.len());
    }

    #[test]
    fn the_month_has_what_makes_identity_hard() {
        let lines = lines();
        let check = |what: &str, at_least: usize| {
            let found = lines.iter().filter(|line| line.contains(what)).count();
            assert!(found >= at_least, "{what}: {found}");
        };
        for kind in ["page", "screen", "track", "identify"] {
            check(&format!(r#""type":"{kind}""#), 20);
        }
        check(r#""type":"group""#, 10);
        check(r#""type":"alias""#, 3);
        check("web-ann-laptop", 5);
        check("EXAMPLE.COM", 10);
        let mut once = lines.clone();
        once.sort_unstable();
        once.dedup();
        assert!(lines.len() >= once.len() + 10, "some are sent twice");
        assert!(lines.windows(2).any(|two| time_of(&two[0]) > time_of(&two[1])), "some come late");
        assert!(lines.iter().all(|line| time_of(line) < "2025-09-30"), "all are in one month");
    }

    fn time_of(line: &str) -> &str {
        line.split_once(r#""timestamp":""#).and_then(|(_, rest)| rest.get(..10)).expect("a call has a time")
    }
}
