"""`vigilia.run`: every second gets one label, and it is what stepping by hand gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import vigilia
from conftest import write_pictures
from vigilia.checkpoint import load_model
from vigilia.cli import main
from vigilia.errors import OptionError
from vigilia.running import RunUpdate, name_of
from vigilia.stream import StreamClassifier
from vigilia.timeline import Scores, Timeline
from vigilia.timeline.seconds import per_second
from vigilia.video import Gap, open_video
from vigilia.video.clips import Clip, ClipWindow, flush, push_sample

MakeVideo = Callable[..., Path]
OUTPUTS = ("timeline.csv", "timeline.json", "timeline.vtt", "timeline.png")
FPS = 4.0


@pytest.fixture(scope="module", params=["fam", "gru"])
def model(request: pytest.FixtureRequest, model_files: dict[str, Path]) -> StreamClassifier:
    return load_model(model_files[request.param])


@pytest.fixture(scope="module")
def fam(model_files: dict[str, Path]) -> StreamClassifier:
    return load_model(model_files["fam"])


def check_tiles(timeline: Timeline, start_seconds: float, end_seconds: float) -> None:
    """Every moment of the recording has exactly one label, and so has every row of scores."""
    assert timeline.start_seconds == start_seconds
    # The last sample stands for one sampling interval, which may reach past the last frame.
    assert end_seconds - 1e-6 <= timeline.end_seconds < end_seconds + 1 / FPS
    for before, after in itertools.pairwise(timeline.segments):
        assert before.end_seconds == after.start_seconds
        assert before.end_seconds > before.start_seconds
        assert before.label != after.label
    assert timeline.scores is not None
    observed = sum(one.duration_seconds for one in timeline.segments if one.label is not None)
    rows = timeline.scores.end_seconds - timeline.scores.start_seconds
    assert rows.sum() == pytest.approx(observed, abs=1e-6)
    assert timeline.scores.probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    for start, end, probabilities in zip(
        timeline.scores.start_seconds,
        timeline.scores.end_seconds,
        timeline.scores.probabilities,
        strict=True,
    ):
        middle = float(start + end) / 2
        label = timeline.label_at(middle)
        assert label is not None
        # Two steps that share a second half and half may leave two classes equal.
        assert probabilities[timeline.classes.index(label)] >= probabilities.max() - 1e-6


def by_hand(video: Path, model: StreamClassifier) -> Scores:
    """The scores of a recording, from nothing but `init_state`, `step` and the clips."""
    pre = model.preprocessing
    window = ClipWindow(
        clip_frames=pre.clip_frames,
        stride_frames=pre.stride_frames,
        interval_seconds=1 / pre.fps,
    )
    clips: list[Clip | None] = []
    with open_video(video, width=pre.width, height=pre.height) as reader:
        for item in reader.samples(fps=pre.fps):
            if isinstance(item, Gap):
                window, clip = flush(window)
            else:
                window, clip = push_sample(window, item)
            clips.append(clip)
        clips.append(flush(window)[1])
        start_seconds = reader.start_seconds
    state = model.init_state(1)
    starts, ends, rows = [], [], []
    for clip in filter(None, clips):
        with torch.no_grad():
            logits, state = model.step(
                pre.to_clip(torch.from_numpy(clip.frames)[None]),
                state,
                seconds=torch.tensor([clip.end_seconds], dtype=torch.float64),
            )
        starts.append(clip.start_seconds)
        ends.append(clip.end_seconds)
        rows.append(logits[0].softmax(0).numpy())
    steps = Scores(np.array(starts), np.array(ends), np.stack(rows))
    return per_second(steps, anchor_seconds=start_seconds, step_seconds=1.0)


# At 8 frames a second: one frame; three; less than a stride of 1 s; a stride; exactly one clip of
# 2 s; a clip and one frame; many clips; many and a part of one.
@pytest.mark.parametrize("frames", [1, 3, 5, 8, 16, 17, 96, 101])
def test_every_second_of_a_recording_of_any_length_gets_exactly_one_label(
    frames: int, fam: StreamClassifier, make_video: MakeVideo, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "pen.mkv", frames, seed=frames)
    timeline = vigilia.run(video, model=fam)
    check_tiles(timeline, 0.0, frames / 8)
    assert timeline.source == "pen.mkv"
    assert timeline.classes == ("rest", "walk", "eat")


def test_a_recording_of_any_length_start_and_holes_is_tiled(
    fam: StreamClassifier, make_video: MakeVideo, tmp_path: Path
) -> None:
    for seed in range(6):
        random = np.random.default_rng(seed)
        pauses = random.choice([40, 125, 300, 2600, 7000], size=30, p=[0.3, 0.4, 0.2, 0.06, 0.04])
        times = (int(random.integers(0, 3000)) + np.cumsum(pauses)).tolist()
        video = make_video(tmp_path / f"{seed}.mkv", seed=seed, times=times)
        with open_video(video) as reader:
            frames = [(frame.seconds, frame.duration_seconds or 0.0) for frame in reader]
        timeline = vigilia.run(video, model=fam)
        check_tiles(timeline, frames[0][0], sum(frames[-1]))
        holes = [one for one in timeline.segments if one.label is None]
        long_pauses = [
            (before[0], after[0])
            for before, after in itertools.pairwise(frames)
            if after[0] - before[0] > 2.0 + 1 / FPS
        ]
        for start, end in long_pauses:
            assert timeline.label_at((start + 2.0 + 1 / FPS + end) / 2) is None
        for hole in holes:
            assert any(
                start + 2.0 < hole.start_seconds and hole.end_seconds < end + 1 / FPS
                for start, end in ((a[0], b[0]) for a, b in itertools.pairwise(frames))
            )


def test_a_hole_is_unobserved_from_two_seconds_after_the_last_frame(
    fam: StreamClassifier, make_video: MakeVideo, tmp_path: Path
) -> None:
    # Frames until 3 s and again from 8 s on: shown until 5 s, the tick after that is at 5.25 s.
    times = [125 * k for k in range(25)] + [8000 + 125 * k for k in range(16)]
    timeline = vigilia.run(make_video(tmp_path / "a.mkv", times=times), model=fam)
    holes = [one for one in timeline.segments if one.label is None]
    assert [(one.start_seconds, one.end_seconds, one.confidence) for one in holes] == [
        (5.25, 8.0, 0.0)
    ]
    check_tiles(timeline, 0.0, 10.0)
    patient = vigilia.run(tmp_path / "a.mkv", model=fam, max_gap_seconds=6.0)
    assert all(one.label is not None for one in patient.segments)


def test_run_gives_what_stepping_by_hand_gives(
    model: StreamClassifier, make_video: MakeVideo, tmp_path: Path
) -> None:
    times = [125 * k for k in range(50)] + [12000 + 125 * k for k in range(61)]
    for seed, video in enumerate(
        [
            make_video(tmp_path / "whole.mkv", 121, seed=7),
            make_video(tmp_path / "hole.mkv", seed=8, times=times),
        ]
    ):
        timeline = vigilia.run(video, model=model)
        assert timeline.scores == by_hand(video, model), seed
        assert len(timeline.segments) >= 2, "labels that never change show nothing"


def test_memory_goes_on_through_a_hole(
    fam: StreamClassifier, make_video: MakeVideo, tmp_path: Path
) -> None:
    def after_hole(first_seed: int) -> np.ndarray:
        folder = tmp_path / str(first_seed)
        make_video(folder / "1.mkv", 40, seed=first_seed, codec="ffv1", pixel_format="bgr0")
        late = [20_000 + 125 * k for k in range(16)]
        make_video(folder / "2.mkv", seed=9, times=late, codec="ffv1", pixel_format="bgr0")
        with open_video(folder / "1.mkv", width=32, height=32) as one:
            before = list(one.samples(fps=FPS))
        with open_video(folder / "2.mkv", width=32, height=32) as two:
            after = list(two.samples(fps=FPS))
        from vigilia.running.classify import classify, start

        items = [*before, Gap(5.0, 20.0), *after]
        steps = list(classify(items, fam, start(fam)))
        assert [step.probabilities is None for step in steps].count(True) == 1
        return np.stack([step.probabilities for step in steps[-2:]])

    assert not np.array_equal(after_hole(1), after_hole(2))


def test_models_and_videos_that_differ_give_timelines_that_differ(
    fam: StreamClassifier, model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    one = make_video(tmp_path / "one.mkv", 64, seed=1)
    two = make_video(tmp_path / "two.mkv", 64, seed=2)
    first = vigilia.run(one, model=fam)
    assert vigilia.run(one, model=model_files["fam"]).scores == first.scores
    assert vigilia.run(two, model=fam).scores != first.scores
    assert vigilia.run(one, model=model_files["other"]).scores != first.scores
    assert vigilia.run(one, model=model_files["gru"]).scores != first.scores


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({}, []),
        (
            {
                "smooth_seconds": 1.5,
                "hysteresis": 0.1,
                "minimum_bout_seconds": 2.0,
                "max_gap_seconds": 3.5,
                "fps": 8.0,
                "clip_frames": 10,
                "stride_frames": 2,
            },
            [
                *("--smooth-seconds", "1.5", "--hysteresis", "0.1", "--min-bout", "2"),
                *("--max-gap-seconds", "3.5", "--fps", "8", "--clip-frames", "10"),
                *("--stride-frames", "2"),
            ],
        ),
    ],
)
def test_the_command_writes_what_the_function_writes_byte_for_byte(
    options: dict[str, float],
    flags: list[str],
    model_files: dict[str, Path],
    make_video: MakeVideo,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = [125 * k for k in range(50)] + [9500 + 125 * k for k in range(40)]
    video = make_video(tmp_path / "night.mkv", times=times)
    timeline = vigilia.run(video, model=model_files["fam"], out=tmp_path / "function", **options)
    command = ["run", str(video), "--model", str(model_files["fam"])]
    assert main([*command, "--out", str(tmp_path / "command"), *flags]) == 0
    assert capsys.readouterr().err == ""
    for name in OUTPUTS:
        written = (tmp_path / "command" / name).read_bytes()
        assert written == (tmp_path / "function" / name).read_bytes(), name
    assert sorted(path.name for path in (tmp_path / "command").iterdir()) == sorted(OUTPUTS)
    read = Timeline.read(tmp_path / "function" / "timeline.json")
    assert read.segments == timeline.segments
    assert read.scores == timeline.scores


def test_a_folder_of_chunks_is_one_recording(
    fam: StreamClassifier, make_video: MakeVideo, tmp_path: Path
) -> None:
    # Lossless, so that the chunks hold the same pixels as the whole.
    lossless = {"codec": "ffv1", "pixel_format": "bgr0"}
    whole = make_video(tmp_path / "whole.mkv", 100, **lossless)
    with open_video(whole) as reader:
        pictures = np.stack([frame.pixels for frame in reader])

    # Natural order: chunk 10 comes last.
    for number, (start, end) in {1: (0, 30), 2: (30, 33), 10: (33, 100)}.items():
        write_pictures(
            tmp_path / "barn" / f"chunk{number}.mkv",
            pictures[start:end],
            [125 * k for k in range(end - start)],
            **lossless,
        )
    parts = vigilia.run(tmp_path / "barn", model=fam, out=tmp_path / "out")
    expected = vigilia.run(whole, model=fam)
    assert parts.scores == expected.scores
    assert parts.segments == expected.segments
    assert parts.source == "barn"
    check_tiles(parts, 0.0, 12.5)


def test_every_step_is_reported(
    model: StreamClassifier, make_video: MakeVideo, tmp_path: Path
) -> None:
    times = [1000 + 125 * k for k in range(50)] + [14000 + 125 * k for k in range(41)]
    updates: list[RunUpdate] = []
    timeline = vigilia.run(
        make_video(tmp_path / "a.mkv", times=times), model=model, on_update=updates.append
    )
    assert [update.steps for update in updates] == list(range(1, len(updates) + 1))
    # 8.25 s are seen before the hole: 9 clips; then the hole; 5.25 s behind it: 6 clips.
    assert len(updates) == 9 + 1 + 6
    seconds = [update.seconds for update in updates]
    assert seconds == sorted(set(seconds))
    assert seconds[-1] == timeline.end_seconds
    assert {update.start_seconds for update in updates} == {1.0}
    assert {update.resumed_steps for update in updates} == {0}
    assert {update.state_nbytes for update in updates} == {model.init_state(1).nbytes}
    duration = updates[0].duration_seconds
    assert duration is not None
    assert duration == pytest.approx(18.125, abs=1.5)
    closed = [segment for update in updates for segment in update.closed]
    assert closed == list(timeline.segments[: len(closed)])
    # The last full second and the rest behind it end with the recording.
    assert len(timeline.segments) - len(closed) <= 2
    assert updates[9].now is None or updates[9].now.label is None


def test_a_model_that_steps_more_often_than_once_a_second_labels_every_step(
    fam: StreamClassifier, make_video: MakeVideo, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mkv", 33)
    timeline = vigilia.run(video, model=fam, fps=8, stride_frames=2)
    assert timeline.scores is not None
    assert timeline.scores.start_seconds == pytest.approx(np.arange(0, 4.25, 0.25))
    assert timeline.assumptions["state_every_seconds"] == 0.25


def test_nothing_is_written_without_a_folder_and_the_model_is_left_as_it_was(
    fam: StreamClassifier,
    make_video: MakeVideo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video = make_video(tmp_path / "in" / "a.mkv", 20)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = {name: tensor.clone() for name, tensor in fam.state_dict().items()}
    vigilia.run(video, model=fam)
    assert list((tmp_path / "here").iterdir()) == []
    after = fam.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize(
    "options",
    [
        {"max_gap_seconds": 0.0},
        {"max_gap_seconds": float("nan")},
        {"hysteresis": 1.5},
        {"smooth_seconds": -1.0},
        {"minimum_bout_seconds": float("inf")},
        {"fps": 0.0},
        {"fps": float("inf")},
        {"stride_frames": 9},
        {"device": "nonsense"},
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_written(
    options: dict[str, object], fam: StreamClassifier, make_video: MakeVideo, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mkv", 20)
    with pytest.raises(OptionError, match=next(iter(options))):
        vigilia.run(video, model=fam, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_results_are_named_after_the_recording() -> None:
    assert name_of("barn/night3.mp4") == "night3"
    assert name_of(Path("barn/week.1/")) == "week"
    assert name_of("rtsp://user:secret@host/stream1") == "stream1"
    assert name_of("/") == "camera"
