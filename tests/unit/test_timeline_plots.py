"""Pictures: that they are made from any timeline, and show what they should."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vigilia.errors import OptionError, OutputError
from vigilia.timeline import Interval, Labels, Scores, Segment, Timeline, segment
from vigilia.timeline.plots import plot_timeline


def random_timeline(classes: tuple[str, ...], count: int, seed: int = 0) -> Timeline:
    random = np.random.default_rng(seed)
    winners = np.repeat(random.integers(0, len(classes), count // 20 + 1), 20)[:count]
    probabilities = random.dirichlet(np.ones(len(classes)), count) * 0.3
    probabilities[np.arange(count), winners] += 0.7
    seconds = np.arange(count)
    keep = (seconds < count // 3) | (seconds > count // 2)
    scores = Scores(seconds[keep], seconds[keep] + 1, probabilities[keep])
    return Timeline(classes, segment(scores, classes), scores, "pen.mp4", {"fps": 4})


def words(path: Path) -> str:
    """An SVG draws letters as paths but notes each text as a comment."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", path.read_text("utf-8")))


def test_a_picture_shows_states_shares_holes_time_and_assumptions(tmp_path: Path) -> None:
    timeline = random_timeline(("lying", "standing"), 600)
    labels = Labels((Interval(0, 300, "lying"), Interval(400, 600, "sitting")), Path("x.csv"))
    plot_timeline(timeline, tmp_path / "t.svg", truth=labels, extra={"gate": ([0, 600], [0, 1])})
    text = words(tmp_path / "t.svg")
    for word in ("truth", "prediction", "lying", "standing", "sitting  40% | 0%", "unobserved"):
        assert word in text
    for word in ("not labelled", "time (min)", "pen.mp4", "fps 4", "gate", "probability"):
        assert word in text


def test_of_many_classes_only_those_that_last_are_named(tmp_path: Path) -> None:
    timeline = random_timeline(tuple(f"class {i:03d}" for i in range(400)), 1000)
    plot_timeline(timeline, tmp_path / "t.svg", title="")
    text = words(tmp_path / "t.svg")
    named = re.findall(r"class \d\d\d", text)
    assert len(named) == 10
    assert re.search(r"\d+ other classes", text)
    assert "pen.mp4" not in text


def test_print_size_is_ten_by_four_inches(tmp_path: Path) -> None:
    timeline = random_timeline(("a", "b", "c"), 5000)
    plot_timeline(timeline, tmp_path / "t.png", truth=timeline)
    header = (tmp_path / "t.png").read_bytes()[16:24]
    assert tuple(int.from_bytes(header[i : i + 4]) for i in (0, 4)) == (2000, 800)


@pytest.mark.parametrize(
    ("duration", "unit"),
    [(0.5, "time (s)"), (100, "time (s)"), (1000, "time (min)"), (5e4, "h:mm"), (3e6, "days")],
)
def test_the_unit_of_time_suits_the_length(duration: float, unit: str, tmp_path: Path) -> None:
    timeline = Timeline(("a",), (Segment(0.0, duration, "a", 1.0),))
    plot_timeline(timeline, tmp_path / "t.svg")
    assert unit in words(tmp_path / "t.svg")


def test_odd_names_and_bare_timelines_are_drawn(tmp_path: Path) -> None:
    odd = ("_hidden", "$x", "a$b$c", "very " * 30 + "long", "<&>")
    timeline = replace(random_timeline(odd, 200), scores=None)
    plot_timeline(timeline, tmp_path / "t.svg", truth=Labels((), Path("x")))
    assert "_hidden" in words(tmp_path / "t.svg")
    nothing = Timeline(("a",), (Segment(0, 5, None, 0),))
    plot_timeline(nothing, tmp_path / "t.png", extra={"second": timeline})


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    timeline = random_timeline(("a", "b"), 50)
    with pytest.raises(OptionError, match=r"\.png, \.svg, \.pdf"):
        plot_timeline(timeline, tmp_path / "t.bmp")
    with pytest.raises(OptionError, match="empty"):
        plot_timeline(Timeline(("a",), ()), tmp_path / "t.png")
    with pytest.raises(OptionError, match="extra 'x'"):
        plot_timeline(timeline, tmp_path / "t.png", extra={"x": ([1, 2], [1])})
    with pytest.raises(OutputError, match="does not exist"):
        plot_timeline(timeline, tmp_path / "no" / "t.png")


def test_the_room_is_imported_without_torch_or_matplotlib() -> None:
    code = "import sys, vigilia.timeline.plots, vigilia.evaluation.agreement; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "matplotlib"} & set(run.stdout.split())
