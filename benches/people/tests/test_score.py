"""The scorer against what can be counted by hand, and against definitions written down without any cleverness."""

import random
import tempfile
import unittest
from itertools import combinations
from pathlib import Path

import numpy as np

from people import score, tables
from people.score import Pairs, Truth


def truth_of(*people: str) -> Truth:
    return Truth([f"r{place}" for place in range(len(people))], list(people))


def mean_share(of: list, among: list) -> float:
    """For each record, the share of its fellows in `among` that are its fellows in `of` as well."""
    shares = []
    for a, group in enumerate(among):
        fellows = [b for b, other in enumerate(among) if other == group]
        shares.append(sum(of[b] == of[a] for b in fellows) / len(fellows))
    return sum(shares) / len(shares)


def ratios(ratio: score.Ratio) -> tuple[float, float, float]:
    return round(ratio.precision, 6), round(ratio.recall, 6), round(ratio.f1, 6)


class Clusters(unittest.TestCase):
    def test_what_can_be_counted_by_hand(self):
        truth = truth_of("a", "a", "a", "b", "b", "c")
        for clusters, closure, b_cubed in [
            ([0, 0, 0, 1, 1, 2], (1, 1, 1), (1, 1, 1)),
            ([0, 1, 2, 3, 4, 5], (1, 0, 0), (1, 0.5, 0.666667)),
            # 15 pairs said, 4 right.
            ([0, 0, 0, 0, 0, 0], (0.266667, 1, 0.421053), (0.388889, 1, 0.56)),
            # One b among the a: pairs 6 said, 3 right, of 4.
            ([0, 0, 0, 0, 1, 2], (0.5, 0.75, 0.6), (0.75, 0.833333, 0.789474)),
        ]:
            with self.subTest(clusters):
                found = score.score_clusters(truth, np.array(clusters))
                self.assertEqual(ratios(found.closure), closure)
                self.assertEqual(ratios(found.b_cubed), b_cubed)
        self.assertEqual((found.clusters, found.largest, found.largest_person), (3, 4, 3))

    def test_the_definitions_written_down(self):
        dice = random.Random(7)
        for _ in range(30):
            count = dice.randint(2, 40)
            people = [str(dice.randint(0, 9)) for _ in range(count)]
            clusters = [dice.randint(0, 9) for _ in range(count)]
            found = score.score_clusters(truth_of(*people), np.array(clusters))
            said = [people[a] == people[b] for a, b in combinations(range(count), 2) if clusters[a] == clusters[b]]
            there = [clusters[a] == clusters[b] for a, b in combinations(range(count), 2) if people[a] == people[b]]
            self.assertAlmostEqual(found.closure.precision, sum(said) / len(said) if said else 1)
            self.assertAlmostEqual(found.closure.recall, sum(there) / len(there) if there else 1)
            self.assertAlmostEqual(found.b_cubed.precision, mean_share(people, clusters))
            self.assertAlmostEqual(found.b_cubed.recall, mean_share(clusters, people))

    def test_who_is_in_no_cluster_is_alone(self):
        truth = truth_of("a", "a", "b")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clusters.csv"
            tables.write(path, ["id", "cluster"], [("r1", "x"), ("r0", "x")])
            clusters, left_out = score.load_clusters(path, truth)
            self.assertEqual((clusters[0] == clusters[1], clusters[2] == clusters[0], left_out), (True, False, 1))

    def test_files_that_cannot_be_scored(self):
        truth = truth_of("a", "a")
        for header, rows, said in [
            (["id", "cluster"], [("r9", "x")], "is no record of the truth"),
            (["id", "cluster"], [("r0", "x"), ("r0", "y")], "in two clusters"),
            (["id", "group"], [("r0", "x")], "there is no column cluster"),
        ]:
            with self.subTest(said), tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "clusters.csv"
                tables.write(path, header, rows)
                with self.assertRaisesRegex(SystemExit, said):
                    score.load_clusters(path, truth)


class ScoredPairs(unittest.TestCase):
    def setUp(self):
        self.truth = truth_of("a", "a", "a", "b", "b")
        # The last two are the first one again, the other way round and worse, and a record with itself.
        said = [(0, 1, 9.0), (3, 4, 5.0), (1, 3, 5.0), (0, 2, 1.0), (1, 0, -3.0), (2, 2, 8.0)]
        self.pairs = Pairs.of(*(np.array(column) for column in zip(*said)))

    def test_thresholds(self):
        for weight, expected in [(10, (1, 0, 0)), (9, (1, 0.25, 0.4)), (5, (0.666667, 0.5, 0.571429)), (0, (0.75, 0.75, 0.75))]:
            self.assertEqual(ratios(score.score_pairs(self.truth, self.pairs, weight)), expected)

    def test_a_pair_said_twice_counts_once(self):
        self.assertEqual(len(self.pairs.weight), 4)

    def test_the_best_threshold_takes_equals_together(self):
        weight, best = score.best_pairs(self.truth, self.pairs)
        self.assertEqual((weight, ratios(best)), (1.0, (0.75, 0.75, 0.75)))

    def test_the_best_closure_leaves_the_bridge_out(self):
        weight, best = score.best_closure(self.truth, self.pairs)
        # With the bridge between 1 and 3: {0 1 3 4}, 2 of 6 right. Without it and all else, 1 of 4 found.
        self.assertEqual((weight, ratios(best.closure)), (1.0, (0.4, 1.0, 0.571429)))
        self.assertEqual(
            ratios(score.score_clusters(self.truth, score.closure(self.truth, self.pairs, 6)).closure), (1, 0.25, 0.4)
        )

    def test_probabilities_become_weights(self):
        self.assertEqual(score.weight_of(0.5), 0)
        self.assertAlmostEqual(float(score.weight_of(0.8)), 2)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pairs.csv"
            tables.write(path, ["id_a", "id_b", "probability"], [("r0", "r1", "1.0"), ("r3", "r4", "0.8"), ("r0", "r3", "0")])
            pairs = score.load_pairs(path, self.truth)
            self.assertEqual([pairs.above(20), pairs.above(1.99), pairs.above(-50)], [1, 2, 2])


if __name__ == "__main__":
    unittest.main()
