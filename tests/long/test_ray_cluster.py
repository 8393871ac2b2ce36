"""A Ray cluster of several nodes on this machine: a node and the driver die, nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_nodes import ENVIRONMENT, cluster

from vigilia.running import run_many

__all__ = ["cluster"]  # a fixture

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

STEPS = 60  # of each recording
OUTPUTS = ("timeline.csv", "timeline.json", "timeline.vtt", "timeline.png")
# Prints [recording, steps, steps that were resumed] as they come, and last the errors.
DRIVER = """
import json, sys
from vigilia.scale import run_on_ray, staff

staff._NEWS_SECONDS = 0.05

def say(index, update):
    print(json.dumps([index, update.steps, update.resumed_steps]), flush=True)

videos, outs, model, address = json.loads(sys.argv[1])
outcomes = run_on_ray(
    videos, outs=outs, model=model, address=address, save_every_seconds=0.1, on_update=say
)
print(json.dumps({"errors": [str(one.error) for one in outcomes if one.error is not None]}))
"""


class Driver:
    """The process that has the queue."""

    def __init__(self, *arguments: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, json.dumps(arguments)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )
        self.resumed: dict[int, int] = {}

    def lines(self) -> Iterator[Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.startswith(("[", "{")):
                continue  # Ray's own words, about the node that died
            told = json.loads(line)
            if isinstance(told, list):
                self.resumed[told[0]] = max(told[2], self.resumed.get(told[0], 0))
            yield told

    def until(self, steps: int) -> None:
        """Reads on until some recording that is not at its end has come so far."""
        for told in self.lines():
            if isinstance(told, list) and steps <= told[1] < STEPS - 20:
                return
        pytest.fail(f"the job ended first ({self.process.wait()})")


@pytest.mark.skipif(sys.platform != "linux", reason="Ray's nodes are killed as Linux processes")
def test_a_node_dies_then_the_driver_and_every_file_is_the_one_of_a_single_process(
    cluster: Any, make_video: Callable[..., Path], model_files: dict[str, Path], tmp_path: Path
) -> None:
    videos = [make_video(tmp_path / f"{name}.mkv", 8 * STEPS, seed=name) for name in range(5)]
    alone = [tmp_path / "alone" / video.stem for video in videos]
    run_many(videos, outs=alone, model=model_files["fam"])
    outs = [tmp_path / "out" / video.stem for video in videos]
    job = ([*map(str, videos)], [*map(str, outs)], str(model_files["fam"]), cluster.address)

    first = Driver(*job)
    first.until(steps=15)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    first.until(steps=15)
    first.process.kill()
    first.process.wait()
    complete = {out: (out / "timeline.json").stat().st_mtime_ns for out in outs if done(out)}

    second = Driver(*job)
    *_, last = second.lines()
    assert second.process.wait() == 0
    assert last == {"errors": []}
    assert max([*first.resumed.values(), *second.resumed.values()]) > 0, "nothing was resumed"
    for out, expected in zip(outs, alone, strict=True):
        assert {path.name for path in out.iterdir()} == {*OUTPUTS, "complete.json"}
        for name in OUTPUTS:
            assert (out / name).read_bytes() == (expected / name).read_bytes(), out / name
    for out, when in complete.items():
        assert (out / "timeline.json").stat().st_mtime_ns == when, "it was complete already"


def done(out: Path) -> bool:
    return (out / "complete.json").exists()
