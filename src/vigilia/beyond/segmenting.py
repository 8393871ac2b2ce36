"""A first picture's mask, carried through a video picture by picture with a bounded memory.

    propagator = MaskPropagator(MaskMemory())
    state = propagator.start(picture, mask)
    mask, state = propagator.step(picture, state)

Letters: B streams, H W pixels, h w cells, N = h * w, K objects, background (0) among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from vigilia.beyond.mask_memory import MaskMemory, MaskState
from vigilia.beyond.pixel_keys import pixel_keys
from vigilia.errors import InputError

__all__ = ["MaskPropagator"]


@dataclass(frozen=True)
class MaskPropagator:
    """Pictures in, masks out; what is remembered is a value.

    Attributes:
        memory: how masks are remembered and read.
        keys: pictures (B, 3, H, W) from 0 to 1 -> (B, N, D), one key a cell, row by row.
        cell: side of a cell in pixels.
    """

    memory: MaskMemory = field(default_factory=MaskMemory)
    keys: Callable[[Tensor], Tensor] = pixel_keys
    cell: int = 4

    @torch.inference_mode()
    def start(self, picture: Tensor, mask: Tensor, *, objects: int | None = None) -> MaskState:
        """The memory behind the first picture.

        Args:
            picture: (B, 3, H, W) from 0 to 1.
            mask: (B, H, W) int64: 0 the background, from 1 the objects.
            objects: K, background included; by default as many as the mask shows.

        Raises:
            InputError: shapes that do not fit, or a mask of other numbers.
        """
        if mask.shape != (len(picture), *picture.shape[2:]):
            raise InputError(
                f"mask must be (B, H, W) = {(len(picture), *picture.shape[2:])}, "
                f"got {tuple(mask.shape)}"
            )
        count = int(mask.max()) + 1 if objects is None else objects
        if int(mask.min()) < 0 or int(mask.max()) >= count:
            raise InputError(f"a mask's numbers must lie in 0..{count - 1}")
        shares = F.one_hot(mask, count).movedim(3, 1).float()  # (B, K, H, W)
        cells = F.avg_pool2d(shares, self.cell)
        return self.memory.start(self.keys(picture), cells.flatten(2).transpose(1, 2))

    @torch.inference_mode()
    def step(self, picture: Tensor, state: MaskState) -> tuple[Tensor, MaskState]:
        """picture: (B, 3, H, W) -> mask (B, H, W) int64, and the memory behind it."""
        height, width = picture.shape[2:]
        found, state = self.memory.step(self.keys(picture), state)  # (B, N, K)
        grid = found.transpose(1, 2).unflatten(2, (height // self.cell, width // self.cell))
        whole = F.interpolate(grid, size=(height, width), mode="bilinear", align_corners=False)
        return whole.argmax(dim=1), state
