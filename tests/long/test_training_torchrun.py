"""`torchrun -m vigilia train` on two processes leaves what one process leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vigilia.checkpoint import load_model
from vigilia.cli import main

OPTIONS = "--size 16 --clip-frames 4 --stride-frames 2 --slots 2 --summary-tokens 2 "
OPTIONS += "--feedback-tokens 2 --epochs 2 --rows 4 --chunk-clips 2 --validation c"


@pytest.mark.long
def test_two_processes_train_the_model_that_one_trains(
    make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["video,start,end,label"]
    for seed, name in enumerate("abc"):
        make_video(tmp_path / f"{name}.mkv", 48, seed=seed)
        rows += [f"{name}.mkv,0,3,rest", f"{name}.mkv,3,6,walk"]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    command = ["train", "a.mkv", "b.mkv", "c.mkv", "labels.csv", *OPTIONS.split()]

    def train_on_two(*more: str) -> str:
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        done = subprocess.run(
            [sys.executable, *torchrun, "-m", "vigilia", *command, *more],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    for kind, more in (("pixels", ()), ("features", ("--cache-features",))):
        start = ("--model", "pixels1.safetensors") if more else ()
        assert main([*command, "--out", f"{kind}1.safetensors", *start, *more]) == 0
        said = train_on_two("--out", f"{kind}2.safetensors", *start, *more)
        assert said.count("epochs in") == 1  # one process speaks
        one, two = (load_model(tmp_path / f"{kind}{count}.safetensors") for count in (1, 2))
        for name, tensor in one.state_dict().items():
            assert torch.allclose(tensor, two.state_dict()[name], rtol=1e-3, atol=3e-4), name
        assert one.card["epochs"][-1]["loss"] == pytest.approx(
            two.card["epochs"][-1]["loss"], rel=1e-3
        )
        card = (tmp_path / f"{kind}2.safetensors.card.md").read_text()
        assert "torchrun --nproc-per-node 2 -m vigilia train a.mkv" in card
        assert not list(tmp_path.glob("*.training"))
        assert not list(tmp_path.glob("*/*.partial"))
