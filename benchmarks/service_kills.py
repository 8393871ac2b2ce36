"""Kills the service hundreds of times at random moments and compares its labels with a whole run.

python benchmarks/service_kills.py --kills 300 --streams 3
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import vigilia
from service_process import film, small_model
from vigilia.serving.journal import Journal
from vigilia.serving.reading import Reader
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.supervisor import Supervisor
from vigilia.stream import StreamClassifier


def serve(model: StreamClassifier, folder: Path, videos: list[Path]) -> None:
    """What is killed: serves until every recording is read."""
    journal = Journal(folder / "journal.sqlite")
    supervisor = Supervisor(
        model, journal, folder / "snapshots", most_streams=len(videos), snapshot_seconds=0.05
    )
    for number, path in enumerate(videos):
        supervisor.add(StreamOptions(str(number), str(path), "file"))
    while any(one.status != "ended" for one in supervisor.streams):
        for one in supervisor.streams:
            if one.status == "failed":
                print(f"wrong: {one.name}: {one.problem}")
                os._exit(1)
        time.sleep(0.005)
    supervisor.close()
    journal.close()


def one_life(
    model: StreamClassifier, folder: Path, videos: list[Path], seconds: float | None
) -> int:
    """A process that serves, killed after so many seconds; its exit status, -9 if it was killed.

    Forked, so that hundreds of lives do not load torch hundreds of times.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            serve(model, folder, videos)
            os._exit(0)
        except BaseException as error:
            print(f"wrong: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if until is not None and time.monotonic() >= until:
            os.kill(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        time.sleep(0.001)


def what_is_wrong(folder: Path, videos: list[Path], truths: list[vigilia.Timeline]) -> list[str]:
    """Seconds labelled twice or never, and labels that an unbroken run does not give."""
    wrong = []
    journal = Journal(folder / "journal.sqlite")
    reader = Reader(journal.path)
    for number, (path, truth) in enumerate(zip(videos, truths, strict=True)):
        rows = list(reader.rows(str(number)))
        for (_, end, _), (start, _, _) in itertools.pairwise(rows):
            if abs(end - start) > 1e-6:
                wrong.append(f"{path.name}: {end} s to {start} s is labelled twice or never")
        cursor = journal.reopen(str(number))
        if tuple(reader.segments(cursor, -1e15, 1e15, most=10**7)) != truth.segments:
            wrong.append(f"{path.name}: other segments than an unbroken run")
        if reader.scores(cursor, -1e15, 1e15) != truth.scores:
            wrong.append(f"{path.name}: other probabilities than an unbroken run")
    journal.close()
    return wrong


def main() -> int:
    """Soaks, and says what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--streams", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=60, help="length of each recording")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # threads do not survive a fork
    random = np.random.default_rng(options.seed)
    began = time.monotonic()
    kills = resumes = rounds = 0
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        small_model(data / "model.safetensors")
        model = vigilia.load_model(data / "model.safetensors")
        videos = [data / f"video-{number}.mp4" for number in range(options.streams)]
        for number, path in enumerate(videos):
            film(path, options.seconds, options.seed + number, hole_seconds=5)
        truths = [vigilia.run(path, model=model) for path in videos]
        whole = 2.0
        fresh = True
        while not wrong:
            # The last life of the last round is not killed; the others at any time up to their end.
            last = kills >= options.kills
            folder = data / f"round-{rounds}"
            at = time.monotonic()
            status = one_life(
                model, folder, videos, None if last else float(random.uniform(0, whole))
            )
            resumes += not fresh
            if status == -signal.SIGKILL:
                kills, fresh = kills + 1, False
                continue
            if status:
                wrong.append(f"the service ended with {status}")
                break
            if fresh:
                whole = time.monotonic() - at
            wrong += what_is_wrong(folder, videos, truths)
            rounds, fresh = rounds + 1, True
            if last:
                break
    for line in wrong:
        print(f"wrong: {line}")
    print(
        f"{kills} kills, {resumes} resumes, {rounds} rounds of {options.streams} recordings of "
        f"{options.seconds} s, {len(wrong)} things wrong, {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
