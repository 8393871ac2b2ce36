"""Foreign weights under our names, held to every name and shape before they are handed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from vigilia.errors import CheckpointError

__all__ = ["convert"]


def convert(
    state_dict: Mapping[str, Tensor],
    *,
    rename: Callable[[str], str],
    build: Callable[[], nn.Module],
    source: str,
) -> dict[str, Tensor]:
    """Renames the weights of a whole classifier and refuses what does not fit.

    Args:
        state_dict: foreign names and tensors; the number of classes is free.
        rename: a foreign name to ours: `head.weight`, `head.bias`, or a name of the backbone's.
        build: makes the backbone that the weights are for; only its names and shapes are used.
        source: for messages: "a torchvision r3d_18".

    Returns:
        The same tensors: the backbone's under `backbone.`, the classifier's as `head.weight` (K, D)
        and `head.bias` (K,).

    Raises:
        CheckpointError: a name is unknown or missing, or a tensor has another shape.
    """
    with torch.device("meta"):
        backbone = build()
    expected = {f"backbone.{name}": tuple(x.shape) for name, x in backbone.state_dict().items()}
    converted: dict[str, Tensor] = {}
    for theirs, tensor in state_dict.items():
        name = rename(theirs)
        ours = name if name.startswith("head.") else f"backbone.{name}"
        if ours in ("head.weight", "head.bias"):
            width = (backbone.embedding_dim,) if ours == "head.weight" else ()
            if tensor.ndim != 1 + len(width) or tuple(tensor.shape[1:]) != width:
                raise CheckpointError(
                    f"{theirs} must be {('K', *width)}, got {tuple(tensor.shape)}; "
                    f"not the weights of {source}"
                )
        elif ours not in expected:
            raise CheckpointError(f"not the weights of {source}: unknown {theirs}")
        elif tuple(tensor.shape) != expected[ours]:
            raise CheckpointError(
                f"{theirs} must be {expected[ours]}, got {tuple(tensor.shape)}; "
                f"not the weights of {source}"
            )
        converted[ours] = tensor
    missing = sorted({*expected, "head.weight", "head.bias"} - converted.keys())
    if missing:
        raise CheckpointError(
            f"not the weights of {source}: {len(missing)} are missing, "
            f"the first would become {missing[0]}"
        )
    if len(converted["head.weight"]) != len(converted["head.bias"]):
        raise CheckpointError(
            f"not the weights of {source}: the head has {len(converted['head.weight'])} rows "
            f"and {len(converted['head.bias'])} biases"
        )
    return converted
