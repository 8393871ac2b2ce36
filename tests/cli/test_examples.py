"""The examples of masks and tracks run, on a drawn scene and on a street."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCORED = {  # what the line of ours and the others begin with, and the figure behind it
    "track_objects.py": ("track queries", "overlap, no patience", r" +MOTA +([\d.]+)"),
    "segment_objects.py": ("bounded memory", "the first mask, left there", r" +J&F +([\d.]+)"),
}


def run(name: str, *given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *given],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("name", SCORED)
def test_a_drawn_scene_is_scored_or_the_missing_library_is_named(name: str) -> None:
    done = run(name, "--frames", "12")
    if done.returncode:
        assert re.search(r"^\w+ is missing: pip install .*tracks", done.stderr, re.MULTILINE)
        assert "Traceback" not in done.stderr
        return
    ours, other, figure = SCORED[name]
    found = {
        told: float(re.search(f"^{told}{figure}", done.stdout, re.MULTILINE)[1])  # type: ignore[index]
        for told in (ours, other)
    }
    assert found[ours] > found[other]


@pytest.mark.parametrize(("name", "frames"), [("track_objects.py", 12), ("segment_objects.py", 2)])
def test_a_street_is_followed(name: str, frames: int, shared_data: Path) -> None:
    street = shared_data / "continuous" / "vtest.avi"
    boxes = shared_data / "continuous" / "vtest.mot_det.txt"
    done = run(name, str(street), "--boxes", str(boxes), "--frames", str(frames))
    assert done.returncode == 0, done.stderr
    assert f"{frames} frames" in done.stdout
    assert re.search(r"state [\d.]+ [kM]B", done.stdout)
