"""A source: requests in, events out, and an answer to the sender. The engine answers only once the events are durable."""

import json

import weft
from wit_world import exports
from wit_world.exports.source import Body_Bytes, Received, Refused, Response
from wit_world.imports import crypto
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
        """There is nothing outside to ask."""


class Source(exports.Source):
    def receive(self, request):
        # First of all: nothing of a stranger's is kept.
        authorization = weft.header(request.headers, "authorization") or ""
        token = authorization.removeprefix("Bearer ") if authorization.startswith("Bearer ") else ""
        if not crypto.equals(config["token"], token.encode("utf-8")):
            return answer(401, {"error": "unauthorized"})
        if not isinstance(request.body, Body_Bytes):
            return answer(400, {"error": "unreadable"})
        try:
            posted = weft.parse(request.body.value)
        except ValueError as error:
            return refuse("not_json", f"the body cannot be read: {error}")
        if not isinstance(posted.get("event"), str) or not posted["event"]:
            return refuse("no_event", "the event has no name")
        return answer(200, {"ok": True}, [weft.to_bytes(event(posted))])

    # This source has no use for these two; its manifest says so (`reads`), and they are never called.
    def poll(self, state):
        return None

    def decode(self, chunk, last, state):
        return None


def event(posted):
    """A canonical event: docs/events.md of Weft."""
    made = {"type": "track", "name": posted["event"]}
    # The sender's own id, so that the same event sent twice counts once; prefixed, since other sources count too.
    if isinstance(posted.get("id"), str):
        made["message_id"] = f"my-plugin/{posted['id']}"
    if isinstance(posted.get("email"), str) and posted["email"]:
        made["claims"] = [{"type": "email", "value": posted["email"]}]
    if isinstance(posted.get("properties"), dict):
        made["properties"] = posted["properties"]
    return made


def answer(status, body, events=(), refused=()):
    response = Response(status, [("content-type", "application/json")], weft.to_bytes(body))
    return Received(response, list(events), list(refused))


def refuse(code, message):
    """Keeps what a known sender posted, with the reason why it is no event: it can be looked at and given again."""
    return answer(200, {"ok": True}, refused=[Refused(Rejection(code, message), None)])
