"""Fixtures that every test folder shares: real recordings, tiny videos, tiny models."""

from __future__ import annotations

import os

# Before torch is loaded: byte for byte comparisons across processes need one number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import nn

from vigilia.checkpoint import save_model
from vigilia.stream import StreamClassifier, create_model

MILLISECOND = Fraction(1, 1000)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings and labels that lies beside the checkout; skips without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real recordings are not here: ../shared/data is absent")
    return folder


def write_pictures(
    path: Path,
    pictures: np.ndarray,
    times: Sequence[int],
    *,
    codec: str = "mpeg4",
    pixel_format: str = "yuv420p",
) -> Path:
    """Writes pictures (T, H, W, 3) uint8, shown at `times` in milliseconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # An .mp4 begins with its index, so that what is left of one that is cut short can be read.
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", container_options=options) as container:
        stream = container.add_stream(codec, rate=8)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.time_base = MILLISECOND
        stream.codec_context.time_base = MILLISECOND
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = time, MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """A function that writes a tiny video of random textures, 8 frames a second unless told."""

    def make(
        path: Path,
        frames: int = 40,
        *,
        seed: int = 0,
        times: Sequence[int] | None = None,
        codec: str = "mpeg4",
        pixel_format: str = "yuv420p",
    ) -> Path:
        times = [125 * k for k in range(frames)] if times is None else times
        random = np.random.default_rng(seed)
        # A scene of its own brightness every few frames, so that labels change.
        level = np.repeat(random.integers(0, 200, len(times)), 11)[: len(times)]
        small = random.integers(0, 56, (len(times), 6, 8, 3)) + level[:, None, None, None]
        pictures = small.astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
        return write_pictures(path, pictures, times, codec=codec, pixel_format=pixel_format)

    return make


def tiny_model(
    seed: int = 0, memory: str = "fam", classes: Sequence[str] = ("rest", "walk", "eat"), **options
) -> StreamClassifier:
    """A model whose memory matters and whose labels change: nothing in it is zero."""
    torch.manual_seed(seed)
    sizes = {
        "fam": {"slots": 3, "summary_tokens": 4, "feedback_tokens": 4, "write_every": 1},
        "gru": {"hidden": 8},
        "none": {},
    }[memory]
    model = create_model(
        "swin3d_nano",
        classes=classes,
        memory=memory,
        **{"clip_frames": 8, "stride_frames": 4, "height": 32, "width": 32} | sizes | options,
    )
    with torch.no_grad():
        for parameter in model.memory.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        nn.init.normal_(model.head.weight)
    model.card = {"trained_on": "noise"}
    return model.eval()


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models on disk: "fam" and "gru"; "other" is "fam" with other weights."""
    folder = tmp_path_factory.mktemp("models")
    models = {"fam": tiny_model(), "gru": tiny_model(1, "gru"), "other": tiny_model(2)}
    for name, model in models.items():
        save_model(model, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in models}
