"""Each matcher on a set, as rows of a table that can be put into a document."""

from __future__ import annotations

import time
from pathlib import Path

from people import engine, score, stream, tables
from people.score import Clustering, Ratio, Truth

HEADER = (
    "| set | matcher | threshold | pairs P / R / F1 | closure P / R / F1 | B³ P / R / F1 | largest of {largest} | s |\n"
    "|---|---|---|---|---|---|---|---|"
)


def head(truth: Truth, name: str) -> None:
    print(f"\n{name}: {len(truth.ids):,} records, {len(truth.sizes):,} people, {truth.pairs:,} pairs\n")
    print(HEADER.format(largest=int(truth.sizes.max())), flush=True)


def row(name: str, matcher: str, threshold: str, pairs: Ratio | None, found: Clustering, seconds: float | None) -> None:
    cells = [name, matcher, threshold, str(pairs or ""), str(found.closure), str(found.b_cubed), str(found.largest)]
    print(f"| {' | '.join(cells)} | {'' if seconds is None else f'{seconds:.1f}'} |", flush=True)


def exact_keys(data: tables.Set, truth: Truth) -> None:
    from people.rivals import exact_keys

    began = time.monotonic()
    _, clusters = exact_keys.clusters(data)
    row(data.name, "exact keys", "", None, score.score_clusters(truth, clusters), time.monotonic() - began)


def splink(data: tables.Set, truth: Truth) -> None:
    from people.rivals import splink_rival

    began = time.monotonic()
    result = splink_rival.run(data, truth)
    seconds = time.monotonic() - began
    scored(data, truth, "Splink", result.pairs, result.clusters, seconds)


def scored(data: tables.Set, truth: Truth, matcher: str, pairs: score.Pairs, clusters, seconds: float | None) -> None:
    """By the customary thresholds, and by the best for pairs and for closure, which nobody knows who has no truth."""
    for probability in score.CUSTOMARY:
        weight = float(score.weight_of(probability))
        found = score.score_clusters(truth, clusters(weight))
        row(data.name, matcher, f"p ≥ {probability}", score.score_pairs(truth, pairs, weight), found, seconds)
        seconds = None
    weight, best = score.best_pairs(truth, pairs)
    row(data.name, matcher, f"best for pairs: {weight:.1f}", best, score.score_clusters(truth, clusters(weight)), None)
    weight, _ = score.best_closure(truth, pairs)
    found = score.score_clusters(truth, clusters(weight))
    row(data.name, matcher, f"best for closure: {weight:.1f}", score.score_pairs(truth, pairs, weight), found, None)


def weft(data: tables.Set, truth: Truth, binary: Path, fields: Path, out: Path) -> None:
    clusters, pairs, seconds = engine.run(binary, data.path, fields, out)
    files(data.name, "Weft", truth, clusters, pairs, seconds)


def weft_stream(data: tables.Set, truth: Truth, binary: Path, fields: Path, out: Path) -> None:
    clusters, seconds, standing = stream.run(binary, data.path, fields, out)
    files(data.name, "Weft, in the stream", truth, clusters, None, seconds)
    print(f"in the stream: {standing}", flush=True)


def files(name: str, matcher: str, truth: Truth, clusters: Path | None, pairs: Path | None, seconds: float | None = None) -> None:
    """What a matcher wrote: its own clusters first, then its pairs by themselves."""
    if clusters:
        made, left_out = score.load_clusters(clusters, truth)
        if left_out:
            print(f"{clusters}: {left_out} records are in no cluster, and count as alone", flush=True)
        row(name, matcher, "its own", None, score.score_clusters(truth, made), seconds)
    if pairs:
        loaded = score.load_pairs(pairs, truth)
        shown = tables.Set(Path(name), {})
        scored(shown, truth, f"{matcher}, pairs joined", loaded, lambda weight: score.closure(truth, loaded, weight), None)
