"""Splink 5 on DuckDB, one thread, set up as its documentation advises and by hand for these fields.

Names with frequencies, initials and both fields swapped, dates, mailboxes and numbers with how near they are, addresses; u from random
pairs, λ from rules that are nearly always right, m by expectation maximisation in passes that leave each field free at least once. Clusters
are Splink's own: connected components above a threshold.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow
import splink.comparison_level_library as level
import splink.comparison_library as compare
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from people import tables
from people.rivals import normal
from people.score import Pairs, Truth

FLOOR = -12.0
"""Pairs below (log2 of the odds) are not kept: no threshold that anybody would choose is there."""
TRAINING_PAIRS_MAX = 2e6


@dataclass
class Result:
    pairs: Pairs
    linker: Linker
    predictions: object
    truth: Truth

    def clusters(self, weight: float) -> np.ndarray:
        """By Splink's own clustering, above log2 of the odds."""
        made = self.linker.clustering.cluster_pairwise_predictions_at_threshold(self.predictions, threshold_match_weight=weight)
        table = made.as_pyarrow_table()
        clusters = np.arange(len(self.truth.ids), dtype=np.int64)
        place = self.truth.place
        for id, cluster in zip(table["unique_id"].to_pylist(), table["cluster_id"].to_pylist()):
            clusters[place[id]] = place[cluster]
        return clusters


def run(data: tables.Set, truth: Truth) -> Result:
    logging.getLogger("splink").setLevel(logging.ERROR)
    records = normal.read(data)
    fields = [field for field in normal.FIELDS if any(record.get(field) for record in records)]
    schema = pyarrow.schema([("unique_id", pyarrow.string()), *((field, pyarrow.string()) for field in fields)])
    columns = {
        "unique_id": [record["id"] for record in records],
        **{field: [record.get(field) for record in records] for field in fields},
    }
    table = pyarrow.table(columns, schema=schema)
    del records, columns
    connection = duckdb.connect(":memory:")
    connection.execute("set threads = 1")
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=[comparison for field, comparison in COMPARISONS.items() if field in fields],
        blocking_rules_to_generate_predictions=[block_on(*rule) for rule in BLOCKS if columns_of(rule) <= set(fields)],
        retain_matching_columns=False,
        retain_intermediate_calculation_columns=False,
    )
    api = DuckDBAPI(connection)
    linker = Linker(api.register(table), settings, log_level=logging.ERROR)
    sure = [block_on(*rule) for rule in (SURE if "email" in fields else SURE_BY_NAME) if columns_of(rule) <= set(fields)]
    linker.training.estimate_probability_two_random_records_match(sure, recall=0.6)
    linker.training.estimate_u_using_random_sampling(max_pairs=TRAINING_PAIRS_MAX, seed=1)
    for rule in PASSES if "email" in fields else PASSES_BY_NAME:
        if columns_of(rule) <= set(fields):
            linker.training.estimate_parameters_using_expectation_maximisation(block_on(*rule))
    predictions = linker.inference.predict(threshold_match_weight=FLOOR)
    found = predictions.as_pyarrow_table()
    places = truth.place
    left = np.fromiter((places[id] for id in found["unique_id_l"].to_pylist()), dtype=np.int64)
    right = np.fromiter((places[id] for id in found["unique_id_r"].to_pylist()), dtype=np.int64)
    return Result(Pairs.of(left, right, found["match_weight"].to_numpy()), linker, predictions, truth)


def columns_of(rule: tuple[str, ...]) -> set[str]:
    return {part.partition("(")[2].split(",")[0].rstrip(")") if "(" in part else part for part in rule}


def name(field: str, other: str) -> compare.CustomComparison:
    """Equal by its frequency, swapped with the other name, alike, or one the beginning of the other as J. is of John."""
    beginning = f"starts_with({field}_l, {field}_r) or starts_with({field}_r, {field}_l)"
    return compare.CustomComparison(
        output_column_name=field,
        comparison_levels=[
            level.NullLevel(field),
            level.ExactMatchLevel(field, term_frequency_adjustments=True),
            level.CustomLevel(f"{field}_l = {other}_r and {other}_l = {field}_r", label_for_charts="swapped"),
            level.JaroWinklerLevel(field, 0.92),
            level.CustomLevel(beginning, label_for_charts="one begins the other"),
            level.JaroWinklerLevel(field, 0.8),
            level.ElseLevel(),
        ],
    )


def near(field: str, edits: int) -> compare.CustomComparison:
    return compare.CustomComparison(
        output_column_name=field,
        comparison_levels=[
            level.NullLevel(field),
            level.ExactMatchLevel(field, term_frequency_adjustments=True),
            level.DamerauLevenshteinLevel(field, edits),
            level.ElseLevel(),
        ],
    )


SWAPPED_DAY = "substr(birth_l, 1, 4) = substr(birth_r, 1, 4) and substr(birth_l, 6, 2) = substr(birth_r, 9, 2) and substr(birth_l, 9, 2) = substr(birth_r, 6, 2)"
COMPARISONS = {
    "given": name("given", "family"),
    "family": name("family", "given"),
    "birth": compare.CustomComparison(
        output_column_name="birth",
        comparison_levels=[
            level.NullLevel("birth"),
            level.ExactMatchLevel("birth", term_frequency_adjustments=True),
            level.CustomLevel(SWAPPED_DAY, label_for_charts="day and month swapped"),
            level.DamerauLevenshteinLevel("birth", 1),
            level.CustomLevel("substr(birth_l, 1, 4) = substr(birth_r, 1, 4)", label_for_charts="same year"),
            level.ElseLevel(),
        ],
    ),
    "email": compare.EmailComparison("email"),
    "phone": near("phone", 1),
    "street": compare.CustomComparison(
        output_column_name="street",
        comparison_levels=[
            level.NullLevel("street"),
            level.And(level.ExactMatchLevel("street"), level.ExactMatchLevel("postcode")),
            level.ExactMatchLevel("street", term_frequency_adjustments=True),
            level.JaroWinklerLevel("street", 0.92),
            level.ExactMatchLevel("postcode"),
            level.ElseLevel(),
        ],
    ),
    "device": compare.ExactMatch("device"),
    "national_id": near("national_id", 2),
}
"""The address is one comparison of two columns: that a street is in its postcode is no news. A set of names and dates alone has three."""

BLOCKS = [
    ("email",), ("phone",), ("device",), ("national_id",), ("given", "family"), ("birth", "given"), ("birth", "family"),
    ("street", "postcode"), ("family", "postcode"), ("given", "postcode"), ("given", "substr(birth,1,4)", "substr(family,1,2)"),
    ("family", "substr(given,1,1)", "substr(birth,1,4)"), ("birth", "substr(given,1,1)"), ("birth", "postcode"),
]  # fmt: skip
SURE = [("email", "given"), ("phone", "given"), ("given", "family", "birth"), ("given", "family", "street"), ("national_id",)]
SURE_BY_NAME = [("given", "birth"), ("family", "birth"), ("national_id",)]
PASSES_BY_NAME = [("given",), ("family",), ("birth",)]
"""Where there is nobody's mailbox. A pass over those whose whole name is equal would see only those whose date has the mistake."""
PASSES = [("given", "family"), ("email",), ("birth",), ("phone",), ("device",)]
"""Not by address: who lives together would be taken for one, and given names for worth little."""
