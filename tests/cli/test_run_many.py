"""Several recordings at once: each one's files are those it has when it is run alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vigilia
from conftest import write_pictures
from vigilia.checkpoint import load_model
from vigilia.cli import main
from vigilia.errors import BrokenVideoError, CheckpointError, OptionError, VideoError
from vigilia.relevance import GateOptions
from vigilia.running import Outcome, RunUpdate, gate_named, run_many

MakeVideo = Callable[..., Path]
OUTPUTS = ("timeline.csv", "timeline.json", "timeline.vtt", "timeline.png")
HOLE = [125 * k for k in range(30)] + [9_000 + 125 * k for k in range(20)]


def outputs(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


@pytest.fixture(scope="module")
def videos(make_video: MakeVideo, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four recordings: long, with a hole, broken half-way, of one frame."""
    folder = tmp_path_factory.mktemp("videos")
    made = [
        make_video(folder / "long.mkv", 70, seed=1),
        make_video(folder / "hole.mkv", times=HOLE, seed=2),
        make_video(folder / "broken.mp4", 60, seed=3),
        make_video(folder / "short.mkv", 1, seed=4),
    ]
    whole = made[2].read_bytes()
    made[2].write_bytes(whole[: int(0.6 * len(whole))])
    return made


@pytest.fixture(scope="module")
def alone(
    videos: list[Path], model_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder with each recording's results, run by itself."""
    folder = tmp_path_factory.mktemp("alone")
    for video in videos:
        try:
            vigilia.run(video, model=model_files["fam"], out=folder / video.stem)
        except BrokenVideoError:
            assert video.stem == "broken"
    return folder


def test_the_command_writes_each_recordings_files_as_alone_and_names_the_bad_one_at_the_end(
    videos: list[Path],
    alone: Path,
    model_files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    junk = tmp_path / "junk.mp4"
    junk.write_text("no video")
    words = ["run", videos[0], junk, *videos[1:], "--model", model_files["fam"]]
    assert main([*map(str, words), "--out", str(tmp_path / "out"), "--parallel", "3"]) == 2
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "error"]
    assert "junk.mp4" in lines[0]
    assert "broken.mp4" in lines[1]
    assert "everything before is in" in lines[1]
    sources = [line.split(":")[0] for line in said.out.splitlines() if "segments ->" in line]
    assert sources == [video.name for video in videos], "reports come in the order that was named"
    for video in videos:
        assert outputs(tmp_path / "out" / video.stem) == outputs(alone / video.stem), video
        assert not (tmp_path / "out" / video.stem / "unfinished").exists()
    assert not (tmp_path / "out" / "junk").exists()


def test_larger_batches_give_the_same_labels_and_nearly_the_same_scores(
    videos: list[Path], model_files: dict[str, Path]
) -> None:
    model = load_model(model_files["gru"])
    found = run_many(videos, model=model, batch=3, parallel=3)
    for video, outcome in zip(videos, found, strict=True):
        try:
            expected = vigilia.run(video, model=model)
        except BrokenVideoError as error:
            assert isinstance(outcome.error, BrokenVideoError)
            expected = error.timeline
        assert outcome.timeline is not None
        scores, theirs = outcome.timeline.scores, expected.scores
        assert scores is not None
        assert np.array_equal(scores.start_seconds, theirs.start_seconds)
        assert np.abs(scores.probabilities - theirs.probabilities).max() < 5e-3
        assert [one.label for one in outcome.timeline.segments] == [
            one.label for one in expected.segments
        ]


def test_a_run_of_several_that_was_interrupted_goes_on_with_each(
    videos: list[Path], alone: Path, model_files: dict[str, Path], tmp_path: Path
) -> None:
    chosen = [videos[0], videos[1], videos[2]]
    outs = [tmp_path / video.stem for video in chosen]
    model = load_model(model_files["fam"])
    for after in (3, 9):
        counts: dict[int, int] = {}

        def stop(index: int, update: RunUpdate) -> None:
            counts[index] = update.steps  # noqa: B023
            if sum(counts.values()) >= after:  # noqa: B023
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_many(chosen, outs=outs, model=model, save_every_seconds=0, on_update=stop)
    resumed: dict[int, int] = {}
    run_many(
        chosen,
        outs=outs,
        model=model,
        on_update=lambda index, update: resumed.setdefault(index, update.resumed_steps),
    )
    assert sum(resumed.values()) >= 6
    for video, out in zip(chosen, outs, strict=True):
        assert outputs(out) == outputs(alone / video.stem), video


def test_outcomes_come_in_order_and_each_end_is_told(
    videos: list[Path], model_files: dict[str, Path], tmp_path: Path
) -> None:
    told: list[tuple[int, Outcome]] = []
    named: Sequence[str | Path] = [tmp_path / "absent.mkv", videos[0], videos[3]]
    found = run_many(
        named,
        model=model_files["gru"],
        parallel=1,
        on_done=lambda index, outcome: told.append((index, outcome)),
    )
    assert [index for index, _ in told] == [0, 1, 2], "one after the other"
    assert [outcome for _, outcome in told] == found
    assert isinstance(found[0].error, VideoError)
    assert found[0].timeline is None
    assert found[1].timeline is not None
    assert found[1].timeline.source == "long.mkv"
    assert run_many([], model=model_files["gru"]) == []


def test_folders_that_are_not_one_each_are_refused(
    videos: list[Path], model_files: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="different folders"):
        run_many(videos[:2], outs=[tmp_path, tmp_path], model=model_files["gru"])
    with pytest.raises(OptionError, match="must name 2 folders"):
        run_many(videos[:2], outs=[tmp_path], model=model_files["gru"])


# The gate

OFTEN: dict[str, dict[str, Any]] = {
    "noise": {"refresh_seconds": 7.0},
    "svt": {"options": GateOptions(refresh_seconds=7.0)},
}


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty seconds of a noisy still picture; half-way something moves for two seconds."""
    random = np.random.default_rng(0)
    scene = random.integers(40, 200, (48, 64, 3))
    pictures = np.repeat(scene[None], 320, axis=0)
    for k in range(160, 176):
        pictures[k, 10:30, 2 * (k - 160) : 2 * (k - 160) + 14] += 50
    pictures = pictures + random.normal(0, 2, pictures.shape)
    times = [125 * k for k in range(320)]
    path = tmp_path_factory.mktemp("still") / "still.mkv"
    pictures = pictures.clip(0, 255).astype(np.uint8)
    return write_pictures(path, pictures, times, codec="ffv1", pixel_format="bgr0")


def test_the_gate_skips_what_is_still_and_steps_what_moves(
    still: Path, model_files: dict[str, Path]
) -> None:
    updates: list[RunUpdate] = []
    plain = vigilia.run(still, model=model_files["gru"])
    gated = vigilia.run(
        still, model=model_files["gru"], gate=GateOptions(), on_update=updates.append
    )
    steps = updates[-1].steps
    assert steps == 40
    assert 0.6 * steps < updates[-1].kept_steps < 0.95 * steps
    assert gated.assumptions["gate_threshold"] == 12.0
    assert "gate_threshold" not in plain.assumptions
    assert gated.scores is not None
    assert plain.scores is not None
    # The clips with the movement and the first after it were stepped.
    assert len(np.unique(gated.scores.probabilities[19:25], axis=0)) >= 3
    assert len(np.unique(gated.scores.probabilities[:19], axis=0)) == 1
    (other,) = run_many([still], model=model_files["gru"], gate=GateOptions())
    assert other.timeline is not None
    assert other.timeline.scores == gated.scores
    assert other.timeline.segments == gated.segments


@pytest.mark.parametrize("name", ["noise", "svt"])
def test_a_gated_run_goes_on_where_it_was_and_not_without_the_gate(
    still: Path, model_files: dict[str, Path], tmp_path: Path, name: str
) -> None:
    model, out = load_model(model_files["fam"]), tmp_path / "out"
    gate = replace(gate_named(name), **OFTEN[name])
    vigilia.run(still, model=model, out=tmp_path / "unbroken", gate=gate)
    for after in (5, 18, 23):

        def stop(update: RunUpdate) -> None:
            if update.steps >= after:  # noqa: B023
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            vigilia.run(
                still, model=model, out=out, gate=gate, save_every_seconds=0, on_update=stop
            )
    with pytest.raises(CheckpointError, match="another gate"):
        vigilia.run(still, model=model, out=out)
    vigilia.run(still, model=model, out=out, gate=gate)
    assert outputs(out) == outputs(tmp_path / "unbroken")


def test_the_command_says_how_many_steps_the_gate_skipped(
    still: Path,
    model_files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["run", still, "--model", model_files["gru"], "--out", tmp_path / "out", "--gate"]
    assert main([str(word) for word in words]) == 0
    assert "of 40 steps skipped: nothing moved" in capsys.readouterr().out
