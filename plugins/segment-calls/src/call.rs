//! Reads calls as they were sent, in one pass and without copies.
//!
//! What is only carried stays the text that it is. Nothing is decided here: a value of an odd type is kept as such, and
//! `event.rs` says what becomes of it. Of a key that comes twice the last value counts, as in every JavaScript engine.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use weft_plugin::{Fields, RawValue, Text};

/// One call of the tracking API; also the envelope of a batch, which has the same outer fields.
#[derive(Debug, Default)]
pub struct Call<'a> {
    pub(crate) kind: Option<&'a RawValue>,
    pub(crate) user_id: Option<&'a RawValue>,
    pub(crate) anonymous_id: Option<&'a RawValue>,
    pub(crate) previous_id: Option<&'a RawValue>,
    pub(crate) group_id: Option<&'a RawValue>,
    pub(crate) message_id: Option<&'a RawValue>,
    pub(crate) event: Option<&'a RawValue>,
    pub(crate) name: Option<&'a RawValue>,
    pub(crate) category: Option<&'a RawValue>,
    pub(crate) timestamp: Option<&'a RawValue>,
    pub(crate) original_timestamp: Option<&'a RawValue>,
    pub(crate) sent_at: Option<&'a RawValue>,
    pub(crate) properties: Option<&'a RawValue>,
    pub(crate) traits: Option<&'a RawValue>,
    pub(crate) integrations: Option<&'a RawValue>,
    /// The key, where it is sent in the body.
    pub write_key: Option<&'a RawValue>,
    pub(crate) context: Context<'a>,
    /// What stood under `batch`, where anything did.
    pub batch: Option<Batch<'a>>,
    /// Fields that the API does not know.
    pub(crate) rest: Fields<'a>,
}

/// A call's `context`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context<'a> {
    pub(crate) device: Option<&'a RawValue>,
    pub(crate) os: Option<&'a RawValue>,
    pub(crate) screen: Option<&'a RawValue>,
    pub(crate) app: Option<&'a RawValue>,
    pub(crate) location: Option<&'a RawValue>,
    pub(crate) campaign: Option<&'a RawValue>,
    pub(crate) page: Option<&'a RawValue>,
    pub(crate) timezone: Option<&'a RawValue>,
    pub(crate) locale: Option<&'a RawValue>,
    pub(crate) ip: Option<&'a RawValue>,
    pub(crate) user_agent: Option<&'a RawValue>,
    pub(crate) library: Option<&'a RawValue>,
    pub(crate) traits: Option<&'a RawValue>,
    pub(crate) external_ids: Option<&'a RawValue>,
    pub(crate) consent: Option<&'a RawValue>,
    pub(crate) rest: Fields<'a>,
    /// Whether anything was there at all.
    pub(crate) sent: Sent,
}

/// What stood where a context should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sent {
    #[default]
    Nothing,
    Object,
    SomethingElse,
}

/// The calls of a batch, each as its text.
#[derive(Debug)]
pub enum Batch<'a> {
    /// A list.
    Calls(Vec<&'a RawValue>),
    /// Something else.
    NoList,
}

impl<'de> Deserialize<'de> for Call<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CallVisitor)
    }
}

struct CallVisitor;

impl<'de> Visitor<'de> for CallVisitor {
    type Value = Call<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Call<'de>, A::Error> {
        let mut call = Call::default();
        while let Some(Text(key)) = map.next_key()? {
            let slot = match &*key {
                "type" => &mut call.kind,
                "userId" => &mut call.user_id,
                "anonymousId" => &mut call.anonymous_id,
                "previousId" => &mut call.previous_id,
                "groupId" => &mut call.group_id,
                "messageId" => &mut call.message_id,
                "event" => &mut call.event,
                "name" => &mut call.name,
                "category" => &mut call.category,
                "timestamp" => &mut call.timestamp,
                "originalTimestamp" => &mut call.original_timestamp,
                "sentAt" => &mut call.sent_at,
                "properties" => &mut call.properties,
                "traits" => &mut call.traits,
                "integrations" => &mut call.integrations,
                "writeKey" => &mut call.write_key,
                "context" => {
                    call.context = map.next_value()?;
                    continue;
                }
                "batch" => {
                    call.batch = Some(map.next_value()?);
                    continue;
                }
                _ => {
                    call.rest.push((key, map.next_value()?));
                    continue;
                }
            };
            *slot = not_null(map.next_value()?);
        }
        Ok(call)
    }
}

impl<'de> Deserialize<'de> for Context<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContextVisitor)
    }
}

struct ContextVisitor;

impl<'de> Visitor<'de> for ContextVisitor {
    type Value = Context<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Context<'de>, A::Error> {
        let mut context = Context { sent: Sent::Object, ..Context::default() };
        while let Some(Text(key)) = map.next_key()? {
            let slot = match &*key {
                "device" => &mut context.device,
                "os" => &mut context.os,
                "screen" => &mut context.screen,
                "app" => &mut context.app,
                "location" => &mut context.location,
                "campaign" => &mut context.campaign,
                "page" => &mut context.page,
                "timezone" => &mut context.timezone,
                "locale" => &mut context.locale,
                "ip" => &mut context.ip,
                "userAgent" => &mut context.user_agent,
                "library" => &mut context.library,
                "traits" => &mut context.traits,
                "externalIds" => &mut context.external_ids,
                "consent" => &mut context.consent,
                _ => {
                    context.rest.push((key, map.next_value()?));
                    continue;
                }
            };
            *slot = not_null(map.next_value()?);
        }
        Ok(context)
    }

    fn visit_unit<E>(self) -> Result<Context<'de>, E> {
        Ok(Context::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Context<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(something_else())
    }
    fn visit_bool<E>(self, _: bool) -> Result<Context<'de>, E> {
        Ok(something_else())
    }
    fn visit_i64<E>(self, _: i64) -> Result<Context<'de>, E> {
        Ok(something_else())
    }
    fn visit_u64<E>(self, _: u64) -> Result<Context<'de>, E> {
        Ok(something_else())
    }
    fn visit_f64<E>(self, _: f64) -> Result<Context<'de>, E> {
        Ok(something_else())
    }
    fn visit_str<E>(self, _: &str) -> Result<Context<'de>, E> {
        Ok(something_else())
    }
}

fn something_else<'a>() -> Context<'a> {
    Context { sent: Sent::SomethingElse, ..Context::default() }
}

impl<'de> Deserialize<'de> for Batch<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Calls;
        impl<'de> Visitor<'de> for Calls {
            type Value = Batch<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Batch<'de>, A::Error> {
                let mut calls = Vec::with_capacity(32);
                while let Some(call) = seq.next_element()? {
                    calls.push(call);
                }
                Ok(Batch::Calls(calls))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Batch<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Batch::NoList)
            }
            fn visit_unit<E>(self) -> Result<Batch<'de>, E> {
                Ok(Batch::NoList)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Batch<'de>, E> {
                Ok(Batch::NoList)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Batch<'de>, E> {
                Ok(Batch::NoList)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Batch<'de>, E> {
                Ok(Batch::NoList)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Batch<'de>, E> {
                Ok(Batch::NoList)
            }
            fn visit_str<E>(self, _: &str) -> Result<Batch<'de>, E> {
                Ok(Batch::NoList)
            }
        }
        deserializer.deserialize_any(Calls)
    }
}

fn not_null(raw: &RawValue) -> Option<&RawValue> {
    (raw.get() != "null").then_some(raw)
}
