"""What every plugin in Python needs: bytes to JSON and back, and words for what the contract calls otherwise."""

import json
from pathlib import Path

from componentize_py_types import Err
from wit_world.imports.types import Failure, FailureKind

# Read when the plugin is built: there are no files in the sandbox.
MANIFEST = json.loads(Path(__file__).with_name("manifest.json").read_text(encoding="utf-8"))

# Python's reader descends without a bound, and the sandbox's stack has one.
DEPTH_MAX = 200


def parse(data):
    """Bytes as a JSON object; ValueError where they are none."""
    if data.count(b"[") + data.count(b"{") > DEPTH_MAX:
        depth = deepest = 0
        for byte in data:
            if byte in b"[{":
                depth += 1
                deepest = max(deepest, depth)
            elif byte in b"]}":
                depth -= 1
        if deepest > DEPTH_MAX:
            raise ValueError(f"it is more than {DEPTH_MAX} levels deep")
    value = json.loads(data.decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def to_bytes(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def failure(kind, message, retry_after_ms=None):
    """Why a whole call failed: raise it. `kind` is a FailureKind."""
    return Err(Failure(kind, message, retry_after_ms))


def header(headers, name):
    return next((value for known, value in headers if known.lower() == name), None)


__all__ = ["MANIFEST", "FailureKind", "failure", "header", "parse", "to_bytes"]
