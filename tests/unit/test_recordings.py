"""A recording as training sees it: cached frames, the clips of `vigilia run`, their labels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import vigilia.training.recordings as recordings
from conftest import tiny_model
from vigilia.errors import LabelError, OptionError, OutputError, VideoError
from vigilia.preprocessing import Preprocessing
from vigilia.running.classify import classify, start
from vigilia.stream import StreamClassifier
from vigilia.timeline import Labels, read_labels
from vigilia.training.recordings import Recording, prepare_recording
from vigilia.training.sources import read_annotated, split_validation
from vigilia.video import Gap, open_video

MakeVideo = Callable[..., Path]
PREPROCESSING = Preprocessing(fps=4.0, clip_frames=8, stride_frames=4, height=16, width=24)
CLASSES = ("rest", "walk", "eat")
HOLE = [1000 + 125 * k for k in range(30)] + [12_000 + 125 * k for k in range(45)]


def labels_of(folder: Path, text: str = "0,60,walk") -> Labels:
    path = folder / "labels.csv"
    path.write_text("start_seconds,end_seconds,label\n" + text + "\n")
    return read_labels(path)


def prepare(video: Path, labels: Labels, cache: Path, **options) -> Recording:
    return prepare_recording(
        video, labels, **{"classes": CLASSES, "preprocessing": PREPROCESSING} | options, cache=cache
    )


def same(one: Recording, two: Recording) -> bool:
    return one.name == two.name and all(
        np.array_equal(getattr(one, name), getattr(two, name))
        for name in ("frames", "clips", "start_seconds", "end_seconds", "labels")
    )


def test_frames_and_clips_are_those_that_run_sees(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    model: StreamClassifier = tiny_model(height=16, width=24)
    video = make_video(tmp_path / "a.mkv", times=HOLE)
    seen = []
    step = StreamClassifier.step

    def look(self, clip, state, **options):
        seen.append((clip, float(options["seconds"][0])))
        return step(self, clip, state, **options)

    monkeypatch.setattr(StreamClassifier, "step", look)
    with open_video(video, width=24, height=16) as reader:
        items = list(reader.samples(fps=4.0))
    steps = [one for one in classify(items, model, start(model)) if one.probabilities is not None]
    recording = prepare(video, labels_of(tmp_path, "0,17,walk"), tmp_path / "cache")
    shown = [item for item in items if not isinstance(item, Gap)]
    assert np.array_equal(recording.frames, np.stack([sample.pixels for sample in shown]))
    assert recording.name == "a.mkv"
    assert len(recording) == len(steps)
    assert recording.clips.shape == (len(steps), 8)
    assert recording.start_seconds.tolist() == [one.start_seconds for one in steps]
    assert recording.end_seconds.tolist() == [one.end_seconds for one in steps]
    for clip, (tensor, _) in zip(recording.clips, seen, strict=True):
        frames = torch.from_numpy(recording.frames[clip])[None]
        assert torch.equal(model.preprocessing.to_clip(frames), tensor)
    assert [end for _, end in seen] == recording.end_seconds.tolist()


def test_no_clip_reaches_across_a_hole(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mkv", times=HOLE)
    recording = prepare(video, labels_of(tmp_path, "0,17,eat"), tmp_path / "cache")
    with open_video(video, width=24, height=16) as reader:
        seconds = np.array([one.seconds for one in reader.samples(4.0) if not isinstance(one, Gap)])
    times = seconds[recording.clips]
    assert ((times < 8) == (times[:, :1] < 8)).all()
    assert (np.diff(recording.clips, axis=1) >= 0).all()


def test_labels_are_those_that_cover_most_of_what_a_clip_labels(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    # Clips label one second each; 2.3 s of eat, 0.6 s of nothing, walk to the end.
    text = "0,1,rest\n1,3.3,eat\n3.9,4.2,rest\n4.2,6.3,walk"
    video = make_video(tmp_path / "a.mkv", 64)
    recording = prepare(video, labels_of(tmp_path, text), tmp_path / "cache")
    assert recording.start_seconds.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert recording.labels.tolist() == [0, 2, 2, -1, 1, 1, -1, -1]


def test_the_cache_is_read_and_not_decoded_again(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, labels = make_video(tmp_path / "a.mkv", times=HOLE), labels_of(tmp_path, "0,17,eat")
    first = prepare(video, labels, tmp_path / "cache")
    opened: list[object] = []
    open_again = recordings.open_video
    monkeypatch.setattr(
        recordings,
        "open_video",
        lambda *args, **options: opened.append(args) or open_again(*args, **options),
    )
    assert same(prepare(video, labels, tmp_path / "cache"), first)
    assert opened == []
    # Another size or rate is another cache; so is a video that has changed.
    small = Preprocessing(fps=2.0, clip_frames=8, stride_frames=4, height=16, width=24)
    assert len(prepare(video, labels, tmp_path / "cache", preprocessing=small).frames) < len(
        first.frames
    )
    assert len(opened) == 1
    os.utime(video, (1, 1))
    assert same(prepare(video, labels, tmp_path / "cache"), first)
    assert len(opened) == 2
    assert same(prepare(video, labels, tmp_path / "cache"), first)
    assert len(opened) == 2


def test_decoding_that_is_killed_half_way_is_begun_again(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mkv", 60)
    labels = labels_of(tmp_path, "0,7.5,walk")
    whole = prepare(video, labels, tmp_path / "unbroken")
    for count in (1, 7, 29, 30):
        left = count

        def die(seconds: float, duration: float | None) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare(video, labels, tmp_path / "cache", on_frame=die)
        assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".partial"]
    assert same(prepare(video, labels, tmp_path / "cache"), whole)
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".frames", ".json"]


@pytest.mark.parametrize("damage", ["cut", "gone", "index cut", "index gone"])
def test_a_damaged_cache_is_made_again(damage: str, make_video: MakeVideo, tmp_path: Path) -> None:
    video, labels = make_video(tmp_path / "a.mkv", 40), labels_of(tmp_path, "0,5,walk")
    whole = np.array(prepare(video, labels, tmp_path / "cache").frames)
    (frames,) = (tmp_path / "cache").glob("*.frames")
    index = frames.with_suffix(".json")
    victim = index if damage.startswith("index") else frames
    if damage.endswith("gone"):
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-10])
    assert np.array_equal(prepare(video, labels, tmp_path / "cache").frames, whole)


def test_a_video_that_breaks_half_way_is_used_up_to_there_whatever_its_labels(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    whole, labels = make_video(tmp_path / "a.mp4", 120), labels_of(tmp_path, "0,15,walk")
    (tmp_path / "cut").mkdir()
    video = tmp_path / "cut" / "a.mp4"
    video.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    recording = prepare(video, labels, tmp_path / "cache")
    expected = prepare(whole, labels, tmp_path / "cache")
    assert 12 < len(recording.frames) < 45
    shared = min(len(recording), len(expected)) - 1
    assert np.array_equal(recording.frames[:12], expected.frames[:12])
    assert np.array_equal(recording.labels[:shared], expected.labels[:shared])
    assert same(prepare(video, labels, tmp_path / "cache"), recording)


def test_labels_that_do_not_fit_are_refused(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mkv", 40)
    for text, problem in [("0,2,fly", "'fly' is none"), ("0,2,eat\n2,50,walk", "row 3.*outside")]:
        with pytest.raises(LabelError, match=problem):
            prepare(video, labels_of(tmp_path, text), tmp_path / "cache")


def test_progress_is_reported_for_every_sample(make_video: MakeVideo, tmp_path: Path) -> None:
    told: list[tuple[float, float | None]] = []
    prepare(
        make_video(tmp_path / "a.mkv", 40),
        labels_of(tmp_path, "0,5,walk"),
        tmp_path / "cache",
        on_frame=lambda seconds, duration: told.append((seconds, duration)),
    )
    assert [seconds for seconds, _ in told] == [k / 4 for k in range(20)]
    assert [duration for _, duration in told] == pytest.approx([5.0] * 20, abs=0.2)


def test_a_cache_that_cannot_be_written_is_one_error_that_names_it(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, labels = make_video(tmp_path / "a.mkv", 16), labels_of(tmp_path, "0,2,walk")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file.*--cache"):
        prepare(video, labels, tmp_path / "file")

    def full(*places: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match=r"cache.*No space left.*--cache"):
        prepare(video, labels, tmp_path / "cache")
    assert (tmp_path / "file").read_text() == "in the way"


# Which labels belong to which video


def table(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["video,start,end,label", *rows]) + "\n")
    return path


def test_videos_find_their_labels_in_a_table_or_a_folder(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    videos = [make_video(tmp_path / "v" / f"{name}.mkv", 4) for name in ("b10", "b2", "a")]
    one = table(tmp_path / "t.csv", ["b2.mkv,0,1,eat", "a,0,1,walk", "x/b10.avi,0,1,rest"])
    folder = tmp_path / "labels"
    folder.mkdir()
    for video, label in zip(videos, ("rest", "eat", "walk"), strict=True):
        text = f"start,end,label\n0,1,{label}\n"
        (folder / f"{video.stem}.csv").write_text(text)
    for labels in (one, folder):
        by_pattern = read_annotated([str(tmp_path / "v" / "*.mkv")], labels)
        found = {pair.video.name: pair.labels.classes for pair in by_pattern}
        assert found == {"a.mkv": ("walk",), "b2.mkv": ("eat",), "b10.mkv": ("rest",)}
        assert [pair.video.name for pair in by_pattern] == ["a.mkv", "b2.mkv", "b10.mkv"]
        assert read_annotated([tmp_path / "v"], labels) == by_pattern
        twice = read_annotated([tmp_path / "v", *videos], labels)
        assert twice == by_pattern, "a video that is named twice counts once"


def test_a_video_without_labels_is_named(make_video: MakeVideo, tmp_path: Path) -> None:
    videos = [make_video(tmp_path / f"{name}.mkv", 4) for name in "ab"]
    with pytest.raises(LabelError, match=r"t\.csv.*b\.mkv"):
        read_annotated(videos, table(tmp_path / "t.csv", ["a.mkv,0,1,eat"]))
    (tmp_path / "labels").mkdir()
    with pytest.raises(LabelError, match=r"a\.mkv has no labels.*a\.csv"):
        read_annotated(videos, tmp_path / "labels")
    with pytest.raises(VideoError, match=r"nope\.mkv"):
        read_annotated([tmp_path / "nope.mkv"], tmp_path / "t.csv")


def test_validation_recordings_are_kept_apart_by_name_or_stem(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    videos = [make_video(tmp_path / f"{name}.mkv", 4) for name in "abc"]
    rows = [f"{name}.mkv,0,1,eat" for name in "abc"]
    annotated = read_annotated(videos, table(tmp_path / "t.csv", rows))
    learn, apart = split_validation(annotated, ["c", "a.mkv"])
    assert [one.video.stem for one in learn] == ["b"]
    assert [one.video.stem for one in apart] == ["c", "a"]
    assert split_validation(annotated, []) == (annotated, [])
    with pytest.raises(OptionError, match=r"'nope'.*a\.mkv, b\.mkv, c\.mkv"):
        split_validation(annotated, ["nope"])
    with pytest.raises(OptionError, match="none is left"):
        split_validation(annotated, ["a", "b", "c"])


def test_an_index_of_an_older_cache_is_understood(make_video: MakeVideo, tmp_path: Path) -> None:
    video, labels = make_video(tmp_path / "a.mkv", 40), labels_of(tmp_path, "0,5,walk")
    first = prepare(video, labels, tmp_path / "cache")
    (index,) = (tmp_path / "cache").glob("*.json")
    known = json.loads(index.read_text())
    assert known.pop("broken") is False
    index.write_text(json.dumps(known))
    assert same(prepare(video, labels, tmp_path / "cache"), first)
