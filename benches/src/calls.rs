//! The events that every bench sends: `track` calls as an SDK sends them, the same for the same numbers.

/// A track call of some 800 bytes; in batches of 1,000, for which the API's 500 KB leave less, of some 450.
pub(crate) fn track(number: usize, customers: usize, batch: usize) -> String {
    // A number that shares no divisor with that of the customers: nobody comes twice before all have come.
    let customer = number.wrapping_mul(2_654_435_761) % customers;
    let call = format!(
        r#"{{"type":"track","event":"Product Viewed","messageId":"node-next-1761302400000-{number:012}","anonymousId":"5b1c7e0a-{customer:08}","userId":"user-{customer}","timestamp":"2026-11-24T11:59:59.123Z","properties":{{"product_id":"p-{}","category":"Games","name":"Monopoly: 3rd Edition","price":18.99,"currency":"EUR""#,
        number % 5_000,
    );
    if batch >= 1_000 {
        return call + r#"},"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"}}}"#;
    }
    call + r#","sku":"G-32","brand":"Hasbro","variant":"200 pieces","quantity":1,"coupon":"MAYDEALS","position":3,"value":18.99,"url":"https://shop.example/product/path","image_url":"https://shop.example/product/path.jpg"},"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"},"ip":"192.0.2.7","locale":"en-GB","page":{"path":"/product","referrer":"https://search.example/","title":"Product","url":"https://shop.example/product"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64)"}}"#
}

/// The body of a request that sends a batch of calls, from the number `first` on.
pub(crate) fn body(first: usize, customers: usize, batch: usize) -> String {
    let calls: Vec<String> = (first..first + batch).map(|number| track(number, customers, batch)).collect();
    format!(r#"{{"batch":[{}],"sentAt":"2026-11-24T12:00:00.000Z","writeKey":"key"}}"#, calls.join(","))
}
