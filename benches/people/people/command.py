"""What is typed, and what is done."""

from __future__ import annotations

import argparse
import sys
import time
import unittest
from pathlib import Path

from people import generate, profiles, public_sets, report, tables
from people.score import Truth

HERE = Path(__file__).resolve().parent.parent


def main(out: Path) -> None:
    asked = parser(out).parse_args()
    asked.run(asked, out)


def parser(out: Path) -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="bench.py", description="Who is who: hard people, and how well matchers tell them apart.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, help: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help)
        made.set_defaults(run=run)
        return made

    made = command("generate", run_generate, "Write records, their truth, and how many there are of each hardness.")
    made.add_argument("--profile", choices=sorted(profiles.PROFILES), default="shop-de")
    made.add_argument("--records", type=at_least_one, required=True)
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--out", type=Path, required=True, metavar="FILE.csv")

    made = command("public", run_public, "Write the labelled sets of others: FEBRL 1 to 4, RLdata.")
    made.add_argument("--out", type=Path, default=out / "sets", metavar="FOLDER")

    made = command("score", run_score, "Score what any matcher wrote.")
    made.add_argument("--truth", type=Path, required=True, metavar="FILE.truth.csv")
    made.add_argument("--clusters", type=Path, metavar="FILE.csv", help="id,cluster")
    made.add_argument(
        "--pairs", type=Path, metavar="FILE.csv", help="id_a,id_b,probability or id_a,id_b,weight (log2 of the odds)"
    )

    made = command("compare", run_compare, "Run the matchers on sets that are there.")
    made.add_argument("sets", type=Path, nargs="+", metavar="FILE.csv")
    matchers(made)

    made = command("all", run_all, "Make all sets, run all matchers on all of them.")
    made.add_argument("--records", type=at_least_one, nargs="+", default=[10_000, 100_000])
    made.add_argument("--seed", type=int, default=1)
    matchers(made)

    command("test", run_test, "Test the bench itself.")
    return top


def matchers(made: argparse.ArgumentParser) -> None:
    made.add_argument("--without", choices=("exact", "splink"), action="append", default=[])
    made.add_argument("--weft", type=Path, metavar="BINARY", help="run Weft too")
    made.add_argument("--stream", action="store_true", help="with --weft: also let each record come as an event")
    made.add_argument("--fields", type=Path, default=HERE / "fields", metavar="FOLDER", help="for --weft: NAME.yaml for each set or profile")


def at_least_one(text: str) -> int:
    number = int(text.replace("_", "").replace(",", ""))
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def run_generate(asked, _out: Path) -> None:
    began = time.monotonic()
    tally = generate.generate(profiles.PROFILES[asked.profile], asked.records, asked.seed, asked.out)
    print(f"{asked.out}: {tally['records']:,} records about {tally['people']:,} people in {time.monotonic() - began:.1f} s")


def run_public(asked, _out: Path) -> None:
    for made in public_sets.extract(asked.out):
        print(made.path)


def run_score(asked, _out: Path) -> None:
    if not (asked.clusters or asked.pairs):
        raise SystemExit("there is nothing to score: name --clusters, --pairs or both")
    truth = Truth.load(asked.truth)
    name = asked.truth.name.removesuffix(".truth.csv")
    report.head(truth, name)
    report.files(name, "matcher", truth, asked.clusters, asked.pairs)


def run_compare(asked, out: Path) -> None:
    compare([tables.Set.load(path) for path in asked.sets], asked, out)


def run_all(asked, out: Path) -> None:
    folder = out / "sets"
    made = [data for data in public_sets.extract(folder) if data.name != "RLdata500"]
    for profile in profiles.PROFILES.values():
        for records in asked.records:
            path = folder / f"{profile.name}-{records}-{asked.seed}.csv"
            generate.generate(profile, records, asked.seed, path)
            made.append(tables.Set.load(path))
    compare(made, asked, out)


def compare(sets: list[tables.Set], asked, out: Path) -> None:
    for data in sets:
        truth = Truth.load(data.truth)
        report.head(truth, data.name)
        if "exact" not in asked.without:
            report.exact_keys(data, truth)
        if "splink" not in asked.without:
            report.splink(data, truth)
        if asked.weft:
            report.weft(data, truth, asked.weft, fields_of(data, asked.fields), out)
            if asked.stream:
                report.weft_stream(data, truth, asked.weft, fields_of(data, asked.fields), out)


def fields_of(data: tables.Set, folder: Path) -> Path:
    """What tells Weft which column means what: the set's own, or that of all sets whose names begin so."""
    found = sorted(path for path in folder.glob("*.yaml") if data.name.startswith(path.stem))
    if not found:
        raise SystemExit(f"{folder}: there is no YAML file for {data.name}")
    return found[-1]


def run_test(_asked, _out: Path) -> None:
    ended = unittest.TextTestRunner(verbosity=2).run(
        unittest.defaultTestLoader.discover(str(HERE / "tests"), top_level_dir=str(HERE))
    )
    sys.exit(not ended.wasSuccessful())
