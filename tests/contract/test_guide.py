"""docs/adding-a-backbone.md, carried out: its file, its entry, its example."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from vigilia.backbones import BACKBONES
from vigilia.checkpoint import load_model, save_model
from vigilia.stream import create_model

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-backbone.md"


def blocks() -> list[str]:
    """The Python of the guide: the file, the entry, the example."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(code) for _, code in found]


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> str:
    """The backbone of the guide, in the dict; its name."""
    file, entry, _ = blocks()
    module: dict[str, Any] = {"__name__": "vigilia.backbones.frame_mean"}
    exec(compile(file, "frame_mean.py", "exec"), module)
    new = eval(f"{{{entry}}}", {"frame_mean": SimpleNamespace(**module)})
    (name,) = new
    assert name not in BACKBONES
    monkeypatch.setitem(BACKBONES, name, new[name])
    return str(name)


def test_it_is_one_file_of_less_than_sixty_lines_and_one_entry() -> None:
    file, entry, _ = blocks()
    assert len(file.splitlines()) < 60
    assert max(map(len, file.splitlines())) <= 100
    assert len(entry.splitlines()) == 1


def test_the_example_of_the_guide_runs(added: str) -> None:
    *_, example = blocks()
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["logits"].shape == (2, 3)
    assert names["logits"].isfinite().all()
    assert names["model"].spec.name == added
    assert names["state"].clips.tolist() == [1, 1]


def test_memory_reads_and_trains_it_and_it_is_saved(added: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"slots": 2, "summary_tokens": 2, "write_every": 1, "head_dim": 8}
    model = create_model(
        added, num_classes=3, clip_frames=8, stride_frames=4, height=64, width=64, **options
    )
    for name, parameter in model.named_parameters():
        if name.endswith("gate"):
            nn.init.normal_(parameter)
    state, total = model.init_state(2), torch.zeros(())
    for _ in range(3):
        logits, state = model.step(torch.randn(2, 3, 8, 64, 64), state)
        total = total + logits.square().sum()
    total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())
    save_model(model.eval(), tmp_path / "model.safetensors")
    clip = torch.randn(2, 3, 8, 64, 64)
    with torch.no_grad():
        expected, _ = model.step(clip, state)
        again, _ = load_model(tmp_path / "model.safetensors").step(clip, state)
    assert torch.equal(again, expected)
