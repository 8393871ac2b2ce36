"""Which models there are, and how a name, a file or a model object becomes a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from vigilia.backbones import (
    BACKBONES,
    KINETICS400_MEAN,
    KINETICS400_STD,
    fetch_kinetics400,
    kinetics400_classes,
)
from vigilia.checkpoint import load_classifier
from vigilia.errors import CheckpointError, OptionError
from vigilia.layers.flops import count_flops
from vigilia.spiking import SPIKING_SIZES, NeuroSvt
from vigilia.stream import StreamClassifier, create_model, nearest_names

__all__ = [
    "BUNDLED",
    "ModelFacts",
    "describe",
    "kinetics400_model",
    "load_backbone_weights",
    "resolve_model",
    "usable_device",
]

BUNDLED = {
    "pen": "wake, NREM and REM of a simulated animal in a pen; for trying things out",
    "pen-no-memory": "the same without memory, for comparison",
}
"""Models that come with the package, trained on simulated recordings only."""


def resolve_model(
    model: StreamClassifier | str | Path,
    *,
    weights: str | Path | None = None,
    memory: str | None = None,
    device: torch.device | str = "cpu",
) -> StreamClassifier:
    """Turns what a user names into a model, in evaluation mode.

    Args:
        model: a model; a model file; "pen" or another of `BUNDLED`; or a backbone's name, such as
            "swin3d_t".
        weights: for a backbone's name: "kinetics400", or None for fresh weights from seed 0,
            which are good for measuring speed and nothing else.
        memory: for a backbone's name: a key of `MEMORIES`; by default "none" with Kinetics
            weights, since nothing has taught a memory there, and "fam" with fresh ones.
        device: where it is to run.

    Raises:
        OptionError: no such model or device, or weights that the model does not take.
        CheckpointError: the file cannot be used.
        VigiliaError: the Kinetics weights cannot be fetched.
    """
    device = usable_device(device)
    if isinstance(model, StreamClassifier):
        if weights is not None or memory is not None:
            raise OptionError("a model brings its own weights and memory; name a backbone instead")
        return model.to(device).eval()
    name = model.spec.name if isinstance(model, NeuroSvt) else str(model)
    if name in SPIKING_SIZES:
        raise OptionError(
            f"{name} takes the events of an event camera, not video; make it with "
            "vigilia.create_model and call its step on bins"
        )
    if name in BACKBONES:
        return _from_backbone(name, weights, memory).to(device).eval()
    if weights is not None or memory is not None:
        raise OptionError(
            f"{name}: a trained model brings its own weights and memory; "
            "--weights and --memory go with a backbone's name, such as swin3d_t"
        )
    if name in BUNDLED:
        file = resources.files("vigilia") / "weights" / f"{name}.safetensors"
        with resources.as_file(file) as path:
            return load_classifier(path, device=device)
    if not Path(name).exists() and Path(name).suffix == "":
        bundled = " and ".join(BUNDLED)
        raise OptionError(
            f"no model named {name!r}, and no such file; {bundled} come with Vigilia, "
            + nearest_names(name)
        )
    found = load_classifier(name, device=device)
    if "pretrained" in found.card:
        raise OptionError(
            f"{name}: was pre-trained without labels and can name nothing yet; "
            f"teach it with `vigilia train VIDEO... LABELS --model {name} --out MODEL`"
        )
    return found


def usable_device(device: torch.device | str) -> torch.device:
    """The device of that name.

    Raises:
        OptionError: there is no such device here.
    """
    try:
        torch.zeros(1, device=device).cpu()
        return torch.device(device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise OptionError(
            f"device {str(device)!r} cannot be used here ({_first_line(error)}); "
            "cpu always can, cuda where PyTorch finds a graphics card"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:160]


def _from_backbone(name: str, weights: str | Path | None, memory: str | None) -> StreamClassifier:
    if weights is None:
        # Fresh weights, but the same ones each time, so that a killed run can go on.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            fresh = create_model(name, num_classes=400, memory=memory or "fam")
        fresh.card = {"trained_on": "nothing: fresh weights, good for measuring speed only"}
        return fresh
    if str(weights) == "kinetics400":
        return kinetics400_model(name, memory=memory or "none")
    raise OptionError(
        f"weights must be 'kinetics400', got {str(weights)!r}; a model file goes to --model"
    )


def kinetics400_model(name: str, *, memory: str = "none") -> StreamClassifier:
    """A backbone with torchvision's Kinetics-400 weights and its 400 class names.

    The weights are fetched on first use and kept in torch's cache. With a memory other than
    "none" the memory's own weights are fresh; `fam` then gives the plain backbone's logits until
    it is trained, since its gate starts at zero.

    Raises:
        OptionError: there are no Kinetics weights for this backbone.
        VigiliaError: they cannot be fetched.
    """
    model = create_model(name, memory=memory, classes=kinetics400_classes(), drop_path=0.1)
    assert model.preprocessing.mean == KINETICS400_MEAN
    assert model.preprocessing.std == KINETICS400_STD
    load_backbone_weights(model, fetch_kinetics400(name))
    model.card = {"trained_on": "Kinetics-400 (torchvision's weights), short web videos of people"}
    return model


def load_backbone_weights(model: StreamClassifier, weights: Mapping[str, Tensor]) -> None:
    """Loads a backbone, and the head where it fits, under a memory that keeps its own weights.

    Args:
        model: to load into.
        weights: as `vigilia.backbones.swin3d.from_torchvision` returns them.

    Raises:
        CheckpointError: a backbone weight is missing, left over, or of another shape.
    """
    head = model.head.weight.shape
    fits = weights["head.weight"].shape == head
    chosen = {
        name: tensor for name, tensor in weights.items() if fits or not name.startswith("head.")
    }
    try:
        result = model.load_state_dict(chosen, strict=False)
    except RuntimeError as error:
        raise CheckpointError(
            f"these weights are of another architecture than {model.spec.name}"
        ) from error
    missing = [name for name in result.missing_keys if name.startswith("backbone.")]
    if missing or result.unexpected_keys:
        first = (missing + result.unexpected_keys)[0]
        raise CheckpointError(f"these weights do not fit {model.spec.name}: {first}")


@dataclass(frozen=True)
class ModelFacts:
    """One row of `vigilia models`.

    Attributes:
        name: backbone.
        memory: preset.
        parameters: of both and the head.
        gflop_per_step: billions of floating-point operations of a step that writes a slot; a
            multiplication and an addition count as two.
        state_bytes: what one stream remembers, in float32.
        state_bytes_bfloat16: the same in bfloat16.
        receptive_frames: frames that reach a step without memory.
        receptive_seconds: the same at the model's sampling rate.
        memory_seconds: how far back the recent tier reaches; None without a fixed horizon.
    """

    name: str
    memory: str
    parameters: int
    gflop_per_step: float
    state_bytes: int
    state_bytes_bfloat16: int
    receptive_frames: int
    receptive_seconds: float
    memory_seconds: float | None


def describe(name: str, memory: str, *, size: int = 224, classes: int = 400) -> ModelFacts:
    """Counts what a model costs, without allocating it.

    Args:
        name: a key of `BACKBONES`.
        memory: a key of `MEMORIES`.
        size: height and width of the frames.
        classes: K.
    """
    with torch.device("meta"):
        model = create_model(name, num_classes=classes, memory=memory, height=size, width=size)
        model.eval()
        clip = torch.empty(1, 3, model.clip_frames, size, size)
    return describe_model(model, clip)


def describe_model(model: StreamClassifier, clip: Tensor) -> ModelFacts:
    """The same for a model and a clip (B, C, T, H, W), which may lie on the meta device."""
    state = model.init_state(len(clip))
    preprocessing = model.preprocessing
    slots = getattr(model.memory, "slots", 0)
    with torch.no_grad():
        flops = count_flops(lambda: model.step(clip, state))
    return ModelFacts(
        name=model.spec.name,
        memory=model.spec.memory,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gflop_per_step=flops / 1e9 / len(clip),
        state_bytes=state.nbytes // len(clip),
        state_bytes_bfloat16=model.init_state(1, dtype=torch.bfloat16).nbytes,
        receptive_frames=model.receptive_frames,
        receptive_seconds=model.receptive_frames / preprocessing.fps,
        memory_seconds=(
            slots * getattr(model.memory, "write_every", 1) * preprocessing.stride_seconds
            if slots
            else None
        ),
    )
