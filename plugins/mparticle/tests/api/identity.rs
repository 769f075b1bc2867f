//! Identity calls: what an SDK hears, and what is learnt.

use serde_json::json;

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
            r#"{"type":"identify","message_id":"mparticle/shop/identity/q-2","claims":[{"type":"email","value":"new@shop.example"},{"type":"mpid","value":"4611686018427387905"}],"traits":{"email":"new@shop.example"},"context":{"extra":{"identity_changes":[{"identity_type":"email","old_value":"old@shop.example","new_value":"new@shop.example"},{"identity_type":"mobile_number","old_value":"1","new_value":null}]}}}"#
        ]
    );
}

#[test]
fn an_alias_says_that_two_mpids_are_one_persons() {
    let body = r#"{"request_id":"q-3","request_type":"alias","environment":"production","api_key":"web-key-1","data":{"destination_mpid":"5","source_mpid":"4","start_unixtime_ms":1}}"#;
    for path in ["/v1/identity/web-key-1/Alias", "/webevents/v1/identity/web-key-1/Alias"] {
        let received = page(path, body);
        assert_eq!(received.response.status, 202);
        assert_eq!(
            kept(&received),
            [
                r#"{"type":"alias","message_id":"mparticle/site/identity/q-3","environment":"production","claims":[{"type":"mpid","value":"5"},{"type":"mpid","value":"4","how":"alias"}],"context":{"extra":{"request_type":"alias","data":{"destination_mpid":"5","source_mpid":"4","start_unixtime_ms":1}}}}"#
            ]
        );
    }
    assert_eq!(super::codes(&page("/v1/identity/web-key-1/Alias", r#"{"data":{"source_mpid":"4"}}"#)), ["no_identity"]);
}
