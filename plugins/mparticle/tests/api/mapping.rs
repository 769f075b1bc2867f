//! What batches mean.

use super::{kept, page, server};

/// The events of a batch are these, as the engine keeps them.
fn check(batch: &str, want: &[&str]) {
    let received = server("/v2/events", batch);
    assert!(received.refused.is_empty(), "{batch}: {:?}", received.refused);
    assert_eq!(kept(&received), want, "{batch}");
}

/// The only event of a batch about Ann, whose `event_type` and `data` are these, without its claims.
fn event(event_type: &str, data: &str) -> String {
    let received = server("/v2/events", &format!(r#"{{"mpid":"7","events":[{{"event_type":"{event_type}","data":{data}}}]}}"#));
    assert!(received.refused.is_empty(), "{event_type} {data}: {:?}", received.refused);
    kept(&received).remove(0).replace(r#","claims":[{"type":"mpid","value":"7"}]"#, "")
}

#[test]
fn a_purchase_of_a_server_with_all_that_it_says() {
    check(include_str!("../../examples/purchase.json"), &[include_str!("../../examples/purchase.event.ndjson").trim_end()]);
}

#[test]
fn events_are_named_as_segments_specifications_name_them() {
    let check = |event_type: &str, data: &str, want: &str| {
        assert_eq!(event(event_type, data), format!(r#"{{{want}}}"#), "{event_type} {data}");
    };
    let track = |event_type: &str, data: &str, name: &str, rest: &str| {
        check(event_type, data, &format!(r#""type":"track","name":"{name}"{rest}"#));
    };
    track(
        "custom_event",
        r#"{"event_name":"Level Up","custom_event_type":"other","custom_attributes":{"level":"3"},"custom_flags":{},"page_url":"https://a.example/"}"#,
        "Level Up",
        r#","properties":{"level":"3"},"context":{"page":{"url":"https://a.example/"},"extra":{"custom_event_type":"other"}}"#,
    );
    track("session_start", "{}", "Session Started", "");
    track("session_end", r#"{"session_duration_ms":7}"#, "Session Ended", r#","properties":{"session_duration_ms":7}"#);
    let transition = "application_state_transition";
    track(
        transition,
        r#"{"application_transition_type":"application_initialized","is_first_run":true,"launch_referral":null}"#,
        "Application Opened",
        r#","properties":{"is_first_run":true}"#,
    );
    track(transition, r#"{"application_transition_type":"application_background"}"#, "Application Backgrounded", "");
    track(transition, r#"{"application_transition_type":"application_foreground"}"#, "Application Foregrounded", "");
    track(transition, r#"{"application_transition_type":"application_exit"}"#, "Application Closed", "");
    track("first_run", "{}", "Application Installed", "");
    track("uninstall", "{}", "Application Uninstalled", "");
    track("crash_report", r#"{"message":"m"}"#, "Application Crashed", r#","properties":{"message":"m"}"#);
    track("opt_out", r#"{"is_opted_out":true}"#, "Opted Out", r#","properties":{"is_opted_out":true}"#);
    track("opt_out", r#"{"is_opted_out":false}"#, "Opted In", r#","properties":{"is_opted_out":false}"#);
    track("breadcrumb", r#"{"label":"b"}"#, "Breadcrumb Left", r#","properties":{"label":"b"}"#);
    track("network_performance", r#"{"url":"u"}"#, "Network Request Measured", r#","properties":{"url":"u"}"#);
    track("profile", r#"{"profile_event_type":"login"}"#, "Signed In", "");
    track("profile", r#"{"profile_event_type":"signup"}"#, "Signed Up", "");
    track("profile", r#"{"profile_event_type":"logout"}"#, "Signed Out", "");
    track("profile", r#"{"profile_event_type":"delete"}"#, "Profile Deleted", "");
    track("profile", "{}", "Profile Updated", "");
    track("attribution", r#"{"publisher":"p"}"#, "Install Attributed", r#","properties":{"publisher":"p"}"#);
    track("pre_attribution", "{}", "Install Attributed", "");
    let push = |of: &str| format!(r#","properties":{{"push_message_type":"{of}"}}"#);
    track("push_message", r#"{"push_message_type":"received"}"#, "Push Notification Received", &push("received"));
    track("push_message", r#"{"push_message_type":"action"}"#, "Push Notification Tapped", &push("action"));
    track("push_message", r#"{"push_message_type":"sent"}"#, "Push Notification Sent", &push("sent"));
    track("push_reaction", "{}", "Push Notification Tapped", "");
    track("push_registration", r#"{"register":true}"#, "Push Notifications Enabled", r#","properties":{"register":true}"#);
    track("push_registration", r#"{"register":false}"#, "Push Notifications Disabled", r#","properties":{"register":false}"#);
    check(
        "screen_view",
        r#"{"screen_name":"Cart","activity_type":"a"}"#,
        r#""type":"screen","name":"Cart","properties":{"activity_type":"a"}"#,
    );
    check(
        "user_attribute_change",
        r#"{"user_attribute_name":"$firstname","old":null,"new":"Ann","deleted":false,"is_new_attribute":true}"#,
        r#""type":"identify","traits":{"first_name":"Ann"},"properties":{"user_attribute_name":"$firstname","new":"Ann","deleted":false,"is_new_attribute":true}"#,
    );
    check(
        "user_attribute_change",
        r#"{"user_attribute_name":"plan","old":"pro","new":null,"deleted":true}"#,
        r#""type":"identify","traits":{"plan":null},"properties":{"user_attribute_name":"plan","old":"pro","deleted":true}"#,
    );
}

#[test]
fn actions_on_products_are_segments_and_so_are_their_properties() {
    let check =
        |data: &str, want: &str| assert_eq!(event("commerce_event", data), format!("{{\"type\":\"track\",{want}}}"), "{data}");
    let action = |name: &str| format!(r#"{{"product_action":{{"action":"{name}"}}}}"#);
    check(&action("checkout"), r#""name":"Checkout Started""#);
    check(&action("refund"), r#""name":"Order Refunded""#);
    check(&action("remove_from_cart"), r#""name":"Product Removed""#);
    check(&action("remove_from_wish_list"), r#""name":"Product Removed from Wishlist""#);
    check(&action("remove_from_wishlist"), r#""name":"Product Removed from Wishlist""#);
    check(&action("add_to_wishlist"), r#""name":"Product Added to Wishlist""#);
    check(&action("click"), r#""name":"Product Clicked""#);
    check(
        r#"{"product_action":{"action":"checkout_option","checkout_step":2,"checkout_options":"Visa","new_field":1}}"#,
        r#""name":"Checkout Step Completed","properties":{"step":2,"options":"Visa","new_field":1}"#,
    );
    // Of one product its fields are properties too, where conditions look for them.
    check(
        r#"{"product_action":{"action":"view_detail","products":[{"id":"507","category":"Games","price":"9.95","position":"first","added_to_cart_time_ms":null}]},"promotion_action":null,"product_impressions":null}"#,
        r#""name":"Product Viewed","properties":{"product_id":"507","category":"Games","position":"first","price":"9.95"},"products":[{"id":"507","category":"Games","price":9.95,"properties":{"position":"first"}}]"#,
    );
    check(
        r#"{"product_action":{"action":"add_to_cart","products":[{"id":"a"},{"id":"b"}]},"shopping_cart":{"products":[]}}"#,
        r#""name":"Product Added","properties":{"shopping_cart":{"products":[]}},"products":[{"id":"a"},{"id":"b"}]"#,
    );
    check(
        r#"{"promotion_action":{"action":"click","promotions":[{"id":"p","name":"Spring"}]}}"#,
        r#""name":"Promotion Clicked","properties":{"promotions":[{"id":"p","name":"Spring"}]}"#,
    );
    check(r#"{"promotion_action":{"action":1,"promotions":[]}}"#, r#""name":"Promotion Viewed","properties":{"promotions":[]}"#);
    check(
        r#"{"product_impressions":[{"product_impression_list":"Top","products":[{"id":"a"}]},{"product_impression_list":"New","products":[{"id":"b","custom_attributes":{"list":"x"}}]}],"screen_name":"s"}"#,
        r#""name":"Product List Viewed","properties":{"screen_name":"s"},"products":[{"id":"a","properties":{"list":"Top"}},{"id":"b","properties":{"list":"New","custom_attributes":{"list":"x"}}}]"#,
    );
    for (data, code) in [
        ("{}", "no_action"),
        (r#"{"product_action":{}}"#, "bad_action"),
        (r#"{"product_action":{"action":"unknown"}}"#, "bad_action"),
        (r#"{"product_action":[]}"#, "not_an_object"),
        (r#"{"promotion_action":{"action":0}}"#, "bad_action"),
        (r#"{"product_action":{"action":"click","products":[7]}}"#, "not_an_object"),
        (r#"{"product_action":{"action":"click","products":7}}"#, "not_a_list"),
    ] {
        let body = format!(r#"{{"mpid":"7","events":[{{"event_type":"commerce_event","data":{data}}}]}}"#);
        assert_eq!(super::codes(&server("/v2/events", &body)), [code], "{data}");
    }
}

#[test]
fn a_batch_without_events_says_what_is_true_of_the_person() {
    check(
        r#"{"source_request_id":"r-1","user_identities":{"customerid":"ann","email":null,"facebook":"f"},"user_attributes":{"email":"own@shop.example","$mobile":"030 1"},"timestamp_unixtime_ms":1772357398000}"#,
        &[
            r#"{"type":"identify","message_id":"mparticle/shop/r-1/0","occurred":"2026-03-01T09:29:58.000Z","claims":[{"type":"user_id","value":"ann"},{"type":"facebook","value":"f"}],"traits":{"email":"own@shop.example","phone":"030 1"},"context":{"extra":{"source_request_id":"r-1"}}}"#,
        ],
    );
}

#[test]
fn what_is_true_of_the_person_goes_with_the_last_event() {
    let of = |name: &str| format!(r#"{{"event_type":"custom_event","data":{{"event_name":"{name}"}}}}"#);
    let received = server(
        "/v2/events",
        &format!(
            r#"{{"mpid":7,"user_attributes":{{"plan":"pro"}},"consent_state":{{"gdpr":{{"ads":{{"consented":false}},"odd":{{}}}}}},"events":[{},{}]}}"#,
            of("first"),
            of("last")
        ),
    );
    let events = kept(&received);
    assert!(!events[0].contains("traits") && !events[0].contains("\"consent\":"), "{}", events[0]);
    assert!(
        events[1].contains(r#""traits":{"plan":"pro"}"#) && events[1].contains(r#""consent":{"gdpr":{"ads":false}}"#),
        "{}",
        events[1]
    );
}

#[test]
fn a_repetition_is_known_and_a_second_event_is_none() {
    let id = |batch: &str| {
        let event: serde_json::Value = serde_json::from_str(&kept(&server("/v2/events", batch))[0]).expect("JSON");
        event["message_id"].as_str().map(str::to_owned)
    };
    let batch = |outer: &str, data: &str| {
        format!(r#"{{"mpid":"7"{outer},"events":[{{"event_type":"custom_event","data":{{"event_name":"e"{data}}}}}]}}"#)
    };
    let request = r#","source_request_id":"r-1""#;
    assert_eq!(id(&batch(request, r#","source_message_id":"m-1""#)).as_deref(), Some("mparticle/shop/m-1"));
    assert_eq!(id(&batch(request, "")).as_deref(), Some("mparticle/shop/r-1/0"));
    // Nothing says when: the same words may have happened again.
    assert_eq!(id(&batch("", "")), None);
    let at = r#","timestamp_unixtime_ms":1772357398000"#;
    let by_words = id(&batch("", at)).expect("known by its words");
    assert_eq!(Some(&by_words), id(&batch("", at)).as_ref());
    assert_ne!(Some(by_words), id(&batch("", r#","timestamp_unixtime_ms":1772357398001"#)));
    assert!(id(&batch(at, "")).is_some());
}

#[test]
fn a_page_of_the_web_sdk() {
    let received = page(
        "/webevents/v3/JS/web-key-1/events",
        r#"{"source_request_id":"r","mpid":"7062014421","timestamp_unixtime_ms":1772357399000,"environment":"production","events":[{"event_type":"screen_view","data":{"screen_name":"Home","timestamp_unixtime_ms":1772357398000,"session_uuid":"S","session_start_unixtime_ms":1772357390000,"custom_attributes":{"hostname":"shop.example","title":"Shop"},"location":null,"source_message_id":"m","custom_flags":{},"active_time_on_site_ms":12}}],"mp_deviceid":"d-1","sdk_version":"2.68.0","application_info":{"sideloaded_kits_count":0},"device_info":{"platform":"web","screen_width":800},"user_attributes":{},"user_identities":null,"consent_state":null,"integration_attributes":{}}"#,
    );
    assert_eq!(
        kept(&received),
        [
            r#"{"type":"page","name":"Home","message_id":"mparticle/site/m","occurred":"2026-03-01T09:29:58.000Z","environment":"production","claims":[{"type":"anonymous_id","value":"d-1"},{"type":"mpid","value":"7062014421"}],"properties":{"hostname":"shop.example","title":"Shop"},"context":{"device":{"type":"web","screen_width":800},"app":{"sideloaded_kits_count":0},"ip":"203.0.113.9","user_agent":"Mozilla/5.0","library":{"name":"@mparticle/web-sdk","version":"2.68.0"},"extra":{"source_request_id":"r","session_uuid":"S","session_start_unixtime_ms":1772357390000,"active_time_on_site_ms":12}}}"#
        ]
    );
}

#[test]
fn an_identity_that_changed_is_claimed() {
    let batch = r#"{"mpid":"7","events":[{"event_type":"user_identity_change","data":{"new":{"identity_type":"email","identity":"ann@shop.example"},"old":{"identity_type":"email","identity":null}}}]}"#;
    check(
        batch,
        &[
            r#"{"type":"identify","claims":[{"type":"mpid","value":"7"},{"type":"email","value":"ann@shop.example"}],"properties":{"new":{"identity_type":"email","identity":"ann@shop.example"},"old":{"identity_type":"email","identity":null}}}"#,
        ],
    );
}
