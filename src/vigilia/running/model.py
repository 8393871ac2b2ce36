"""Which model runs, at which rates and in which precision."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from vigilia.errors import OptionError
from vigilia.models import resolve_model
from vigilia.preprocessing import Preprocessing
from vigilia.spiking import NeuroSvt
from vigilia.stream import ModelSpec, StreamClassifier, prepared, resampled
from vigilia.stream import compiled as compile_step

__all__ = ["PRECISIONS", "StepModel", "chosen_model", "fast_dtype"]

PRECISIONS = ("float32", "bfloat16", "auto")


class StepModel(Protocol):
    """All that a run knows of a model: a `StreamClassifier`, or an exported step.

    Attributes:
        spec: what it was built from.
        card: what it was trained on.
    """

    spec: ModelSpec
    card: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """How frames become clips."""
        ...

    @property
    def hears(self) -> bool:
        """Whether it takes sound beside the clip."""
        ...

    def init_state(self, batch_size: int) -> Any:
        """The state of streams that have seen nothing."""
        ...

    def step(
        self,
        clip: Tensor,
        state: Any,
        *,
        active: Tensor | None = None,
        seconds: Tensor | None = None,
        audio: Any = None,
    ) -> tuple[Tensor, Any]:
        """Classifies one clip of each stream and remembers it."""
        ...


def chosen_model(
    model: StepModel | str | Path,
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    fps: float | None = None,
    clip_frames: int | None = None,
    stride_frames: int | None = None,
    precision: str = "float32",
    compiled: bool = False,
) -> StreamClassifier:
    """The model at the rates and in the precision that were asked for, ready to watch.

    Args:
        model: a model, a file, a name, or whatever else has `init_state` and `step`.
        weights: see `vigilia.models.resolve_model`.
        device: likewise.
        fps: samples per second; None keeps the model's, as in the next two.
        clip_frames: frames of a clip.
        stride_frames: new frames from one clip to the next.
        precision: of the backbone; one of `PRECISIONS`.
        compiled: step as one graph of `torch.compile`; see `vigilia.stream.compiled`.

    Raises:
        OptionError: a value that cannot work.
        CheckpointError: the model cannot be used.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if not isinstance(model, StreamClassifier | NeuroSvt | str | Path):
        told = {
            "weights": weights is not None,
            "device": device != "cpu",
            "fps": fps is not None,
            "clip_frames": clip_frames is not None,
            "stride_frames": stride_frames is not None,
            "precision": precision != "float32",
            "compiled": compiled,
        }
        if given := [name for name, is_given in told.items() if is_given]:
            raise OptionError(f"an exported step has its {given[0]} in the file; leave it away")
        return cast(StreamClassifier, model)
    chosen = resampled(
        resolve_model(model, weights=weights, device=device),
        fps=None if fps is None else float(fps),  # 8 is the same rate as 8.0
        clip_frames=clip_frames,
        stride_frames=stride_frames,
    )
    if not math.isfinite(chosen.preprocessing.fps):
        raise OptionError(f"fps must be a positive number, got {chosen.preprocessing.fps}")
    lowered = {"float32": None, "bfloat16": torch.bfloat16}
    ready = prepared(
        chosen,
        fast_dtype(chosen.head.weight.device) if precision == "auto" else lowered[precision],
    )
    return compile_step(ready) if compiled else ready


def fast_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 where the device has instructions for it; None where it has not."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    if device.type == "cpu":
        try:
            flags = Path("/proc/cpuinfo").read_text().split()
        except OSError:
            return None
        return torch.bfloat16 if {"avx512_bf16", "amx_bf16"} & set(flags) else None
    return None
