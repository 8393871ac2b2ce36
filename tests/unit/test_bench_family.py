"""The family benchmark: everybody sees what they would see, and every cell is kept."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vigilia.bench import TASKS, render_clips
from vigilia.bench.cells import Exam
from vigilia.bench.eyes import SIZE, make_model, vocabulary
from vigilia.bench.family.entrants import ENTRANTS, contender_for
from vigilia.bench.family.learning import learn_behind, lessons_of, step_behind
from vigilia.bench.family.pushups import pushups_cost, setting_for
from vigilia.bench.family.report import family_markdown, family_table, write_family_report
from vigilia.bench.family.run import FamilyPlan, bench_family, read_family_results
from vigilia.bench.family.seeing import (
    fill_family_bank,
    fill_pools,
    see_whole,
    streams_from,
)
from vigilia.bench.lessons import Lesson, curriculum_of
from vigilia.bench.pushups import held_out, outcome, read_frames
from vigilia.bench.streams import CLIP_SECONDS
from vigilia.catalogue import ENTRIES, FAMILIES
from vigilia.cli import main
from vigilia.errors import OptionError
from vigilia.stream import StreamClassifier

SMALL = FamilyPlan(
    backbones=("swin3d_nano", "conv3d_nano_incremental"),
    tasks=("T1",),
    seeds=(0,),
    eyes_updates=1,
    curriculum=(Lesson(clips=4, gap=2.0, updates=2),),
    size=Exam(streams=2, clips=12),
    scenes=2,
    pool_clips=16,
)


def blind(backbone: str) -> StreamClassifier:
    torch.manual_seed(0)
    return make_model(tuple(map(str, vocabulary())), "none", {}, backbone=backbone).eval()


def test_every_branch_that_sees_pictures_takes_part() -> None:
    shown = {ENTRIES[name].family for name in ENTRANTS}
    assert set(FAMILIES) - shown == {
        ENTRIES["audio_visual_nano"].family,
        ENTRIES["neuro_svt_ti"].family,
    }
    for name in ENTRANTS:
        assert contender_for(name, "fam").options["write_every"] == 1


@pytest.mark.parametrize("backbone", ["swin3d_nano", "conv3d_nano_incremental"])
@pytest.mark.parametrize("memory", ["none", "fam"])
def test_what_is_behind_the_backbone_is_stepped_as_the_model_steps(
    backbone: str, memory: str
) -> None:
    eyes, task = blind(backbone), TASKS["T1"]
    contender = contender_for(backbone, memory)
    model = make_model(("a", "b"), memory, dict(contender.options), backbone=backbone)
    model.backbone.load_state_dict(eyes.backbone.state_dict())
    model.eval()
    drawn = [task.draw(40, np.random.default_rng(0), gap=3.0)]  # longer than what is seen at a time
    frames = render_clips(drawn[0], size=SIZE, seed=5)
    seen = see_whole(eyes, drawn, [5])
    kept, whole = model.init_state(1), model.init_state(1)
    with torch.inference_mode():
        for clip in range(40):
            pixels = model.preprocessing.to_clip(torch.from_numpy(frames[clip])[None])
            ended = torch.full((1,), (clip + 1) * CLIP_SECONDS, dtype=torch.float64)
            expected, whole = model.step(pixels, whole, seconds=ended)
            logits, kept = step_behind(model, seen, clip, kept)
            # Gates inside the blocks are closed; what is kept is rounded to half precision.
            assert torch.allclose(logits, expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("backbone", ["swin3d_nano", "conv3d_nano_incremental"])
def test_a_stream_from_the_bank_is_seen_like_one_that_was_rendered(backbone: str) -> None:
    eyes, task = blind(backbone), TASKS["T1"]
    bank = fill_family_bank(task, eyes, seed=0, scenes=1)
    whole = bank.contents.clips
    clips = np.arange(5)
    one = replace(
        whole,
        symbols=whole.symbols[clips],
        labels=whole.labels[clips],
        ages=whole.ages[clips],
        levels=whole.levels[clips],
    )
    single = replace(bank, contents=replace(bank.contents, places={0: clips}, by_level=False))
    seen = streams_from(single, eyes, [one], np.random.default_rng(1))
    assert seen.tokens.shape[:2] == seen.pooled.shape[:2] == (1, 5)
    if not eyes.streams:  # every clip is one of the bank's, whatever came before it
        assert bank.pooled is not None
        assert (torch.cdist(seen.pooled[0], bank.pooled[0, :5]).min(dim=1).values == 0).all()
        return
    assert bank.frames is not None
    again = streams_from(single, eyes, [one], np.random.default_rng(1))
    assert torch.equal(again.pooled, seen.pooled)
    other = streams_from(single, eyes, [one], np.random.default_rng(2))
    assert not torch.equal(other.pooled[:, -1], seen.pooled[:, -1])


def test_a_pool_holds_the_same_streams_for_every_backbone_and_a_course_draws_from_it() -> None:
    task = TASKS["T1"]
    lessons = (Lesson(4, 2.0, 3), Lesson(4, 2.0, 5), Lesson(8, 3.0, 2))
    pools = {}
    for backbone in ("swin3d_nano", "conv3d_nano_incremental"):
        eyes = blind(backbone)
        bank = fill_family_bank(task, eyes, seed=0, scenes=2)
        pools[backbone] = fill_pools(task, bank, eyes, lessons, seed=0, clips=160)
        assert list(pools[backbone]) == [(4, 2.0), (8, 3.0)]  # lessons alike share one
        assert [len(one) for one in pools[backbone].values()] == [40, 32]
    for key, one in pools["swin3d_nano"].items():
        other = pools["conv3d_nano_incremental"][key]
        assert torch.equal(one.labels, other.labels)
        assert all(
            np.array_equal(a.symbols, b.symbols)
            for a, b in zip(one.streams, other.streams, strict=True)
        )
    course = (Lesson(4, 2.0, 3), Lesson(8, 3.0, 2))
    eyes, losses = blind("swin3d_nano"), []
    for seed in (0, 0, 1):
        told: list[float] = []
        learn_behind(
            task,
            contender_for("swin3d_nano", "fam"),
            eyes,
            pools["swin3d_nano"],
            seed=seed,
            curriculum=course,
            on_update=lambda update, total, loss, told=told: told.append(loss),
        )
        losses.append(told)
    assert losses[0] == losses[1] != losses[2]


def test_the_short_lessons_are_those_of_the_tables_tasks() -> None:
    assert lessons_of("T1") == lessons_of("T3") != lessons_of("T8")
    assert sum(one.updates for one in lessons_of("T8")) == 120
    assert lessons_of("T7") == curriculum_of("T7")


def test_a_run_is_kept_cell_by_cell_and_reported(tmp_path: Path) -> None:
    told: list[str] = []
    first = bench_family(SMALL, tmp_path, on_update=lambda update: told.append(update.told))
    assert len(told) == len(first) == 4
    assert [(one["backbone"], one["memory"]) for one in first] == [
        ("swin3d_nano", "none"),
        ("swin3d_nano", "fam"),
        ("conv3d_nano_incremental", "none"),
        ("conv3d_nano_incremental", "fam"),
    ]
    (tmp_path / "T1-swin3d_nano-fam-0.json").unlink()
    told.clear()
    again = bench_family(SMALL, tmp_path, on_update=lambda update: told.append(update.told))
    assert len(told) == 1
    assert [one["accuracy"] for one in again] == [one["accuracy"] for one in first]
    assert first[1]["gmac"] > first[0]["gmac"] > 0
    rows = family_table(again)
    assert rows[0][-1] == "T1 last event"
    assert rows[2][:2] == ["swin3d_nano", "fam"]
    assert rows[2][-1] == f"{100 * again[1]['accuracy']:.1f}"
    assert rows[-1][-1] == "100.0"
    write_family_report(again, tmp_path)
    assert "| swin3d_nano | fam |" in family_markdown(read_family_results(SMALL, tmp_path))
    assert (tmp_path / "cost.png").stat().st_size > 5_000


def test_people_are_held_out_whole_and_all_are_tested_once(tmp_path: Path) -> None:
    place = tmp_path / "frames.csv"
    with place.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "group", "frame", "phase"])
        for clip in range(8):
            writer.writerow([f"{clip}.avi", f"g{clip // 2}", 0, "up"])
            writer.writerow([f"{clip}.avi", f"g{clip // 2}", 1, "down"])
    frames = read_frames(place)
    assert frames["3.avi"][0] == "g1"
    assert frames["3.avi"][1].tolist() == [1, 0]
    tested = []
    for learned, apart in held_out(frames, folds=3, seed=0):
        assert not {group for group, _ in learned.values()} & {group for group, _ in apart.values()}
        tested += list(apart)
    assert sorted(tested) == sorted(frames)


def test_push_ups_are_scored_by_people() -> None:
    right, half = np.array([[4, 0], [0, 4]]), np.array([[2, 2], [2, 2]])
    found = outcome({"a": right, "b": half})
    assert found.accuracy == pytest.approx(0.75)
    assert (found.low95, found.high95) == pytest.approx((0.5, 1.0))
    assert (found.groups, found.frames) == (2, 16)


def test_all_answer_push_ups_equally_often() -> None:
    for backbone in ("conv3d_nano", "conv3d_nano_incremental"):
        setting = setting_for(backbone, "fam")
        assert setting.stride_frames / setting.fps == pytest.approx(0.32)
        assert pushups_cost(setting).gmac > 0


def test_absent_push_ups_are_said_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "family", "--task", "pushups", "--data", str(tmp_path), "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "push-ups are left out" in said
    assert "name another --task" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": ("T9",)}, "no task named 'T9'"),
        ({"backbones": ("swin3d_t",)}, "no backbone for small silent pictures"),
        ({"backbones": ("audio_visual_nano",)}, "no backbone for small silent pictures"),
        ({"memories": ("elephant",)}, "no memory named 'elephant'"),
        ({"seeds": ()}, "at least one"),
        ({"seeds": (-1,)}, "must not be negative"),
    ],
)
def test_a_family_plan_that_cannot_work_is_one_line(arguments: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        FamilyPlan(**arguments)
    assert "\n" not in str(caught.value)


def test_real_push_ups_run_from_clips_to_a_figure(shared_data: Path, tmp_path: Path) -> None:
    whole = shared_data / "clips" / "pushups"
    few = tmp_path / "pushups"
    few.mkdir()
    frames = read_frames(whole / "frames.csv")
    groups = sorted({group for group, _ in frames.values()})[:2]
    names = [next(n for n, (group, _) in frames.items() if group == wanted) for wanted in groups]
    for name in names:
        (few / name).symlink_to(whole / name)
    with (whole / "frames.csv").open() as source, (few / "frames.csv").open("w") as file:
        file.writelines(
            line for line in source if line.startswith("file") or line.split(",")[0] in names
        )
    plan = replace(
        SMALL, backbones=("swin3d_nano",), memories=("none",), tasks=("pushups",), folds=2, epochs=1
    )
    one, two = bench_family(replace(plan, seeds=(0, 1)), tmp_path / "out", pushups=few)
    assert one["groups"] == two["groups"] == 1  # each seed tests the other person
    assert one["frames"] + two["frames"] == sum(len(frames[name][1]) for name in names)
    assert 0 <= one["accuracy"] <= 1
    assert json.loads((tmp_path / "out" / "pushups-swin3d_nano-none-0.json").read_text()) == one
