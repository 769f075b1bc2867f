//! What each type of event is called. Names are those of Segment's specifications for e-commerce, mobile apps and accounts where they have
//! one, so that one condition holds for both kinds of SDKs; README.md has them as a table.

use std::borrow::Cow;

use weft_plugin::{Kind, Rejection, string_or_number};

use crate::object::Object;

/// What an event is, before it is said of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meaning<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: Option<Cow<'a, str>>,
    /// The field of the event's own data that the name was taken from, which is then no property.
    pub(crate) named_by: &'static str,
}

/// Where a screen was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// It was a page of a web site.
    Web,
    /// It was an app's.
    Other,
}

/// What an event of this type is.
///
/// # Errors
/// There is no such type, or what it needs to be named by is not there.
pub(crate) fn meaning<'a>(event_type: &str, data: &Object<'a>, platform: Platform) -> Result<Meaning<'a>, Rejection> {
    let named = |name: &'static str| Ok(track(name.into(), ""));
    match event_type {
        "custom_event" => {
            let name = data.string("event_name").filter(|name| !name.is_empty());
            name.map(|name| track(name, "event_name"))
                .ok_or_else(|| Rejection::new("no_name", "a custom_event needs an event_name"))
        }
        "screen_view" => {
            let kind = if platform == Platform::Web { Kind::Page } else { Kind::Screen };
            Ok(Meaning { kind, name: data.string("screen_name"), named_by: "screen_name" })
        }
        "commerce_event" => commerce(data),
        "user_attribute_change" | "user_identity_change" => Ok(Meaning { kind: Kind::Identify, name: None, named_by: "" }),
        "session_start" => named("Session Started"),
        "session_end" => named("Session Ended"),
        "application_state_transition" => of_transition(data),
        "first_run" => named("Application Installed"),
        "uninstall" => named("Application Uninstalled"),
        "crash_report" => named("Application Crashed"),
        "push_registration" => named(match data.truth("register") {
            Some(false) => "Push Notifications Disabled",
            _ => "Push Notifications Enabled",
        }),
        "push_message" => named(match data.string("push_message_type").as_deref() {
            Some("action") => "Push Notification Tapped",
            Some("sent") => "Push Notification Sent",
            _ => "Push Notification Received",
        }),
        "push_reaction" => named("Push Notification Tapped"),
        "opt_out" => named(if data.truth("is_opted_out") == Some(false) { "Opted In" } else { "Opted Out" }),
        "breadcrumb" => named("Breadcrumb Left"),
        "network_performance" => named("Network Request Measured"),
        "profile" => of_profile(data),
        "attribution" | "pre_attribution" => named("Install Attributed"),
        "" => Err(Rejection::new("bad_event_type", "an event needs an event_type, such as custom_event")),
        other => {
            let words = format!("`{}` is no event_type, as custom_event and commerce_event are", shortened(other));
            Err(Rejection::new("bad_event_type", words))
        }
    }
}

fn track<'a>(name: Cow<'a, str>, named_by: &'static str) -> Meaning<'a> {
    Meaning { kind: Kind::Track, name: Some(name), named_by }
}

fn of_transition<'a>(data: &Object<'a>) -> Result<Meaning<'a>, Rejection> {
    let name = match data.string("application_transition_type").as_deref() {
        Some("application_initialized" | "application_initialised") => "Application Opened",
        Some("application_foreground") => "Application Foregrounded",
        Some("application_background") => "Application Backgrounded",
        Some("application_exit") => "Application Closed",
        _ => {
            let words = "an application_state_transition needs an application_transition_type: application_initialized, \
                         application_foreground, application_background or application_exit";
            return Err(Rejection::new("bad_transition", words));
        }
    };
    Ok(track(name.into(), "application_transition_type"))
}

fn of_profile<'a>(data: &Object<'a>) -> Result<Meaning<'a>, Rejection> {
    let name = match data.string("profile_event_type").as_deref() {
        Some("signup") => "Signed Up",
        Some("login") => "Signed In",
        Some("logout") => "Signed Out",
        Some("delete") => "Profile Deleted",
        _ => "Profile Updated",
    };
    Ok(track(name.into(), "profile_event_type"))
}

/// A commerce event is one of three, and the first that is there counts.
fn commerce<'a>(data: &Object<'a>) -> Result<Meaning<'a>, Rejection> {
    if data.get("product_action").is_some() {
        let action = data.object("product_action")?;
        return of_action(action.string("action").as_deref().unwrap_or_default()).map(|name| track(name.into(), ""));
    }
    if data.get("promotion_action").is_some() {
        let action = data.object("promotion_action")?.get("action").and_then(string_or_number);
        let name = match action.as_deref() {
            // The SDK for the web sends the action's number.
            Some("view" | "1") => "Promotion Viewed",
            Some("click" | "2") => "Promotion Clicked",
            _ => return Err(Rejection::new("bad_action", "a promotion_action needs an action: view or click")),
        };
        return Ok(track(name.into(), ""));
    }
    if data.get("product_impressions").is_some() {
        return Ok(track("Product List Viewed".into(), ""));
    }
    let words = "a commerce_event needs a product_action, a promotion_action or product_impressions";
    Err(Rejection::new("no_action", words))
}

fn of_action(action: &str) -> Result<&'static str, Rejection> {
    Ok(match action {
        "add_to_cart" => "Product Added",
        "remove_from_cart" => "Product Removed",
        "add_to_wishlist" => "Product Added to Wishlist",
        // The specification writes it in both ways.
        "remove_from_wishlist" | "remove_from_wish_list" => "Product Removed from Wishlist",
        "click" => "Product Clicked",
        "view_detail" => "Product Viewed",
        "checkout" => "Checkout Started",
        "checkout_option" => "Checkout Step Completed",
        "purchase" => "Order Completed",
        "refund" => "Order Refunded",
        other => {
            let words = format!("`{}` is no action of products, as `purchase` and `add_to_cart` are", shortened(other));
            return Err(Rejection::new("bad_action", words));
        }
    })
}

/// As much of a sender's own word as a message needs.
fn shortened(word: &str) -> String {
    word.chars().take(40).collect()
}
