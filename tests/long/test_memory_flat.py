"""Memory stays flat: ten times the stream, the same bytes of state, the same resident memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

# Each script runs in a process of its own and prints [step, resident bytes, state bytes] as JSON.
COMMON = """
import itertools, json, os, sys
import numpy as np
import torch
torch.set_num_threads(1)
from vigilia.checkpoint import load_model
from vigilia.running.classify import classify, start

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

model = load_model(sys.argv[1])
told = []
"""

STREAM = """
from vigilia.video import Gap, Sample

random = np.random.default_rng(0)
pictures = random.integers(0, 256, (64, 32, 32, 3), np.uint8)

def samples():
    for tick in itertools.count():
        if tick % 997 == 996:
            yield Gap(tick / 4, tick / 4 + 60)
        shift = int(random.integers(0, 64))
        seconds = tick / 4 + 60 * (tick // 997)
        yield Sample(np.roll(pictures[tick % 64], shift, 0), seconds, seconds, tick=tick)

for number, step in enumerate(classify(samples(), model, start(model)), 1):
    nbytes = step.progress.state.nbytes
    held = sum(frame.nbytes for frame in step.progress.window.frames)
    assert held <= 8 * 32 * 32 * 3
    if number % 100 == 0:
        told.append([number, resident(), nbytes])
    if number == 2000:
        break
print(json.dumps(told))
"""

VIDEO = """
import vigilia

def note(update):
    if update.steps % 25 == 0:
        told.append([update.steps, resident(), update.state_nbytes])

vigilia.run(sys.argv[2], model=model, out=sys.argv[3], save_every_seconds=0.1, on_update=note)
print(json.dumps(told))
"""


def measured(script: str, *arguments: Path) -> list[list[int]]:
    done = subprocess.run(
        [sys.executable, "-c", COMMON + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/statm")
@pytest.mark.parametrize("memory", ["fam"])
def test_two_thousand_steps_take_no_more_memory_than_two_hundred(
    memory: str, model_files: dict[str, Path]
) -> None:
    told = measured(STREAM, model_files[memory])
    assert [steps for steps, _, _ in told] == list(range(100, 2001, 100))
    assert len({state for _, _, state in told}) == 1
    resident = {steps: size for steps, size, _ in told}
    assert resident[2000] - resident[200] < 4e6, resident


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/statm")
def test_a_recording_of_thousands_of_frames_takes_no_more_memory_than_its_beginning(
    model_files: dict[str, Path], make_video: Callable[..., Path], tmp_path: Path
) -> None:
    video = make_video(tmp_path / "long.mkv", 4000)  # 500 s: 500 steps
    told = measured(VIDEO, model_files["fam"], video, tmp_path / "out")
    assert [steps for steps, _, _ in told] == list(range(25, 501, 25))
    assert len({state for _, _, state in told}) == 1
    resident = {steps: size for steps, size, _ in told}
    assert resident[500] - resident[100] < 6e6, resident
