"""Two processes equal one; a process killed by force goes on bit for bit with every option on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_noise import TWO, opened, recording, tiny, weights_of

from vigilia.errors import MissingExtraError, OptionError
from vigilia.training import TrainingUpdate, TrainOptions, train_model
from vigilia.training.worker import Worker, make_worker

HERE = Path(__file__).parent

# Trains on noise as told by a JSON line, and may kill itself.
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from test_training_processes import train
train(json.loads(sys.argv[2]))
"""


def train(told: dict[str, Any]) -> None:
    """One training; every update's loss becomes a line of `OUT.losses`."""
    out = Path(told["out"])
    options = TrainOptions(**told["options"])
    worker = make_worker(torch.device("cpu"), precision=options.precision, rows=options.rows)

    def on_update(update: TrainingUpdate) -> None:
        with out.with_suffix(".losses").open("a") as file:
            file.write(f"{update.update} {update.loss!r}\n")
        if update.update == told.get("kill"):
            os.kill(os.getpid(), signal.SIGKILL)

    # The first process's weights count, whatever the others began with.
    seed = worker.rank + told.get("seed", 0)
    history = train_model(
        opened(tiny("fam", seed=seed, **told.get("model", {}))),
        [*TWO, recording("c.mp4", 8, 4)],
        options=options,
        out=out,
        validation=[recording(name, clips, clips) for name, clips in (("d", 9), ("e", 7))],
        on_update=on_update,
        worker=worker,
        save_every_seconds=0,
    )
    if worker.first:
        out.with_suffix(".json").write_text(json.dumps(history))


def killed(processes: int, told: dict[str, Any], folder: Path) -> None:
    """The same in processes of their own, the first of which kills itself."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes)]
    done = subprocess.run(
        [*command, str(script), str(HERE), json.dumps(told, default=str)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=200,
    )
    assert done.returncode == (-signal.SIGKILL if processes == 1 else 1), done.stderr[-3000:]
    assert "Traceback" not in done.stderr or processes > 1, done.stderr[-3000:]
    out = Path(told["out"])
    assert out.with_name(out.name + ".training").exists(), done.stderr[-3000:]


def losses_of(out: Path) -> list[float]:
    lines = [line.split() for line in out.with_suffix(".losses").read_text().splitlines()]
    assert [int(update) for update, _ in lines] == list(range(1, len(lines) + 1))
    return [float(loss) for _, loss in lines]


def history_of(out: Path) -> list[dict[str, Any]]:
    return json.loads(out.with_suffix(".json").read_text())


OPTIONS = {
    "epochs": 2,
    "rows": 4,
    "curriculum": [2, 4],
    "carry_probability": 0.7,
    "balance": 1.0,
    "balanced_sampling": 0.5,
    "burn_in_clips": 1,
    "mixup": 0.4,
    "learning_rate": 3e-4,
    "seed": 5,
}


def test_two_processes_give_the_losses_and_weights_of_one_and_one_goes_on_for_two(
    tmp_path: Path,
) -> None:
    alone, together = tmp_path / "alone.safetensors", tmp_path / "together.safetensors"
    train({"out": alone, "options": OPTIONS})
    killed(2, {"out": together, "options": OPTIONS, "kill": 9}, tmp_path)
    assert len(losses_of(together)) == 9
    train({"out": together, "options": OPTIONS, "seed": 3})
    losses, losses_together = losses_of(alone), losses_of(together)
    assert losses_together == pytest.approx(losses, rel=2e-4, abs=2e-5)
    assert losses_together[:3] == pytest.approx(losses[:3], rel=1e-5)
    for one, other in zip(history_of(alone), history_of(together), strict=True):
        # Two recordings kept apart over two processes: no clip is lost or counted twice.
        assert one["confusion"] == other["confusion"]
        assert one["intervals"] == other["intervals"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
    one, other = weights_of(alone), weights_of(together)
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], rtol=1e-3, atol=2e-4), name


EVERYTHING = {
    **OPTIONS,
    "curriculum_recent": True,
    "cutmix": 0.5,
    "temporal_jitter": 1,
    "frame_drop": 0.1,
    "tube_mask": 0.1,
    "zoom": 0.1,
    "quarter_turns": True,
    "label_smoothing": 0.1,
    "accumulate": 2,
    "checkpoint_activations": True,
    "frozen_stages": 1,
    "backbone_rate": 0.3,
    "precision": "bf16",
    "patience": 3,
}


def test_killed_by_force_with_every_option_on_training_ends_with_the_same_bits(
    tmp_path: Path,
) -> None:
    told = {"options": EVERYTHING, "model": {"drop_path": 0.3, "stages": [3]}}
    straight, broken = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors"
    train({**told, "out": straight})
    killed(1, {**told, "out": broken, "kill": 8}, tmp_path)
    train({**told, "out": broken, "seed": 9})
    assert losses_of(broken) == losses_of(straight)
    assert history_of(broken) == history_of(straight)
    last = [path.with_name(f"{path.stem}.last.safetensors") for path in (straight, broken)]
    assert last[0].read_bytes() == last[1].read_bytes()
    assert straight.read_bytes() == broken.read_bytes()
    cards = [path.with_name(path.name + ".card.md").read_text() for path in (straight, broken)]
    assert cards[0].replace("straight", "broken") == cards[1]


# One process at a time


def test_every_row_belongs_to_one_process() -> None:
    workers = [Worker(torch.device("cpu"), rank, 3) for rank in range(3)]
    assert [worker.rows(6) for worker in workers] == [slice(0, 2), slice(2, 4), slice(4, 6)]


def test_one_process_in_float32_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    worker = make_worker(torch.device("cpu"))
    assert (worker.rank, worker.size, worker.fabric, worker.autocast) == (0, 1, None, None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[train"):
        make_worker(torch.device("cpu"), precision="bf16")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MissingExtraError, match="lightning-fabric"):
        make_worker(torch.device("cpu"), rows=4)


def test_rows_that_cannot_be_shared_out_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(OptionError, match="rows must divide by the 3 processes, got 4"):
        make_worker(torch.device("cpu"), rows=4)


class Other:
    """Stands for lightning-fabric: another process whose flat gradient is this."""

    def __init__(self, flat: torch.Tensor) -> None:
        self.flat = flat

    def all_reduce(self, tensor: torch.Tensor, reduce_op: str) -> torch.Tensor:
        assert reduce_op == "sum"
        return tensor + self.flat


def test_gradients_add_up_and_what_nobody_needed_stays_without() -> None:
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(4)]
    parameters[3].requires_grad_(False)
    parameters[0].grad = torch.tensor([1.0, 2.0])
    # Of three that learn the other process needed the first two.
    other = Other(torch.tensor([10.0, 20.0, 3.0, 4.0, 0.0, 0.0, 1.0, 1.0, 0.0]))
    Worker(torch.device("cpu"), 0, 2, other).add_gradients(parameters)
    gradients = [None if p.grad is None else p.grad.tolist() for p in parameters]
    assert gradients == [[11.0, 22.0], [3.0, 4.0], None, None]
