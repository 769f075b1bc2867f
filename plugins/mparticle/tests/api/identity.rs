//! Identity calls: what an SDK hears, and what is learnt.

use serde_json::{Value, json};
use weft_plugin::identity::{Identifier, Known};
use weft_plugin::{Source, testing};

use super::{answer, kept, page, server};

#[test]
fn an_sdk_hears_the_same_mpid_for_the_same_person() {
    let mpid = |path: &str, known: &str| {
        let received = page(path, &format!(r#"{{"known_identities":{known},"context":"c"}}"#));
        let told = answer(&received);
        assert_eq!((received.response.status, &told["context"], &told["is_ephemeral"]), (200, &json!("c"), &json!(false)));
        let mpid = told["mpid"].as_str().expect("a text: it does not fit a number of JavaScript").to_owned();
        (mpid, told["is_logged_in"].as_bool().expect("a truth"), told["matched_identities"].clone())
    };
    let (ann, is_logged_in, matched) = mpid("/v1/login", r#"{"customerid":"ann","device_application_stamp":"d-1"}"#);
    assert!(is_logged_in);
    assert_eq!(matched, json!({ "customerid": "ann", "device_application_stamp": "d-1" }));
    assert_eq!(mpid("/identity/v1/identify", r#"{"customerid":"ann","email":"x","device_application_stamp":"d-2"}"#).0, ann);
    let (device, is_logged_in, _) = mpid("/v1/identify", r#"{"device_application_stamp":"d-1"}"#);
    assert!(device != ann && !is_logged_in);
    assert_eq!(mpid("/v1/logout", r#"{"device_application_stamp":"d-1"}"#).0, device, "back to whoever has the device");
}

#[test]
fn who_is_named_is_learnt() {
    let received = page(
        "/v1/login",
        r#"{"client_sdk":{"platform":"web"},"context":null,"environment":"development","request_id":"q-1","request_timestamp_ms":1772357399000,"previous_mpid":"11","known_identities":{"customerid":"ann","email":"Ann@Shop.example","other2":"L-7","device_application_stamp":"d-1"}}"#,
    );
    let mpid = answer(&received)["mpid"].as_str().expect("an mpid").to_owned();
    let want = format!(
        r#"{{"type":"identify","message_id":"mparticle/site/identity/q-1","environment":"development","claims":[{{"type":"user_id","value":"ann"}},{{"type":"email","value":"Ann@Shop.example"}},{{"type":"other_id_2","value":"L-7"}},{{"type":"anonymous_id","value":"d-1"}},{{"type":"mpid","value":"{mpid}"}}],"traits":{{"email":"Ann@Shop.example"}},"context":{{"extra":{{"client_sdk":{{"platform":"web"}},"request_timestamp_ms":1772357399000,"previous_mpid":"11"}}}}}}"#
    );
    assert_eq!(kept(&received), [want]);
    // A device alone names nobody, and who signed out is not there any more.
    assert!(page("/v1/identify", r#"{"known_identities":{"device_application_stamp":"d-1"}}"#).events.is_empty());
    assert!(page("/v1/logout", r#"{"known_identities":{"email":"a@b.example"}}"#).events.is_empty());
}

#[test]
fn identities_of_an_mpid_change() {
    let received = server(
        "/v1/4611686018427387905/modify",
        r#"{"request_id":"q-2","identity_changes":[{"identity_type":"email","old_value":"old@shop.example","new_value":"new@shop.example"},{"identity_type":"mobile_number","old_value":"1","new_value":null}]}"#,
    );
    let told = answer(&received);
    assert_eq!(told["is_logged_in"], json!(true), "the mpid itself says that it is of somebody who signed in");
    let mpid = "4611686018427387905";
    let want =
        json!([{ "identity_type": "email", "modified_mpid": mpid }, { "identity_type": "mobile_number", "modified_mpid": mpid }]);
    assert_eq!((told["mpid"].as_str(), &told["change_results"]), (Some(mpid), &want));
    assert_eq!(
        kept(&received),
        [
            r#"{"type":"identify","message_id":"mparticle/shop/identity/q-2","claims":[{"type":"email","value":"new@shop.example","how":"added"},{"type":"mpid","value":"4611686018427387905"},{"type":"email","value":"old@shop.example","how":"removed"},{"type":"phone","value":"1","how":"removed"}],"traits":{"email":"new@shop.example","phone":null},"context":{"extra":{"identity_changes":[{"identity_type":"email","old_value":"old@shop.example","new_value":"new@shop.example"},{"identity_type":"mobile_number","old_value":"1","new_value":null}]}}}"#
        ]
    );
}

#[test]
fn a_change_keeps_what_a_person_is_known_by() {
    let claims = |mpid: &str, change: &str| {
        let received = server(&format!("/v1/{mpid}/modify"), &format!(r#"{{"request_id":"q","identity_changes":[{change}]}}"#));
        let event: Value = serde_json::from_str(&kept(&received)[0]).expect("JSON");
        let claim = |claim: &Value| {
            let how = claim["how"].as_str().unwrap_or("observed");
            format!("{} {} {how}", claim["type"].as_str().expect("a type"), claim["value"].as_str().expect("a value"))
        };
        event["claims"].as_array().expect("claims").iter().map(claim).collect::<Vec<_>>()
    };
    let check = |mpid: &str, change: &str, want: [&str; 2]| {
        let claims = claims(mpid, change);
        assert_eq!([claims[0].as_str(), claims.get(2).map_or("", String::as_str)], want, "{change}");
    };
    let (signed_in, visitor) = ("3", "4");
    check(signed_in, r#"{"identity_type":"customerid","old_value":"a","new_value":"b"}"#, ["user_id b added", "user_id a alias"]);
    check(visitor, r#"{"identity_type":"email","old_value":"a","new_value":"b"}"#, ["email b added", "email a alias"]);
    check(signed_in, r#"{"identity_type":"email","old_value":"a","new_value":"b"}"#, ["email b added", "email a removed"]);
    check(signed_in, r#"{"identity_type":"email","old_value":null,"new_value":"b"}"#, ["email b added", ""]);
    check(signed_in, r#"{"identity_type":"email","old_value":"b","new_value":"b"}"#, ["email b added", ""]);
    let swapped =
        r#"{"identity_type":"other","old_value":"x","new_value":"y"},{"identity_type":"other","old_value":"y","new_value":"x"}"#;
    assert_eq!(claims(signed_in, swapped), ["other y added", "other x added", "mpid 3 observed"], "nothing is gone");
    let removed = r#"{"identity_type":"email","old_value":"a","new_value":null}"#;
    assert_eq!(claims(visitor, removed), ["mpid 4 observed", "email a removed"]);
}

#[test]
fn a_search_finds_who_is_known_and_makes_nobody() {
    let ann = |mpids: &[&str]| {
        let one = |kind: &str, value: &str| Identifier { kind: kind.into(), value: value.into() };
        let known = [one("user_id", "ann"), one("email", "ann@shop.example")].into_iter();
        let identifiers = known.chain(mpids.iter().map(|mpid| one("mpid", mpid))).collect();
        Known { customer: "c".into(), signs_in: true, matched: Vec::new(), identifiers }
    };
    let search = |known: Option<Known>, headers: &[(&str, &str)], body: &str| {
        let mut plugin = super::open(super::CONFIG);
        testing::with(|double| double.customers.extend(known));
        let received = plugin.receive(super::request("POST", "/v1/search", headers, body.as_bytes())).expect("no failure");
        assert!(received.events.is_empty() && received.refused.is_empty());
        (received.response.status, answer(&received))
    };
    let basic = super::basic(super::KEY, super::SECRET);
    let (server, page) = ([("authorization", basic.as_str())], [("x-mp-key", super::WEB)]);
    let body = r#"{"known_identities":{"email":" Ann@Shop.example","other":"7"},"context":"c"}"#;
    let mpid = answer(&super::page("/v1/login", r#"{"known_identities":{"customerid":"ann"}}"#))["mpid"].clone();
    let (status, told) = search(Some(ann(&[])), &server, body);
    let want = json!({
        "context": "c", "mpid": mpid, "matched_identities": { "email": " Ann@Shop.example" },
        "is_logged_in": true, "is_ephemeral": false,
    });
    assert_eq!((status, told), (200, want), "a device that signs her in hears the same mpid");
    let told = |mpids: &[&str]| search(Some(ann(mpids)), &server, body).1["mpid"].clone();
    assert_eq!((told(&["1", mpid.as_str().expect("a text")]), told(&["1", "2"])), (mpid.clone(), json!("1")));

    let (status, told) = search(None, &server, body);
    assert_eq!((status, &told["ErrorCode"], &told["StatusCode"]), (404, &json!("NOT_FOUND_ERROR"), &json!(404)));
    assert_eq!(search(None, &server, r#"{"known_identities":{}}"#).0, 400);
    assert_eq!(search(None, &[], body).0, 401);
    let (status, told) = search(Some(ann(&[])), &page, body);
    assert_eq!((status, &told["ErrorCode"]), (403, &json!("FORBIDDEN")), "a page's key may not, unless it is said");
    testing::reset();
    let config = testing::config(r#"{"keys":{"site":{"key":"site-key","search":true}}}"#).expect("valid");
    let mut plugin = mparticle::MParticle::open(config).expect("it opens");
    testing::with(|double| {
        double.secrets.insert("site-key".into(), super::WEB.as_bytes().to_vec());
        double.customers.push(ann(&[]));
    });
    let received = plugin.receive(super::request("POST", "/identity/v1/search", &page, body.as_bytes())).expect("no failure");
    assert_eq!(received.response.status, 200);
}

#[test]
fn an_alias_says_that_two_mpids_are_one_persons() {
    let body = r#"{"request_id":"q-3","request_type":"alias","environment":"production","api_key":"web-key-1","data":{"destination_mpid":"5","source_mpid":"4","start_unixtime_ms":1,"end_unixtime_ms":2}}"#;
    for path in ["/v1/identity/web-key-1/Alias", "/webevents/v1/identity/web-key-1/Alias", "/v1/identity/web-key-1/alias"] {
        let received = page(path, body);
        assert_eq!(received.response.status, 202);
        assert_eq!(
            kept(&received),
            [
                r#"{"type":"alias","message_id":"mparticle/site/identity/q-3","environment":"production","claims":[{"type":"mpid","value":"5"},{"type":"mpid","value":"4","how":"alias"}],"context":{"extra":{"request_type":"alias","data":{"destination_mpid":"5","source_mpid":"4","start_unixtime_ms":1,"end_unixtime_ms":2}}}}"#
            ]
        );
    }
    assert_eq!(kept(&server("/v1/identity/shop/alias", body)).len(), 1, "a server says it with its secret");
    let check = |data: &str, code: &str| {
        let received = page("/v1/identity/web-key-1/Alias", &format!(r#"{{"data":{data}}}"#));
        assert_eq!(super::codes(&received), [code], "{data}");
        let told = answer(&received);
        assert_eq!((received.response.status, &told["code"]), (400, &json!("BAD_REQUEST")), "as the SDK reads it: {told}");
    };
    check(r#"{"source_mpid":"4"}"#, "no_identity");
    check(r#"{"source_mpid":"4","destination_mpid":"4"}"#, "bad_identity");
    check(r#"{"source_mpid":"4","destination_mpid":"ann"}"#, "bad_identity");
    check(r#"{"source_mpid":"4","destination_mpid":"5","start_unixtime_ms":1}"#, "bad_timestamp");
    check(r#"{"source_mpid":"4","destination_mpid":"5","start_unixtime_ms":2,"end_unixtime_ms":1}"#, "bad_timestamp");
}
