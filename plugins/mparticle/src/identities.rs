//! Identities, as identifiers: what mParticle's types are claimed as, and the mpid that follows from them.
//!
//! The same identity has several names: `customer_id` in the specification, `customerid` in identity calls and in the generated clients,
//! `other_id_2` in batches and `other2` in identity calls.

use std::borrow::Cow;

use weft_plugin::{RawValue, Rejection, hash};

use crate::object::{self, Object};

/// An identity by the type of identifiers that it is claimed as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    pub(crate) kind: Cow<'a, str>,
    pub(crate) value: Cow<'a, str>,
}

/// Ids of devices in `device_info`, each claimed as a type of its own name: one that the workspace does not declare identifies nobody.
pub(crate) const DEVICE_IDS: [&str; 10] = [
    "ios_advertising_id",
    "ios_idfv",
    "android_advertising_id",
    "android_uuid",
    "roku_advertising_id",
    "roku_publisher_id",
    "fire_advertising_id",
    "microsoft_publisher_id",
    "microsoft_advertising_id",
    "amp_id",
];

/// From the strongest, in mParticle's default order, for what is a person's; types that are not named come after these, then devices'.
const STRONGEST: [&str; 9] = ["user_id", "phone", "email", "other", "facebook", "google", "twitter", "microsoft", "yahoo"];

/// The type of identifiers that an identity is claimed as.
fn kind(name: Cow<'_, str>) -> Cow<'_, str> {
    match name.as_ref() {
        "customer_id" | "customerid" => "user_id".into(),
        "mobile_number" | "phone_number_2" | "phone_number_3" => "phone".into(),
        "device_application_stamp" => "anonymous_id".into(),
        "facebookcustomaudienceid" => "facebook_custom_audience_id".into(),
        "other2" | "other3" | "other4" | "other5" | "other6" | "other7" | "other8" | "other9" | "other10" => {
            format!("other_id_{}", &name["other".len()..]).into()
        }
        _ => name,
    }
}

/// The identities in an object of types and values. Values in which there is nothing to see are none.
///
/// # Errors
/// It is no object, or a value is neither a string nor a number.
pub(crate) fn read<'a>(raw: &'a RawValue, what: &str) -> Result<Vec<Identity<'a>>, Rejection> {
    let mut identities = Vec::new();
    for (name, value) in Object::read(raw, what)?.0 {
        identities.extend(one(name, value)?);
    }
    Ok(identities)
}

/// The identity of that type; none where there is nothing to see in it.
///
/// # Errors
/// It is neither a string nor a number.
pub(crate) fn one<'a>(name: Cow<'a, str>, value: &'a RawValue) -> Result<Option<Identity<'a>>, Rejection> {
    let value = object::id(&name, value, "bad_identity")?;
    Ok(value.map(|value| Identity { kind: kind(name), value }))
}

/// Ids of the device. Zeros stand for an id that the person keeps to themselves.
///
/// # Errors
/// One is neither a string nor a number.
pub(crate) fn of_device<'a>(device: &Object<'a>) -> Result<Vec<Identity<'a>>, Rejection> {
    let mut identities = Vec::new();
    for name in DEVICE_IDS {
        let value = device.id(name, "bad_identity")?.filter(|id| id.bytes().any(|byte| !matches!(byte, b'0' | b'-')));
        identities.extend(value.map(|value| Identity { kind: name.into(), value }));
    }
    Ok(identities)
}

impl Identity<'_> {
    /// Whether it is a person's, and not a device's.
    pub(crate) fn is_personal(&self) -> bool {
        !matches!(&*self.kind, "anonymous_id" | "push_token" | "mpid") && !DEVICE_IDS.contains(&&*self.kind)
    }

    /// Whether it proves a sign-in.
    pub(crate) fn is_login(&self) -> bool {
        self.kind == "user_id"
    }

    fn strength(&self) -> usize {
        let place = STRONGEST.iter().position(|kind| *kind == self.kind);
        place.unwrap_or(STRONGEST.len() + usize::from(!self.is_personal()))
    }
}

