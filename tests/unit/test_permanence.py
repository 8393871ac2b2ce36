"""The permanence benchmark: its scenes hide what they say, its exam tells memory from guessing."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vigilia.bench.permanence import digits as digits_module
from vigilia.bench.permanence.contenders import CONTENDERS
from vigilia.bench.permanence.digits import SPLITS, digits
from vigilia.bench.permanence.energy import PHASES, energy_table, measure_energy, vit_patch
from vigilia.bench.permanence.exam import (
    LOOK,
    LOOK_GAPS,
    Exam,
    Said,
    examine,
    grade,
    set_exam,
    told,
)
from vigilia.bench.permanence.observer import observed
from vigilia.bench.permanence.report import (
    difference_table,
    look_table,
    markdown,
    question_table,
    write_report,
)
from vigilia.bench.permanence.run import (
    GLIMPSE,
    PermanencePlan,
    bench_permanence,
    glimpse_batch,
    read_results,
    scene_batch,
    trained_model,
)
from vigilia.bench.permanence.scenes import Setting, bounce, draw_scenes
from vigilia.bench.permanence.scores import difference, retention, wilson
from vigilia.errors import CheckpointError, MissingExtraError, OptionError
from vigilia.spiking.training import SpikingTraining
from vigilia.state import named_tensors

SILENT = Setting(noise=0.0, drift=False)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_scan_is_in_two_splits() -> None:
    spans = sorted(SPLITS.values())
    assert spans == [(0, 1100), (1100, 1300), (1300, 1797)]
    scans, classes = digits("test")
    assert scans.shape == (497, 8, 8)
    assert (scans.min(), scans.max()) == (0, 1)
    assert classes.unique().tolist() == list(range(10))


def test_without_scikit_learn_one_sentence_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(digits_module, "importlib", type("x", (), {"import_module": missing}))
    digits_module._all.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install .*\[bench"):
        digits("test")
    digits_module._all.cache_clear()
    assert importlib.import_module is not missing


def test_paths_bounce_between_the_walls() -> None:
    path = torch.tensor([0.0, 7.0, 9.0, 16.0, 17.0, -3.0])
    assert bounce(path, 8.0).tolist() == [0, 7, 7, 0, 1, 3]


def test_nothing_of_the_digit_is_seen_once_the_curtain_covers_all() -> None:
    chosen = torch.tensor([[3], [400]])
    a, b = (
        draw_scenes(2, 20, generator(1), split="test", setting=SILENT, chosen=which)
        for which in (chosen, chosen.flip(0))
    )
    assert torch.equal(a.places, b.places)
    assert not torch.equal(a.bins[a.visible], b.bins[b.visible])
    assert torch.equal(a.bins[a.covered], b.bins[b.covered])
    assert not a.bins[a.covered].any()  # without drift and noise nothing changes
    assert a.bins[a.visible].sum((2, 3, 4)).gt(0).float().mean() > 0.7


def test_the_curtain_drifts_and_noise_is_always_on() -> None:
    drifting = draw_scenes(3, 20, generator(), setting=Setting(noise=0.0))
    assert drifting.bins[drifting.covered].sum((2, 3, 4)).gt(20).all()
    noisy = draw_scenes(20, 50, generator(), setting=replace(SILENT, noise=0.02))
    assert noisy.bins[noisy.covered].mean() == pytest.approx(0.02, rel=0.1)


def test_places_are_where_the_digit_is() -> None:
    scenes = draw_scenes(8, 0, generator(2), setting=SILENT)
    middle = (scenes.places[:10, :, 0] + 1) * 8  # pixels, x and y
    events = scenes.bins[:10].sum(2)  # (T, B, H, W)
    pixels = torch.arange(16) + 0.5
    for axis, total in ((1, events.sum(3)), (0, events.sum(2))):
        centre = (total * pixels).sum(-1) / total.sum(-1)
        off = (centre - middle[..., axis])[total.sum(-1) > 10]
        assert off.abs().mean() < 1.5


def test_two_digits_are_of_two_classes_and_pass_each_other() -> None:
    scenes = draw_scenes(64, 60, generator(), setting=Setting(objects=2))
    assert (scenes.classes[:, 0] != scenes.classes[:, 1]).all()
    first_is_left = scenes.places[:, :, 0, 0] < scenes.places[:, :, 1, 0]
    assert first_is_left[0].float().mean() > 0.9
    assert 0.2 < first_is_left[60:].float().mean() < 0.8
    assert (scenes.places[..., 0, 1] - scenes.places[..., 1, 1]).abs().min() >= 1  # own lanes


@pytest.mark.parametrize("objects", [1, 2])
def test_no_digit_is_faster_or_slower_than_the_setting_says(objects: int) -> None:
    scenes = draw_scenes(200, 0, generator(), setting=Setting(objects=objects))
    moved = (scenes.places[1:] - scenes.places[:-1]).norm(dim=-1) * 8  # pixels a bin
    straight = moved.amax(0)  # (B, O): but in a bin in which it bounces
    assert 0.49 < straight.min() < 0.6
    assert 1.4 < straight.max() < 1.51


def test_a_batch_says_when_something_is_to_be_seen() -> None:
    batch = scene_batch(3, 5, generator(), Setting())
    assert batch.present[:, 0].tolist() == [1] * 10 + [0] * 9
    assert batch.bins.shape == (19, 3, 2, 16, 16)


def test_a_glimpse_is_the_first_bins_of_many_scenes_and_hides_nothing() -> None:
    batch = glimpse_batch(12, generator(), Setting(objects=2))
    assert batch.bins.shape == (GLIMPSE, 12, 2, 16, 16)
    assert batch.places is not None
    assert batch.places.shape == (GLIMPSE, 12, 2, 2)
    assert batch.present.eq(1).all()


def test_a_difference_is_paired_and_its_interval_is_of_the_digits() -> None:
    hard = np.arange(100) < 20  # all fail there, so it says nothing about who is better
    both, one = np.array([~hard, ~hard]), np.array([~hard])
    same = difference(both, one)
    assert (same.value, same.low95, same.high95) == (0, 0, 0)
    worse = one & (np.arange(100) >= 30)  # ten digits of a hundred
    found = difference(both, worse)
    assert found.value == pytest.approx(0.1)
    # A share of 0.1 of a hundred has a standard error of 0.03.
    assert (found.low95, found.high95) == pytest.approx((0.04, 0.16), abs=0.021)
    assert difference(worse, both).value == pytest.approx(-0.1)


def test_wilsons_interval() -> None:
    share = wilson(85, 100)
    assert share.value == 0.85
    assert (share.low95, share.high95) == pytest.approx((0.7672, 0.9069), abs=1e-4)
    assert wilson(0, 10).low95 == 0
    assert wilson(10, 10).high95 == pytest.approx(1)
    assert wilson(0, 0).value != wilson(0, 0).value


def test_retention_is_what_is_left_above_chance() -> None:
    assert retention(0.46, 0.82, 0.1) == pytest.approx(0.5)
    assert retention(0.5, 0.1, 0.1) != retention(0.5, 0.1, 0.1)


@pytest.mark.parametrize("objects", [1, 2])
def test_who_is_told_the_truth_is_always_right(objects: int) -> None:
    exam = set_exam(Setting(objects=objects), seed=0, gaps=(0, 3, 20), rows=40)
    for row in grade([exam], [told(exam)]):
        assert row["position_pixels"] == 0
        for name in ("identity", *(("same",) if objects == 1 else ("crossing",))):
            assert row[name]["right"] == row[name]["of"] > 0


def test_what_comes_back_is_the_same_or_of_another_class() -> None:
    exam = set_exam(Setting(), seed=3, gaps=(0, 2), rows=60)
    alike = exam.back.classes[:, 0] == exam.scenes.classes[:, 0]
    assert torch.equal(alike, exam.same)
    assert 0.2 < exam.same.float().mean() < 0.8


def test_guessing_is_at_chance() -> None:
    exam = set_exam(Setting(objects=2), seed=0, gaps=(0, 5), rows=400)
    truth = told(exam)
    g = generator(4)
    guess = Said(
        torch.rand(truth.classes.shape, generator=g),
        torch.rand(truth.places.shape, generator=g) * 2 - 1,
        torch.rand(truth.back.shape, generator=g),
    )
    for row in grade([exam], [guess]):
        assert row["identity"]["right"] / row["identity"]["of"] == pytest.approx(0.1, abs=0.04)
        assert row["crossing"]["right"] / row["crossing"]["of"] == pytest.approx(0.5, abs=0.1)


def test_a_memory_that_does_not_follow_the_digits_mixes_them_up_when_they_cross() -> None:
    exam = set_exam(Setting(objects=2), seed=0, gaps=(0, 30, 60), rows=200)
    truth = told(exam)
    frozen = replace(truth, places=truth.places[:1].expand_as(truth.places))
    shares = [row["crossing"]["right"] / row["crossing"]["of"] for row in grade([exam], [frozen])]
    assert shares[0] == 1
    assert max(shares[1:]) < 0.75


@pytest.mark.parametrize("visible", [10, 14])  # or whole until the curtain covers all
def test_who_saw_a_path_to_the_pixel_cannot_know_where_it_leads(visible: int) -> None:
    exam = set_exam(Setting(visible=visible), seed=0, gaps=(0, 30, 120), rows=71)
    near, later, last = (row["position_pixels"] for row in grade([exam], [observed(exam)]))
    assert near < 0.3
    assert 3 * near < later < 2  # so no memory can halve its error at thirty bins
    middle = replace(told(exam), places=torch.zeros_like(told(exam).places))
    assert later < 0.6 * grade([exam], [middle])[1]["position_pixels"]
    assert later < last


def test_an_observer_knows_which_of_two_is_on_the_left_while_they_are_seen() -> None:
    exam = set_exam(Setting(objects=2), seed=0, gaps=(0, 300), rows=71)
    near, last = (row["crossing"] for row in grade([exam], [observed(exam)]))
    assert near["right"] == near["of"] > 20
    assert last["right"] < 0.8 * last["of"]


def test_an_observer_is_told_no_hidden_place_and_knows_the_walls() -> None:
    exam = set_exam(Setting(), seed=1, gaps=(0, 20), rows=6)
    scenes = exam.scenes
    places = torch.where(scenes.visible[:, None, None, None], scenes.places, torch.nan)
    blind = replace(exam, scenes=replace(scenes, places=places))
    assert torch.equal(observed(blind).places, observed(exam).places)
    # From 1 pixel at 1 pixel a bin, both ways: at the far wall after 7 bins, and back.
    corners = bounce(1.0 + torch.arange(len(places)), 8.0)
    straight = ((corners + 4) / 8 - 1)[:, None, None, None].expand_as(places)
    known = observed(replace(exam, scenes=replace(scenes, places=straight))).places
    assert (known - straight[list(exam.probes)]).abs().max() < 0.15


class Latch(nn.Module):
    """Remembers the sum of the first bins of each row, whatever comes later: a perfect memory."""

    def init_state(self, batch_size: int) -> Any:
        from vigilia.bench.permanence.baselines import NetworkState

        return NetworkState(torch.zeros(batch_size, 1), torch.zeros(batch_size, 1))

    def sequence(self, bins: Tensor, state: Any) -> tuple[Any, Any]:
        from vigilia.bench.permanence.baselines import Answers

        rows = bins.shape[1]
        seen = torch.where(state.cell > 0, state.hidden, bins[0].sum((1, 2, 3))[:, None])
        after = replace(state, hidden=seen, cell=torch.ones(rows, 1))
        logits = nn.functional.one_hot(seen[:, 0].long() % 10, 10).float()
        return Answers(logits.expand(len(bins), -1, -1), torch.zeros(len(bins), rows, 2)), after


def said_by_latch(exam: Exam, treatment: str) -> Tensor:
    return examine(Latch(), exam, treatment).classes.argmax(-1)


def test_reset_and_shuffled_take_the_memory_away_when_all_is_hidden_and_not_before() -> None:
    exam = set_exam(Setting(), seed=0, gaps=(0, 1, 40), rows=20)
    plain, fresh, foreign = (said_by_latch(exam, how) for how in ("", "reset", "shuffled"))
    assert torch.equal(plain[0], plain[2])
    assert torch.equal(fresh[0], plain[0])
    assert not torch.equal(fresh[1], plain[1])
    assert torch.equal(foreign[0], plain[0])
    assert torch.equal(foreign[1], plain[1].roll(1, 0))


@pytest.mark.parametrize("name", [name for name, one in CONTENDERS.items() if one.build])
@pytest.mark.parametrize("objects", [1, 2])
def test_every_contender_streams(name: str, objects: int) -> None:
    build = CONTENDERS[name].build
    assert build is not None
    torch.manual_seed(0)
    model: Any = build(objects).eval()
    scenes = draw_scenes(2, 3, generator(), setting=Setting(objects=objects))
    with torch.no_grad():
        whole, state = model.sequence(scenes.bins, model.init_state(2))
        first, half = model.sequence(scenes.bins[:7], model.init_state(2))
        second, after = model.sequence(scenes.bins[7:], half)
    assert whole.logits.shape == (17, 2, 10 * objects)
    assert whole.position.shape == (17, 2, 2 * objects)
    for kind in ("logits", "position"):
        cut = torch.cat([getattr(first, kind), getattr(second, kind)])
        torch.testing.assert_close(cut, getattr(whole, kind), rtol=1e-4, atol=1e-4)
    for field, tensor in named_tensors(state).items():
        torch.testing.assert_close(named_tensors(after)[field], tensor, rtol=1e-4, atol=1e-4)


def test_who_saw_a_digit_for_long_can_follow_it_for_long() -> None:
    looks = {
        bins: set_exam(Setting(visible=bins), seed=0, gaps=LOOK_GAPS, rows=40)
        for bins in (10, LOOK)
    }
    ten, sixty = (
        [row["position_pixels"] for row in grade([exam], [observed(exam)])]
        for exam in looks.values()
    )
    assert ten[-1] > 4 * ten[0]
    assert sixty[-1] < 0.4 * ten[-1]


def tiny() -> PermanencePlan:
    return PermanencePlan(
        contenders=("event", "reset", "gru", "oracle"),
        seeds=(0,),
        gaps=(0, 3),
        training=SpikingTraining(updates=2, rows=4, longest_gap=2),
        scenes=12,
    )


def test_a_run_goes_on_where_it_was_and_reports(tmp_path: Path) -> None:
    plan, told_of = tiny(), []
    with pytest.raises(CheckpointError, match="vigilia bench permanence --task one"):
        trained_model(tmp_path)
    first = bench_permanence(plan, tmp_path, on_update=lambda update: told_of.append(update.told))
    assert len(first) == len(told_of) == 8
    assert [one["contender"] for one in first[:4]] == ["event", "reset", "gru", "oracle"]
    (tmp_path / "two-gru-0.json").unlink()
    told_of.clear()
    again = bench_permanence(plan, tmp_path, on_update=lambda update: told_of.append(update.told))
    assert [one.split(":")[0] for one in told_of] == ["two gru seed 0"]
    assert again[6]["dtypes"] == first[6]["dtypes"]  # from the weights that were kept
    assert read_results(plan, tmp_path) == again
    assert set(first[0]["dtypes"]) == {"float32", "bfloat16"}
    assert json.dumps(again)
    write_report(again, tmp_path)
    page = (tmp_path / "table.md").read_text()
    assert page == markdown(again)
    assert "| oracle | 100.0 (75.8-100.0) | 100.0 (75.8-100.0) | 100 % |" in page
    assert (tmp_path / "gaps.png").stat().st_size > 10_000
    assert question_table(again, "one", "position_pixels")[0] == ["contender", "visible", "3"]
    assert look_table(again, "two")[0] == ["contender", "visible", "10", "30", "30 / visible"]
    assert look_table(again, "one")[-1] == ["oracle", "0.00", "0.00", "0.00", ""]
    compared = difference_table(again, "one")
    assert [row[0] for row in compared] == ["event less", "reset", "gru"]
    assert compared[1][1] == "+0.0 (+0.0 to +0.0)"  # it is the same until all is hidden
    marks = [one["dtypes"]["float32"][1]["scenes"].count("1") for one in (again[0], again[2])]
    assert compared[2][2].startswith(f"{100 * (marks[0] - marks[1]) / 12:+.1f} (")
    wrong = [{**row, "scenes": 12 * "0"} for row in again[0]["dtypes"]["float32"]]
    alone = {**again[0], "seed": 7, "dtypes": {"float32": wrong}}
    assert difference_table([*again, alone], "one") == compared  # nobody else has that seed
    assert trained_model(tmp_path).spec.height == 16


def test_a_blank_bin_costs_nothing_and_a_visible_one_less_than_vit_tiny() -> None:
    torch.manual_seed(0)
    build = CONTENDERS["event"].build
    assert build is not None
    measured = measure_energy(build(1).eval(), rows=2, hidden=3)  # type: ignore[arg-type]
    assert [one.phase for one in measured] == list(PHASES)
    assert [one.bins for one in measured] == [20, 8, 8, 6]
    blank = measured[-1]
    assert (blank.accumulates, blank.multiplies, blank.updates, blank.microjoules) == (0, 0, 0, 0)
    assert measured[0].accumulates > 1000
    rows, values = energy_table(measured, height=16)
    assert [len(row) for row in rows] == [8] * 6
    assert 0 < values[0]["of_vit_tiny_float32"] < 0.1
    assert values[0]["of_vit_tiny_int8"] == pytest.approx(
        values[0]["of_vit_tiny_float32"] * 4.6 / 0.23
    )
    assert (vit_patch(224), vit_patch(16)) == (16, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ("three",)}, "no task named 'three'; there are one, two"),
        ({"contenders": ("fam",)}, "no contender named 'fam'; there are event, hold30"),
        ({"seeds": ()}, "name at least one task"),
        ({"gaps": (10,)}, "gaps must have 0 among them"),
        ({"scenes": 1}, "scenes must be at least 2"),
    ],
)
def test_mistakes_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        PermanencePlan(**options)


@pytest.mark.parametrize("options", [{"objects": 3}, {"slide": 3}, {"visible": 1}])
def test_settings_that_cannot_work_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="must be"):
        Setting(**options)  # type: ignore[arg-type]
