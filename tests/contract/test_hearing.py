"""Sound on its way from a file through `step`: heard where it is, unheard where it is not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import vigilia
from vigilia.errors import InputError
from vigilia.running import run_many
from vigilia.stream import StreamClassifier, create_model
from vigilia.video import open_video
from vigilia.video.audio import AudioReader
from vigilia.video.clips import ClipWindow, flush, push_sample

FPS, CLIP, STRIDE, SIZE = 8.0, 8, 4, 32


def hearing_model() -> StreamClassifier:
    torch.manual_seed(0)
    model = create_model(
        "audio_visual_nano",
        classes=("a", "b", "c"),
        memory="none",
        fps=FPS,
        clip_frames=CLIP,
        stride_frames=STRIDE,
        height=SIZE,
        width=SIZE,
    )
    with torch.no_grad():
        model.head.weight[:, :208] = 0.0  # what is seen is much larger than what is heard
        torch.nn.init.normal_(model.head.weight[:, 208:])
    for name, parameter in model.named_parameters():
        if name.endswith("gate"):
            torch.nn.init.ones_(parameter)
    return model.eval()


def write_video(path: Path, *, sound: bool, seconds: float = 4.0) -> Path:
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=8)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        track = container.add_stream("pcm_s16le", rate=16_000, layout="mono") if sound else None
        for index in range(round(8 * seconds)):
            pixels = random.integers(0, 255, (8, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 8)
            container.mux(pictures.encode(frame))
            if track is not None:
                loud = 12_000 if index % 16 < 8 else 300
                noise = random.normal(0, loud, (1, 2000)).clip(-32767, 32767).astype(np.int16)
                heard = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
                heard.sample_rate, heard.time_base = 16_000, Fraction(1, 16_000)
                heard.pts = 2000 * index
                container.mux(track.encode(heard))
        for stream in container.streams:
            container.mux(stream.encode(None))
    return path


@torch.no_grad()
def by_hand(video: Path, model: StreamClassifier, *, listen: bool) -> np.ndarray:
    """Probabilities of every step (N, K), from nothing but clips, sound and `step`."""
    window = ClipWindow(clip_frames=CLIP, stride_frames=STRIDE, interval_seconds=1 / FPS)
    state, out = model.init_state(1), []

    def take(clip: object) -> None:
        nonlocal state
        if clip is None:
            return
        end = clip.end_seconds  # type: ignore[attr-defined]
        frames = torch.from_numpy(clip.frames)[None]  # type: ignore[attr-defined]
        audio = torch.from_numpy(reader.between(end - CLIP / FPS, end))[None] if listen else None
        logits, state = model.step(
            model.preprocessing.to_clip(frames),
            state,
            seconds=torch.tensor([end], dtype=torch.float64),
            audio=audio,
        )
        out.append(logits[0].softmax(0).numpy())

    with open_video(video, width=SIZE, height=SIZE) as source, AudioReader(video) as reader:
        for sample in source.samples(fps=FPS, max_gap_seconds=2.0, resume=None):
            window, clip = push_sample(window, sample)
            take(clip)
        take(flush(window)[1])
    return np.stack(out)


def test_a_run_hears_every_clip(tmp_path: Path) -> None:
    model = hearing_model()
    video = write_video(tmp_path / "loud.mkv", sound=True)
    timeline = vigilia.run(video, model=model)
    expected = by_hand(video, model, listen=True)
    assert timeline.scores is not None
    assert np.array_equal(timeline.scores.probabilities, expected)
    assert np.abs(expected - by_hand(video, model, listen=False)).max() > 1e-3
    (other,) = run_many([video], model=model)
    assert other.timeline is not None
    assert other.timeline.scores is not None
    assert np.array_equal(other.timeline.scores.probabilities, expected)


def test_a_recording_without_sound_is_seen(tmp_path: Path) -> None:
    model = hearing_model()
    video = write_video(tmp_path / "silent.mkv", sound=False)
    timeline = vigilia.run(video, model=model)
    assert timeline.scores is not None
    assert np.array_equal(timeline.scores.probabilities, by_hand(video, model, listen=False))


def test_a_run_that_was_interrupted_goes_on_hearing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hearing_model()
    video = write_video(tmp_path / "loud.mkv", sound=True)
    straight = vigilia.run(video, model=model)

    def stop(update: object) -> None:
        if update.steps == 4:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vigilia.run(
            video, model=model, out=tmp_path / "out", save_every_seconds=0.0, on_update=stop
        )
    resumed: list[int] = []
    again = vigilia.run(
        video,
        model=model,
        out=tmp_path / "out",
        on_update=lambda update: resumed.append(update.resumed_steps),
    )
    assert resumed[0] > 0
    assert straight.scores is not None
    assert again.scores is not None
    assert np.array_equal(straight.scores.probabilities, again.scores.probabilities)


@torch.no_grad()
def test_nothing_heard_is_all_nan_and_rows_may_differ() -> None:
    model = hearing_model()
    clip = torch.randn(3, 3, CLIP, SIZE, SIZE)
    audio = model.unheard(3)
    assert audio.shape == (3, 100, 64)
    assert audio.isnan().all()
    audio[0] = torch.randn(100, 64)
    audio[1, :40] = torch.randn(40, 64)
    mixed, _ = model.step(clip, model.init_state(3), audio=audio)
    deaf, _ = model.step(clip, model.init_state(3))
    same, _ = model.step(clip, model.init_state(3), audio=model.unheard(3))
    assert torch.equal(deaf, same)
    assert torch.equal(mixed[2], deaf[2])
    assert not torch.allclose(mixed[0], deaf[0], atol=1e-3)
    assert not torch.allclose(mixed[1], deaf[1], atol=1e-3)


def test_sound_that_nobody_hears_or_that_does_not_fit_is_refused() -> None:
    model = hearing_model()
    clip = torch.randn(2, 3, CLIP, SIZE, SIZE)
    with pytest.raises(InputError, match=r"audio must be \(B=2, F, M\), got \(1, 100, 64\)"):
        model.step(clip, model.init_state(2), audio=torch.zeros(1, 100, 64))
    deaf = create_model("conv3d_nano", num_classes=2, memory="none", height=SIZE, width=SIZE)
    with pytest.raises(InputError, match="does not hear"):
        deaf.step(
            torch.randn(1, 3, 32, SIZE, SIZE), deaf.init_state(1), audio=torch.zeros(1, 100, 64)
        )
