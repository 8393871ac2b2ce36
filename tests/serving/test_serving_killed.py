"""kill -9 at random moments: every second labelled once, and the labels of an unbroken run.

A camera is among what is killed; of it nothing can be compared, but every second is labelled once.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "service_kills.py"


def test_killed_again_and_again_it_labels_every_second_once() -> None:
    command = [sys.executable, str(SOAK), "--kills", "6", "--camera-kills", "3"]
    command += ["--streams", "2", "--seconds", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.search(r"(\d+) kills, (\d+) resumes, .* (\d+) things wrong", done.stdout)
    assert counts is not None
    assert int(counts[1]) == 6
    assert int(counts[2]) >= 1, "some kill hit in the middle"
    assert counts[3] == "0"
