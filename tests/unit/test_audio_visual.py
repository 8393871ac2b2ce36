"""Sound: log-mel frames on the pictures' clock, and backbones that hear, or do not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vigilia.backbones.audio_visual import AudioVisual, audio_visual_nano
from vigilia.backbones.conv3d import conv3d_nano
from vigilia.errors import OptionError, VideoError
from vigilia.video.audio import (
    FRAMES_PER_SECOND,
    MEL_BANDS,
    SAMPLE_RATE,
    AudioReader,
    log_mel,
    mel_filters,
)


def write_sound(
    path: Path, samples: np.ndarray, *, rate: int = 44_100, start_seconds: float = 0.0
) -> Path:
    """samples: (N,) float, in stereo, without loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate)
        stream.layout = "stereo"
        begins = round(start_seconds * rate)
        for offset in range(0, len(samples), 1024):
            part = (np.clip(samples[offset : offset + 1024], -1, 1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(part.repeat(2)[None], format="s16", layout="stereo")
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = begins + offset
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 5000.0])
def test_a_tone_is_loudest_in_its_band(hertz: float) -> None:
    frames = log_mel(tone(hertz, 0.5, SAMPLE_RATE))
    assert frames.shape == (50, MEL_BANDS)
    centres = np.fft.rfftfreq(512, 1 / SAMPLE_RATE)[mel_filters().argmax(axis=1)]
    nearest = np.abs(centres - hertz).argmin()
    assert np.abs(frames[10].argmax() - nearest) <= 1
    assert frames[10].max() - frames[10].min() > 8


def test_silence_is_the_least_and_twice_as_loud_is_log_four_more() -> None:
    noise = np.random.default_rng(0).normal(size=SAMPLE_RATE)
    assert np.unique(log_mel(np.zeros(SAMPLE_RATE))) == pytest.approx(np.log(1e-6))
    difference = log_mel(2 * noise)[:-3] - log_mel(noise)[:-3]
    assert difference == pytest.approx(np.log(4.0), abs=1e-4)


def test_every_frame_has_its_own_samples() -> None:
    noise = np.random.default_rng(0).normal(size=8000)
    whole = log_mel(noise)
    assert np.allclose(log_mel(noise[1600:])[:20], whole[10:30], atol=1e-5)
    assert log_mel(noise[:159]).shape == (0, MEL_BANDS)


def test_a_file_is_heard_on_its_own_clock(tmp_path: Path) -> None:
    rate = 44_100
    samples = np.concatenate([tone(400, 1.0, rate), tone(3000, 2.0, rate)])
    write_sound(tmp_path / "a.mkv", samples, rate=rate)
    with AudioReader(tmp_path / "a.mkv") as reader:
        assert reader.has_audio
        first, second = reader.between(0.2, 0.8), reader.between(1.2, 2.2)
        again = reader.between(0.2, 0.8)  # clips overlap: what lies back a little is kept
        end = reader.between(2.5, 4.0)
    assert first.shape == (60, MEL_BANDS)
    assert second.shape == (100, MEL_BANDS)
    assert np.array_equal(first, again)
    assert np.median(first.argmax(axis=1)) < np.median(second.argmax(axis=1)) - 15
    heard = ~np.isnan(end).any(axis=1)
    assert heard[:45].all()
    assert not heard[52:].any()


def test_stretches_are_parts_of_the_whole(tmp_path: Path) -> None:
    noise = 0.2 * np.random.default_rng(1).normal(size=3 * SAMPLE_RATE)
    write_sound(tmp_path / "a.mkv", noise, rate=SAMPLE_RATE)
    with AudioReader(tmp_path / "a.mkv") as one, AudioReader(tmp_path / "a.mkv") as other:
        whole = one.between(0.0, 3.0)
        parts = [other.between(k / 2, k / 2 + 0.5) for k in range(5)]
    for k, part in enumerate(parts):
        assert np.allclose(part[:-3], whole[50 * k : 50 * k + 47], atol=1e-4)


def test_before_the_first_sample_nothing_is_heard(tmp_path: Path) -> None:
    noise = 0.2 * np.random.default_rng(1).normal(size=SAMPLE_RATE)
    write_sound(tmp_path / "a.mkv", noise, rate=SAMPLE_RATE, start_seconds=2.0)
    with AudioReader(tmp_path / "a.mkv") as reader:
        frames = reader.between(1.0, 3.0)
    heard = ~np.isnan(frames).any(axis=1)
    assert not heard[: FRAMES_PER_SECOND - 3].any()
    assert heard[FRAMES_PER_SECOND : 2 * FRAMES_PER_SECOND - 1].all()


