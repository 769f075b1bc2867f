"""What a server in Python sends through mParticle's own SDK (mparticle, from the package index).

    batches.py HOST KEY SECRET PREFIX

The SDK sends once and raises; whoever uses it sends the same batch again after 503 and 429, as the documentation of the API asks. It is the
same story as batches.mjs, call for call; peers.rs says what must come of it. It leaves with 1 where a batch was not taken.
"""

import calendar
import sys
import time

import mparticle
from mparticle.rest import ApiException

host, key, secret, prefix = sys.argv[1:]
configuration = mparticle.Configuration()
configuration.api_key, configuration.api_secret = key, secret
configuration.host = f"{host}/mparticle/v2"
api = mparticle.EventsApi(configuration)


def send(call, body):
    for _ in range(10):
        try:
            return call(body)
        except ApiException as refused:
            if refused.status not in (503, 429):
                raise
            # After a 429 the SDK sends nothing until then, and says the same again.
            time.sleep(float(refused.headers.get("Retry-After", 0.1)))
    sys.exit("refused ten times")


def name(of):
    return f"{prefix}-{of}"


at = calendar.timegm((2026, 3, 1, 12, 0, 0)) * 1000


def commerce(action, products, **fields):
    action = mparticle.ProductAction(action, products=[mparticle.Product(**product) for product in products], **fields)
    return mparticle.CommerceEvent(product_action=action, currency_code="EUR", timestamp_unixtime_ms=at)


def batch(events, **fields):
    batch = mparticle.Batch(environment="production", **fields)
    # Set, and not given to the constructor: only so does the SDK say what each event is.
    batch.events = events
    return batch


# Somebody on a laptop, whom nobody knows yet. Each event has an id of its own.
send(api.upload_events, batch([
    mparticle.SessionStartEvent(source_message_id=name("m-1")),
    mparticle.ScreenViewEvent(screen_name="Home", source_message_id=name("m-2")),
    mparticle.AppEvent("Product Searched", "search", custom_attributes={"query": "board games"}, source_message_id=name("m-3")),
], mp_deviceid=name("laptop")))
# It is Ann, who buys. The batch has an id.
consent = mparticle.ConsentState()
consent.gdpr = {"marketing": mparticle.GDPRConsentState(consented=True, timestamp_unixtime_ms=at)}
send(api.upload_events, batch([
    commerce("purchase", [{"id": "p-102", "price": 14.95, "quantity": 2}], transaction_id="o-1", total_amount=29.9),
    mparticle.ScreenViewEvent(screen_name="Thanks"),
], source_request_id=name("r-1"), mp_deviceid=name("laptop"),
    user_identities=mparticle.UserIdentities(
        customerid=name("ann"), email=f" {prefix}-Ann@Example.COM", mobile_number="030 23125 001"),
    user_attributes={"$firstname": "Änn", "vip": "true"},
    consent_state=consent))
# Bob and Carl, together. Nothing has an id, and everything a time.
bob = mparticle.UserIdentities(customerid=name("bob"), email=name("bob@example.com"))
send(api.bulk_upload_events, [
    batch([commerce("view_detail", [{"id": f"p-{number}", "category": "Games", "price": 9.95}]) for number in range(3)],
          user_identities=bob),
    batch([mparticle.AppEvent("Clicked", "other", custom_attributes={"number": str(number)}, timestamp_unixtime_ms=at + number)
           for number in range(20)], user_identities=mparticle.UserIdentities(customerid=name("carl"))),
])
# What became of Bob, without an event.
send(api.bulk_upload_events, [
    batch([], source_request_id=name("r-2"), user_identities=mparticle.UserIdentities(customerid=name("bob")),
          user_attributes={"plan": "pro"}),
])
