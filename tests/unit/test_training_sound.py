"""A model that hears learns from sound: the same sound that `vigilia run` gives it."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vigilia.checkpoint import load_classifier
from vigilia.engine import Place, pieces
from vigilia.running.sound import Sound
from vigilia.stream import create_model
from vigilia.timeline import Interval, Labels
from vigilia.training import Annotated, TrainOptions, evaluate_clips, prepare_recording
from vigilia.training.seeing import see_recording
from vigilia.training.sound import load_sound, with_sound
from vigilia.training.start import train_recordings
from vigilia.video import open_video
from vigilia.video.clips import ClipWindow

FPS, CLIP, STRIDE, SIZE = 4.0, 4, 4, 16
SECONDS = 24


def write(path: Path, *, sound: bool = True, seed: int = 0) -> tuple[Path, Labels]:
    """Pictures of noise; whether it is loud or quiet is the label, for two seconds at a time."""
    random = np.random.default_rng(seed)
    loud = random.integers(2, size=SECONDS // 2)
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=4)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuv420p"
        track = container.add_stream("pcm_s16le", rate=16_000, layout="mono") if sound else None
        for index in range(4 * SECONDS):
            pixels = random.integers(90, 160, (32, 32, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 4)
            container.mux(pictures.encode(frame))
            if track is not None:
                level = 9000 if loud[index // 8] else 200
                noise = random.normal(0, level, (1, 4000)).clip(-32767, 32767).astype(np.int16)
                heard = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
                heard.sample_rate, heard.time_base = 16_000, Fraction(1, 16_000)
                heard.pts = 4000 * index
                container.mux(track.encode(heard))
        for stream in container.streams:
            container.mux(stream.encode(None))
    labels = [
        Interval(2.0 * n, 2.0 * n + 2, "loud" if one else "quiet") for n, one in enumerate(loud)
    ]
    return path, Labels(tuple(labels), path)


def model(memory: str = "none"):
    torch.manual_seed(0)
    return create_model(
        "audio_visual_nano",
        classes=("loud", "quiet"),
        memory=memory,
        fps=FPS,
        clip_frames=CLIP,
        stride_frames=STRIDE,
        height=SIZE,
        width=SIZE,
    )


def prepared(video: Path, labels: Labels, net, cache: Path):
    found = prepare_recording(
        video, labels, classes=net.classes, preprocessing=net.preprocessing, cache=cache
    )
    return with_sound(found, video, net, cache)


def test_training_hears_what_a_run_hears(tmp_path: Path) -> None:
    video, labels = write(tmp_path / "a.mkv")
    net = model()
    one = prepared(video, labels, net, tmp_path / "cache")
    assert one.sound is not None
    assert one.sound.shape == (len(one), 100, 64)
    window = ClipWindow(clip_frames=CLIP, stride_frames=STRIDE, interval_seconds=1 / FPS)
    with (
        open_video(video, width=SIZE, height=SIZE) as reader,
        Sound(reader.parts, clip_seconds=CLIP / FPS) as sound,
    ):
        heard = [p.audio for p in sound.heard(pieces(reader.samples(fps=FPS), Place(window)))]
    for mine, its in zip(one.sound, heard, strict=True):
        np.testing.assert_allclose(np.asarray(mine, np.float32), its, atol=1e-2)
    again = prepared(video, labels, net, tmp_path / "cache")
    assert np.array_equal(again.sound, one.sound, equal_nan=True)


def test_a_recording_without_sound_is_not_heard_and_trains(tmp_path: Path) -> None:
    video, labels = write(tmp_path / "b.mkv", sound=False)
    one = prepared(video, labels, model(), tmp_path / "cache")
    assert one.sound is not None
    assert np.isnan(np.asarray(one.sound, np.float32)).all()
    history = train_recordings(
        [Annotated(video, labels)],
        out=tmp_path / "b.safetensors",
        options=TrainOptions(epochs=1, rows=2, chunk_clips=2),
        model="audio_visual_nano",
        memory="none",
        clip_frames=CLIP,
        stride_frames=STRIDE,
        size=SIZE,
    )
    assert np.isfinite(history[0]["loss"])


def test_a_share_of_the_stretches_is_not_heard_and_always_the_same(tmp_path: Path) -> None:
    video, labels = write(tmp_path / "c.mkv")
    one = prepared(video, labels, model(), tmp_path / "cache")
    plays, zeros = np.arange(400), np.zeros(400, np.int64)
    options = TrainOptions(sound_drop=0.25)
    heard = load_sound([one], zeros, zeros + 3, plays, options)
    lost = np.isnan(heard).all(axis=(1, 2))
    assert 0.18 < lost.mean() < 0.32
    assert np.array_equal(
        heard, load_sound([one], zeros, zeros + 3, plays, options), equal_nan=True
    )
    assert not np.isnan(load_sound([one], zeros, zeros + 3, plays)).any()


def test_what_only_sound_tells_is_learned(tmp_path: Path) -> None:
    made = [write(tmp_path / f"{seed}.mkv", seed=seed) for seed in range(4)]
    net_file = tmp_path / "ears.safetensors"
    train_recordings(
        [Annotated(*one) for one in made[:3]],
        out=net_file,
        options=TrainOptions(epochs=12, rows=4, chunk_clips=4, learning_rate=3e-3),
        model="audio_visual_nano",
        memory="none",
        clip_frames=CLIP,
        stride_frames=STRIDE,
        size=SIZE,
    )

    net = load_classifier(net_file)
    assert net.classes == ("loud", "quiet")
    test = prepared(*made[3], net, tmp_path / "cache")
    assert evaluate_clips(net, [test]).accuracy > 0.9
    deaf = dataclasses.replace(test, sound=np.full_like(test.sound, np.nan))
    assert evaluate_clips(net, [deaf]).accuracy < 0.8  # the pictures say nothing
    # What is kept of a frozen backbone holds the sound, too.
    kept, silent = (see_recording(net, one).pooled for one in (test, deaf))
    said = net.head(kept).argmax(1).numpy()
    assert (said == test.labels).mean() > 0.9
    assert not torch.allclose(kept, silent)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_leaves_nothing_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"sound_drop must lie in 0\.\.1"):
        TrainOptions(sound_drop=share)
