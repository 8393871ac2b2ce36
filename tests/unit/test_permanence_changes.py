"""Scans that are changed while they are learned from, and never in an exam."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from vigilia.bench.permanence import changes, scenes
from vigilia.bench.permanence.changes import change_scans
from vigilia.bench.permanence.digits import digits
from vigilia.bench.permanence.exam import set_exam
from vigilia.bench.permanence.run import PermanencePlan, scene_batch, trained_model
from vigilia.bench.permanence.scenes import Setting, draw_scenes
from vigilia.errors import CheckpointError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_any_change_a_scan_stays_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TURN", "SCALE", "SLANT", "SHIFT", "BEND", "BOLDNESS"):
        monkeypatch.setattr(changes, name, 0.0)
    scans = digits("train")[0][:9]
    torch.testing.assert_close(change_scans(scans, generator()), scans, atol=1e-5, rtol=0)


def test_a_shift_of_a_pixel_moves_the_scan_by_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TURN", "SCALE", "SLANT", "BEND", "BOLDNESS"):
        monkeypatch.setattr(changes, name, 0.0)
    monkeypatch.setattr(changes, "SHIFT", 1.0)
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.ones(shape))
    scan = torch.zeros(1, 8, 8)
    scan[0, 3, 4] = 1
    moved = change_scans(scan, generator())
    assert moved[0, 2, 3] == pytest.approx(1, abs=1e-5)
    assert float(moved.sum()) == pytest.approx(1, abs=1e-4)


def test_every_scan_is_changed_in_its_own_way_and_stays_alike() -> None:
    scan = digits("train")[0][:1].expand(64, 8, 8)
    changed = change_scans(scan, generator())
    assert changed.shape == scan.shape
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1
    assert len({tuple(one.flatten().tolist()) for one in changed}) == 64

    def alike(a: Tensor, b: Tensor) -> Tensor:
        return torch.cosine_similarity(a.flatten(1), b.flatten(1))

    own = alike(changed, scan)
    others, classes = digits("train")
    unlike = others[classes != classes[0]][:64]
    assert float(own.mean()) > float(alike(unlike, scan[: len(unlike)]).mean())


def test_the_same_chance_gives_the_same_scans() -> None:
    scans = digits("train")[0][:5]
    assert torch.equal(change_scans(scans, generator(3)), change_scans(scans, generator(3)))
    assert not torch.equal(change_scans(scans, generator(3)), change_scans(scans, generator(4)))


def test_training_changes_scans_and_an_exam_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = scene_batch(4, 2, generator(), Setting())
    changed = scene_batch(4, 2, generator(), Setting(), changed=True)
    assert plain.bins.shape == changed.bins.shape
    assert not torch.equal(plain.bins, changed.bins)
    assert torch.equal(plain.classes, changed.classes)

    def refuse(scans: Tensor, generator: torch.Generator) -> Tensor:
        raise AssertionError("an exam changed its scans")

    monkeypatch.setattr(scenes, "change_scans", refuse)
    set_exam(Setting(), seed=0, gaps=(0, 1), rows=3)
    with pytest.raises(AssertionError, match="changed its scans"):
        draw_scenes(2, 1, generator(), changed=True)


def test_unless_told_otherwise_scans_change_and_no_gap_is_longer_than_thirty_bins() -> None:
    """What is asked at 60, 120 and 300 has not been learned."""
    plan = PermanencePlan()
    assert plan.changed
    assert plan.training.longest_gap == 30
    assert max(plan.gaps) == 300


def test_weights_of_another_size_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "one-event-0.safetensors").write_bytes(save({"head.weight": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match="of another size, from an earlier version"):
        trained_model(tmp_path)
