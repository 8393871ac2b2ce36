"""What a model is known by: a hash of its weights, which snapshots, caches and exports name."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

__all__ = ["Digest", "add_weights"]


class Digest(Protocol):
    """What `hashlib.sha256()` is."""

    def update(self, data: bytes, /) -> None:
        """Takes more bytes in."""


def add_weights(digest: Digest, module: nn.Module) -> None:
    """Adds every weight and buffer of a module to a digest, in the order of their names."""
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        # Flat, because batch norm counts its batches in a tensor without dimensions.
        digest.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().tobytes())
