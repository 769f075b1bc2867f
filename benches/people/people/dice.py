"""Chance that falls the same way on every machine.

Only `random()` of Python's Mersenne Twister is used, whose sequence for a seed Python promises to keep, and of floating point only what
IEEE 754 rounds exactly. No set is ever iterated, nothing is hashed with Python's salted hash.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence


class Dice:
    __slots__ = ("next",)

    def __init__(self, seed: str) -> None:
        self.next = random.Random(seed).random

    def chance(self, share: float) -> bool:
        return self.next() < share

    def below(self, bound: int) -> int:
        return int(self.next() * bound)

    def between(self, low: int, high: int) -> int:
        """Both ends can fall."""
        return low + int(self.next() * (high - low + 1))

    def pick(self, items: Sequence):
        return items[int(self.next() * len(items))]

    def digits(self, count: int) -> str:
        return str(int(self.next() * 10**count)).zfill(count)

    def shuffled(self, count: int) -> list[int]:
        """The numbers below `count` in a random order."""
        keys = [self.next() for _ in range(count)]
        return sorted(range(count), key=keys.__getitem__)


class Table:
    """Items with weights, drawn by weight."""

    __slots__ = ("items", "bounds", "total")

    def __init__(self, weighted: Sequence[tuple[object, float]]) -> None:
        self.items = [item for item, _ in weighted]
        self.bounds = []
        total = 0.0
        for _, weight in weighted:
            total += weight
            self.bounds.append(total)
        self.total = total

    def draw(self, dice: Dice):
        return self.items[min(bisect_right(self.bounds, dice.next() * self.total), len(self.items) - 1)]


def ranked(items: Sequence[str], flat: float) -> Table:
    """By Zipf's and Mandelbrot's law with exponent 1: the weight of rank k is 1 / (k + flat)."""
    return Table([(item, 1 / (rank + flat)) for rank, item in enumerate(items, 1)])
