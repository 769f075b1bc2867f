"""A destination: batches of records in, a receipt for each record out. The connection that its stage names has the address and the credentials."""

import json

import weft
from componentize_py_types import Err
from weft import FailureKind
from wit_world import exports
from wit_world.exports.destination import Receipt_Ok, Receipt_Reject, Receipt_Retry
from wit_world.imports import http
from wit_world.imports.types import Rejection

config = {}


class Plugin(exports.Plugin):
    def describe(self):
        return json.dumps(weft.MANIFEST)

    def validate(self, config):
        """What the schema cannot say: raise Err with a list of ConfigProblem."""

    def open(self, opened):
        config.clear()
        config.update(json.loads(opened))

    def check(self):
        """Of this API nothing is known that could be asked without writing."""


class Destination(exports.Destination):
    def deliver(self, batch):
        receipts = []
        for record, position in zip(batch.records, batch.positions):
            try:
                # Stream and position name a record for ever: an API that honours the key takes it once, however often it comes.
                receipts.append(post(record, f"{batch.stream}-{position}"))
            except Err as error:
                # Nothing is delivered yet: the whole batch waits, for as long as it takes.
                if not receipts:
                    raise
                # What was delivered stays so; this record and those behind it come again, in order.
                wait = error.value.retry_after_ms
                left = len(batch.records) - len(receipts)
                return receipts + [Receipt_Retry(1_000 if wait is None else wait)] * left
        return receipts


def post(record, key):
    """Posts one record; raises a failure where it concerns all of them."""
    headers = [("content-type", "application/json"), ("idempotency-key", key)]
    answer = http.send(http.Request("POST", config["target"], headers, record, None))
    said = f"the API answers {answer.status}"
    if 200 <= answer.status < 300:
        return Receipt_Ok()
    if answer.status in (401, 403):
        raise weft.failure(FailureKind.CREDENTIALS, said)
    if answer.status == 429:
        after = weft.header(answer.headers, "retry-after") or ""
        seconds = int(after) if after.isascii() and after.isdigit() else 10
        raise weft.failure(FailureKind.RATE_LIMITED, "the API asks for patience", seconds * 1_000)
    if answer.status >= 500:
        raise weft.failure(FailureKind.UNAVAILABLE, said)
    return Receipt_Reject(Rejection("refused", said))
