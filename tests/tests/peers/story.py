"""What a server in Python sends through Segment's SDK or RudderStack's, from the package index.

    story.py segment|rudder HOST WRITE_KEY PREFIX json|gzip

Every name begins with PREFIX, so that several clients can tell the same story to one engine. It is the same story as story.mjs and
story.html, call for call; peers.rs says what must come of it. It leaves with 1 where the SDK gave up a batch.
"""

import datetime
import importlib
import sys

sdk, host, key, prefix, encoding = sys.argv[1:]
failures = []
# RudderStack's client is a descendant of Segment's, and is called as it is.
module = {"segment": "segment.analytics.client", "rudder": "rudderstack.analytics.client"}[sdk]
client = importlib.import_module(module).Client(
    key,
    host=host,
    gzip=encoding == "gzip",
    upload_size=7,
    upload_interval=0.2,
    max_retries=10,
    on_error=lambda error, batch: failures.append(f"{error}: {len(batch)} calls"),
)
ann, bob, bobby, carl, laptop = (f"{prefix}-{name}" for name in ("ann", "bob", "bobby", "carl", "laptop"))

client.page(anonymous_id=laptop, category="Shop", name="Home", properties={"url": "https://shop.example/"})
client.screen(anonymous_id=laptop, category="App", name="Welcome")
client.track(anonymous_id=laptop, event="Product Viewed", properties={"product_id": "p-102", "price": 19.95})
client.identify(
    user_id=ann,
    anonymous_id=laptop,
    traits={"name": "Änn Doe", "email": f" {prefix}-Ann@Example.COM", "phone": "030 23125 001", "plan": None, "vip": True},
    context={"locale": "de-DE"},
)
client.track(
    user_id=ann,
    event="Order Completed",
    properties={"order_id": "o-1", "total": 29.9, "products": [{"product_id": "p-102", "price": 14.95, "quantity": 2}]},
    timestamp=datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.timezone.utc),
)
client.group(user_id=ann, group_id=f"{prefix}-acme", traits={"employees": 12})

client.identify(user_id=bob, traits={"email": f"{prefix}-bob@example.com"})
for number in range(3):
    client.track(user_id=bob, event="Product Viewed", properties={"number": number})
client.alias(previous_id=bob, user_id=bobby)
client.page(user_id=bobby, name="Account")

for number in range(20):
    client.track(user_id=carl, event="Clicked", properties={"number": number})

client.flush()
client.shutdown()
if failures:
    sys.exit("\n".join(failures))
