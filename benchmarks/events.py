"""How many events a second are read, binned and simulated, beside the plain way of doing each.

    python benchmarks/events.py [--events 300000] [--rounds 20] [--recording FILE.aedat4]

Random events in files made here. The other readers: the whole file at once with numpy, without
repairs, bounds or bounded memory; for EVT3, whose words depend on those before them, a loop over
words. With --recording, the package aedat beside our reader that goes through it. Readers take
turns in every round, the best round counts, in processor time, and the ratios are the result.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vigilia.events import (
    Binning,
    EventCamera,
    bin_events,
    make_events,
    open_events,
    simulate_events,
    write_events,
)
from vigilia.events.formats.prophesee import read_header
from vigilia.video import Frame

WIDTH, HEIGHT = 128, 128
LOOP_EVENTS = 30_000


def with_vigilia(path: Path) -> int:
    """Our reader: bounded pieces, in order of time, within the sensor."""
    with open_events(path, width=WIDTH, height=HEIGHT) as reader:
        return sum(len(events) for events in reader)


def atis_at_once(path: Path) -> int:
    """The .bin of N-MNIST, the whole file at once, without its marks."""
    records = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
    t = (records[:, 2] & 127) << 16 | records[:, 3] << 8 | records[:, 4]
    return len(make_events(t, records[:, 0], records[:, 1], records[:, 2] >> 7))


def dat_at_once(path: Path) -> int:
    """DAT, the whole file at once."""
    words = np.fromfile(path, "<u4", offset=read_header(path).offset + 2).reshape(-1, 2)
    a = words[:, 1]
    return len(make_events(words[:, 0], a & 0x3FFF, a >> 14 & 0x3FFF, a >> 28))


def evt2_at_once(path: Path) -> int:
    """EVT2, the whole file at once."""
    words = np.fromfile(path, "<u4", offset=read_header(path).offset)
    kinds = words >> 28
    at = np.flatnonzero(kinds <= 1)
    high = (words[kinds == 8].astype(np.int64) & 0xFFFFFFF) << 6
    t = high[np.cumsum(kinds == 8)[at] - 1] + (words[at] >> 22 & 63)
    return len(make_events(t, words[at] >> 11 & 0x7FF, words[at] & 0x7FF, kinds[at]))


def evt3_word_by_word(path: Path) -> int:
    """EVT3 as its description reads: a loop over words."""
    events: list[tuple[int, int, int, int]] = []
    high = low = y = base = polarity = 0
    for word in np.fromfile(path, "<u2", offset=read_header(path).offset).tolist():
        kind, value = word >> 12, word & 0xFFF
        if kind == 2:
            events.append((high << 12 | low, value & 0x7FF, y, value >> 11))
        elif kind in (4, 5):
            events += [
                (high << 12 | low, base + k, y, polarity) for k in range(12) if value >> k & 1
            ]
            base += 12 if kind == 4 else 8
        elif kind == 0:
            y = value & 0x7FF
        elif kind == 3:
            base, polarity = value & 0x7FF, value >> 11
        elif kind == 6:
            low = value
        elif kind == 8:
            high = value
    return len(events)


def with_aedat(path: Path) -> int:
    """AEDAT4 by the package alone."""
    import aedat

    return sum(len(packet["events"]) for packet in aedat.Decoder(str(path)) if "events" in packet)


def best_seconds(works: dict[str, Callable[[], int]], rounds: int) -> dict[str, tuple[int, float]]:
    """-> name: (events, best wall seconds); they take turns."""
    best = {name: (0, float("inf")) for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.process_time()
            count = work()
            best[name] = (count, min(best[name][1], time.process_time() - start))
    return best


def show(title: str, results: dict[str, tuple[int, float]]) -> None:
    """One line for each; ratios to the first."""
    speeds = {name: count / seconds for name, (count, seconds) in results.items()}
    first = next(iter(speeds.values()))
    for name, speed in speeds.items():
        ratio = first / speed
        print(f"{title:14} {name:24} {speed / 1e6:8.2f} M events/s   vigilia is {ratio:5.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--recording", type=Path, help="an .aedat4 to read with aedat, too")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    count = arguments.events
    t = np.sort(random.integers(0, 8_000_000, count))
    sides = random.integers(0, WIDTH, (2, count))
    events = make_events(t, *sides, random.integers(0, 2, count))
    others = {".bin": atis_at_once, ".dat": dat_at_once, ".evt2": evt2_at_once}
    with tempfile.TemporaryDirectory() as folder:
        for ending, other in others.items():
            path = Path(folder) / f"events{ending}"
            write_events(path, events, width=WIDTH, height=HEIGHT)
            works = {
                "vigilia, in pieces": lambda p=path: with_vigilia(p),
                "numpy, all at once": lambda p=path, f=other: f(p),
            }
            show(f"read {ending}", best_seconds(works, arguments.rounds))
        path = Path(folder) / "events.raw"
        write_events(path, events[:LOOP_EVENTS], width=WIDTH, height=HEIGHT)
        works = {
            "vigilia, in pieces": lambda: with_vigilia(path),
            "Python, word by word": lambda: evt3_word_by_word(path),
        }
        show("read EVT3", best_seconds(works, arguments.rounds))
    if arguments.recording:
        recording = arguments.recording

        def read_recording() -> int:
            with open_events(recording) as reader:
                return sum(len(piece) for piece in reader)

        works = {"vigilia": read_recording, "aedat alone": lambda: with_aedat(recording)}
        show("read AEDAT4", best_seconds(works, arguments.rounds))
    pieces = np.array_split(events, 30)
    for kind in ("counts", "binary", "surface", "voxel"):
        binning = Binning(WIDTH, HEIGHT, kind=kind)
        bins = {"vigilia, 20 ms bins": lambda b=binning: bin_all(b, pieces)}
        show(f"bin {kind}", best_seconds(bins, arguments.rounds))
    pictures = random.integers(0, 256, (20, HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    frames = [
        Frame(picture.repeat(8, axis=0).repeat(8, axis=1), k / 25)
        for k, picture in enumerate(pictures)
    ]
    camera = EventCamera(WIDTH, HEIGHT)
    works = {"vigilia": lambda: sum(len(one) for one in simulate_events(frames, camera))}
    results = best_seconds(works, arguments.rounds)
    show("simulate", results)
    print(f"{'':14} {len(frames) / results['vigilia'][1]:.0f} frames/s of {WIDTH}x{HEIGHT}")


def bin_all(binning: Binning, pieces: list[np.ndarray]) -> int:
    """Bins everything. -> events in bins"""
    return sum(int(bins.events.sum()) for bins in bin_events(binning, pieces))


if __name__ == "__main__":
    main()
