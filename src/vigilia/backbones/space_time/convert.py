"""Weights of transformers' TimeSformer and ViViT (both Apache-2.0) under our names.

Letters: T' H' W' the token grid, D features, K classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from vigilia.backbones.conversion import convert
from vigilia.backbones.space_time.model import SpaceTime
from vigilia.errors import CheckpointError

__all__ = ["from_timesformer", "from_vivit"]

_PATCHES = "embeddings.patch_embeddings.projection"
_TIMESFORMER_BLOCK = {
    "layernorm_before": "steps.{last}.norm",
    "attention.attention.qkv": "steps.{last}.attention.qkv",
    "attention.output.dense": "steps.{last}.attention.proj",
    "temporal_layernorm": "steps.0.norm",
    "temporal_attention.attention.qkv": "steps.0.attention.qkv",
    "temporal_attention.output.dense": "steps.0.attention.proj",
    "temporal_dense": "steps.0.between",
    "layernorm_after": "norm",
    "intermediate.dense": "mlp.0",
    "output.dense": "mlp.2",
}
_VIVIT_BLOCK = {
    "layernorm_before": "steps.0.norm",
    "attention.o_proj": "steps.0.attention.proj",
    "layernorm_after": "norm",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}
# Names of the files on the hub, which transformers renames as it reads them.
_VIVIT_ON_THE_HUB = {
    "encoder.layer.": "layers.",
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}


def from_timesformer(state_dict: Mapping[str, Tensor], *, stages: int = 4) -> dict[str, Tensor]:
    """The weights of `TimesformerForVideoClassification` under our names.

    Which of the three schemes they are is told by their names.

    Args:
        state_dict: from transformers; dim, depth, patches and classes are free, pictures square.
        stages: of the `SpaceTime` that is to take them; divides the depth.

    Returns:
        The backbone's under `backbone.`, the classifier's as `head.weight` (K, D) and `head.bias`.

    Raises:
        CheckpointError: a name is unknown or missing, or a tensor has another shape.
    """
    source = "a transformers TimeSformer"
    theirs = {name.removeprefix("timesformer."): x for name, x in state_dict.items()}
    divided = any(".temporal_dense." in name for name in theirs)
    scheme = (
        "divided" if divided else "joint" if "embeddings.time_embeddings" in theirs else "space"
    )
    depth = _depth(theirs, "encoder.layer.", stages, source)
    patches = _tensor(theirs, f"{_PATCHES}.weight", (None,) * 4, source)
    dim, _, rows, columns = patches.shape
    positions = _tensor(theirs, "embeddings.position_embeddings", (1, None, dim), source)[0]
    side = _side(len(positions) - 1, source)
    times = 1
    ours = {
        "beside": _tensor(theirs, "embeddings.cls_token", (1, 1, dim), source)[0],
        "positions.beside": positions[:1],
        "positions.space": positions[1:].view(1, side, side, dim),
        "tubelets.proj.weight": patches[:, :, None],
        "tubelets.proj.bias": _tensor(theirs, f"{_PATCHES}.bias", (dim,), source),
    }
    if scheme != "space":
        time = _tensor(theirs, "embeddings.time_embeddings", (1, None, dim), source)
        times = time.shape[1]
        ours["positions.time"] = time.view(times, 1, 1, dim)
    parts = {old: new.format(last=int(divided)) for old, new in _TIMESFORMER_BLOCK.items()}
    for name, tensor in theirs.items():
        if not name.startswith("embeddings."):
            ours[_our_name(name, "encoder.layer.", depth // stages, parts)] = tensor

    def build() -> SpaceTime:
        return SpaceTime(
            attention=scheme,
            dim=dim,
            depth=depth,
            heads=1,
            tubelet=(1, rows, columns),
            frames=times,
            height=side * rows,
            width=side * columns,
            stages=stages,
            class_token=True,
            mlp_ratio=_mlp_ratio(ours, dim),
        )

    return convert(ours, rename=lambda name: name, build=build, source=source)


def from_vivit(
    state_dict: Mapping[str, Tensor], *, times: int = 16, stages: int = 4
) -> dict[str, Tensor]:
    """The weights of `VivitForVideoClassification` (model 1) under our names.

    Args:
        state_dict: from transformers, also as it lies on the hub; dim, depth, tubelets and classes
            are free, pictures square.
        times: T', frames over the tubelet's; the published models have 16.
        stages: of the `SpaceTime` that is to take them; divides the depth.

    Returns:
        The backbone's under `backbone.`, the classifier's as `head.weight` (K, D) and `head.bias`.

    Raises:
        CheckpointError: a name is unknown or missing, or a tensor has another shape.
    """
    source = "a transformers ViViT"
    theirs = {_vivit_name(name): x for name, x in state_dict.items()}
    depth = _depth(theirs, "layers.", stages, source)
    tubelets = _tensor(theirs, f"{_PATCHES}.weight", (None,) * 5, source)
    dim, _, t, h, w = tubelets.shape
    positions = _tensor(theirs, "embeddings.position_embeddings", (1, None, dim), source)[0]
    if (len(positions) - 1) % times:
        raise CheckpointError(f"{len(positions) - 1} positions do not divide into {times} times")
    side = _side((len(positions) - 1) // times, source)
    ours = {
        "beside": _tensor(theirs, "embeddings.cls_token", (1, 1, dim), source)[0],
        "positions.beside": positions[:1],
        "positions.space": positions[1:].view(times, side, side, dim),
        "tubelets.proj.weight": tubelets,
        "tubelets.proj.bias": _tensor(theirs, f"{_PATCHES}.bias", (dim,), source),
    }
    for name, tensor in _fused(theirs, source):
        if not name.startswith("embeddings."):
            parts = {**_VIVIT_BLOCK, "attention.qkv": "steps.0.attention.qkv"}
            ours[_our_name(name, "layers.", depth // stages, parts)] = tensor

    def build() -> SpaceTime:
        return SpaceTime(
            attention="joint",
            dim=dim,
            depth=depth,
            heads=1,
            tubelet=(t, h, w),
            frames=times * t,
            height=side * h,
            width=side * w,
            stages=stages,
            class_token=True,
            joint_positions=True,
            mlp_ratio=_mlp_ratio(ours, dim),
        )

    return convert(ours, rename=lambda name: name, build=build, source=source)


def _vivit_name(name: str) -> str:
    name = name.removeprefix("vivit.")
    for old, new in _VIVIT_ON_THE_HUB.items():
        name = name.replace(old, new)
    return name


def _fused(theirs: Mapping[str, Tensor], source: str) -> Iterator[tuple[str, Tensor]]:
    """Queries, keys and values of a block are one tensor here, three there."""
    for name, tensor in theirs.items():
        if ".q_proj." in name:
            names = [name.replace(".q_proj.", f".{letter}_proj.") for letter in "qkv"]
            parts = [_tensor(theirs, one, tuple(tensor.shape), source) for one in names]
            yield name.replace(".q_proj.", ".qkv."), torch.cat(parts)
        elif ".k_proj." not in name and ".v_proj." not in name:
            yield name, tensor


def _our_name(name: str, blocks: str, each: int, parts: Mapping[str, str]) -> str:
    """A foreign name outside the embedding; one that is unknown stays, and is refused later."""
    place = re.fullmatch(rf"{re.escape(blocks)}(\d+)\.(.+)\.(weight|bias)", name)
    if place is not None and place[2] in parts:
        number = int(place[1])
        return f"stages.{number // each}.{number % each}.{parts[place[2]]}.{place[3]}"
    return name.replace("layernorm.", "norm.").replace("classifier.", "head.")


def _depth(theirs: Mapping[str, Tensor], blocks: str, stages: int, source: str) -> int:
    pattern = re.compile(rf"{re.escape(blocks)}(\d+)\.")
    numbers = {int(place[1]) for place in map(pattern.match, theirs) if place}
    if not numbers or len(numbers) % stages:
        raise CheckpointError(
            f"not the weights of {source} of {stages} stages: it has {len(numbers)} blocks"
        )
    return len(numbers)


def _tensor(
    theirs: Mapping[str, Tensor], name: str, shape: tuple[int | None, ...], source: str
) -> Tensor:
    """The tensor of that name and shape; None is any extent."""
    if name not in theirs:
        raise CheckpointError(f"not the weights of {source}: {name} is missing")
    found = tuple(theirs[name].shape)
    if len(found) != len(shape) or any(
        want not in (None, have) for want, have in zip(shape, found, strict=True)
    ):
        raise CheckpointError(f"{name} must be {shape}, got {found}; not the weights of {source}")
    return theirs[name]


def _side(places: int, source: str) -> int:
    side = math.isqrt(max(places, 0))
    if side * side != places or not places:
        raise CheckpointError(f"{places} positions are no square; not the weights of {source}")
    return side


def _mlp_ratio(ours: Mapping[str, Tensor], dim: int) -> float:
    hidden = ours.get("stages.0.0.mlp.0.weight")
    return 4.0 if hidden is None or not hidden.ndim else len(hidden) / dim