/// A profile's id at mParticle: 63 bits, never zero.
///
/// There it is looked up; here it follows from the strongest identity alone, so that two devices that say the same of a person say the same
/// mpid, and nothing need be kept. Its lowest bit says whether that identity proves a sign-in: so much is known of an mpid that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mpid(u64);

impl Mpid {
    /// That of these identities; none where there are none.
    pub(crate) fn of(identities: &[Identity<'_>]) -> Option<Self> {
        let strongest = identities.iter().min_by_key(|identity| identity.strength())?;
        let value = match &*strongest.kind {
            "email" => strongest.value.trim().to_lowercase(),
            _ => strongest.value.trim().to_owned(),
        };
        let digest = hash::sha256(&format!("mparticle/mpid/{}/{value}", strongest.kind), None);
        let bits = u64::from_str_radix(&digest[..16], 16).expect("a digest is written in hexadecimal digits");
        // Sixty-one bits of digest above the lowest, and one that is always set, so that it is never zero.
        Some(Mpid((bits >> 3) << 1 | 1 << 62 | u64::from(strongest.is_login())))
    }

    /// Reads one in a path; none where it is no number.
    pub(crate) fn parse(text: &str) -> Option<&str> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        (!digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
    }

    /// Whether an mpid that came back is of somebody who signed in, as far as it says so.
    pub(crate) fn says_login(text: &str) -> bool {
        text.parse::<u64>().is_ok_and(|bits| bits & 1 == 1)
    }
}

impl std::fmt::Display for Mpid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identities(json: &str) -> Vec<Identity<'static>> {
        let raw: &'static RawValue = serde_json::from_str(Box::leak(json.to_owned().into_boxed_str())).expect("JSON");
        read(raw, "user_identities").expect("identities")
    }

    #[test]
    fn an_identity_has_one_type_whatever_it_is_called() {
        let check = |name: &str, want: &str| assert_eq!(kind(name.into()), want);
        check("customer_id", "user_id");
        check("customerid", "user_id");
        check("phone_number_3", "phone");
        check("other10", "other_id_10");
        check("other_id_10", "other_id_10");
        check("other", "other");
        check("loyalty", "loyalty");
    }

    #[test]
    fn an_mpid_follows_from_the_strongest_identity() {
        let mpid = |json: &str| Mpid::of(&identities(json)).expect("identities");
        let ann = mpid(r#"{"device_application_stamp":"d-1","email":"ann@shop.example","customerid":"ann"}"#);
        assert_eq!(ann, mpid(r#"{"customer_id":"ann","device_application_stamp":"d-2"}"#));
        assert_ne!(ann, mpid(r#"{"customer_id":"bob"}"#));
        assert_ne!(ann, mpid(r#"{"email":"ann"}"#), "another type");
        assert_eq!(mpid(r#"{"email":" Ann@Shop.example "}"#), mpid(r#"{"email":"ann@shop.example","d":"x"}"#));
        assert_ne!(mpid(r#"{"loyalty":"7"}"#), mpid(r#"{"device_application_stamp":"7"}"#));
        assert!(Mpid::says_login(&ann.to_string()) && !Mpid::says_login(&mpid(r#"{"email":"a@b.example"}"#).to_string()));
        for number in 0..1_000 {
            let mpid = mpid(&format!(r#"{{"other":"{number}"}}"#)).to_string();
            assert!(mpid.parse::<i64>().is_ok_and(|mpid| mpid > 0), "{mpid}");
        }
        assert_eq!(Mpid::of(&[]), None);
    }

    #[test]
    fn an_mpid_in_a_path_is_a_number() {
        let check = |text: &str, is_one: bool| assert_eq!(Mpid::parse(text).is_some(), is_one, "{text}");
        check("123", true);
        check("-9223372036854775808", true);
        check("", false);
        check("-", false);
        check("12a", false);
        check("123456789012345678901", false);
    }
}
