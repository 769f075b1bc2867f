#!/usr/bin/env python3
"""The bench of people: `python3 benches/people/bench.py all` makes what it needs and prints how well each matcher does.

Without anything installed: what the commands need goes into `target/people/venv`, with the versions of `requirements.txt`, and the
command begins again in there. README.md says what is measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = Path(os.environ.get("WEFT_PEOPLE", HERE.parent.parent / "target" / "people"))


def environment() -> Path:
    """The interpreter of the bench's own environment, which is made anew when the pinned versions are not those that it has."""
    venv = OUT / "venv"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pins = [HERE / "requirements.txt", HERE / "requirements-data.txt"]
    wanted = "".join(pin.read_text(encoding="utf-8") for pin in pins)
    stamp = venv / "pins"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"installing into {venv}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, "--requirement", pins[0]], check=True)
        subprocess.run([*pip, "--no-deps", "--requirement", pins[1]], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    if Path(sys.prefix).resolve() != (OUT / "venv").resolve():
        command = [str(environment()), str(Path(__file__).resolve()), *sys.argv[1:]]
        sys.exit(subprocess.run(command).returncode)
    from people import command

    command.main(OUT)
