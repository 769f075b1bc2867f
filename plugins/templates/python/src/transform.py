"""A transform: events in, events out. It must be pure: the same event with the same configuration always comes to the same outcome."""

import json

import weft
from wit_world import exports
from wit_world.exports.transform import Outcome_Keep, Outcome_Reject, Outcome_Replace
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


class Transform(exports.Transform):
    def apply(self, records):
        return [outcome(record) for record in records]


def outcome(record):
    """Takes properties out of an event. An outcome is keep, drop, replace, split or reject."""
    try:
        event = weft.parse(record)
    except ValueError as error:
        return Outcome_Reject(Rejection("not_json", f"the event cannot be read: {error}"))
    properties = event.get("properties")
    named = [name for name in config["properties"] if isinstance(properties, dict) and name in properties]
    if not named:
        # Keeping copies nothing, and leaves every digit of every number as it was.
        return Outcome_Keep()
    for name in named:
        del properties[name]
    return Outcome_Replace(weft.to_bytes(event))
