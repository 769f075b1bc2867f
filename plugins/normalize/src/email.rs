//! E-mail addresses: what makes two that reach the same mailbox equal, and what is none.
//!
//! An address is what RFC 5321 calls a mailbox, without its quoted and literal forms, which customers do not have. Letters
//! before the `@` are lower-cased too: the standard lets a server tell them apart, and none that people use does.

use unicode_normalization::UnicodeNormalization;

/// RFC 5321, 4.5.3.1, with the erratum to RFC 3696.
const ADDRESS_BYTES_MAX: usize = 254;
const LOCAL_BYTES_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 63;

/// What is left out of the part before the `@`, by the domain after it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// Domains at which `ann+shop@` is `ann@`.
    pub(crate) drop_tags: Vec<String>,
    /// Domains at which `a.nn@` is `ann@`.
    pub(crate) drop_dots: Vec<String>,
}

/// The address as it is written: trimmed, in lower case, its domain in ASCII; none where it is no address.
pub(crate) fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    let text = text.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(text);
    if text.len() > ADDRESS_BYTES_MAX {
        return None;
    }
    let (local, domain) = text.rsplit_once('@')?;
    let local: String = local.nfc().flat_map(char::to_lowercase).collect();
    let domain = ascii_domain(domain.trim_end_matches('.'))?;
    let good = !local.is_empty()
        && local.len() <= LOCAL_BYTES_MAX
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.chars().all(in_local);
    let address = format!("{local}@{domain}");
    (good && address.len() <= ADDRESS_BYTES_MAX).then_some(address)
}

/// The identifier that an address is: without what the rules of its domain leave out.
pub(crate) fn identifier(address: &str, rules: &Rules) -> String {
    let Some((local, domain)) = address.rsplit_once('@') else { return address.to_owned() };
    let at = |domains: &[String]| domains.iter().any(|known| known == domain);
    let untagged = match local.split_once('+') {
        Some((name, _)) if !name.is_empty() && at(&rules.drop_tags) => name,
        _ => local,
    };
    if at(&rules.drop_dots) { format!("{}@{domain}", untagged.replace('.', "")) } else { format!("{untagged}@{domain}") }
}

/// RFC 5322's `atext`, dots, and letters beyond ASCII (RFC 6531).
fn in_local(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(letter) || (!letter.is_ascii() && letter.is_alphanumeric())
}

/// A domain of two labels or more, in lower case and ASCII. Of UTS 46 it has the mapping (NFKC and lower case) and the
/// encoding, and not the tables of what a registry would refuse.
pub(crate) fn ascii_domain(domain: &str) -> Option<String> {
    let mapped: String = if domain.is_ascii() {
        domain.to_ascii_lowercase()
    } else {
        domain.nfkc().flat_map(char::to_lowercase).nfc().map(|letter| if letter == '。' { '.' } else { letter }).collect()
    };
    let labels = mapped.split('.').map(ascii_label).collect::<Option<Vec<_>>>()?;
    let top = labels.last()?;
    // The last label is a name: a number there would be an address of the other kind.
    let good = labels.len() >= 2 && top.len() >= 2 && !top.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| labels.join("."))
}

fn ascii_label(label: &str) -> Option<String> {
    let label = if label.is_ascii() { label.to_owned() } else { format!("xn--{}", punycode(label)?) };
    let good = !label.is_empty()
        && label.len() <= LABEL_BYTES_MAX
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    good.then_some(label)
}

/// RFC 3492, 5.
const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;

/// Encodes a label by RFC 3492, 6.3. None where it overflows.
fn punycode(label: &str) -> Option<String> {
    if !label
        .chars()
        .all(|letter| letter.is_alphanumeric() || letter == '-' || unicode_normalization::char::is_combining_mark(letter))
    {
        return None;
    }
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(out.len()).ok()?;
    let length = u32::try_from(label.chars().count()).ok()?;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias, mut handled) = (128_u32, 0_u32, 72_u32, basic);
    while handled < length {
        let next = label.chars().map(u32::from).filter(|letter| *letter >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for letter in label.chars().map(u32::from) {
            if letter < n {
                delta = delta.checked_add(1)?;
            }
            if letter != n {
                continue;
            }
            let (mut q, mut k) = (delta, BASE);
            loop {
                let t = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
                if q < t {
                    break;
                }
                out.push(digit(t + (q - t) % (BASE - t)));
                q = (q - t) / (BASE - t);
                k += BASE;
            }
            out.push(digit(q));
            let mut left = if handled == basic { delta / DAMP } else { delta / 2 };
            left += left / (handled + 1);
            let mut steps = 0;
            while left > (BASE - T_MIN) * T_MAX / 2 {
                left /= BASE - T_MIN;
                steps += BASE;
            }
            bias = steps + (BASE - T_MIN + 1) * left / (left + SKEW);
            delta = 0;
            handled += 1;
        }
        delta += 1;
        n += 1;
    }
    Some(out)
}

/// The digits of RFC 3492: `a` to `z`, then `0` to `9`.
fn digit(value: u32) -> char {
    let value = u8::try_from(value).expect("it is below the base, 36");
    char::from(if value < 26 { b'a' + value } else { b'0' + value - 26 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_alike() {
        let check = |text: &str, want: &str| assert_eq!(address(text).as_deref(), (!want.is_empty()).then_some(want), "{text}");
        check(" Ann.Doe+Shop@Example.COM ", "ann.doe+shop@example.com");
        check("mailto:<ann@example.com>", "ann@example.com");
        check("ann@example.com.", "ann@example.com");
        check("ann@bücher.example", "ann@xn--bcher-kva.example");
        check("ann@BÜCHER.example", "ann@xn--bcher-kva.example");
        check("ann@bu\u{308}cher.example", "ann@xn--bcher-kva.example");
        check("ann@例え.テスト", "ann@xn--r8jz45g.xn--zckzah");
        check("ann@ｅｘａｍｐｌｅ.com", "ann@example.com");
        check("jörg@example.com", "jörg@example.com");
        for junk in [
            "",
            "ann",
            "@example.com",
            "ann@",
            "ann@localhost",
            "a nn@example.com",
            "ann@exa mple.com",
            "ann@@example.com",
            ".ann@example.com",
            "a..b@example.com",
            "ann@-x.com",
            "ann@x..com",
            "ann@1.2.3.4",
            "ann@example.c",
            "\"a b\"@example.com",
            "ann@ex\u{2028}ample.com",
            "n/a@☃.com",
        ] {
            check(junk, "");
        }
        check(&format!("{}@example.com", "x".repeat(65)), "");
    }

    #[test]
    fn a_domains_rules_make_identifiers_equal() {
        let domains = || vec!["gmail.com".to_owned()];
        let rules = Rules { drop_tags: domains(), drop_dots: domains() };
        let check = |address: &str, want: &str| assert_eq!(identifier(address, &rules), want);
        check("a.nn+shop@gmail.com", "ann@gmail.com");
        check("a.nn+shop@example.com", "a.nn+shop@example.com");
        check("+shop@gmail.com", "+shop@gmail.com");
    }

    #[test]
    fn punycode_of_rfc_3492() {
        let check = |label: &str, want: &str| assert_eq!(punycode(label).as_deref(), Some(want));
        check("bücher", "bcher-kva");
        check("münchen", "mnchen-3ya");
        check("他们为什么不说中文", "ihqwcrb4cv8a8dqg056pqjye");
        check("почемужеонинеговорятпорусски", "b1abfaaepdrnnbgefbadotcwatmq2g4l");
        check("3年b組金八先生", "3b-ww4c5e180e575a65lsy2b");
    }
}
