"""How many results a second one service can write: what binds the head of a cluster.

python benchmarks/service_head.py --streams 1000

Results of many streams go through the writer of the service into a journal on this disk, forced to
it at each commit, in batches as the answers of workers come. Nothing is stepped.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from vigilia.engine import Result
from vigilia.serving.hub import Hub
from vigilia.serving.journal import Journal
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.watched import Watched
from vigilia.serving.writing import JournalWriter
from vigilia.timeline import SegmenterOptions

CLASSES = tuple("abcdefgh")
STRIDE_SECONDS = 2.0


def processor_seconds() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(folder: Path, streams: int, batch: int, seconds: float) -> dict[str, float]:
    """Writes for so many seconds."""
    random = np.random.default_rng(0)
    journal = Journal(folder / f"journal-{batch}.sqlite")
    watched = [
        Watched(StreamOptions(f"camera-{number}", "rtsp://camera/1", "address"))
        for number in range(streams)
    ]
    for one in watched:
        journal.open_stream(
            one.name,
            classes=CLASSES,
            identity={"kind": "camera"},
            segmenter=SegmenterOptions(),
            cell_seconds=1.0,
        )
    writer = JournalWriter(journal, Hub())
    values = random.dirichlet(np.ones(len(CLASSES)), 1000).astype(np.float32)
    rows = commits = 0
    began, spent = time.monotonic(), processor_seconds()
    while time.monotonic() - began < seconds:
        results = []
        for _ in range(batch):
            step, number = divmod(rows, streams)
            start = STRIDE_SECONDS * step
            results.append(
                (
                    watched[number],
                    Result(
                        watched[number].name,
                        "stepped",
                        start,
                        start + STRIDE_SECONDS,
                        values[rows % len(values)],
                    ),
                )
            )
            rows += 1
        writer.write(results)
        commits += 1
    passed = time.monotonic() - began
    journal.close()
    return {
        "batch": batch,
        "rows_a_second": rows / passed,
        "commits_a_second": commits / passed,
        "processor_us_a_row": 1e6 * (processor_seconds() - spent) / rows,
        "bytes_a_row": journal.nbytes / rows,
    }


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [
            measure(Path(folder), options.streams, batch, options.seconds)
            for batch in options.batches
        ]
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'batch':>6s} {'rows/s':>9s} {'commits/s':>10s} {'CPU us/row':>11s} {'bytes/row':>10s}")
    for one in found:
        print(
            f"{one['batch']:6.0f} {one['rows_a_second']:9.0f} {one['commits_a_second']:10.0f} "
            f"{one['processor_us_a_row']:11.0f} {one['bytes_a_row']:10.0f}"
        )


if __name__ == "__main__":
    main()
