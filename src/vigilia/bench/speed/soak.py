"""Simulated hours through the whole engine: does anything grow?

Streams of moving noise with holes, as fast as the machine steps them; some streams leave and join,
queues run over, clips that stand still are skipped. Resident memory and the bytes of the states are
noted as simulated time goes by. The slope of the memory is a least-squares line through everything
behind the first fifth, in which caches fill.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vigilia.bench.speed.machine import resident_bytes
from vigilia.engine import Piece, Place, StepEngine, pieces
from vigilia.errors import OptionError
from vigilia.preprocessing import Preprocessing
from vigilia.relevance import GateOptions
from vigilia.stream import StreamClassifier
from vigilia.video import Gap, Sample
from vigilia.video.clips import ClipWindow

__all__ = ["SoakReport", "SoakSample", "slope", "soak"]

_HOLE_EVERY = 997  # samples; prime, so that it falls on every phase of a clip
_STILL_EVERY, _STILL_FOR = 600, 200
_LEAVES_EVERY = 500  # clips


@dataclass(frozen=True)
class SoakSample:
    """One look.

    Attributes:
        hours: simulated, of each stream.
        steps: of all streams so far.
        resident_bytes: of the process.
        device_bytes: allocated on a GPU; 0 without one.
        state_bytes: of all streams.
    """

    hours: float
    steps: int
    resident_bytes: int
    device_bytes: int
    state_bytes: int


@dataclass(frozen=True)
class SoakReport:
    """What was seen.

    Attributes:
        streams: side by side.
        hours: simulated, of each.
        steps, kept, dropped: clips.
        samples: looks, evenly spread.
        slope_bytes_per_hour: of resident memory.
        slope_error: its standard error.
        device_slope_bytes_per_hour: of memory on a GPU.
        state_bytes_changed: whether the states' bytes ever changed.
    """

    streams: int
    hours: float
    steps: int
    kept: int
    dropped: int
    samples: tuple[SoakSample, ...]
    slope_bytes_per_hour: float
    slope_error: float
    device_slope_bytes_per_hour: float
    state_bytes_changed: bool


def soak(
    model: StreamClassifier,
    *,
    hours: float,
    streams: int = 4,
    batch: int = 2,
    looks: int = 100,
    on_look: Callable[[SoakSample], None] | None = None,
) -> SoakReport:
    """Runs so many streams for so many simulated hours each.

    Raises:
        OptionError: a value that cannot work.
    """
    if not hours > 0 or streams < 1 or looks < 10:
        raise OptionError(
            f"hours and streams must be positive and looks at least 10, got {hours}, {streams} "
            f"and {looks}"
        )
    pre = model.preprocessing
    clips = max(looks, round(hours * 3600 / pre.stride_seconds))
    engine = StepEngine(model, streams=streams, batch=batch, drop_oldest=True)
    sources: dict[str, Iterator[Piece]] = {}
    newest = itertools.count()

    def join() -> None:
        number = next(newest)
        engine.add(str(number))
        sources[str(number)] = _pieces(pre, number)

    for _ in range(streams):
        join()
    samples: list[SoakSample] = []
    steps = kept = dropped = 0
    for number in range(clips):
        for name, source in sources.items():
            engine.offer(name, next(source))
        # Now and then the device is late, and queues run over.
        late = number % 50 in (10, 11, 12)
        for result in () if late else itertools.chain.from_iterable(_polls(engine)):
            steps += result.kind == "stepped"
            kept += result.kind == "kept"
            dropped += result.dropped
        if number % _LEAVES_EVERY == _LEAVES_EVERY - 1:
            oldest = next(iter(sources))
            engine.remove(oldest)
            del sources[oldest]
            join()
        if number * looks // clips != (number + 1) * looks // clips:
            samples.append(
                SoakSample(
                    hours=(number + 1) * pre.stride_seconds / 3600,
                    steps=steps,
                    resident_bytes=resident_bytes(),
                    device_bytes=_device_bytes(model),
                    state_bytes=engine.totals().state_nbytes,
                )
            )
            if on_look is not None:
                on_look(samples[-1])
    settled = samples[len(samples) // 5 :]
    at = [one.hours for one in settled]
    growth, error = slope(at, [one.resident_bytes for one in settled])
    return SoakReport(
        streams=streams,
        hours=samples[-1].hours,
        steps=steps,
        kept=kept,
        dropped=dropped,
        samples=tuple(samples),
        slope_bytes_per_hour=growth,
        slope_error=error,
        device_slope_bytes_per_hour=slope(at, [one.device_bytes for one in settled])[0],
        state_bytes_changed=len({one.state_bytes for one in samples}) > 1,
    )


def slope(x: list[float], y: list[int]) -> tuple[float, float]:
    """The least-squares line's slope, and its standard error."""
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    away = xs - xs.mean()
    spread = float((away**2).sum())
    found = float((away * (ys - ys.mean())).sum()) / spread
    left = ys - ys.mean() - found * away
    return found, float(np.sqrt((left**2).sum() / max(1, len(xs) - 2) / spread))


def _polls(engine: StepEngine) -> Iterator[list]:
    while found := engine.poll(flush=True):
        yield found


def _device_bytes(model: StreamClassifier) -> int:
    device = model.head.weight.device
    if device.type != "cuda":
        return 0
    import torch

    return int(torch.cuda.memory_allocated(device))


def _pieces(pre: Preprocessing, seed: int) -> Iterator[Piece]:
    window = ClipWindow(
        clip_frames=pre.clip_frames,
        stride_frames=pre.stride_frames,
        interval_seconds=1 / pre.fps,
    )
    return pieces(_samples(pre, seed), Place(window), gate=GateOptions())


def _samples(pre: Preprocessing, seed: int) -> Iterator[Sample | Gap]:
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (16, pre.height, pre.width, 3), np.uint8)
    holes = 0
    for tick in itertools.count():
        if tick % _HOLE_EVERY == _HOLE_EVERY - 1:
            at = tick / pre.fps + 60 * holes
            holes += 1
            yield Gap(at, at + 60)
        seconds = tick / pre.fps + 60 * holes
        still = tick % _STILL_EVERY < _STILL_FOR
        pixels = pictures[0] if still else np.roll(pictures[tick % 16], tick, 0)
        yield Sample(pixels, seconds, seconds, tick=tick)
