"""An exported step with the two calls of a model: `init_state` and `step`.

Letters: B streams, C channels, T frames, H W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vigilia.errors import InputError, OptionError
from vigilia.export.runtimes import open_step
from vigilia.state import State
from vigilia.stream.values import Specified, check_rows

__all__ = ["ExportedState", "ExportedStep", "is_exported"]

SUFFIXES = (".onnx", ".pt2")


def is_exported(path: str | Path) -> bool:
    """Whether a file is named as exported steps are."""
    return Path(path).suffix.lower() in SUFFIXES


@dataclass(frozen=True)
class ExportedState(State):
    """What a stream carries from clip to clip, as the file has it.

    Attributes:
        seconds: (B,) float64, when each row's last clip ended.
        clips: (B,) int64, how many clips each row has seen.
        logits: (B, K) of each row's last clip.
        remembered: the other tensors of memory and backbone, in the order of the description.
    """

    seconds: Tensor
    clips: Tensor
    logits: Tensor
    remembered: tuple[Tensor, ...]


_OWN = ("seconds", "clips", "logits")


class ExportedStep(Specified):
    """A file from `export_model`, run by another runtime; obeys the contract of a model.

    Args:
        path: the file, .onnx or .pt2.
        runtime: "onnxruntime" or "openvino" for .onnx, "torch" for .pt2; None takes the first that
            fits.
        threads: that it may use; None for as many as torch uses.

    Attributes:
        description: what the file says about itself.
        runtime: in use.

    Raises:
        CheckpointError: the file is missing, damaged or not an exported step.
        OptionError: the runtime does not take such a file.
        MissingExtraError: the runtime is not installed.
    """

    def __init__(
        self, path: str | Path, *, runtime: str | None = None, threads: int | None = None
    ) -> None:
        path = Path(path)
        count = torch.get_num_threads() if threads is None else threads
        self.runtime = runtime or ("torch" if path.suffix.lower() == ".pt2" else "onnxruntime")
        opened = open_step(path, self.runtime, threads=count)
        self.description = opened.description
        self.spec = opened.description.spec
        self.card = opened.description.card
        self._call = opened.call
        self._small_times = opened.times_in_float32

    @property
    def hears(self) -> bool:
        """No: models that hear are not exported."""
        return False

    @property
    def fingerprint(self) -> str:
        """Of the weights, the arguments, the precision and the runtime: what results depend on."""
        return f"{self.description.model_hash}-{self.description.precision}-{self.runtime}"

    def init_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> ExportedState:
        """The state of streams that have seen nothing: all zeros.

        Args:
            batch_size: rows; `step` takes as many as the file was made for.
            device: none but the CPU.
            dtype: none but the file's.

        Raises:
            OptionError: a value that cannot work.
        """
        if batch_size < 1:
            raise OptionError(f"batch_size must be at least 1, got {batch_size}")
        if torch.device(device or "cpu").type != "cpu" or dtype is not None:
            raise OptionError(
                f"an exported step keeps its state on the CPU and in the file's types, got "
                f"{device} and {dtype}"
            )
        tensors = {
            one.name: torch.zeros(batch_size, *one.shape[1:], dtype=getattr(torch, one.dtype))
            for one in self.description.state
        }
        return _joined(tensors)

    def step(
        self,
        clip: Tensor,
        state: ExportedState,
        *,
        active: Tensor | None = None,
        seconds: Tensor | None = None,
        audio: None = None,
    ) -> tuple[Tensor, ExportedState]:
        """Classifies one clip of each stream and remembers it; see `StreamClassifier.step`.

        clip: (B, C, T, H, W) -> logits (B, K).

        Raises:
            InputError: a shape that does not fit.
        """
        self._check(clip, state, active, seconds)
        if active is None:
            active = torch.ones(len(clip), dtype=torch.bool)
        if seconds is None:
            seconds = state.seconds + self.preprocessing.stride_seconds
        inputs = {"clip": _array(clip), "active": _array(active), "seconds": _array(seconds)}
        held = {name: _array(tensor) for name, tensor in _flat(state, self._names).items()}
        origin = np.floor(held["seconds"]) if self._small_times else np.zeros(len(clip))
        inputs["seconds"] = inputs["seconds"] - origin
        for one in self.description.state:
            inputs[one.taken] = _moved(held[one.name], -origin)
        outputs = self._call(inputs)
        rows = _array(active)
        tensors = {}
        for one in self.description.state:
            given = outputs[one.given].astype(one.dtype, copy=False)
            given = _moved(given, origin)
            if one.dtype == "float64" or not rows.all():
                # A runtime that rounds would round idle rows, too: they are to stay bit for bit.
                given = np.where(_column(rows, given), given, held[one.name])
            tensors[one.name] = torch.from_numpy(given)
        # What came in is what a clock showed; a runtime may have rounded it.
        tensors["seconds"] = torch.where(active, seconds, state.seconds)
        return torch.from_numpy(outputs["logits"]), _joined(tensors)

    def _check(
        self, clip: Tensor, state: ExportedState, active: Tensor | None, seconds: Tensor | None
    ) -> None:
        rows = self.description.batch
        if tuple(clip.shape) != self.description.clip_shape or clip.dtype != torch.float32:
            raise InputError(
                f"clip must be {self.description.clip_shape} torch.float32, as the file was "
                f"exported, got {tuple(clip.shape)} {clip.dtype}"
            )
        if len(state.clips) != rows:
            raise InputError(f"the file steps {rows} streams, the state has {len(state.clips)}")
        check_rows(rows, active, seconds)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.description.state)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _moved(array: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Times (B, ...) as seen from another origin (B,); what is no time is left alone."""
    if array.dtype != np.float64:
        return array
    return array + _column(seconds, array)


def _column(rows: np.ndarray, array: np.ndarray) -> np.ndarray:
    return rows.reshape(-1, *[1] * (array.ndim - 1))


def _joined(tensors: dict[str, Tensor]) -> ExportedState:
    """From named tensors, in the order of the description."""
    rest = tuple(tensor for name, tensor in tensors.items() if name not in _OWN)
    return ExportedState(**{name: tensors[name] for name in _OWN}, remembered=rest)


def _flat(state: ExportedState, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The inverse."""
    rest = iter(state.remembered)
    return {name: getattr(state, name) if name in _OWN else next(rest) for name in names}
