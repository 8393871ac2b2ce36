"""Load on the service: cameras and page viewers until it saturates, then fewer again.

python benchmarks/service_load.py --most 64

Cameras are added over HTTP, a few at a time, until more than one clip in fifty is dropped; that is
the stated policy: a camera that is too much loses its oldest clips, which are counted and become
holes, and nothing queues up. Then viewers come: pages that ask for everything and hold an event
stream. Beyond 64 event streams and 256 connections they are answered 503. Then cameras are taken
away until the rest fits, which viewers should not change; at last viewers leave and so does half of
what fits: dropping must stop, and the lag must be what it was.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from service_process import ServiceProcess, film, quantile, small_model
from vigilia.serving.looped_camera import LoopedCameras

_DROPPED_SHARE = 0.02


@dataclass(frozen=True)
class Measured:
    """The service for some seconds."""

    what: str
    cameras: int
    viewers: int
    dropped_share: float
    lag_seconds: float
    lag_seconds_most: float
    answer_seconds: float
    answers: dict[str, int]
    processors: float
    resident_mib: float

    def line(self) -> str:
        """One row of the table."""
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.answers.items()))
        return (
            f"{self.what:12s} {self.cameras:7d} {self.viewers:7d} {self.dropped_share:8.1%} "
            f"{self.lag_seconds:8.2f} {self.lag_seconds_most:8.2f} {self.answer_seconds:8.3f} "
            f"{self.processors:6.2f} {self.resident_mib:8.0f}  {answers}"
        )


HEADER = (
    f"{'':12s} {'cameras':>7s} {'viewers':>7s} {'dropped':>8s} {'lag s':>8s} {'most s':>8s} "
    f"{'answer s':>8s} {'cores':>6s} {'MiB':>8s}  answers to viewers"
)


class Viewers:
    """Pages that are open: each holds an event stream and asks for a tile's things every second."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self.answers: Counter[str] = Counter()
        self.seconds: list[float] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._threads)

    def add(self, number: int) -> None:
        """More of them."""
        for _ in range(number):
            one = threading.Thread(target=self._view, daemon=True)
            one.start()
            self._threads.append(one)

    def close(self) -> None:
        """All leave."""
        self._ended.set()
        for one in self._threads:
            one.join(timeout=35)
        self._threads.clear()

    def _view(self) -> None:
        where = urlsplit(self._service.address)
        events = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        try:
            events.request("GET", "/api/v1/events")
            self.answers[f"events {events.getresponse().status}"] += 1
        except OSError:
            self.answers["events refused"] += 1
        while not self._ended.wait(1.0):
            for path in ("/api/v1/streams", "/api/v1/streams/camera-0/frame.jpg?width=320"):
                began = time.monotonic()
                page = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
                try:
                    page.request("GET", path)
                    answer = page.getresponse()
                    answer.read()
                    self.answers[str(answer.status)] += 1
                except (OSError, http.client.HTTPException):
                    self.answers["refused"] += 1
                finally:
                    page.close()
                self.seconds.append(time.monotonic() - began)
        events.close()


def measure(
    service: ServiceProcess, viewers: Viewers, what: str, seconds: float, settle: float
) -> Measured:
    """Waits for things to settle, then looks for some seconds."""
    time.sleep(settle)
    viewers.answers.clear()
    viewers.seconds.clear()
    before = {one["name"]: one for one in service.ask("streams")}
    spent, began = service.processor_seconds(), time.monotonic()
    lags: list[float] = []
    answers: list[float] = []
    while time.monotonic() - began < seconds:
        at = time.monotonic()
        told = service.ask("streams")
        answers.append(time.monotonic() - at)
        lags += [one["lag_seconds"] for one in told if one["lag_seconds"] is not None]
        time.sleep(0.5)
    passed = time.monotonic() - began
    dropped, labelled = 0, 0.0
    for one in service.ask("streams"):
        then = before.get(one["name"])
        if then is None or one["position_seconds"] is None or then["position_seconds"] is None:
            continue
        dropped += one["dropped"] - then["dropped"]
        labelled += one["position_seconds"] - then["position_seconds"]
    # A clip a second: four frames of the model's four a second.
    return Measured(
        what=what,
        cameras=len(before),
        viewers=viewers.count,
        dropped_share=dropped / max(1.0, labelled),
        lag_seconds=quantile(lags, 0.5),
        lag_seconds_most=max(lags, default=float("nan")),
        answer_seconds=quantile(answers, 0.5),
        answers=dict(viewers.answers),
        processors=(service.processor_seconds() - spent) / passed,
        resident_mib=service.resident_bytes() / 2**20,
    )


def main() -> int:
    """Loads the service, and says what it did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=64, help="cameras at most")
    parser.add_argument("--step", type=int, default=8, help="cameras added at a time")
    parser.add_argument("--viewers", type=int, default=80)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--settle", type=float, default=10.0, help="before each")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: list[Measured] = []

    def note(one: Measured) -> Measured:
        found.append(one)
        if not options.json:
            print(one.line(), flush=True)
        return one

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        small_model(folder / "model.safetensors")
        names = [f"camera-{number}" for number in range(options.most)]
        shown = film(folder / "film.mp4", 30)
        with LoopedCameras(dict.fromkeys(names, shown)) as cameras:
            service = ServiceProcess(
                folder,
                f'model = "model.safetensors"\nmost_streams = {options.most}\n',
            )
            service.start()
            viewers = Viewers(service)
            if not options.json:
                print(HEADER)
            running: list[str] = []
            fits = 0
            calm = None
            while len(running) < options.most:
                for name in names[len(running) : len(running) + options.step]:
                    service.ask(
                        "streams", {"name": name, "source": cameras.address(name)}, method="POST"
                    )
                    running.append(name)
                one = note(measure(service, viewers, "more", options.seconds, options.settle))
                if one.dropped_share > _DROPPED_SHARE:
                    break
                fits, calm = len(running), one
            viewers.add(options.viewers)
            note(measure(service, viewers, "watched", options.seconds, options.settle))
            while len(running) > max(1, fits):
                service.ask(f"streams/{running.pop()}", method="DELETE")
            note(measure(service, viewers, "watched", options.seconds, options.settle))
            viewers.close()
            while len(running) > max(1, fits // 2):
                service.ask(f"streams/{running.pop()}", method="DELETE")
            after = note(measure(service, viewers, "fewer", options.seconds, options.settle))
            ended, status = service.end()
    recovered = after.dropped_share <= _DROPPED_SHARE
    if options.json:
        print(json.dumps([one.__dict__ for one in found]))
    else:
        lag = "" if calm is None else f", lag {calm.lag_seconds:.2f} s then"
        print(
            f"{fits} cameras fit{lag}; afterwards {after.dropped_share:.1%} dropped, lag "
            f"{after.lag_seconds:.2f} s; ended in {ended:.1f} s with {status}"
        )
    return 0 if recovered and status == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
