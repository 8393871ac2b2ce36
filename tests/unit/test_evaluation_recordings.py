"""Recordings on a grid, all figures together, and the page that shows them."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vigilia.errors import LabelError, OptionError, OutputError
from vigilia.evaluation import (
    Comparison,
    agreement,
    compare,
    evaluate,
    in_epochs,
    with_consensus,
    write_report,
)
from vigilia.evaluation.comparison import mean_scores, unify_classes
from vigilia.timeline import Interval, Labels, Scores, Segment, Timeline

STATES = ("wake", "NREM", "REM")


def night(name: str, seed: int = 0, cells: int = 240, **options: object) -> Comparison:
    """A night of bouts, and a model and two scorers that are mostly right."""
    random = np.random.default_rng(seed)
    truth = np.repeat(random.integers(0, 3, cells // 12 + 1), 12)[:cells]

    def someone(errors: float) -> np.ndarray:
        wrong = np.repeat(random.random(cells // 4 + 1) < errors, 4)[:cells]
        return np.where(wrong, random.integers(0, 3, cells), truth)

    scores = random.dirichlet(np.ones(3), cells) + 1.5 * np.eye(3)[someone(0.2)]
    scores /= scores.sum(axis=1, keepdims=True)
    values = {
        "truth": truth,
        "predicted": scores.argmax(axis=1),
        "scores": scores,
        "scorers": {"anna": someone(0.1), "ben": someone(0.15), "cleo": someone(0.2)},
        "step_seconds": 10.0,
    }
    return Comparison(name, STATES, **(values | options))  # type: ignore[arg-type]


# The grid


def test_a_timeline_and_labels_meet_on_one_grid() -> None:
    timeline = Timeline(
        ("a", "b"),
        (Segment(1, 3, "a", 0.9), Segment(3, 4, None, 0.0), Segment(4, 6, "b", 0.8)),
        scores=Scores(
            np.array([1.0, 2.0, 4.0]),
            np.array([2.0, 3.0, 6.0]),
            np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]]),
        ),
        source="pen.mp4",
    )
    labels = Labels((Interval(0, 2, "a"), Interval(2, 7, "c")), Path("pen.csv"))
    found = compare(timeline, labels)
    assert (found.name, found.classes) == ("pen.mp4", ("a", "b", "c"))
    assert (found.start_seconds, found.lead_cells) == (0.0, 1)
    assert found.truth.tolist() == [0, 0, 2, 2, 2, 2, 2]
    assert found.predicted.tolist() == [-1, 0, 0, -1, 1, 1, -1]
    assert found.scores is not None
    assert found.scores[[1, 2, 4]].tolist() == [
        pytest.approx(row, abs=1e-6) for row in ([0.9, 0.1, 0], [0.7, 0.3, 0], [0.2, 0.8, 0])
    ]
    assert np.isnan(found.scores[[0, 3, 6]]).all()
    result = evaluate([found])
    assert result.agreement == agreement(timeline, labels)
    with pytest.raises(LabelError, match=r"pen\.csv labels no second"):
        compare(timeline, Labels((Interval(50, 60, "a"),), Path("pen.csv")))


def test_scores_of_a_cell_are_the_mean_over_the_time_they_cover() -> None:
    scores = Scores(
        np.array([0.0, 1.0, 5.0]), np.array([1.0, 3.0, 6.0]), np.array([[1.0], [0.25], [0.5]])
    )
    found = mean_scores(scores, [0.0, 2.0, 4.0, 0.0], [2.0, 4.0, 6.0, 6.0])
    assert found[:, 0] == pytest.approx([0.625, 0.25, 0.5, (1 + 0.5 + 0.5) / 4])
    assert np.isnan(mean_scores(scores, [2.5], [4.5])).all()


def test_epochs_hold_what_fills_most_of_them() -> None:
    cells = Comparison(
        "a",
        ("x", "y"),
        np.array([0, 0, 1, 1, 0, 1, -1, -1, 1, 1]),
        np.array([0, 0, 0, 1, 1, 1, 0, 0, -1, -1]),
        scores=np.stack([np.arange(10.0), np.ones(10)], axis=1),
        scorers={"anna": np.ones(10, int)},
        start_seconds=5.0,
    )
    found = in_epochs(cells, 3.0)
    assert found.truth.tolist() == [0, 1, -1, -1]
    assert found.predicted.tolist() == [0, 1, 0, -1]
    assert found.scores is not None
    assert found.scores[:3, 0].tolist() == [1, 4, 7]
    assert np.isnan(found.scores[3]).all()
    assert found.scorers["anna"].tolist() == [1, 1, 1, -1]
    assert (found.step_seconds, found.start_seconds) == (3.0, 5.0)
    assert in_epochs(cells, 1.0) is cells
    for wrong in (1.5, 0.0, float("nan")):
        with pytest.raises(OptionError, match="multiple"):
            in_epochs(cells, wrong)


def test_epochs_begin_with_the_recording_also_where_labels_begin_before() -> None:
    cells = Comparison(
        "a", ("x", "y"), np.array([1, 0, 0, 1, 1]), np.array([-1, 0, 0, 1, 1]), lead_cells=1
    )
    found = in_epochs(cells, 2.0)
    assert found.truth.tolist() == [1, 0, 1]
    assert found.predicted.tolist() == [-1, 0, 1]
    assert (found.start_seconds, found.lead_cells) == (-1.0, 1)


def test_recordings_get_one_list_of_classes() -> None:
    first = Comparison("a", ("x", "y"), np.array([0, 1]), np.array([1, -1]))
    other = Comparison(
        "b", ("z", "x"), np.array([0, -1]), np.array([1, 0]), scores=np.array([[0.4, 0.6]] * 2)
    )
    one, two = unify_classes([first, other])
    assert one.classes == two.classes == ("x", "y", "z")
    assert two.truth.tolist() == [2, -1]
    assert two.predicted.tolist() == [0, 2]
    assert two.scores is not None
    assert two.scores[0].tolist() == [0.6, 0.0, 0.4]
    assert one.truth.tolist() == [0, 1]


def test_the_consensus_of_scorers_becomes_the_truth() -> None:
    codes = {"anna": np.array([0, 1, 2]), "ben": np.array([0, 1, 1]), "cleo": np.array([0, 2, 1])}
    cells = Comparison("a", STATES, np.full(3, -1), np.array([0, 0, 0]), scorers=codes)
    (found,) = with_consensus([cells], list(codes))
    assert found.truth.tolist() == [0, 1, 1]
    (alone,) = with_consensus([cells], ["cleo"])
    assert alone.truth.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"truth": np.array([0, 3])}, "truth must be -1 to 2"),
        ({"predicted": np.array([0.5, 1])}, "whole numbers"),
        ({"predicted": np.array([0])}, "N = 2"),
        ({"scorers": {"anna": np.array([0])}}, "anna must be"),
        ({"scores": np.ones((2, 2))}, r"scores must be \(N, K\)"),
        ({"scores": np.array([[1, 0, 0], [np.nan, 0, 0]])}, "scores of cell 1 are not finite"),
        ({"step_seconds": 0.0}, "step_seconds"),
    ],
)
def test_a_recording_that_does_not_fit_is_refused_by_name(
    change: dict[str, object], problem: str
) -> None:
    fine = Comparison("barn", STATES, np.array([0, 1]), np.array([0, 2]))
    with pytest.raises(OptionError, match=problem):
        dataclasses.replace(fine, **change)  # type: ignore[arg-type]


# All figures


def test_figures_of_all_recordings_and_of_each() -> None:
    nights = [night(name, seed) for seed, name in enumerate("abcd")]
    found = evaluate(nights, epoch_seconds=30, resamples=100)
    assert [one.name for one in found.recordings] == list("abcd")
    matrices = np.array([one.agreement.matrix for one in found.recordings])
    assert np.array_equal(matrices.sum(axis=0), found.agreement.matrix)
    for name in ("accuracy", "kappa", "macro_f1", "balanced_accuracy"):
        interval = found.intervals[name]
        assert interval.value == pytest.approx(getattr(found.agreement, name))
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low <= interval.value <= interval.high
    mean = found.intervals["accuracy_mean_over_recordings"]
    assert mean.value == pytest.approx(np.mean([r.agreement.accuracy for r in found.recordings]))
    assert mean.low is not None
    assert mean.high is not None
    assert mean.low < mean.value < mean.high
    assert found.segmental is not None
    assert found.intervals["f1@50_pooled"].value == found.segmental.f1[2].pooled
    assert found.ranking is not None
    ranked = found.intervals["mean_average_precision"]
    assert ranked.value == found.ranking.mean_average_precision
    assert ranked.low is not None
    assert ranked.low <= ranked.value
    assert found.calibration is not None
    error = found.intervals["expected_calibration_error"]
    assert error.value == pytest.approx(found.calibration.expected_calibration_error)
    assert found.intervals["f1 of REM"].value == found.agreement.per_class[2].f1
    assert (found.resampled, found.resamples) == ("4 recordings", 100)
    assert found.sleep is not None
    assert found.sleep.epoch_seconds == found.scorer_seconds == 30.0
    assert len(found.sleep.recordings) == 4
    assert "total sleep time (min)" in [one.quantity for one in found.sleep.bland_altman]
    assert found.scorers is not None
    assert found.scorers.scorers == ("anna", "ben", "cleo")
    assert found.scorers.model is not None
    assert found.delays[-1].bouts == sum(one.bouts for one in found.delays[:-1])


def test_the_interval_of_average_precision_is_close_to_that_of_the_exact_figure() -> None:
    nights = [night(name, seed, cells=600) for seed, name in enumerate("abcdef")]
    found = evaluate(nights, resamples=60).intervals["mean_average_precision"]

    def exact(pick: np.ndarray) -> list[float]:
        chosen = [
            dataclasses.replace(nights[one], name=f"{place}") for place, one in enumerate(pick)
        ]
        ranking = evaluate(chosen, resamples=0, sleep={}).ranking
        assert ranking is not None
        return [ranking.mean_average_precision]

    from vigilia.evaluation import bootstrap

    (expected,) = bootstrap(exact, 6, resamples=60)
    assert expected is not None
    assert found.value == expected.value
    assert found.low == pytest.approx(expected.low, abs=0.003)
    assert found.high == pytest.approx(expected.high, abs=0.003)


def test_the_order_of_recordings_does_not_matter() -> None:
    nights = [night(name, seed) for seed, name in enumerate("abc")]
    found, other = evaluate(nights, resamples=0), evaluate(nights[::-1], resamples=0)
    assert found.agreement == other.agreement
    assert found.delays == other.delays
    assert found.ranking == other.ranking
    assert found.scorers is not None
    assert other.scorers is not None
    assert found.scorers.human_ceiling_kappa == pytest.approx(other.scorers.human_ceiling_kappa)
    for name, one in found.intervals.items():
        assert one.value == pytest.approx(other.intervals[name].value), name


def test_animals_are_resampled_and_compared_as_a_whole() -> None:
    nights = [night(f"{seed}", seed, animal="sow 1" if seed < 2 else "sow 2") for seed in range(3)]
    found = evaluate(nights, resamples=20)
    assert found.resampled == "2 animals"
    assert found.sleep is not None
    compared = found.sleep.bland_altman[0]
    assert compared.names == ("sow 1", "sow 2")
    minutes = [one.truth.total_sleep_seconds / 60 for one in found.sleep.recordings]
    assert compared.truths == pytest.approx([(minutes[0] + minutes[1]) / 2, minutes[2]])
    alone = evaluate(nights[:2], resamples=20)
    assert (alone.resampled, alone.resamples) == ("1 animal", 0)
    assert alone.intervals["kappa"].low is None


def test_sleep_is_compared_only_where_both_sides_scored() -> None:
    truth, said = np.array([0, 1, 1, 2, -1, -1]), np.array([0, 1, -1, 2, 2, 2])
    found = evaluate([Comparison("a", STATES, truth, said, step_seconds=30.0)])
    assert found.sleep is not None
    (one,) = found.sleep.recordings
    assert one.truth.total_sleep_seconds == one.prediction.total_sleep_seconds == 60
    assert found.sleep.agreement.accuracy == 1.0


def test_states_can_be_given_or_switched_off() -> None:
    cells = dataclasses.replace(night("a"), classes=("lying", "side", "twitch"))
    assert evaluate([cells]).sleep is None
    kinds = {"lying": "wake", "side": "NREM", "twitch": "REM", "other": "REM"}
    found = evaluate([cells], sleep=kinds)
    assert found.sleep is not None
    assert found.sleep.kinds == {"lying": "wake", "side": "NREM", "twitch": "REM"}
    assert evaluate([night("a")], sleep={}).sleep is None
    with pytest.raises(OptionError, match="none of the classes"):
        evaluate([cells], sleep={"x": "wake"})


def test_margins_are_ranked_but_not_calibrated() -> None:
    cells = night("a")
    assert cells.scores is not None
    margins = evaluate([dataclasses.replace(cells, scores=3 * cells.scores - 2)])
    plain = evaluate([cells])
    assert margins.calibration is None
    assert margins.ranking is not None
    assert plain.ranking is not None
    assert margins.ranking.mean_average_precision == plain.ranking.mean_average_precision
    without = evaluate([dataclasses.replace(cells, scores=None, scorers={})])
    assert without.ranking is without.calibration is without.scorers is None


def test_background_makes_no_bouts() -> None:
    cells = Comparison("a", ("rest", "walk"), np.array([0, 1, 0, 0]), np.array([0, 1, 1, 0]))
    found = evaluate([cells], background=["rest"])
    assert [one.label for one in found.delays] == ["walk", None]
    assert found.segmental is not None
    assert found.segmental.edit_pooled == 1.0
    assert found.segmental.f1[2].pooled == 1.0
    assert found.agreement.per_class[0].support == 3


def test_recordings_that_cannot_be_evaluated_are_named() -> None:
    cells = night("a")
    for wrong, problem in [
        ([], "no recording"),
        ([cells, cells], "called 'a'"),
        ([cells, dataclasses.replace(cells, name="b", step_seconds=1.0)], "one length"),
    ]:
        with pytest.raises(OptionError, match=problem):
            evaluate(wrong)
    with pytest.raises(LabelError, match="night 7: no cell is both"):
        evaluate([cells, night("night 7", predicted=np.full(240, -1), scores=None)])
    with pytest.raises(OptionError, match="background 'fly'"):
        evaluate([cells], background=["fly"])
    with pytest.raises(OptionError, match="multiple"):
        evaluate([cells], epoch_seconds=15)


def test_everything_can_be_written_as_json() -> None:
    found = evaluate([night("a"), night("b", 1)], resamples=10)
    text = json.dumps(found.to_dict(), allow_nan=False)
    content = json.loads(text)
    assert content["kappa"] == found.agreement.kappa
    assert content["recordings"][1]["agreement"]["accuracy"] <= 1
    assert content["scorers"]["human_ceiling_kappa"] > 0


def test_the_text_says_every_section() -> None:
    found = str(evaluate([night("a"), night("b", 1)], resamples=10))
    for words in ("kappa", "95 % intervals", "pooled", "mAP", "ECE", "median delay", "WASO"):
        assert words in found
    assert "3 scorers" in found
    alone = str(evaluate([night("a", scorers={})]))
    assert "intervals" not in alone
    assert "F1@50" in alone
    assert "total sleep time" in alone


# The page


class Page(HTMLParser):
    """What a browser would fetch, and whether tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.fetched += [values[one] or "" for one in ("src", "href") if one in values]
        if tag == "img":
            self.pictures.append(values)
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_needs_nothing_else_and_escapes_what_people_wrote(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    nights = [night(evil, 0, animal=evil), night("night $2_b$ & c", 1, animal="<b>")]
    path = tmp_path / "report.html"
    write_report(evaluate(nights, resamples=10), nights, path, title="Sows <2>")
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert "<script" not in text
    assert "http" not in re.sub(r'src="data:[^"]*"', "", text)
    assert all(one.startswith(("data:image/svg+xml;base64,", "#")) for one in page.fetched)
    for link in (one for one in page.fetched if one.startswith("#")):
        assert f'id="{link[1:]}"' in text
    # Confusion, reliability, Bland-Altman, two of scorers, a strip and a hypnogram for each night.
    assert len(page.pictures) == 3 + 2 + 4
    assert all(one["alt"] for one in page.pictures)
    svg = base64.b64decode((page.pictures[0]["src"] or "").split(",")[1])
    assert b"<svg" in svg
    shown = "".join(page.text)
    assert evil in shown
    assert "Sows <2>" in shown
    for heading in ("Classes", "Bouts", "Scores", "Sleep", "Scorers", "Recordings"):
        assert heading in shown


def test_the_page_leaves_out_what_was_not_measured(tmp_path: Path) -> None:
    cells = Comparison("a", ("x", "y"), np.array([0, 1, 1]), np.array([0, 1, 0]))
    write_report(evaluate([cells]), [cells], tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "no intervals" in text
    for absent in ('id="sleep"', 'id="scorers"', 'id="scores"'):
        assert absent not in text
    with pytest.raises(OutputError, match="nope"):
        write_report(evaluate([cells]), [cells], tmp_path / "nope" / "a.html")


def test_the_python_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {})
    assert "2 scorers" in capsys.readouterr().out
    assert (tmp_path / "report.html").exists()


def test_the_same_evaluation_gives_the_same_page(tmp_path: Path) -> None:
    nights = [night("a", scorers={})]
    for name in ("one.html", "two.html"):
        write_report(evaluate(nights), nights, tmp_path / name)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_figures_need_neither_torch_nor_matplotlib() -> None:
    code = "import sys, vigilia.evaluation; print({'torch', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
