"""Fuzz of what comes from outside: the API, label files, models, snapshots, configurations.

python benchmarks/service_fuzz.py --examples 200 --files 2000

The API is asked by Schemathesis, from its own OpenAPI description, with values that fit it and with
values that do not. Every answer must have one of the statuses that the description names and, if it
is an error, one line; a 500 is wrong. No address that it makes up is connected to. Files are good
ones with bytes changed, cut out, doubled, and numbers made huge: they must be read, or refused with
an error of Vigilia's. Any other exception is wrong, and so is a file that takes longer than ten
seconds or half a gigabyte.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import logging
import re
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from service_process import film, small_model
from vigilia.checkpoint import load_model
from vigilia.errors import LabelError, MissingExtraError, VideoError, VigiliaError
from vigilia.installation import install_command
from vigilia.serving import feeding
from vigilia.serving.config import read_config
from vigilia.serving.downloads import EXPORTS, download
from vigilia.serving.server import open_service
from vigilia.serving.snapshots import load_snapshot
from vigilia.timeline import Segment, Timeline, read_annotations

_LONGEST_SECONDS = 10.0
_BOMB_BYTES = 1 << 28
_ADDRESS = b"rtsp://eve:pw@[::1]:554/user=eve&password=pw?b=1#c"
_MOST_GROWTH_MIB = 512

CONFIG = """\
model = "model.safetensors"
bind = "127.0.0.1:8400"
recordings = ["."]
allowed_hosts = ["testserver"]
snapshot_seconds = 0.1
most_streams = 100
[[streams]]
name = "pen"
source = "film.mp4"
wall_start = 2026-11-21T02:00:00Z
minimum_bout_seconds = 0.5
"""
WEBHOOK = """\
[[webhooks]]
url = "https://example.org/hook"
secret = "s3cret"
"""


class Tally:
    """What came of it, by kind of input."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.wrong: list[str] = []
        self.slowest: dict[str, float] = {}

    def note(self, kind: str, outcome: str, seconds: float = 0.0, wrong: str = "") -> None:
        """One input."""
        self.counts.setdefault(kind, Counter())[outcome] += 1
        self.slowest[kind] = max(self.slowest.get(kind, 0.0), seconds)
        if wrong:
            self.wrong.append(f"{kind}: {wrong}")


def try_file(tally: Tally, kind: str, read: Callable[[Path], object], path: Path) -> None:
    """Reads a file that may be anything."""
    began, before = time.monotonic(), peak_mib()
    wrong, outcome = "", "read"
    try:
        read(path)
    except VigiliaError as error:
        outcome = "refused"
        if len(str(error).splitlines()) > 1:
            wrong = f"an error of several lines: {str(error)[:200]!r}"
    except MemoryError:
        outcome, wrong = "wrong", "out of memory"
    except Exception as error:
        outcome, wrong = "wrong", f"{type(error).__name__}: {str(error)[:200]}"
    seconds = time.monotonic() - began
    if seconds > _LONGEST_SECONDS:
        outcome, wrong = "wrong", wrong or f"{path.name} took {seconds:.0f} s"
    if peak_mib() - before > _MOST_GROWTH_MIB:
        outcome = "wrong"
        wrong = wrong or f"{path.name} took {peak_mib() - before:.0f} MiB of memory"
    tally.note(kind, outcome, seconds, wrong)


def peak_mib() -> float:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def mutations(data: bytes, random: np.random.Generator, number: int) -> Iterator[bytes]:
    """Bytes that were good once."""
    for _ in range(number):
        made = bytearray(data)
        for _ in range(int(random.integers(1, 4))):
            at = int(random.integers(0, max(1, len(made))))
            length = int(random.integers(1, 24))
            match int(random.integers(0, 6)):
                case 0:
                    made[at : at + length] = random.bytes(length)
                case 1:
                    del made[at : at + length]
                case 2:
                    made[at:at] = made[max(0, at - 40) : at] * int(random.integers(1, 30))
                case 3:
                    del made[at:]
                case 4:
                    numbers = list(re.finditer(rb"\d+", bytes(made)))
                    if numbers:
                        one = numbers[int(random.integers(len(numbers)))]
                        huge = (b"1e999", b"-1", b"9" * 30, b"NaN", b"1e-320", b"0")
                        made[one.start() : one.end()] = huge[int(random.integers(len(huge)))]
                case _ if at < len(made):
                    made[at] ^= 1 << int(random.integers(8))
        yield bytes(made)


