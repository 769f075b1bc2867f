"""What Weft is held against works as it is said to; otherwise it would be easy to be better."""

import tempfile
import unittest
from pathlib import Path

from people import generate, profiles, public_sets, score, tables
from people.rivals import exact_keys, splink_rival
from people.score import Truth


class Rivals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def write(self, *records: tuple[str, ...]) -> tables.Set:
        path = self.path / "few.csv"
        tables.write(path, ["id", "given", "family", "birth", "email", "phone"], records)
        columns = {role: role for role in ("id", "given", "family", "birth", "email", "phone")}
        return tables.Set(path, columns, "DE")

    def test_keys_join_whatever_form_they_have(self):
        data = self.write(
            ("1", "Anna", "Koch", "", "Anna.Koch@Web.de ", "0151 2345678"),
            ("2", "A.", "", "", "anna.koch+news@web.de", ""),
            ("3", "", "KOCH", "", "", "+49 (0)151 2345678"),
            ("4", "Anna", "Koch", "", "", ""),
        )
        _, clusters = exact_keys.clusters(data)
        self.assertEqual(list(clusters[:3] == clusters[0]), [True] * 3)
        self.assertNotEqual(clusters[3], clusters[0])

    def test_limits_keep_a_household_from_being_one(self):
        family = [
            (str(place), name, "Koch", f"0{place}.04.1980", "familie@koch.de", "")
            for place, name in enumerate(("Anna", "Ben", "Carl", "Dora"), 1)
        ]
        _, clusters = exact_keys.clusters(self.write(*family))
        self.assertEqual(len(set(clusters)), 2, "three names with birth dates in one, the fourth alone")
        _, clusters = exact_keys.clusters(self.write(*family), {**exact_keys.LIMITS, "person": 1})
        self.assertEqual(len(set(clusters)), 4)

    def test_what_nobody_owns_joins_nobody(self):
        _, clusters = exact_keys.clusters(
            self.write(("1", "A", "B", "", "noemail@shop.example", "0000"), ("2", "C", "D", "", "noemail@shop.example", "0000"))
        )
        self.assertNotEqual(clusters[0], clusters[1])

    def test_splink_finds_most_and_needs_a_threshold_of_its_own(self):
        path = self.path / "people.csv"
        generate.generate(profiles.US_CRM, 4_000, 3, path)
        data = tables.Set.load(path)
        truth = Truth.load(data.truth)
        result = splink_rival.run(data, truth)
        _, best = score.best_closure(truth, result.pairs)
        self.assertGreater(best.closure.f1, 0.85)
        theirs = score.score_clusters(truth, result.clusters(5.0))
        ours = score.score_clusters(truth, score.closure(truth, result.pairs, 5.0))
        # Connected components are connected components.
        self.assertEqual((theirs.clusters, theirs.largest, str(theirs.closure)), (ours.clusters, ours.largest, str(ours.closure)))

    def test_public_sets_are_whole(self):
        sizes = {}
        for data in public_sets.extract(self.path / "public"):
            truth = Truth.load(data.truth)
            sizes[data.name] = (len(truth.ids), len(truth.sizes))
        expected = {
            "febrl1": (1_000, 500), "febrl2": (5_000, 4_000), "febrl3": (5_000, 2_000), "febrl4": (10_000, 5_000),
            "RLdata500": (500, 450), "RLdata10000": (10_000, 9_000),
        }  # fmt: skip
        self.assertEqual(sizes, expected)


if __name__ == "__main__":
    unittest.main()
