"""From a profile and a seed to a set on disk. The same on every machine; `requirements.txt` pins the names."""

from __future__ import annotations

import csv
import gc
import io
import json
from pathlib import Path

from people import tables
from people.dice import Dice, Table
from people.population import SIZES, YEARS, Tally, World
from people.profiles import Profile
from people.writing import FIELDS, Writer

TESTS_MAX = 200
"""A firm has more customers with the years and not more testers; and what a matcher pays for joining them grows with their square."""


def generate(profile: Profile, records: int, seed: int, path: Path) -> Tally:
    """Writes `path`, its truth and its fields, and `.shares.json` with how many there are of each hardness."""
    lines, people, tally = make(profile, records, seed)
    order = Dice(f"order {profile.name} {seed}").shuffled(len(lines))
    width = len(str(len(lines)))
    header = [profile.columns[role] for role in ("id", *FIELDS) if role in profile.columns]
    path.parent.mkdir(parents=True, exist_ok=True)
    truth = tables.truth_path(path)
    with path.open("w", encoding="utf-8", newline="") as out, truth.open("w", encoding="utf-8", newline="") as told:
        out.write(",".join(header) + "\n")
        told.write("id,person_id\n")
        for place, line in enumerate(order):
            out.write(f"r{place:0{width}},{lines[line]}")
            told.write(f"r{place:0{width}},p{people[line]}\n")
    tables.Set(path, dict(profile.columns), profile.region).save()
    shares = {"profile": profile.name, "seed": seed, **dict(sorted(tally.items()))}
    path.with_suffix(".shares.json").write_text(json.dumps(shares, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return tally


def make(profile: Profile, records: int, seed: int) -> tuple[list[str], list[int], Tally]:
    """Lines of CSV without their id, and whose each is; neighbours are of one household, so order says the truth until it is shuffled."""
    dice = Dice(f"people {profile.name} {seed}")
    world = World(profile, dice)
    writer = Writer(profile, dice, world.tally)
    sources = Table([(source, source.share) for source in profile.sources])
    keep = [place for place, role in enumerate(FIELDS) if role in profile.columns]
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    lines: list[str] = []
    people: list[int] = []

    def add(record: list[str], person: int) -> None:
        rows.writerow([record[place] for place in keep])
        lines.append(buffer.getvalue())
        people.append(person)
        buffer.seek(0)
        buffer.truncate()

    # Millions of small objects, none of them in a cycle that is ever let go.
    gc.disable()
    while len(lines) < records:
        for person in world.household().members:
            # Customers come and go: some for all the years, most for some of them.
            length = YEARS * dice.next()
            since = (YEARS - length) * dice.next()
            for _ in range(SIZES.draw(dice)):
                if world.tally["test records"] < TESTS_MAX and dice.chance(profile.tested):
                    world.people += 1
                    add(writer.nobody(sources.draw(dice)), world.people)
                elif lines and people[-1] == person.number and dice.chance(0.03):
                    world.tally["sent twice"] += 1
                    lines.append(lines[-1])
                    people.append(person.number)
                else:
                    add(writer.write(sources.draw(dice), person, since, since + length), person.number)
    gc.enable()
    del lines[records:], people[records:]
    world.tally["records"] = len(lines)
    world.tally["people"] = len(set(people))
    return lines, people, world.tally
