"""Soak of the service: cameras in real time, random kills, disconnects, slow clients.

python benchmarks/service_soak.py --minutes 60

The first half has kills (SIGKILL at random moments); the second has none, so that the growth of
the resident memory can be read off one process. Disconnects, silent cameras and clients that do
not read come throughout. At the end the journal is looked at: every second of every camera, from
the first frame to the end, once.

It ends with 1 if a second is missing or labelled twice, if a camera's last label is older or its
lag was longer than it may be, if resident memory grew in the second half (the median of its last
third is above that of its first by more than one per cent), if a stream failed or the service did
not answer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from service_process import ServiceProcess, film, quantile, small_model
from vigilia.serving.looped_camera import LoopedCameras
from vigilia.serving.reading import Reader

_ROUNDING_SECONDS = 1e-6
_MOST_LAG_SECONDS = 15.0
_MOST_GROWTH = 0.01


class Trouble:
    """What happens to the service, at random."""

    def __init__(self, service: ServiceProcess, cameras: LoopedCameras, seed: int) -> None:
        self.service, self.cameras = service, cameras
        self.random = np.random.default_rng(seed)
        self.counts = {"kills": 0, "disconnects": 0, "silences": 0, "slow clients": 0}
        self.starts: list[float] = []
        self._back: list[tuple[float, set[str], str]] = []
        self._slow: list[socket.socket] = []

    def kill(self) -> None:
        """The process, and starts it again."""
        self.service.kill()
        self.counts["kills"] += 1
        self.starts.append(self.service.start())

    def step(self, seconds: float) -> None:
        """What happens in a moment of so many seconds; about once a minute a camera each."""
        now = time.monotonic()
        for due, names, name in list(self._back):
            if now >= due:
                names.discard(name)
                self._back.remove((due, names, name))
        for name in self.cameras.films:
            if self.random.random() < seconds / 90:
                self._take(self.cameras.away, name, "disconnects", 2.0)
            elif self.random.random() < seconds / 180:
                self._take(self.cameras.frozen, name, "silences", 12.0)
        if self.random.random() < seconds / 15:
            self._open_slow()

    def rest(self) -> None:
        """Everything comes back."""
        for _, names, name in self._back:
            names.discard(name)
        for one in self._slow:
            one.close()

    def _take(self, names: set[str], name: str, what: str, seconds: float) -> None:
        if name not in names:
            names.add(name)
            self._back.append((time.monotonic() + seconds, names, name))
            self.counts[what] += 1

    def _open_slow(self) -> None:
        """A client that asks and does not read, or does not finish asking."""
        requests = (
            b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /api/v1/streams/camera-0/export?format=json HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /api/v1/streams HTTP/1.1\r\nHost: loc",
            b"POST /api/v1/streams HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
            b"\r\nContent-Length: 1000\r\n\r\n{",
        )
        where = urlsplit(self.service.address)
        try:
            one = socket.create_connection((where.hostname or "", where.port or 0), timeout=5)
            one.sendall(requests[self.random.integers(len(requests))])
        except OSError:
            return
        self._slow.append(one)
        self.counts["slow clients"] += 1
        if len(self._slow) > 20:
            self._slow.pop(0).close()


def slope(samples: list[tuple[float, int]]) -> tuple[float, float]:
    """Least squares: bytes an hour, and the half width of its 95 % interval."""
    times, sizes = np.array(samples, float).T
    times = (times - times.mean()) / 3600
    rate = float((times * sizes).sum() / (times**2).sum())
    rest = sizes - sizes.mean() - rate * times
    error = float(np.sqrt((rest**2).sum() / max(1, len(sizes) - 2) / (times**2).sum()))
    return rate, 1.96 * error


def growth(samples: list[tuple[float, int]]) -> float:
    """By how many bytes the median of the last third is above that of the first."""
    sizes = np.array([size for _, size in samples], float)
    third = max(1, len(sizes) // 3)
    return float(np.median(sizes[-third:]) - np.median(sizes[:third]))


def by_minute(samples: list[tuple[float, int]]) -> list[float]:
    """MiB, the median of each minute."""
    minutes: dict[int, list[int]] = {}
    for at, size in samples:
        minutes.setdefault(int(at // 60), []).append(size)
    return [round(float(np.median(sizes)) / 2**20, 2) for sizes in minutes.values()]


def look_at(reader: Reader, name: str, wall_start: float, ended: float) -> dict[str, float]:
    """A camera's seconds that are missing or labelled twice, labelled, unobserved; how old the last
    label was at the end, where a camera that is away is labelled every half minute."""
    rows = list(reader.rows(name))
    twice = missing = 0.0
    for (_, end, _), (start, _, _) in itertools.pairwise(rows):
        twice += max(0.0, end - start - _ROUNDING_SECONDS)
        missing += max(0.0, start - end - _ROUNDING_SECONDS)
    missing += max(0.0, rows[0][0] - _ROUNDING_SECONDS)  # the first frame is second 0
    seen = sum(end - start for start, end, values in rows if values is not None)
    hole = sum(end - start for start, end, values in rows if values is None)
    behind = ended - wall_start - rows[-1][1]
    return {
        "twice": twice,
        "missing": missing,
        "labelled": seen,
        "unobserved": hole,
        "behind": behind,
    }


def main() -> int:
    """Soaks, and says what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--kills", type=int, default=None, help="default: one every four minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    seconds = 60 * options.minutes
    kills = max(1, round(options.minutes / 4)) if options.kills is None else options.kills
    random = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        small_model(folder / "model.safetensors")
        names = [f"camera-{number}" for number in range(options.cameras)]
        films = {name: film(folder / f"{name}.mp4", 30, k) for k, name in enumerate(names)}
        with LoopedCameras(films) as cameras:
            streams = "".join(
                f'[[streams]]\nname = "{name}"\nsource = "{cameras.address(name)}"\n'
                for name in names
            )
            service = ServiceProcess(
                folder,
                'model = "model.safetensors"\nsnapshot_seconds = 5\nmost_streams = '
                f"{max(16, options.cameras)}\n{streams}",
            )
            trouble = Trouble(service, cameras, options.seed)
            trouble.starts.append(service.start())
            began = time.monotonic()
            kill_at = sorted(random.uniform(0.02 * seconds, seconds / 2, kills))
            memory: list[tuple[float, int]] = []
            lags: list[float] = []
            problems: list[str] = []
            told: list[dict[str, Any]] = []
            while (now := time.monotonic() - began) < seconds:
                if kill_at and now >= kill_at[0]:
                    kill_at.pop(0)
                    trouble.kill()
                    continue
                trouble.step(1.0)
                if not service.running:
                    problems.append("the service ended by itself")
                    break
                # The first minutes of a process fill its caches: the ring of the last 2,048 events
                # alone takes four minutes of eight cameras.
                if not kill_at and now > seconds / 2 + min(300.0, seconds / 8):
                    memory.append((now, service.resident_bytes()))
                try:
                    told = service.ask("streams")
                except OSError as error:
                    problems.append(f"no answer: {error}")
                    continue
                for one in told:
                    if one["status"] == "failed":
                        problems.append(f"{one['name']}: {one['problem']}")
                    if one["status"] == "running" and one["lag_seconds"] is not None:
                        lags.append(one["lag_seconds"])
                time.sleep(1.0)
            trouble.rest()
            starts = {one["name"]: one["wall_start"] for one in told}
            until = time.time()
            ended, status = service.end() if service.running else (float("nan"), -1)
        reader = Reader(folder / "vigilia-data" / "journal.sqlite")
        unseen = [name for name in names if starts.get(name) is None]
        problems += [f"{name}: was never seen" for name in unseen]
        looked = [
            look_at(reader, name, starts[name], until) for name in names if name not in unseen
        ]
    total = {key: sum(one[key] for one in looked) for key in looked[0]}
    behind = max(one["behind"] for one in looked)
    grown = growth(memory) if memory else float("nan")
    rate, error = slope(memory) if len(memory) > 2 else (float("nan"), float("nan"))
    found = {
        "minutes": options.minutes,
        "cameras": options.cameras,
        **trouble.counts,
        "start_seconds_most": max(trouble.starts),
        "labelled_seconds": round(total["labelled"], 3),
        "unobserved_seconds": round(total["unobserved"], 3),
        "missing_seconds": round(total["missing"], 3),
        "twice_seconds": round(total["twice"], 3),
        "behind_seconds_most": behind,
        "resident_mib": memory[-1][1] / 2**20 if memory else float("nan"),
        "resident_mib_an_hour": rate / 2**20,
        "resident_mib_an_hour_95": error / 2**20,
        "resident_mib_grown": grown / 2**20,
        "resident_mib_by_minute": by_minute(memory),
        "resident_minutes": (memory[-1][0] - memory[0][0]) / 60 if memory else 0.0,
        "lag_seconds_median": quantile(lags, 0.5),
        "lag_seconds_99": quantile(lags, 0.99),
        "lag_seconds_most": max(lags, default=float("nan")),
        "end_seconds": ended,
        "exit_status": status,
        "problems": problems[:10],
    }
    if options.json:
        print(json.dumps(found))
    else:
        for key, value in found.items():
            print(f"{key:26s} {value:.3f}" if isinstance(value, float) else f"{key:26s} {value}")
    wrong = [
        found["missing_seconds"] or found["twice_seconds"],
        problems or status,
        behind > 60.0,
        max(lags, default=0.0) > _MOST_LAG_SECONDS,
        memory and grown > _MOST_GROWTH * memory[0][1],
    ]
    return 1 if any(wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
