"""The main job in small: a video is written, decoded and classified by the bundled model."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from vigilia.doctor.findings import Finding

__all__ = ["self_test"]

SECONDS = 8.0
SLOW_SECONDS = 10.0


def self_test(folder: Path) -> Finding:
    """Eight seconds of a drawn pen, from the file to a label a second."""
    from vigilia.running import run
    from vigilia.simulate import simulate_recording

    with tempfile.TemporaryDirectory() as scratch:
        video = Path(scratch) / "pen.mp4"
        simulate_recording(video, seconds=SECONDS, seed=0)
        started = time.perf_counter()
        timeline = run(video, model="pen")
        took = time.perf_counter() - started
    found = f"{SECONDS:.0f} s of video decoded and classified in {took:.1f} s"
    seconds = sum(one.end_seconds - one.start_seconds for one in timeline.segments if one.label)
    if abs(seconds - SECONDS) > 0.5:
        text = f"{found}, but only {seconds:.1f} s have a label"
        return Finding("self-test", "problem", text, "please report this, with the lines above")
    if took > SLOW_SECONDS:
        advice = "the machine is slow or busy: use a graphics card, or fewer frames with --fps"
        return Finding("self-test", "note", found, advice)
    return Finding("self-test", "ok", found)