def fuzz_files(tally: Tally, folder: Path, random: np.random.Generator, number: int) -> None:
    """Label files of every format, models, snapshots, configurations."""
    timeline = Timeline(
        ("wake", "NREM", "REM"),
        tuple(
            Segment(30.0 * k, 30.0 * k + 30, ("wake", "NREM", "REM")[k % 3], 0.5) for k in range(9)
        ),
        source="pen.mp4",
    )
    seeds: list[tuple[str, str, bytes, Callable[[Path], object]]] = []

    def labels(path: Path) -> object:
        return read_annotations(path, fps=8.0, epoch_seconds=30.0)

    for format in EXPORTS:
        try:
            made = download(timeline, format, "pen", fps=8.0)
        except (MissingExtraError, LabelError):
            continue
        seeds.append((f"labels {format}", made.name, made.data, labels))
    model = (folder / "model.safetensors").read_bytes()
    fresh = load_model(folder / "model.safetensors")
    seeds.append(("model", "model.safetensors", model, load_model))
    snapshot = next((folder / "vigilia-data" / "snapshots").glob("*.safetensors"), None)
    if snapshot is not None:
        from vigilia.running import fingerprint
        from vigilia.running.classify import start

        begun, name = start(fresh), fingerprint(fresh)

        def of_snapshot(path: Path) -> object:
            return load_snapshot(
                path, fresh=begun.state, window=begun.window, model_hash=name, until_seconds=1e9
            )

        seeds.append(("snapshot", "pen.safetensors", snapshot.read_bytes(), of_snapshot))
    seeds.append(("configuration", "serve.toml", (CONFIG + WEBHOOK).encode(), read_config))
    hostile = folder / "hostile"
    hostile.mkdir()
    film(hostile / "film.mp4", 1)
    (hostile / "model.safetensors").write_bytes(model)
    each = max(1, number // len(seeds))
    for path in bombs(hostile):
        try_file(tally, "bombs", labels, path)
    for kind, name, data, read in seeds:
        path = hostile / name
        if kind.startswith(("model", "snapshot")):
            # Of a model it is the head that says what the rest is.
            head = 8 + int.from_bytes(data[:8], "little")
            bad = (one + data[head:] for one in mutations(data[:head], random, each))
        else:
            bad = mutations(data, random, each)
        for one in bad:
            path.write_bytes(one)
            try_file(tally, kind, read, path)
        if kind == "model":
            path.write_bytes(model)


def bombs(folder: Path) -> Iterator[Path]:
    """Small files that unfold to much: packed text, a sheet of blanks, nesting, entities."""
    packed = folder / "bomb.csv.gz"
    with gzip.open(packed, "wb", compresslevel=9) as file:
        file.write(b"start_seconds,end_seconds,label\n")
        for _ in range(_BOMB_BYTES >> 20):
            file.write(b"0" * (1 << 20))
    yield packed
    sheet = folder / "bomb.xlsx"
    try:
        plain = download(Timeline(("a",), (Segment(0.0, 1.0, "a", 1.0),)), "xlsx", "x").data
    except MissingExtraError:
        return
    (folder / "plain.xlsx").write_bytes(plain)
    with (
        zipfile.ZipFile(folder / "plain.xlsx") as source,
        zipfile.ZipFile(sheet, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target,
    ):
        for name in source.namelist():
            if not name.startswith("xl/worksheets/"):
                target.writestr(name, source.read(name))
                continue
            with target.open(name, "w", force_zip64=True) as file:
                file.write(source.read(name).partition(b"<sheetData>")[0] + b"<sheetData>")
                for _ in range(_BOMB_BYTES >> 20):
                    file.write(b" " * (1 << 20))
                file.write(b"</sheetData></worksheet>")
    yield sheet
    deep = folder / "deep.json"
    deep.write_bytes(b'{"a":' * 200_000)
    yield deep
    entities = folder / "entities.eaf"
    lines = [f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, 12)]
    entities.write_text(
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e0 "boom">' + "".join(lines) + "]>"
        "<ANNOTATION_DOCUMENT><TIER>&e11;</TIER></ANNOTATION_DOCUMENT>"
    )
    yield entities


def fuzz_api(tally: Tally, folder: Path, examples: int) -> None:
    """Every operation of the API but the event stream, which has no end."""
    try:
        import schemathesis
    except ImportError as error:
        raise SystemExit(f"schemathesis is missing: {install_command('fuzz')}") from error
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import GenerationMode

    def nowhere(*_: object) -> None:
        raise VideoError("nobody is asked")

    config = read_config(folder / "serve.toml")
    with (
        mock.patch.object(feeding, "open_camera", nowhere),
        open_service(config) as (supervisor, app),
    ):
        until = time.monotonic() + 120
        while supervisor.streams[0].status != "ended" and time.monotonic() < until:
            time.sleep(0.1)
        schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.path.endswith("/events"):
                continue
            kind = f"{operation.method.upper()} {operation.path}"
            described = schema.raw_schema["paths"][operation.path][operation.method]
            statuses = {int(status) for status in described["responses"]} - {500} | {405}
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                try:
                    strategy = operation.as_strategy(generation_mode=mode)
                    settings(
                        max_examples=examples,
                        deadline=None,
                        database=None,
                        print_blob=False,
                        phases=[Phase.generate],
                        suppress_health_check=list(HealthCheck),
                    )(given(case=strategy)(asking(tally, kind, statuses)))()
                except Exception as error:
                    # Of an operation without parameters no value can be wrong.
                    if type(error).__name__ != "Unsatisfiable":
                        raise
        if not supervisor.alive or supervisor.problem:
            tally.wrong.append(f"the service is ill: {supervisor.problem}")
    try:
        with open_service(config) as (supervisor, _):
            tally.note("restart", f"with {len(supervisor.streams)} streams")
    except Exception as error:
        tally.note("restart", "wrong", wrong=f"{type(error).__name__}: {error}")


def asking(tally: Tally, kind: str, statuses: set[int]) -> Callable[[Any], None]:
    """A function that asks what a case says, and notes the answer."""
    numbers = itertools.count()
    addresses = mutations(_ADDRESS, np.random.default_rng(0), sys.maxsize)

    def ask(case: Any) -> None:
        # Half of them are about the stream that there is.
        given, odd = case.path_parameters or {}, next(numbers) % 2
        if odd and not kind.startswith("DELETE") and "name" in given:
            given["name"] = "pen"
        if kind == "POST /api/v1/streams" and isinstance(case.body, dict) and odd:
            case.body["source"] = next(addresses).decode("latin-1")
        began = time.monotonic()
        answer = case.call()
        seconds = time.monotonic() - began
        wrong = wrong_answer(answer, statuses)
        if seconds > _LONGEST_SECONDS:
            wrong = wrong or f"took {seconds:.0f} s"
        tally.note(kind, str(answer.status_code), seconds, wrong)

    return ask


def wrong_answer(answer: Any, statuses: set[int]) -> str:
    """Why an answer is wrong; empty if it is not."""
    status = answer.status_code
    if status not in statuses:
        return f"status {status}: {answer.text[:200]}"
    if status >= 400 and status != 405:
        try:
            told = json.loads(answer.text)["error"]
        except (ValueError, KeyError, TypeError):
            return f"status {status} without an error: {answer.text[:200]}"
        if len(str(told).splitlines()) > 1:
            return f"an error of several lines: {told[:200]!r}"
    return ""


def main() -> int:
    """Fuzzes, and prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="of each operation and mode")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    tally = Tally()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        small_model(folder / "model.safetensors")
        film(folder / "film.mp4", 20)
        (folder / "serve.toml").write_text(CONFIG)
        if options.examples:
            fuzz_api(tally, folder, options.examples)
        if options.files:
            fuzz_files(tally, folder, np.random.default_rng(options.seed), options.files)
    for kind, counts in tally.counts.items():
        said = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(counts.items()))
        print(f"{kind:50s} {said}; slowest {tally.slowest[kind]:.2f} s")
    for line, count in Counter(tally.wrong).most_common(40):
        print(f"wrong: {count} x {line}")
    total = sum(sum(counts.values()) for counts in tally.counts.values())
    print(f"{total} inputs, {len(tally.wrong)} wrong, {peak_mib():.0f} MiB at most")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
