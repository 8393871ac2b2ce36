"""How many samples a second our reader delivers, beside plain PyAV, OpenCV and torchcodec.

The task: decode everything, keep 4 samples a second of video, each 224 x 224 RGB. Readers take
turns in every round and the best round counts, so that a busy machine is unfair to none; the
ratios are the result.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from vigilia.installation import install_command
from vigilia.video import Sample, open_video

__all__ = ["DecodeRow", "Reader", "make_recording", "measure_decoding", "readers"]

FPS = 4.0
SIZE = 224

Reader = Callable[[Path, int], int]
"""Reads a file with so many threads; returns how many samples it kept."""


@dataclass(frozen=True)
class DecodeRow:
    """One reader's result.

    Attributes:
        reader: its name.
        recordings: how many it read side by side.
        samples: that it kept, of all of them.
        wall_seconds: of its best round.
        processor_seconds: likewise.
        ratio: its samples a second over those of our reader with one recording.
        processor_ratio: the same for seconds of processor time.
    """

    reader: str
    recordings: int
    samples: int
    wall_seconds: float
    processor_seconds: float
    ratio: float
    processor_ratio: float


def make_recording(
    path: Path, *, seconds: float = 20.0, rate: int = 25, width: int = 1920, height: int = 1080
) -> Path:
    """Writes an H.264 film of drifting noise, hard enough that a decoder has something to do."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    scene = coarse.repeat(8, axis=0).repeat(8, axis=1)  # (H, W, 3)
    quarter = height // 4
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *scene.shape[:2], "yuv420p"
        for number in range(max(1, round(seconds * rate))):
            picture = np.roll(scene, (2 * number, 3 * number), axis=(0, 1))
            picture[:quarter] ^= random.integers(0, 16, (quarter, scene.shape[1], 1), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def with_vigilia(path: Path, threads: int) -> int:
    """Our reader: converts only the frames that are shown."""
    with open_video(path, width=SIZE, height=SIZE, threads=threads) as video:
        return sum(item.pixels.size > 0 for item in video.samples(FPS) if isinstance(item, Sample))


def with_pyav(path: Path, threads: int) -> int:
    """Decode and resize every frame, then keep by time: what a first script does."""
    kept = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE" if threads == 1 else "AUTO"
        stream.codec_context.thread_count = threads
        start = None
        for frame in container.decode(stream):
            frame.reformat(width=SIZE, height=SIZE, format="rgb24").to_ndarray()
            seconds = frame.time or 0.0
            start = seconds if start is None else start
            kept += seconds >= start + kept / FPS
    return kept


def with_opencv(path: Path, threads: int) -> int:
    """grab() every frame, retrieve() and resize those that are kept."""
    cv2 = importlib.import_module("cv2")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    kept = 0
    start = None
    while capture.grab():
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        start = seconds if start is None else start
        if seconds >= start + kept / FPS:
            _, picture = capture.retrieve()
            small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
            kept += 1
    capture.release()
    return kept


def with_torchcodec(path: Path, threads: int) -> int:
    """Frames by time in batches of 32, resized by the decoder's own filter."""
    decoders = importlib.import_module("torchcodec.decoders")
    resize = importlib.import_module("torchcodec.transforms").Resize(size=(SIZE, SIZE))
    decoder = decoders.VideoDecoder(str(path), num_ffmpeg_threads=threads, transforms=[resize])
    start, end = decoder.metadata.begin_stream_seconds, decoder.metadata.end_stream_seconds
    ticks = [start + k / FPS for k in range(int((end - start) * FPS))]
    for first in range(0, len(ticks), 32):
        decoder.get_frames_played_at(seconds=ticks[first : first + 32])
    return len(ticks)


def readers() -> tuple[dict[str, Reader], dict[str, str]]:
    """The readers that work here, and why the others do not."""
    found: dict[str, Reader] = {"vigilia": with_vigilia, "PyAV, every frame": with_pyav}
    absent = {}
    missing = f"not installed; {install_command('readers')}"
    try:
        importlib.import_module("cv2")
        found["OpenCV"] = with_opencv
    except ImportError:
        absent["OpenCV"] = missing
    try:
        importlib.import_module("torchcodec.decoders")
        importlib.import_module("torchcodec.transforms")
        found["torchcodec"] = with_torchcodec
    except (ImportError, OSError, RuntimeError) as error:
        reason = missing if isinstance(error, ImportError) else "finds no FFmpeg libraries"
        absent["torchcodec"] = reason
    return found, absent


def measure_decoding(
    path: Path,
    found: dict[str, Reader],
    *,
    rounds: int = 3,
    threads: int = 0,
    side_by_side: tuple[int, ...] = (2, 4),
) -> list[DecodeRow]:
    """Times every reader on one file, then ours on several recordings at once.

    Args:
        path: the file; side by side it is read several times over.
        found: from `readers`; "vigilia" is among them.
        rounds: how often each is timed; the best counts.
        threads: of a reader that has the machine to itself; 0 lets FFmpeg choose. Side by side
            each has one.
        side_by_side: how many recordings at once.
    """
    jobs: list[tuple[str, int, Callable[[], int]]] = [
        (name, 1, lambda reader=reader: reader(path, threads))  # type: ignore[misc]
        for name, reader in found.items()
    ]
    for count in side_by_side:
        jobs.append(("vigilia", count, lambda count=count: _together(path, count)))  # type: ignore[misc]
    best = [(0, float("inf"), float("inf"))] * len(jobs)
    for _ in range(rounds):
        for place, (_, _, job) in enumerate(jobs):
            wall, processor = time.perf_counter(), time.process_time()
            samples = job()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            best[place] = (samples, min(best[place][1], wall), min(best[place][2], processor))
    base_samples, base_wall, base_processor = best[0]
    return [
        DecodeRow(
            reader=name,
            recordings=count,
            samples=samples,
            wall_seconds=wall,
            processor_seconds=processor,
            ratio=samples / wall / (base_samples / base_wall),
            processor_ratio=samples / processor / (base_samples / base_processor),
        )
        for (name, count, _), (samples, wall, processor) in zip(jobs, best, strict=True)
    ]


def _together(path: Path, count: int) -> int:
    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(lambda _: with_vigilia(path, 1), range(count)))
