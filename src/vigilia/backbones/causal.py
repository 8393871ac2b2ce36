"""Networks of convolutions, on whole clips or on new frames alone.

A family says for each stage what comes before memory is read (`convolve_stage`) and what behind
(`finish_stage`, which looks at one token at a time). With that, `run_convolutions` runs a clip, and
`CausalBackbone` makes a streaming backbone of it: time is padded before the clip only, and the
borders of the convolutions are what a step carries; see `vigilia.layers.causal_conv`.

Letters: B streams, S steps, C channels, T frames, H W pixels, T' H' W' a stage's token grid,
D features.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vigilia.backbones.base import BackboneState, Reader, StreamingBackbone, check_call
from vigilia.errors import OptionError
from vigilia.layers.causal_conv import Borders, BorderState
from vigilia.state import State, any_row, map_tensors, reset

__all__ = ["CausalBackbone", "Convolutions", "run_convolutions"]


class Convolutions(Protocol):
    """What a family of convolutional networks says of itself."""

    stage_dims: tuple[int, ...]

    def convolve_stage(self, number: int, x: Tensor, borders: Borders | None = None) -> Tensor:
        """A stage up to where memory is read. x: (B, D_in, T, H, W) -> (B, D, T', H', W')."""
        ...

    def finish_stage(self, number: int, x: Tensor) -> Tensor:
        """The rest of a stage. x: (B, T', H', W', D) -> the same shape."""
        ...


def run_convolutions(
    network: Convolutions, clip: Tensor, readers: Mapping[int, Reader] | None
) -> tuple[Tensor, ...]:
    """All stages on a whole clip. clip: (B, C, T, H, W) -> for each stage (B, T', H', W', D_s).

    Raises:
        OptionError: the clip has another layout, or a reader's stage does not exist.
    """
    readers = readers or {}
    check_call(clip, readers, stages=len(network.stage_dims))
    x, features = clip, []
    for number in range(1, len(network.stage_dims) + 1):
        tokens = network.convolve_stage(number, x).movedim(1, -1)
        if reader := readers.get(number):
            tokens = tokens + reader(tokens)
        tokens = network.finish_stage(number, tokens)
        features.append(tokens)
        x = tokens.movedim(-1, 1)
    return tuple(features)


class CausalBackbone(StreamingBackbone):
    """A network of convolutions that takes new frames alone; to be put before the network's class.

    The weights are the network's own. What it gives is not what the network gives on clips: no
    frame sees a later one, and at the start of a recording zeros lie before the first frame only.

    Args:
        step_frames: T, new frames of a step; divides by the network's `time_stride`.
        **options: those of the network.

    Raises:
        OptionError: steps of no, or of other frames.
    """

    time_stride: int

    def __init__(self, *, step_frames: int = 8, **options: Any) -> None:
        super().__init__(**options)
        if step_frames < 1 or step_frames % self.time_stride:
            raise OptionError(
                f"step_frames must be a multiple of {self.time_stride}, by which the network "
                f"reduces time, got {step_frames}"
            )
        self.step_frames = step_frames
        *_, reached = self._borders(1, 64, 64)
        self.receptive_frames = step_frames + reached

    @abstractmethod
    def convolve_stage(self, number: int, x: Tensor, borders: Borders | None = None) -> Tensor:
        """See `Convolutions.convolve_stage`."""

    @abstractmethod
    def finish_stage(self, number: int, x: Tensor) -> Tensor:
        """See `Convolutions.finish_stage`."""

    def init_state(
        self, batch_size: int, *, height: int, width: int, device: torch.device, dtype: torch.dtype
    ) -> BackboneState:
        """See `StreamingBackbone.init_state`."""
        stages, _ = self._borders(batch_size, height, width)
        return map_tensors(
            lambda tensor: torch.zeros(tensor.shape, device=device, dtype=dtype), stages
        )

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
        assert isinstance(state, BorderState)
        if number > 1:
            x = x.movedim(-1, 1)
        if starts is None or not any_row(starts):
            parts, starts = [x], None
        else:
            parts = list(x.chunk(starts.shape[1], dim=2))
        convolved = []
        for index, part in enumerate(parts):
            if starts is not None:
                state = reset(state, starts[:, index])
            borders = Borders(state)
            convolved.append(self.convolve_stage(number, part, borders))
            state = borders.state(state)
        tokens = torch.cat(convolved, dim=2).movedim(1, -1)
        if reader is not None:
            tokens = tokens + reader(tokens)
        return self.finish_stage(number, tokens), state

    def _borders(self, batch_size: int, height: int, width: int) -> tuple[BackboneState, int]:
        """All borders, as tensors without content, and how many frames they reach back."""
        weights = {
            name: x.to("meta") for name, x in [*self.named_parameters(), *self.named_buffers()]
        }
        clip = torch.empty(
            (batch_size, 3, self.step_frames, height, width),
            device="meta",
            dtype=next(self.parameters()).dtype,
        )
        probe = _Probe(self)
        with torch.no_grad():
            return cast(
                tuple[BackboneState, int],
                functional_call(probe, {f"network.{n}": x for n, x in weights.items()}, (clip,)),
            )


class _Probe(nn.Module):
    """Runs all stages for the shapes of their borders."""

    def __init__(self, network: CausalBackbone) -> None:
        super().__init__()
        self.network = network

    def forward(self, clip: Tensor) -> tuple[BackboneState, int]:
        network, x, reached = self.network, clip, 0
        stages = []
        for number in range(1, len(network.stage_dims) + 1):
            borders = Borders()
            x = network.convolve_stage(number, x, borders)
            reached += borders.reached(clip.shape[2])
            stages.append(borders.state())
            x = network.finish_stage(number, x.movedim(1, -1)).movedim(-1, 1)
        return BackboneState(tuple(stages)), reached
