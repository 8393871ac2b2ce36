"""Models on disk: one safetensors file that holds weights and what is needed to rebuild them.

The header carries, as JSON, the arguments of the model, its classes, its preprocessing and what it
was trained on. `kind` tells the two sorts of models apart: "clips", also where nothing is said,
and "events" for a spiking one. Nothing in the file is code, and a file that could hold code is
refused.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from vigilia.errors import CheckpointError, OptionError
from vigilia.files import write_atomically
from vigilia.preprocessing import Preprocessing
from vigilia.spiking import NeuroSvt, SpikingSpec
from vigilia.stream import ModelSpec, StreamClassifier, build_model

__all__ = [
    "load_classifier",
    "load_model",
    "pack_tensors",
    "read_tensors",
    "save_model",
    "save_tensors",
    "unpack_tensors",
]

FORMAT = "vigilia-model-1"


def save_model(
    model: StreamClassifier | NeuroSvt,
    path: str | Path,
    *,
    card: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes a model to one file, atomically.

    Args:
        model: what to write.
        path: by convention ends in .safetensors.
        card: what the model was trained on and how well it did, as JSON values; by default the
            model's own.
        dtype: of the weights on disk, such as torch.float16 for half the bytes; they are read
            back as float32. None keeps the model's own.

    Raises:
        OutputError: the disk is full or the place may not be written to.
    """
    weights = {
        name: tensor.detach().to("cpu", dtype or tensor.dtype).contiguous()
        for name, tensor in model.state_dict().items()
    }
    header = {
        "format": FORMAT,
        **({"kind": "events"} if isinstance(model, NeuroSvt) else {}),
        "spec": json.dumps(dataclasses.asdict(model.spec)),
        "card": json.dumps(dict(model.card if card is None else card)),
    }
    save_tensors(path, weights, header)


def load_model(path: str | Path, *, device: torch.device | str = "cpu") -> Any:
    """Reads a model back, ready to classify (in evaluation mode, float32).

    Returns:
        A `StreamClassifier` or, for events, a `NeuroSvt`: both have `init_state` and `step`.

    Raises:
        CheckpointError: the file is missing, damaged, not a Vigilia model, or holds weights of
            another architecture.
    """
    weights, header = read_tensors(path)
    spec = _spec(Path(path), header)
    try:
        model = build_model(spec)
    except (OptionError, TypeError) as error:
        raise CheckpointError(
            f"{path}: names a model that cannot be built here ({error}); "
            "was it made by a newer Vigilia?"
        ) from error
    if problem := _misfit(model, weights):
        raise CheckpointError(
            f"{path}: the weights do not fit the architecture the file names: {problem}"
        )
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    model.card = json.loads(header.get("card", "{}"))
    return model.to(device).eval()


def load_classifier(path: str | Path, *, device: torch.device | str = "cpu") -> StreamClassifier:
    """Reads a model of clips; the arguments and errors are those of `load_model`.

    Raises:
        CheckpointError: likewise, or it is a model of events.
    """
    model = load_model(path, device=device)
    if isinstance(model, NeuroSvt):
        raise CheckpointError(
            f"{path}: {model.spec.name} takes the events of an event camera, not video; "
            "load it with vigilia.load_model and call its step on bins"
        )
    assert isinstance(model, StreamClassifier)
    return model


def _misfit(model: nn.Module, weights: Mapping[str, Tensor]) -> str | None:
    """The first thing in which weights and model differ."""
    mine = model.state_dict()
    for name, tensor in mine.items():
        if name not in weights:
            return f"{name} is missing"
        if weights[name].shape != tensor.shape:
            return f"{name} is {tuple(weights[name].shape)}, expected {tuple(tensor.shape)}"
    left_over = sorted(weights.keys() - mine.keys())
    return f"{left_over[0]} is left over" if left_over else None


def _spec(path: Path, header: Mapping[str, str]) -> ModelSpec | SpikingSpec:
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: a safetensors file, but not a model written by Vigilia "
            f"(no {FORMAT!r} in its header); make one with `vigilia train`"
        )
    try:
        fields = json.loads(header["spec"])
        fields["classes"] = tuple(fields["classes"])
        kind = header.get("kind", "clips")
        if kind == "events":
            return SpikingSpec(**fields)
        if kind != "clips":
            raise ValueError(f"it is a model of {kind}")
        pre = fields["preprocessing"]
        pre["mean"], pre["std"] = tuple(pre["mean"]), tuple(pre["std"])
        fields["preprocessing"] = Preprocessing(**pre)
        # JSON has no tuples: an option such as stages=(3, 4) comes back as a list.
        fields["memory_options"] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields["memory_options"].items()
        }
        return ModelSpec(**fields)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: its description cannot be read ({error}); was it made by a newer Vigilia?"
        ) from error


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> None:
    """Writes named tensors and a header of strings as safetensors, atomically.

    Raises:
        OutputError: the disk is full or the place may not be written to.
    """
    write_atomically(Path(path), pack_tensors(tensors, header))


def pack_tensors(tensors: Mapping[str, Tensor], header: dict[str, str]) -> bytes:
    """What `save_tensors` writes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return _in_order(save(plain, metadata=header))


def unpack_tensors(data: bytes, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads what `pack_tensors` made.

    Args:
        data: a whole file.
        name: of it, for messages.

    Raises:
        CheckpointError: it is damaged or not safetensors.
    """
    try:
        tensors = load(data)
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end]).get("__metadata__") or {}
    except (SafetensorError, AttributeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{name}: cannot be read: {_brief(error)}") from error
    return tensors, header


def _in_order(data: bytes) -> bytes:
    """The same file with its header sorted: safetensors shuffles it, and equal models should make
    equal files."""
    end = 8 + int.from_bytes(data[:8], "little")
    fields = json.loads(data[8:end])
    metadata = dict(sorted(fields.pop("__metadata__", {}).items()))
    text = json.dumps({"__metadata__": metadata, **fields}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors behind it stay aligned
    return len(text).to_bytes(8, "little") + text + data[end:]


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads what `save_tensors` wrote.

    Raises:
        CheckpointError: the file is missing, pickled, damaged or not safetensors.
    """
    path = Path(path)
    header = _header(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read: {_brief(error)}") from error


def _header(path: Path) -> dict[str, str]:
    if not path.exists():
        raise CheckpointError(f"{path}: no such model file")
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; name the .safetensors file in it")
    try:
        with path.open("rb") as raw:
            start = raw.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    # A zip archive (torch.save) or a bare pickle: loading either can run code. A safetensors file
    # begins with the length of its header, which may look like either, and goes on with a brace.
    if start.startswith((b"PK", b"\x80")) and start[8:] != b"{":
        raise CheckpointError(
            f"{path}: a pickled checkpoint can run code and is refused; "
            "convert it to safetensors where you trust it"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a safetensors file, or damaged: {_brief(error)}"
        ) from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
