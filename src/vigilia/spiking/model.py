"""Neuro-SVT: a spiking transformer for event cameras that remembers what is hidden.

    state = model.init_state(batch_size)
    logits, state = model.step(bin, state)      # bin (B, 2, H, W) -> logits (B, K)
    state.position, state.wake                  # (B, 2 O) in -1..1, (B,) bool

A bin is what an event camera sent in a short time: ON and OFF events of each pixel, counted or not.
Convolutions and blocks of spiking attention turn it into spikes, which a memory token looks at (see
`vigilia.spiking.memory_token`); what it has stored answers for class and place. Every product of
matrices but the first convolution has an operand of zeros and ones. A blank bin makes no spike, so
it costs nothing, changes nothing that is remembered, and leaves the answer standing.

Letters: T steps, B streams, H W pixels, N tokens, D features, M memories, O objects, K classes.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from vigilia.errors import InputError, OptionError
from vigilia.spiking.blocks import SpikingBlock
from vigilia.spiking.embed import SpikingPatchEmbed
from vigilia.spiking.layers import SpikeLinear
from vigilia.spiking.memory_token import SpikingMemory
from vigilia.spiking.neuron_layer import Neurons
from vigilia.spiking.paths import Paths
from vigilia.spiking.readout import held
from vigilia.spiking.values import SpikingOutputs, SpikingSpec, SpikingState
from vigilia.state import where_rows

__all__ = ["NeuroSvt"]


class NeuroSvt(nn.Module):
    """The model; `vigilia.spiking.create_spiking_model` builds one by name.

    Args:
        spec: holds classes, sizes of the picture and of the bin.
        dim: D.
        depth: number of blocks.
        heads: h, divides D.
        patch: side of a patch in pixels.
        tau: of the neurons in embedding and blocks, in bins; None keeps no membranes there: they
            then fire on the bin at hand, and only the memory token has a past.
        learns_tau: each of their layers learns its time constant.
        attention: "linear", Q (K^T V), or "hadamard".
        memory_tokens: M.
        memory_taus: shortest and longest time constant of the memory, in writes.
        memory_gated: a spike opens the memory; without, it leaks at every bin.
        memory_reset: "none", or "hard" for a memory that is an ordinary neuron.
        regions: parts of the picture that the memory tells apart, about.
        objects: O, whose places are told; 1 unless a model is to follow several, or none.
        convolutions: at each size of the picture on the way to tokens.

    Attributes:
        card: what the weights were trained on, and how well they did; written into checkpoints.

    Raises:
        OptionError: a value that cannot work.
    """

    def __init__(
        self,
        spec: SpikingSpec,
        *,
        dim: int,
        depth: int,
        heads: int,
        patch: int = 16,
        tau: float | None = 2.0,
        learns_tau: bool = False,
        attention: str = "linear",
        memory_tokens: int = 1,
        memory_taus: tuple[float, float] = (2.0, 100.0),
        memory_gated: bool = True,
        memory_reset: str = "none",
        regions: int = 16,
        objects: int = 1,
        convolutions: int = 1,
    ) -> None:
        super().__init__()
        if objects < 0:
            raise OptionError(f"objects must be at least 0, got {objects}")
        if not spec.bin_seconds > 0:
            raise OptionError(f"bin_seconds must be positive, got {spec.bin_seconds}")
        self.spec = spec
        self.card: dict[str, Any] = {}
        self.embed = SpikingPatchEmbed(
            height=spec.height,
            width=spec.width,
            dim=dim,
            patch=patch,
            tau=tau,
            learns_tau=learns_tau,
            convolutions=convolutions,
        )
        self.blocks = nn.ModuleList(
            SpikingBlock(
                dim,
                heads=heads,
                tokens=self.embed.tokens,
                tau=tau,
                learns_tau=learns_tau,
                form=attention,
            )
            for _ in range(depth)
        )
        self.last = Neurons(tau, features=dim, learns_tau=learns_tau)
        self.memory = SpikingMemory(
            dim,
            grid=self.embed.grid,
            heads=heads,
            tokens=memory_tokens,
            taus=memory_taus,
            gated=memory_gated,
            reset=memory_reset,
            regions=regions,
            tau=tau,
        )
        code = memory_tokens * self.memory.code_size
        self.head = SpikeLinear(code, len(spec.classes))
        self.head_bias = nn.Parameter(torch.zeros(len(spec.classes)))
        # Fresh answers are the same for all: nothing pulls at the eyes before the head knows how.
        nn.init.zeros_(self.head.weight)
        pooled = self.memory.pool_weight.shape[0] * dim
        self.objects = objects
        self.paths: Paths | None = None
        if objects:
            self.paths = Paths(pooled, code, objects=objects, tau=memory_taus[1])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.spec.classes

    clip_frames = 1
    stride_frames = 1
    receptive_frames = 1
    latency_frames = 1

    def init_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> SpikingState:
        """The state of streams that have seen nothing: all zeros.

        Args:
            batch_size: B.
            device: where it lies; by default where the model lies.
            dtype: of the membranes; by default the model's. bfloat16 halves their bytes; evidence
                for paths is float32 in any case.
        """
        if batch_size < 1:
            raise OptionError(f"batch_size must be at least 1, got {batch_size}")
        like = self.head.weight
        where = torch.device(device) if device is not None else like.device
        kind = dtype or like.dtype
        rows, places = batch_size, self.embed.tokens
        dim = self.memory.token.shape[1]

        def zeros(*shape: int, dtype: torch.dtype = like.dtype) -> Tensor:
            return torch.zeros(rows, *shape, device=where, dtype=dtype)

        return SpikingState(
            embed=self.embed.init_state(rows, device=where, dtype=kind),
            blocks=tuple(
                cast(SpikingBlock, block).init_state(rows, places, device=where, dtype=kind)
                for block in self.blocks
            ),
            last=self.last.rest(rows, places, dim, device=where, dtype=kind),
            memory=self.memory.init_state(rows, device=where, dtype=kind),
            seconds=zeros(dtype=torch.float64),
            clips=zeros(dtype=torch.int64),
            logits=zeros(len(self.classes)),
            evidence=zeros(0) if self.paths is None else self.paths.rest(rows, device=where),
            position=zeros(2 * self.objects),
            wake=zeros(dtype=torch.bool),
        )

    def step(
        self,
        clip: Tensor,
        state: SpikingState,
        *,
        active: Tensor | None = None,
        seconds: Tensor | None = None,
    ) -> tuple[Tensor, SpikingState]:
        """Takes one bin of each stream.

        clip: (B, 2, H, W) -> logits (B, K).

        Args:
            clip: ON and OFF events of each pixel, counts or zeros and ones; also (B, 2, 1, H, W).
            state: from `init_state` or the step before.
            active: (B,) bool; rows that are false are left as they were, bit for bit, and show
                their last logits again. None means all rows.
            seconds: (B,) float64, when each bin ended. None lets the nominal duration pass.

        Raises:
            InputError: a shape that does not fit.
        """
        if clip.ndim == 5 and clip.shape[2] == 1:
            clip = clip[:, :, 0]
        self._check(clip, state, active, seconds)
        _, new = self.sequence(
            clip[None], state, seconds=None if seconds is None else seconds[None]
        )
        if active is not None:
            new = where_rows(active, new, state)
        return new.logits, new

    def sequence(
        self, bins: Tensor, state: SpikingState, *, seconds: Tensor | None = None
    ) -> tuple[SpikingOutputs, SpikingState]:
        """Takes many bins at once: what `step` does to each in turn, layer by layer.

        bins: (T, B, 2, H, W) -> outputs of all steps, state behind the last.

        For training: all products of a layer are one. The result is that of the steps, up to the
        rounding of sums whose order the number of rows may change.

        Args:
            bins: as in `step`.
            state: before the first bin.
            seconds: (T, B) float64, when each bin ended.
        """
        x, embed = self.embed(bins.to(self.head.weight.dtype), state.embed)  # (T, B, N, D)
        blocks = []
        for block, before in zip(self.blocks, state.blocks, strict=True):
            x, after = block(x, before)
            blocks.append(after)
        spikes, last = self.last(x, state.last)
        first = state.clips == 0
        codes, traces, memory = self.memory(spikes, state.memory, first=first)
        if seconds is None:
            nominal = torch.arange(1, len(bins) + 1, device=bins.device, dtype=torch.float64)
            seconds = state.seconds + self.spec.bin_seconds * nominal[:, None]
        opened = (traces.gates.detach() > 0).any(-1)  # (T, B)
        logits = self._read(codes, torch.cat([opened[:1] | first, opened[1:]]), state)
        position, places, evidence = codes.new_zeros(*bins.shape[:2], 0), None, state.evidence
        if self.paths is not None:
            elapsed = seconds / self.spec.bin_seconds
            position, places, evidence = self.paths(traces.pooled, codes, opened, elapsed, evidence)
        outputs = SpikingOutputs(
            logits=logits,
            position=position,
            places=places,
            gates=traces.gates,
            drive=traces.drive,
            glance=torch.cat([traces.pooled, traces.firing], -1),
            activity=spikes.mean((2, 3)),
        )
        return outputs, SpikingState(
            embed=embed,
            blocks=tuple(blocks),
            last=last,
            memory=memory,
            seconds=seconds[-1],
            clips=state.clips + len(bins),
            logits=logits[-1],
            evidence=evidence,
            position=position[-1],
            wake=opened[-1],
        )

    def _read(self, codes: Tensor, fresh: Tensor, state: SpikingState) -> Tensor:
        """Logits (T, B, K) of codes (T, B, M * code_size)."""
        if torch.is_grad_enabled():
            # The same values, since a closed gate leaves the membrane alone; but this way the
            # gradient learns what opening it would have changed.
            return self.head(codes) + self.head_bias
        # Read-out neurons speak only when the membrane was written: else the last answer stands.
        codes = codes * fresh[..., None].to(codes.dtype)
        return held(fresh, self.head(codes) + self.head_bias, state.logits)

    def _check(
        self, clip: Tensor, state: SpikingState, active: Tensor | None, seconds: Tensor | None
    ) -> None:
        rows = len(state.clips)
        paths = 0 if self.paths is None else math.prod(self.paths.resolution)
        if state.evidence.shape[-1] != paths:
            raise InputError(
                f"the state follows {state.evidence.shape[-1]} paths and the model {paths}: one of "
                "them is of training; call eval() before init_state()"
            )
        wanted = (2, *self.embed.size)
        if clip.ndim != 4 or tuple(clip.shape[1:]) != wanted:
            hint = "; channels last?" if clip.ndim == 4 and clip.shape[3] == 2 else ""
            raise InputError(
                f"a bin must be (B, 2, H={wanted[1]}, W={wanted[2]}), ON and OFF events, "
                f"got {tuple(clip.shape)}{hint}"
            )
        if len(clip) != rows:
            raise InputError(f"the bin has {len(clip)} rows, the state has {rows} streams")
        for name, value, dtype in (
            ("active", active, torch.bool),
            ("seconds", seconds, torch.float64),
        ):
            if value is not None and (value.shape != (rows,) or value.dtype != dtype):
                raise InputError(
                    f"{name} must be ({rows},) {dtype}, got {tuple(value.shape)} {value.dtype}"
                )
