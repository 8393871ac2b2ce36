"""The benchmark of pre-training: groups stay whole, everybody is tested once, cells are kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from vigilia.bench.pretraining import run as running
from vigilia.bench.pretraining.material import SIZE, Material, follow, read_material
from vigilia.bench.pretraining.measuring import PIXELS, Effort, measure, split
from vigilia.bench.pretraining.report import pretraining_markdown, pretraining_table
from vigilia.bench.pretraining.run import PretrainPlan, bench_pretraining
from vigilia.cli import main
from vigilia.errors import InputError, OptionError
from vigilia.preprocessing import Preprocessing
from vigilia.training import Recording

HOW = Preprocessing(fps=4.0, clip_frames=4, stride_frames=2, height=16, width=16)
QUICK = Effort(pretraining=2, finetuning=2)


def made(groups: int = 6, clips: int = 5) -> Material:
    """Two recordings a group: what is brighter on the left is one class, on the right the other."""
    random = np.random.default_rng(0)
    recordings, names = [], []
    for group in range(groups):
        for label in range(2):
            frames = random.integers(0, 120, (2 * clips, 16, 16, 3))
            half = slice(0, 8) if label else slice(8, 16)
            frames[:, :, half] += 120
            last = np.arange(1, clips + 1) * 2 - 1
            ends = (last + 1) / HOW.fps
            recordings.append(
                Recording(
                    name=f"{group}-{label}",
                    frames=frames.astype(np.uint8),
                    clips=np.maximum(last[:, None] - np.arange(4)[::-1], 0),
                    start_seconds=ends - 0.5,
                    end_seconds=ends,
                    labels=np.full(clips, label),
                )
            )
            names.append(f"group {group}")
    return Material(
        name="made",
        title="made",
        classes=("right", "left"),
        preprocessing=HOW,
        recordings=tuple(recordings),
        groups=tuple(names),
        units=tuple(names),
        folds=3,
        few=1,
        mirror=False,
        turns=False,
        near_seconds=1.0,
    )


def test_groups_are_held_out_whole_and_three_seeds_test_each_once() -> None:
    material = made(7)
    tested = []
    for seed in range(3):
        parts = split(material, seed)
        learned = {material.groups[index] for index in parts.learned}
        apart = {material.groups[index] for index in parts.tested}
        assert not learned & apart
        assert {material.groups[index] for index in parts.few} <= learned
        assert len({material.groups[index] for index in parts.few}) == 1
        assert {int(material.recordings[index].labels[0]) for index in parts.few} == {0, 1}
        tested += parts.tested
    assert sorted(tested) == list(range(len(material.recordings)))


def test_pixels_tell_left_from_right_and_shuffled_labels_do_not() -> None:
    material = made()
    found = measure(material, PIXELS, "none", seed=0, effort=QUICK)
    assert found["probe"]["balanced_accuracy"] == 1.0
    assert "few" not in found
    random = np.random.default_rng(1)
    mixed = dataclasses.replace(
        material,
        recordings=tuple(
            dataclasses.replace(one, labels=random.integers(2, size=len(one)))
            for one in material.recordings
        ),
    )
    other = measure(mixed, PIXELS, "none", seed=0, effort=QUICK)
    assert 0.2 < other["probe"]["balanced_accuracy"] < 0.8


@pytest.mark.parametrize("start", ["none", "mae", "contrastive"])
def test_a_cell_counts_every_tested_clip_once_and_is_the_same_again(start: str) -> None:
    material = made()
    one = measure(material, "swin3d_nano", start, seed=1, effort=QUICK)
    parts = split(material, 1)
    clips = sum(len(material.recordings[index]) for index in parts.tested)
    for measured in ("probe", "few"):
        counts = np.array(list(one[measured]["confusions"].values()))
        assert counts.sum() == clips
        assert set(one[measured]["confusions"]) == {material.groups[i] for i in parts.tested}
    again = measure(material, "swin3d_nano", start, seed=1, effort=QUICK)
    assert one["probe"] == again["probe"]
    assert one["few"] == again["few"]
    assert (one["loss"] is None) == (start == "none")


def test_a_run_is_kept_cell_by_cell_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "read_material", lambda name, folder, cache: made())
    plan = PretrainPlan(
        materials=("digits",), backbones=("swin3d_nano",), seeds=(0, 1), effort=QUICK
    )
    told: list[str] = []
    first = bench_pretraining(
        plan, tmp_path, tmp_path / "out", on_update=lambda u: told.append(u.told)
    )
    assert len(told) == len(first) == 8  # pixels and three starts, twice
    (tmp_path / "out" / "digits-swin3d_nano-mae-1.json").unlink()
    told.clear()
    again = bench_pretraining(
        plan, tmp_path, tmp_path / "out", on_update=lambda u: told.append(u.told)
    )
    assert len(told) == 1
    times = ("processor_seconds",)
    assert [{k: v for k, v in one.items() if k not in times} for one in again] == [
        {k: v for k, v in one.items() if k not in times} for one in first
    ]
    head, *rows = pretraining_table(again)
    assert head[:3] == ["data", "model", "start"]
    assert [row[1:3] for row in rows] == [
        ["pixels, averaged", ""],
        ["swin3d_nano", "none"],
        ["swin3d_nano", "mae"],
        ["swin3d_nano", "contrastive"],
    ]
    assert rows[0][3].startswith("100.0 (100-100)")
    assert rows[1][-1] == ""
    assert "to" in rows[2][-1]
    assert "| made | swin3d_nano | mae |" in pretraining_markdown(again)


def test_a_gain_is_that_of_the_same_people() -> None:
    """By hand: before, half of both classes; after, all: 50 points, whoever is drawn."""

    def cell(start: str, counts: list[list[int]]) -> dict:
        units = {f"u{n}": counts for n in range(4)}
        part = {"balanced_accuracy": 0.0, "confusions": units}
        return {
            "title": "x",
            "backbone": "b",
            "start": start,
            "seed": 0,
            "probe": part,
            "few": part,
        }

    rows = pretraining_table([cell("none", [[1, 1], [1, 1]]), cell("mae", [[2, 0], [0, 2]])])
    assert rows[1][3:] == ["50.0 (50-50)", "50.0 (50-50)", "", ""]
    assert rows[2][3:] == ["100.0 (100-100)"] * 2 + ["+50.0 (+50 to +50)"] * 2


def test_the_window_follows_the_mouse() -> None:
    frames = np.full((12, 64, 96, 3), 150, np.uint8)
    for number in range(12):
        frames[number, 30:36, 20 + 4 * number : 26 + 4 * number] = 20
    found = follow(frames)
    assert found.shape == (12, SIZE, SIZE, 3)
    for one in found:
        rows, columns = np.nonzero(one[..., 0] < 100)
        assert abs(rows.mean() - SIZE / 2) < 4
        assert abs(columns.mean() - SIZE / 2) < 8  # a second's mean lies behind at both ends


def test_what_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"frames\.csv: not there"):
        read_material("pushups", tmp_path, tmp_path)
    with pytest.raises(OptionError, match="no data named 'cats'"):
        PretrainPlan(materials=("cats",))
    with pytest.raises(OptionError, match="no start named 'luck'"):
        PretrainPlan(starts=("luck",))
    out = ["--out", str(tmp_path / "out")]
    assert main(["bench", "pretrain", str(tmp_path / "nowhere"), *out]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_the_real_material_is_whole(shared_data: Path, tmp_path: Path) -> None:
    mouse = read_material("mouse", shared_data, tmp_path)
    assert len(mouse.classes) == 9
    assert len(mouse.recordings) == 27
    assert {group: mouse.groups.count(group) for group in set(mouse.groups)} == {
        f"tile {tile}": 9 for tile in range(3)
    }
    digits = read_material("digits", shared_data, tmp_path)
    assert len(digits.recordings) == 270
    assert {one.frames.shape for one in digits.recordings} == {(30, SIZE, SIZE, 3)}
    assert all(one.frames.any() for one in digits.recordings)
    assert json.dumps(split(digits, 0).few)
