"""Incremental Video Swin: each step computes the new frames alone, a quarter of a clip's work.

Video Swin sees 32 frames at a time, of which 24 were computed for the clip before. Here a step
takes the 8 new frames, four time tokens. In each block they attend to themselves and to the four
time tokens before them, whose keys and values the block has kept: the published 8 x 7 x 7 window
and its table of position biases, asked only by the later half. Height and width are shifted in
every second block as published, time is not. A block looks one step back, so that twelve blocks
reach twelve steps back: 104 frames in place of 32.

The weights have the names and shapes of clip mode, so that a clip model's load strictly; they
should then be fine-tuned, since the shift in time is gone and the first tokens no longer see later
ones. A whole sequence runs in parallel: `forward`, `run_stages`.

"Video Swin Transformer", Liu, Ning, Cao, Wei, Zhang, Lin, Hu, 2022, for the blocks.

Letters: B streams, S steps, R = B * S rows, C channels, T frames, H W pixels, T' H' W' the token
grid, G windows, N tokens of one window and chunk, D features, h heads, d = D / h.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vigilia.backbones.base import BackboneState, Reader, StreamingBackbone
from vigilia.backbones.incremental_state import BlockState, StageState
from vigilia.backbones.swin3d import (
    SWIN_B,
    SWIN_NANO,
    SWIN_S,
    SWIN_T,
    Swin3D,
    show_movement,
)
from vigilia.backbones.swin3d_layers import Block, Stage
from vigilia.errors import OptionError
from vigilia.layers.chunks import (
    ChunkPlan,
    chunk_attention,
    chunk_biases,
    chunk_plan,
    from_windows,
    to_windows,
)
from vigilia.layers.linear import Linear
from vigilia.layers.windows import Size, fit_window, pad_to_multiple
from vigilia.state import State, any_row

__all__ = [
    "IncrementalSwin3D",
    "swin3d_b_incremental",
    "swin3d_nano_incremental",
    "swin3d_s_incremental",
    "swin3d_t_incremental",
]


FOLDED = "folded_bias_{}"
"""Names of the buffers (h, N, 2N) that `fold` leaves in each attention, one for each kind of
window; its `folded_for` says for which window and shift."""


class IncrementalSwin3D(StreamingBackbone, Swin3D):
    """Video Swin on new frames alone. The arguments are those of `Swin3D`.

    Raises:
        OptionError: the window's extent in time cannot be halved.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.window_size[0] % 2:
            raise OptionError(f"window_size must be even in time, got {self.window_size}")
        self.chunk_tokens = self.window_size[0] // 2
        self.step_frames = self.chunk_tokens * self.patch_size[0]
        blocks = sum(len(cast(Stage, stage).blocks) for stage in self.stages)
        self.receptive_frames = (1 + blocks) * self.step_frames

    def init_state(
        self, batch_size: int, *, height: int, width: int, device: torch.device, dtype: torch.dtype
    ) -> BackboneState:
        """See `StreamingBackbone.init_state`."""
        rows, columns = -(-height // self.patch_size[1]), -(-width // self.patch_size[2])
        stages = []
        for number, (dim, heads) in enumerate(zip(self.stage_dims, self.num_heads, strict=True)):
            if number:
                rows, columns = -(-rows // 2), -(-columns // 2)
            (t, h, w), _ = self._window(rows, columns, (0, 0, 0))
            windows = -(-rows // h) * -(-columns // w)
            shape = (batch_size, windows, heads, t * h * w, dim // heads)
            zeros = [
                [torch.zeros(shape, device=device, dtype=dtype) for _ in range(2)]
                for _ in cast(Stage, self.stages[number]).blocks
            ]
            filled = torch.zeros(batch_size, device=device, dtype=torch.bool)
            stages.append(StageState(filled, tuple(BlockState(*pair) for pair in zeros)))
        return BackboneState(tuple(stages))

    def run_stage(
        self,
        number: int,
        x: Tensor,
        state: State,
        *,
        starts: Tensor | None = None,
        reader: Reader | None = None,
    ) -> tuple[Tensor, State]:
        """See `StreamingBackbone.run_stage`."""
        assert isinstance(state, StageState)
        stage = cast(Stage, self.stages[number - 1])
        if number == 1:
            x = self.patch_embed(x)
        if stage.merge is not None:
            x = stage.merge(x)
        streams, steps = len(x), x.shape[1] // self.chunk_tokens
        empty = (~state.filled)[:, None]  # (B, 1)
        if steps > 1:
            empty = F.pad(empty, (0, steps - 1))  # (B, S); steps but the first follow one
        if starts is not None:
            empty = empty | starts
        rows = empty.flatten() if any_row(empty) else None
        x = x.reshape(streams * steps, self.chunk_tokens, *x.shape[2:])  # (R, T', H', W', D)
        blocks = []
        for index, block in enumerate(cast("list[Block]", stage.blocks)):
            chosen = reader if index == len(stage.blocks) - 1 else None
            x, kept = self._block(block, x, state.blocks[index], rows, chosen)
            blocks.append(kept)
        filled = torch.ones_like(state.filled)
        return x.reshape(streams, -1, *x.shape[2:]), StageState(filled, tuple(blocks))

    def fold(self, height: int, width: int) -> None:
        """Computes once what depends on weights alone: position biases, weights laid out anew.

        Only for a copy that no longer learns; see `vigilia.stream.prepared`. The results stay the
        same to the bit.

        Args:
            height: H of the frames that will come; others are still taken, at the old speed.
            width: W.
        """
        rows, columns = -(-height // self.patch_size[1]), -(-width // self.patch_size[2])
        for number, stage in enumerate(cast("list[Stage]", self.stages)):
            if number:
                rows, columns = -(-rows // 2), -(-columns // 2)
            for block in cast("list[Block]", stage.blocks):
                attention = block.attention
                plan, size = self._plan(
                    rows, columns, attention.shift_size, attention.bias_table.device
                )
                attention.folded_for = size
                for kind, bias in enumerate(chunk_biases(attention.bias_table, plan)):
                    attention.register_buffer(FOLDED.format(kind), bias, persistent=False)
            for module in stage.modules():
                if isinstance(module, Linear):
                    module.pack(self.chunk_tokens * rows * columns)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """See `Swin3D.pool`."""
        return Swin3D.pool(self, features)

    def _block(
        self,
        block: Block,
        x: Tensor,
        state: BlockState,
        empty: Tensor | None,
        reader: Reader | None,
    ) -> tuple[Tensor, BlockState]:
        saves = block.checkpoint_activations and self.training and torch.is_grad_enabled()
        if saves:
            x, state = checkpoint(self._attend, block, x, state, empty, use_reentrant=False)
        else:
            x, state = self._attend(block, x, state, empty)
        if reader is not None:
            streams = len(state.past_keys)
            increment = reader(x.reshape(streams, -1, *x.shape[2:]))
            x = x + increment.view_as(x)
        if saves:
            return checkpoint(block.transform, x, use_reentrant=False), state
        return block.transform(x), state

    def _attend(
        self, block: Block, x: Tensor, state: BlockState, empty: Tensor | None
    ) -> tuple[Tensor, BlockState]:
        """x: (R, T', H', W', D) -> the same plus attention, and the last step's keys and values."""
        attention = block.attention
        frames, height, width = x.shape[1:4]
        plan, (window, shift) = self._plan(height, width, attention.shift_size, x.device)
        kept = state.past_keys.shape[1]
        if kept != plan.windows:
            raise OptionError(
                f"the state is for frames of another size: it has {kept} windows, "
                f"the frames have {plan.windows}"
            )
        padded = pad_to_multiple(x, window)
        tokens = to_windows(padded, plan)  # (R, G, N, D)
        if padded is x:
            normed = block.norm1(tokens)
        else:  # what was padded stays zero
            normed = to_windows(pad_to_multiple(block.norm1(x), window), plan)
        qkv = attention.qkv(normed).unflatten(-1, (3, attention.num_heads, -1))
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)  # each (R, G, h, N, d)
        k, v = k.contiguous(), v.contiguous()  # as they will be kept, and joined
        streams = len(state.past_keys)
        keys, values = (
            (_chunk_before(new, before, empty), new)
            for new, before in ((k, state.past_keys), (v, state.past_values))
        )
        if attention.folded_for == (window, shift):
            kinds = range(len(plan.kinds))
            biases = [getattr(attention, FOLDED.format(kind)) for kind in kinds]
        else:
            biases = chunk_biases(attention.bias_table, plan)
        mixed = chunk_attention(q, keys, values, biases, plan, empty)
        if block.training:
            tokens = tokens + block.drop_path(attention.proj(mixed))
        else:
            tokens = attention.proj(mixed, added=tokens)
        grid = (padded.shape[1], padded.shape[2], padded.shape[3])
        newest = (
            y.unflatten(0, (streams, -1))[:, -1].to(state.past_keys.dtype).contiguous()
            for y in (k, v)
        )
        x = from_windows(tokens, plan, grid)[:, :frames, :height, :width]
        return x, BlockState(*newest)

    def _plan(
        self, rows: int, columns: int, shift: Size, device: torch.device
    ) -> tuple[ChunkPlan, tuple[Size, Size]]:
        """How a grid of that size forms windows; the windows' size and shift."""
        window, shift = self._window(rows, columns, shift)
        (t, h, w) = window
        grid = (t, -(-rows // h) * h, -(-columns // w) * w)
        table = self.window_size
        plan = chunk_plan(grid, window, shift, table_window=table, device=device)
        return plan, (window, shift)

    def _window(self, rows: int, columns: int, shift: Size) -> tuple[Size, Size]:
        """The window of one chunk in a grid of that size, and its shift, never one in time."""
        grid = (self.chunk_tokens, rows, columns)
        return fit_window(grid, (self.chunk_tokens, *self.window_size[1:]), (0, *shift[1:]))


def _chunk_before(new: Tensor, before: Tensor, empty: Tensor | None) -> Tensor:
    """new: (R, G, h, N, d), before: (B, G, h, N, d) -> (R, G, h, N, d), one chunk earlier."""
    shifted = before.to(new.dtype)
    if len(new) > len(before):
        steps = new.unflatten(0, (len(before), -1))  # (B, S, G, h, N, d)
        shifted = torch.cat([shifted[:, None], steps[:, :-1]], dim=1).flatten(0, 1)
    if empty is not None:  # a weight of zero does not hide what is not a number
        shifted = shifted.masked_fill(empty[:, None, None, None, None], 0)
    return shifted


def swin3d_t_incremental(
    *, drop_path: float = 0.1, checkpoint_activations: bool = False
) -> IncrementalSwin3D:
    """Swin-T, 8 new frames a step: 43.9 GFLOP at 224 x 224, 104 frames seen."""
    return IncrementalSwin3D(
        **SWIN_T, drop_path=drop_path, checkpoint_activations=checkpoint_activations
    )


def swin3d_s_incremental(
    *, drop_path: float = 0.1, checkpoint_activations: bool = False
) -> IncrementalSwin3D:
    """Swin-S, 8 new frames a step: 200 frames seen."""
    return IncrementalSwin3D(
        **SWIN_S, drop_path=drop_path, checkpoint_activations=checkpoint_activations
    )


def swin3d_b_incremental(
    *, drop_path: float = 0.1, checkpoint_activations: bool = False
) -> IncrementalSwin3D:
    """Swin-B, 8 new frames a step: 200 frames seen."""
    return IncrementalSwin3D(
        **SWIN_B, drop_path=drop_path, checkpoint_activations=checkpoint_activations
    )


def swin3d_nano_incremental(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> IncrementalSwin3D:
    """`swin3d_nano`, 8 new frames a step: 48 frames seen."""
    model = IncrementalSwin3D(
        **SWIN_NANO, drop_path=drop_path, checkpoint_activations=checkpoint_activations
    )
    show_movement(model)
    return model
