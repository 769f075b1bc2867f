"""How well records were put together, given who they are about.

Three questions that are often confused, and answered apart here:

- **pairs**: of two records that a matcher scored, are they the same person's? Precision, recall and F1 above a threshold. Recall is of all
  pairs that there are, also of those that were never compared.
- **closure**: of two records in one cluster, are they? This is what a customer sees, since whoever is the same as the same is the same.
- **B-cubed** (Bagga and Baldwin 1998): for each record, what share of its cluster is its person's, and what share of its person's records
  are in its cluster; the mean over records. Large clusters do not outweigh small ones here.

All of it counts; nothing goes over pairs of records that nobody named. A million records take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from people import tables

CUSTOMARY = (0.5, 0.9, 0.99)
"""Thresholds at which pairs are usually reported."""
WEIGHTS = [x / 2 for x in range(60, -41, -1)]
"""Thresholds among which the best is looked for: log2 of the odds, from 30 down to -20."""


@dataclass(frozen=True)
class Ratio:
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def __str__(self) -> str:
        return f"{self.precision:.4f} / {self.recall:.4f} / {self.f1:.4f}"


@dataclass(frozen=True)
class Clustering:
    closure: Ratio
    b_cubed: Ratio
    clusters: int
    largest: int
    largest_person: int


class Truth:
    """Who each record is about. Records are numbers here, in the order of the file."""

    def __init__(self, ids: list[str], people: list[str]) -> None:
        self.ids = ids
        self.place = {id: place for place, id in enumerate(ids)}
        if len(self.place) != len(ids):
            raise SystemExit("the truth has an id twice")
        self.people = np.unique(np.array(people), return_inverse=True)[1].astype(np.int64)
        self.sizes = np.bincount(self.people)
        self.pairs = int((self.sizes * (self.sizes - 1) // 2).sum())

    @staticmethod
    def load(path: Path) -> Truth:
        ids, people = [], []
        for id, person in tables.rows(path, "id", "person_id"):
            ids.append(id)
            people.append(person)
        return Truth(ids, people)

    def places(self, ids, path: Path) -> np.ndarray:
        try:
            return np.fromiter((self.place[id] for id in ids), dtype=np.int64)
        except KeyError as unknown:
            raise SystemExit(f"{path}: {unknown} is no record of the truth") from None


@dataclass(frozen=True)
class Pairs:
    """What a matcher scored: each pair once, the best first."""

    left: np.ndarray
    right: np.ndarray
    weight: np.ndarray

    @staticmethod
    def of(left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> Pairs:
        """A pair that was named twice counts once, with its better weight; one of a record with itself does not count."""
        low, high = np.minimum(left, right), np.maximum(left, right)
        order = np.lexsort((-weight, high, low))
        low, high, weight = low[order], high[order], weight[order]
        first = np.ones(len(low), dtype=bool)
        first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        first &= low != high
        low, high, weight = low[first], high[first], weight[first]
        best = np.argsort(-weight, kind="stable")
        return Pairs(low[best], high[best], weight[best])

    def above(self, weight: float) -> int:
        """How many have at least this weight."""
        return int(np.searchsorted(-self.weight, -weight, side="right"))


def load_clusters(path: Path, truth: Truth) -> tuple[np.ndarray, int]:
    """The cluster of each record, and how many the file leaves out. Who is left out is a cluster of one."""
    ids, names = [], []
    for id, name in tables.rows(path, "id", "cluster"):
        ids.append(id)
        names.append(name)
    places = truth.places(ids, path)
    if len(np.unique(places)) != len(places):
        raise SystemExit(f"{path}: a record is in two clusters")
    numbers = np.unique(np.array(names), return_inverse=True)[1] if names else np.zeros(0, dtype=np.int64)
    clusters = np.arange(len(truth.ids), dtype=np.int64) + len(names)
    clusters[places] = numbers
    return clusters, len(truth.ids) - len(places)


def load_pairs(path: Path, truth: Truth) -> Pairs:
    """With a column `weight` (log2 of the odds) or `probability`."""
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
    measure = "weight" if "weight" in header else "probability"
    left, right, said = [], [], []
    for a, b, value in tables.rows(path, "id_a", "id_b", measure):
        left.append(a)
        right.append(b)
        said.append(float(value))
    measured = np.array(said)
    return Pairs.of(truth.places(left, path), truth.places(right, path), measured if measure == "weight" else weight_of(measured))


def weight_of(probability):
    with np.errstate(divide="ignore"):
        return np.log2(probability) - np.log2(1 - np.asarray(probability))


def score_pairs(truth: Truth, pairs: Pairs, weight: float) -> Ratio:
    count = pairs.above(weight)
    right = int((truth.people[pairs.left[:count]] == truth.people[pairs.right[:count]]).sum())
    return Ratio(right / count if count else 1.0, right / truth.pairs if truth.pairs else 1.0)


def best_pairs(truth: Truth, pairs: Pairs) -> tuple[float, Ratio]:
    """The threshold with the best F1, looked for among the weights that there are."""
    right = np.cumsum(truth.people[pairs.left] == truth.people[pairs.right])
    counts = np.arange(1, len(right) + 1)
    # Pairs of the same weight come in or stay out together.
    last = np.append(pairs.weight[1:] != pairs.weight[:-1], True)[: len(right)]
    if not len(right):
        return 0.0, Ratio(1.0, 0.0)
    f1 = np.where(last, 2 * right / (counts + truth.pairs), 0.0)
    at = int(np.argmax(f1))
    return float(pairs.weight[at]), Ratio(right[at] / counts[at], right[at] / truth.pairs)


def score_clusters(truth: Truth, clusters: np.ndarray) -> Clustering:
    sizes_by_cluster = np.unique(clusters, return_inverse=True, return_counts=True)
    numbers, sizes = sizes_by_cluster[1], sizes_by_cluster[2]
    # How many records each cluster has of each person, for those who meet.
    cells, counts = np.unique(numbers * np.int64(len(truth.sizes)) + truth.people, return_counts=True)
    cluster, person = cells // len(truth.sizes), cells % len(truth.sizes)
    right = int((counts * (counts - 1) // 2).sum())
    said = int((sizes.astype(np.int64) * (sizes - 1) // 2).sum())
    closure = Ratio(right / said if said else 1.0, right / truth.pairs if truth.pairs else 1.0)
    total = len(truth.people)
    squares = counts.astype(float) ** 2
    b_cubed = Ratio(float((squares / sizes[cluster]).sum() / total), float((squares / truth.sizes[person]).sum() / total))
    return Clustering(closure, b_cubed, len(sizes), int(sizes.max()), int(truth.sizes.max()))


class Union:
    """Sets that grow together; the smaller goes into the larger."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))
        self.size = [1] * count

    def find(self, place: int) -> int:
        parent = self.parent
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    def join(self, a: int, b: int) -> int:
        a, b = self.find(a), self.find(b)
        if a != b:
            if self.size[a] < self.size[b]:
                a, b = b, a
            self.parent[b] = a
            self.size[a] += self.size[b]
        return a

    def clusters(self) -> np.ndarray:
        parent = np.array(self.parent)
        while True:
            above = parent[parent]
            if (above == parent).all():
                return parent
            parent = above


def best_closure(truth: Truth, pairs: Pairs) -> tuple[float, Clustering]:
    """Of all `WEIGHTS` as the threshold, the one whose closure has the best F1. It needs the truth: nobody who has none can choose it."""
    union, done, best = Union(len(truth.people)), 0, None
    for weight in WEIGHTS:
        until = pairs.above(weight)
        if until > done or best is None:
            for a, b in zip(pairs.left[done:until].tolist(), pairs.right[done:until].tolist()):
                union.join(a, b)
            done = until
            found = score_clusters(truth, union.clusters())
            if best is None or found.closure.f1 > best[1].closure.f1:
                best = (weight, found)
    return best


def closure(truth: Truth, pairs: Pairs, weight: float) -> np.ndarray:
    union, until = Union(len(truth.people)), pairs.above(weight)
    for a, b in zip(pairs.left[:until].tolist(), pairs.right[:until].tolist()):
        union.join(a, b)
    return union.clusters()
