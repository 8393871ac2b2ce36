"""How many samples a second our reader delivers, beside plain PyAV and OpenCV, in one run.

    python benchmarks/decode.py [VIDEO] [--rounds 3] [--threads 0]

The task: decode everything, keep 4 samples a second of video, each 224 x 224 RGB. Without VIDEO it
makes one: 1080p, 20 s at 25 frames a second, H.264. Readers take turns in every round, the best
round counts, and the ratios are the result: absolute numbers depend on the machine and its load.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from vigilia.video import Sample, open_video

FPS = 4.0
SIZE = 224


def make_video(path: Path, seconds: int = 20, rate: int = 25) -> Path:
    """A 1080p film of drifting noise, hard enough that the decoder has something to do."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (135, 240, 3), np.uint8)
    scene = coarse.repeat(8, axis=0).repeat(8, axis=1)  # (1080, 1920, 3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = 1080, 1920, "yuv420p"
        for number in range(seconds * rate):
            picture = np.roll(scene, (2 * number, 3 * number), axis=(0, 1))
            picture[:270] ^= rng.integers(0, 16, (270, 1920, 1), np.uint8)
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
            start = frame.time if start is None else start
            kept += frame.time >= start + kept / FPS
    return kept


def with_opencv(path: Path, threads: int) -> int:
    """grab() every frame, retrieve() and resize those that are kept."""
    import cv2

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


def measure(
    readers: dict[str, Callable[[Path, int], int]], path: Path, rounds: int, threads: int
) -> dict[str, tuple[int, float, float]]:
    """-> name: (samples, best wall seconds, best processor seconds)."""
    best = {name: (0, float("inf"), float("inf")) for name in readers}
    for _ in range(rounds):
        for name, reader in readers.items():
            wall, processor = time.perf_counter(), time.process_time()
            count = reader(path, threads)
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            best[name] = (count, min(best[name][1], wall), min(best[name][2], processor))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", nargs="?", type=Path, help="made here if not given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="for decoding; 0: FFmpeg chooses")
    arguments = parser.parse_args()
    readers = {"vigilia": with_vigilia, "PyAV, every frame": with_pyav}
    if importlib.util.find_spec("cv2"):
        readers["OpenCV"] = with_opencv
    with tempfile.TemporaryDirectory() as folder:
        video = arguments.video or make_video(Path(folder) / "made.mp4")
        results = measure(readers, video, arguments.rounds, arguments.threads)
    _, our_wall, our_processor = results["vigilia"]
    print(f"{'reader':20} {'samples':>8} {'/ s wall':>9} {'/ s cpu':>9} {'wall':>6} {'cpu':>6}")
    for name, (count, wall, processor) in results.items():
        print(
            f"{name:20} {count:8d} {count / wall:9.1f} {count / processor:9.1f} "
            f"{wall / our_wall:5.2f}x {processor / our_processor:5.2f}x"
        )
    if "OpenCV" not in readers:
        print("OpenCV is not installed and was left out")


if __name__ == "__main__":
    main()
