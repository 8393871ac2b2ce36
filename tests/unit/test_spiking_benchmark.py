"""The benchmark of the spiking model runs with what is installed, and says what is left out."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "spiking.py"


def test_libraries_that_are_not_installed_are_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("snntorch", "spikingjelly", "spikingjelly.activation_based.neuron"):
        monkeypatch.setitem(sys.modules, module, None)
    arguments = "--model neuro_svt_nano --size 16 --frames 2 --repeats 1 --threads 1"
    monkeypatch.setattr(sys, "argv", ["spiking.py", *arguments.split()])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    told = capsys.readouterr().out
    assert "snntorch is not installed and left out: pip install snntorch" in told
    assert "spikingjelly is not installed and left out" in told
    assert "training   vigilia" in told
    lines = {line.split()[0]: line for line in told.splitlines() if line}
    assert "0.00 uJ" in lines["blank"]