def test_a_video_without_sound_is_not_heard(make_video, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with AudioReader(make_video(tmp_path / "a.mkv", 8)) as reader:
        assert not reader.has_audio
        assert np.isnan(reader.between(0.0, 1.0)).all()
        with pytest.raises(OptionError, match="must end after it begins"):
            reader.between(1.0, 1.0)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match="cannot be opened for its sound"):
        AudioReader(tmp_path / "b.mp4")


def opened(**options: object) -> AudioVisual:
    """Small, and with gates that let sound through."""
    torch.manual_seed(0)
    settings = {"video": conv3d_nano(), "dim": 16, "depth": 1, "bands": 8, "patch": 5} | options
    model = AudioVisual(**settings)  # type: ignore[arg-type]
    for ask in model.ask.values():
        torch.nn.init.normal_(ask.gate)
    return model.eval()


CLIP = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))
SOUND = torch.randn(2, 20, 8, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_a_fresh_model_sees_what_its_video_backbone_sees() -> None:
    model = audio_visual_nano().eval()
    seen = model.video(CLIP)
    features = model(CLIP, audio=torch.randn(2, 200, MEL_BANDS))
    assert all(torch.equal(a, b) for a, b in zip(features[:-1], seen, strict=True))
    assert features[-1].shape == (2, 10, 1, 1, 64)
    assert model.pool(features).shape == (2, model.embedding_dim)
    assert tuple(x.shape[-1] for x in features) == model.stage_dims


@torch.no_grad()
@pytest.mark.parametrize(("fusion", "stages"), [("late", ()), ("cross", (3, 4)), ("cross", (2,))])
def test_sound_reaches_the_stages_that_ask_and_the_embedding(
    fusion: str, stages: tuple[int, ...]
) -> None:
    model = opened(fusion=fusion, stages=stages)
    one, other = model(CLIP, audio=SOUND), model(CLIP, audio=SOUND.flip(1))
    first = min(stages, default=5)
    for number in range(1, 5):
        same = torch.equal(one[number - 1], other[number - 1])
        assert same == (number < first)
    assert not torch.allclose(model.pool(one), model.pool(other), atol=1e-3)


@torch.no_grad()
def test_what_is_not_heard_changes_nothing_and_rows_do_not_mix() -> None:
    model = opened()
    silent = model(CLIP)
    missing = model(CLIP, audio=torch.full((2, 5, 8), float("nan")))
    assert all(torch.equal(a, b) for a, b in zip(silent, missing, strict=True))
    sound = SOUND.clone()
    sound[1] = float("nan")
    mixed, whole = model(CLIP, audio=sound), model(CLIP, audio=SOUND)
    for a, b in zip(mixed, whole, strict=True):
        torch.testing.assert_close(a[0], b[0])
        assert a.isfinite().all()
    deaf = model(CLIP[1:], audio=torch.full((1, 20, 8), float("nan")))
    for a, b in zip(mixed, deaf, strict=True):
        torch.testing.assert_close(a[1:], b, rtol=1e-4, atol=1e-5)
    partly = SOUND.clone()
    partly[:, 7] = float("nan")  # one frame of the second token
    louder = partly.clone()
    louder[:, 5] += 3.0
    assert torch.equal(model(CLIP, audio=partly)[-1], model(CLIP, audio=louder)[-1])


@torch.no_grad()
def test_memory_is_read_by_video_and_sound() -> None:
    model, seen = opened(), []
    readers = {
        number: lambda x, n=number: seen.append((n, tuple(x.shape))) or torch.ones_like(x)
        for number in range(1, 6)
    }
    read, plain = model(CLIP, readers, audio=SOUND), model(CLIP, audio=SOUND)
    assert sorted(seen) == [(n, tuple(x.shape)) for n, x in enumerate(plain, start=1)]
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(read, plain, strict=True))


def test_every_parameter_learns() -> None:
    model = opened().train()
    sound = SOUND.clone()
    sound[0, 3] = float("nan")
    model.pool(model(CLIP, audio=sound)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_wrong_sound_is_one_clear_line() -> None:
    model = opened()
    with pytest.raises(OptionError, match=r"audio must be \(B=2, F, M=8\), got \(2, 20, 7\)"):
        model(CLIP, audio=SOUND[..., :7])
    with pytest.raises(OptionError, match="readers name stages"):
        model(CLIP, {6: torch.zeros_like})
    with pytest.raises(OptionError, match="fusion must be late or cross"):
        opened(fusion="early")
    with pytest.raises(OptionError, match=r"stages must lie in 1\.\.4"):
        opened(stages=(5,))
