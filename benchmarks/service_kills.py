"""Kills the service hundreds of times at random moments and compares its labels with a whole run.

A camera cannot be seen twice: of one, every second must be labelled or a hole, and what was written
before a kill must stand.

python benchmarks/service_kills.py --kills 300 --streams 3 --camera-kills 30
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
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


def serve(model: StreamClassifier, folder: Path, streams: list[StreamOptions]) -> None:
    """What is killed: serves until every recording is read; a camera has no end."""
    journal = Journal(folder / "journal.sqlite")
    supervisor = Supervisor(
        model, journal, folder / "snapshots", most_streams=len(streams), snapshot_seconds=0.05
    )
    for options in streams:
        supervisor.add(options)
    while any(one.status != "ended" for one in supervisor.streams):
        for one in supervisor.streams:
            if one.status == "failed":
                print(f"wrong: {one.name}: {one.problem}")
                os._exit(1)
        time.sleep(0.005)
    supervisor.close()
    journal.close()


def one_life(
    model: StreamClassifier, folder: Path, streams: list[StreamOptions], seconds: float | None
) -> int:
    """A process that serves, killed after so many seconds; its exit status, -9 if it was killed.

    Forked, so that hundreds of lives do not load torch hundreds of times.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            serve(model, folder, streams)
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
        wrong += untiled(path.name, list(reader.rows(str(number))))
        cursor = journal.reopen(str(number))
        if tuple(reader.segments(cursor, -1e15, 1e15, most=10**7)) != truth.segments:
            wrong.append(f"{path.name}: other segments than an unbroken run")
        if reader.scores(cursor, -1e15, 1e15) != truth.scores:
            wrong.append(f"{path.name}: other probabilities than an unbroken run")
    journal.close()
    return wrong


def untiled(name: str, rows: list[tuple[float, float, bytes | None]]) -> list[str]:
    """Seconds labelled twice or never."""
    return [
        f"{name}: {end} s to {start} s is labelled twice or never"
        for (_, end, _), (start, _, _) in itertools.pairwise(rows)
        if abs(end - start) > 1e-6
    ]


def kill_with_a_camera(
    model: StreamClassifier, data: Path, kills: int, random: np.random.Generator
) -> list[str]:
    """What is wrong after so many kills of a service that watches a camera."""
    path, folder = film(data / "camera.mkv", 30, ticks_a_second=8), data / "camera"
    command = [sys.executable, "-m", "vigilia.serving.looped_camera", str(path), "--port", "0"]
    wrong: list[str] = []
    before: list[tuple[float, float, bytes | None]] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as camera:
        assert camera.stderr is not None
        streams = [StreamOptions("camera", camera.stderr.readline().strip(), "address")]
        for _ in range(kills):
            status = one_life(model, folder, streams, float(random.uniform(1.0, 4.0)))
            if status != -signal.SIGKILL:
                wrong.append(f"the service ended with {status}")
            rows = list(Reader(folder / "journal.sqlite").rows("camera"))
            wrong += untiled("camera", rows)
            if rows[: len(before)] != before:
                wrong.append("camera: what was written before a kill is gone or another")
            before = rows
        camera.kill()
    if kills and not any(probabilities is not None for *_, probabilities in before):
        wrong.append("camera: nothing was ever labelled")
    return wrong


def main() -> int:
    """Soaks, and says what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--camera-kills", type=int, default=30)
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
        streams = [StreamOptions(str(n), str(path), "file") for n, path in enumerate(videos)]
        whole = 2.0
        fresh = True
        while not wrong:
            # The last life of the last round is not killed; the others at any time up to their end.
            last = kills >= options.kills
            folder = data / f"round-{rounds}"
            at = time.monotonic()
            status = one_life(
                model, folder, streams, None if last else float(random.uniform(0, whole))
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
        wrong += kill_with_a_camera(model, data, options.camera_kills, random)
    for line in wrong:
        print(f"wrong: {line}")
    print(
        f"{kills} kills, {resumes} resumes, {rounds} rounds of {options.streams} recordings of "
        f"{options.seconds} s, {options.camera_kills} kills with a camera, "
        f"{len(wrong)} things wrong, {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
