"""Reading and writing the CSV files that the parts of this bench give each other.

A set is three files: `NAME.csv` with the records, `NAME.truth.csv` (`id,person_id`), and `NAME.fields.json`, which says which column
means what. Truth is never in the file that a matcher reads.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

ROLES = (
    "id", "source", "given", "family", "full", "birth", "email", "phone", "street", "house_number",
    "postcode", "city", "state", "device", "national_id",
)  # fmt: skip
"""What a column can mean. A set has `id` and some of the others."""


@dataclass(frozen=True)
class Set:
    """One set on disk. `columns` goes from a role to the column that has it."""

    path: Path
    columns: dict[str, str]
    region: str = ""
    """Where numbers and dates were written, `DE` or `US`; empty where nothing needs it."""

    @property
    def truth(self) -> Path:
        return truth_path(self.path)

    @property
    def name(self) -> str:
        return self.path.stem

    def save(self) -> None:
        text = json.dumps({"region": self.region, "columns": self.columns}, indent=2)
        self.path.with_suffix(".fields.json").write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Set:
        """Fails where a file is missing or a column means what no role is."""
        said = json.loads(path.with_suffix(".fields.json").read_text(encoding="utf-8"))
        unknown = sorted(set(said["columns"]) - set(ROLES))
        if unknown:
            raise SystemExit(f"{path}: no column can mean {', '.join(unknown)}; it can be one of {', '.join(ROLES)}")
        return Set(path, said["columns"], said["region"])


def truth_path(records: Path) -> Path:
    return records.with_suffix(".truth.csv")


def write(path: Path, header: list[str], rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def rows(path: Path, *columns: str):
    """The named columns of a file, a tuple a row. Without names: all of them."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        missing = [column for column in columns if column not in header]
        if missing:
            raise SystemExit(f"{path}: there is no column {', '.join(missing)}; there are {', '.join(header)}")
        places = [header.index(column) for column in columns or header]
        for row in reader:
            yield tuple(row[place] for place in places)
