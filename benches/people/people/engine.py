"""Weft itself, as a command that reads the set's file as it is and writes what it thinks. Nothing else of Weft is known here."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path


def run(binary: Path, records: Path, fields: Path, out: Path) -> tuple[Path, Path, float]:
    """The files of clusters (`id,cluster`) and scored pairs (`id_a,id_b,probability` or `weight`), and the seconds that it took."""
    clusters = out / f"{records.stem}.weft.clusters.csv"
    pairs = out / f"{records.stem}.weft.pairs.csv"
    command = [binary, "identity", "resolve", records, "--fields", fields, "--clusters", clusters, "--pairs", pairs]
    began = time.monotonic()
    ended = subprocess.run(command)
    if ended.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} left with {ended.returncode}")
    return clusters, pairs, time.monotonic() - began
