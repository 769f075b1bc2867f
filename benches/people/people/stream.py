"""Weft as it runs: every record is an event of somebody whom nobody knows, and the engine finds out who is who while they come.

Nothing is known of Weft here but its configuration and its pages.
"""

from __future__ import annotations

import base64
import csv
import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent.parent
BATCH = 200
"""Records in a request: the source takes 500 KB."""
WORKSPACE = """
version: 1
name: people
listen: 127.0.0.1:{port}
plugins: {{ segment: {{ path: {segment} }} }}
sources: {{ web: {{ plugin: segment, http: {{ path: /s }}, config: {{ write_keys: [key] }} }} }}
identity:
  identifiers: {{ anonymous_id: {{ limit: 1000 }} }}
  matching:
{matching}
"""


def run(binary: Path, records: Path, fields: Path, out: Path) -> tuple[Path, float, str]:
    """The file of clusters (`id,cluster`), the seconds until nobody waited to be compared any more, and what the engine says of matching."""
    clusters = out / f"{records.stem}.stream.clusters.csv"
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        matching = "".join(f"    {line}\n" for line in fields.read_text(encoding="utf-8").splitlines())
        segment = ROOT / "plugins" / "dist" / "segment.wasm"
        text = WORKSPACE.format(port=port, segment=segment, matching=matching)
        (Path(folder) / "weft.yaml").write_text(text, encoding="utf-8")
        command = [shutil.which(binary) or binary.resolve(), "run", folder]
        engine = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            page = Page(port)
            began = time.monotonic()
            ids = page.send(records)
            standing = page.wait(len(ids))
            seconds = time.monotonic() - began
            with clusters.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["id", "cluster"])
                writer.writerows((one, page.whose(one)) for one in ids)
        finally:
            engine.terminate()
            engine.wait()
    return clusters, seconds, standing


class Page:
    """A connection to the engine."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        until = time.monotonic() + 60
        while True:
            try:
                if self.ask("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                self.connection.close()
            if time.monotonic() > until:
                raise SystemExit("the engine does not become ready")
            time.sleep(0.05)

    def ask(self, verb: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"content-type": "application/json", "authorization": "Basic " + base64.b64encode(b"key:").decode()}
        self.connection.request(verb, path, body, headers if body else {})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def send(self, records: Path) -> list[str]:
        ids = []
        for calls in batches(records):
            ids += [call["anonymousId"] for call in calls]
            body = json.dumps({"batch": calls}).encode()
            while (status := self.ask("POST", "/s/v1/batch", body)[0]) in (429, 503):
                time.sleep(0.2)
            if status != 200:
                raise SystemExit(f"the engine answers {status}")
        return ids

    def wait(self, records: int) -> str:
        """Until all are folded and nobody waits to be compared, for two looks one after the other: a profile rests before it is compared."""
        looks, before = 0, None
        while looks < 2:
            time.sleep(1.1)
            status = json.loads(self.ask("GET", "/api/v1/status")[1])
            matching = status["matching"]
            rests = matching["waiting"] == 0 and matching.get("building") is None and not matching["learning"]
            now = (status["totals"]["customers"], matching["customers"], matching["compared_total"])
            looks = looks + 1 if status["totals"]["events"] == records and rests and now == before else 0
            before = now
        return ", ".join(f"{key} {matching[key]}" for key in ("merges_total", "reviews_total", "aparts_total", "keys_closed"))

    def whose(self, one: str) -> str:
        status, body = self.ask("GET", f"/api/v1/profiles/anonymous_id/{one}")
        if status != 200:
            raise SystemExit(f"nobody is known by {one}: {status}")
        return json.loads(body)["profile"]["customer_id"]


def batches(records: Path) -> Iterator[list[dict]]:
    with records.open(encoding="utf-8", newline="") as file:
        calls = []
        for row in csv.DictReader(file):
            one = row.pop("id" if "id" in row else next(iter(row)))
            traits = {name: value for name, value in row.items() if value}
            calls.append({"type": "identify", "anonymousId": one, "messageId": f"m-{one}", "traits": traits})
            if len(calls) == BATCH:
                yield calls
                calls = []
        if calls:
            yield calls
