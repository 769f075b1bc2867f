"""The command that Weft is run with, played by a script: what it is given, what is read back, what is said when it fails."""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

from people import engine, report, tables
from people.score import Truth

SCRIPT = """#!{python}
import sys
words = dict(zip(sys.argv[4::2], sys.argv[5::2]))
assert sys.argv[1:3] == ["identity", "resolve"] and sys.argv[3].endswith("few.csv") and words["--fields"].endswith("few.yaml"), sys.argv
open(words["--clusters"], "w").write("id,cluster\\nr0,x\\nr1,x\\n")
open(words["--pairs"], "w").write("id_a,id_b,weight\\nr0,r1,9.5\\nr1,r2,0.5\\n")
sys.exit({status})
"""


class Weft(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = Path(self.folder.name)
        self.data = tables.Set(self.path / "few.csv", {"id": "id"})
        tables.write(self.data.path, ["id"], [("r0",), ("r1",), ("r2",)])
        tables.write(self.data.truth, ["id", "person_id"], [("r0", "a"), ("r1", "a"), ("r2", "b")])

    def binary(self, status: int) -> Path:
        made = self.path / "weft"
        made.write_text(SCRIPT.format(python=sys.executable, status=status))
        made.chmod(0o755)
        return made

    def test_its_files_are_scored(self):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            report.weft(self.data, Truth.load(self.data.truth), self.binary(0), self.path / "few.yaml", self.path)
        lines = said.getvalue().splitlines()
        self.assertIn("1 records are in no cluster", lines[0])
        self.assertIn("| few | Weft | its own |  | 1.0000 / 1.0000 / 1.0000 |", lines[1])
        # At one to one both pairs count, and the second is wrong.
        self.assertIn("| p ≥ 0.5 | 0.5000 / 1.0000 / 0.6667 | 0.3333 / 1.0000 / 0.5000 |", lines[2])
        self.assertIn("| p ≥ 0.9 | 1.0000 / 1.0000 / 1.0000 |", lines[3])

    def test_its_failure_is_said(self):
        with self.assertRaisesRegex(SystemExit, "identity resolve .*left with 3"):
            engine.run(self.binary(3), self.data.path, self.path / "few.yaml", self.path)


if __name__ == "__main__":
    unittest.main()
