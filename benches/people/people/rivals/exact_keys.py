"""Guarded exact keys, as customer data platforms resolve identity: profiles that share a value of an identifier are one.

After what Segment's documentation says of its rules: values that are nobody's are blocked; each identifier has a limit of how many values
a profile may have; a merge that would go past a limit is not made. Identifiers go by priority: the sure ones first. Name with birth date
is the key that such rules are given where there is nothing else, and what it identifies is a person: one profile has one of them.
"""

from __future__ import annotations

import numpy as np

from people import tables
from people.rivals import normal
from people.score import Union

KEYS = ("national_id", "device", "email", "person", "phone")
"""In order of priority; a set has some of them."""


def clusters(data: tables.Set, limits: dict[str, int] | None = None) -> tuple[list[str], np.ndarray]:
    """Ids, and the cluster of each."""
    limits = limits or LIMITS
    records = normal.read(data)
    for record in records:
        record["person"] = person(record)
    held = [{key: {record[key]} if record.get(key) else set() for key in KEYS} for record in records]
    union = Union(len(records))
    for key in KEYS:
        values: dict[str, list[int]] = {}
        for place, record in enumerate(records):
            if record.get(key):
                values.setdefault(record[key], []).append(place)
        for places in values.values():
            roots = [places[0]]
            for place in places[1:]:
                if not any(merge(union, held, root, place, limits) for root in roots):
                    roots.append(place)
    return [record["id"] for record in records], union.clusters()


LIMITS = {"national_id": 1, "device": 5, "email": 2, "person": 3, "phone": 2}
"""Segment's usual ones are 1 and 5. These are the best for these keys of all from 1 to 5, tried on both populations."""


def merge(union: Union, held: list[dict[str, set[str]]], a: int, b: int, limits: dict[str, int]) -> bool:
    """Whether they are one afterwards."""
    a, b = union.find(a), union.find(b)
    if a == b:
        return True
    if any(len(held[a][key] | held[b][key]) > limits[key] for key in KEYS):
        return False
    root = union.join(a, b)
    other = b if root == a else a
    for key in KEYS:
        held[root][key] |= held[other][key]
    return True


def person(record: dict[str, str | None]) -> str | None:
    if record.get("given") and record.get("family") and record.get("birth"):
        return f"{record['given'].split()[0]} {record['family']} {record['birth']}"
    return None
