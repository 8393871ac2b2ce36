"""Where the remembered object is by now: evidence for paths, which bins add to and silence keeps.

One bin says where something is, to a cell or so, and nothing of how fast it moves; a leaky membrane
hardly tells more. Here each of many paths along an axis, a straight one that bounces off two walls,

    place(n) = wall * triangle(phase + speed * n)        n bins since the stream began

has a membrane of its own. A bin that opens the memory's gate adds to it how well what is seen fits
the place that the path has by then; a shut gate leaves it alone. So paths that fit bin after bin
stand out, as lines do in a Hough transform, and are simply followed while nothing is to be seen.
The answer is the mean over paths, which goes to the middle as what is known runs out. No weight
depends on how many paths there are: few are enough to learn by.

Letters: T steps, B streams, O objects, C cells of an axis, A phases, V speeds, P = A V paths.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vigilia.spiking.layers import SpikeLinear, silent

__all__ = ["CELLS", "Evidence", "Paths", "at_places", "cell_weights", "triangle"]

CELLS = 16
"""C: places that a bin is asked for along an axis, from one edge of the picture to the other."""

RESOLUTION = (64, 65)
"""A and V. A negative speed is a positive one with the mirrored phase, so there is none."""

COARSE = (32, 17)
"""The same in training: what a few dozen bins tell of a path is no finer."""

FASTEST = 0.4
"""The highest speed, in a bin, of half the way from wall to wall."""

FLOOR = 0.01
"""Share of what a bin says that speaks for every cell: one bin that is wrong rules no path out."""

WALLS = 16.0
"""By which the walls' two weights are multiplied: alone, they would hardly move in a training."""


class Evidence(nn.Module):
    """The paths' membranes: `log_fit - evidence / tau` is added where the gate is open.

    Args:
        tau: after how many writes evidence has leaked to a third.
    """

    def __init__(self, tau: float) -> None:
        super().__init__()
        self.tau = tau

    def forward(self, fit: Tensor, evidence: Tensor, gate: Tensor) -> Tensor:
        """fit, evidence: (B, O, 2, P), gate: (B, 1, 1, 1) bool -> evidence."""
        return torch.where(gate, evidence + (fit - evidence / self.tau), evidence)


class Paths(nn.Module):
    """Follows objects on paths that it finds by what each bin shows.

    Args:
        seen: spikes that a bin is read from.
        remembered: spikes of the memory's read-out neurons.
        objects: O. One is read from the bin alone. Of several, the memory tells which is where the
            bin shows any, and where each begins is learned.
        tau: of the evidence, in writes.
    """

    def __init__(self, seen: int, remembered: int, *, objects: int, tau: float) -> None:
        super().__init__()
        self.objects = objects
        self.place = SpikeLinear(seen, objects * 2 * CELLS)
        self.which = SpikeLinear(remembered, objects * 2 * CELLS) if objects > 1 else None
        for layer in (self.place, self.which):
            if layer is not None:  # a fresh bin says nothing of where
                nn.init.zeros_(layer.weight)
        self.evidence = Evidence(tau)
        self.begins = nn.Parameter(torch.zeros(objects, 2, CELLS)) if objects > 1 else None
        self.trust = nn.Parameter(torch.zeros(()))
        self.walls = nn.Parameter(torch.full((2,), 2.0 / WALLS))

    @property
    def resolution(self) -> tuple[int, int]:
        """A and V: fewer while the model trains, whose states do not fit a model in use."""
        return COARSE if self.training else RESOLUTION

    def rest(self, rows: int, *, device: torch.device) -> Tensor:
        """(B, O, 2, P) float32: no evidence for any path."""
        phases, speeds = self.resolution
        return torch.zeros(rows, self.objects, 2, phases * speeds, device=device)

    def bounds(self) -> Tensor:
        """(2,) where paths bounce, across and down, from 0 to 1."""
        return torch.sigmoid(WALLS * self.walls.float())

    def forward(
        self, seen: Tensor, codes: Tensor, gate: Tensor, bins: Tensor, evidence: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Follows a sequence.

        Args:
            seen: (T, B, S) spikes of each bin.
            codes: (T, B, R) spikes that tell what is remembered.
            gate: (T, B) bool, whether the bin is written.
            bins: (T, B) float64, bins since the stream began, of whatever length each was.
            evidence: (B, O, 2, P) before the first step.

        Returns:
            Places (T, B, 2 O) from -1 to 1, what each bin said of them, (T, B, O, 2, C) as
            logarithms of probabilities, and the evidence behind the last.
        """
        said = self.place(seen)
        if self.which is not None:
            said = said + self.which(codes)
        said = said.float().unflatten(-1, (self.objects, 2, CELLS)).log_softmax(-1)
        where = self._where(bins)  # (T, B, 2, P)
        prior = self._prior(bins)
        places, share = [], None
        for heard, opened, led in zip(said, gate, where, strict=True):
            # What was believed stands while every gate is shut: a look at them costs less.
            written = not silent(opened)
            if written:
                fit = self._fit(heard, led)
                evidence = self.evidence(fit, evidence, opened[:, None, None, None])
            if written or share is None:
                share = (self.trust.float().exp() * evidence + prior).softmax(-1)
            places.append((share * led[:, None]).sum(-1))  # (B, O, 2)
        return torch.stack(places).flatten(2).to(seen.dtype), said, evidence

    def _where(self, bins: Tensor) -> Tensor:
        """bins: (T, B) -> places of all paths, (T, B, 2, P)."""
        many, fast = self.resolution
        speeds = torch.arange(fast, device=bins.device, dtype=bins.dtype) * (FASTEST / (fast - 1))
        moved = (speeds * bins[..., None] % 4).float()  # (T, B, V)
        phases = torch.arange(many, device=bins.device) * (4 / many)
        places = triangle(phases[:, None] + moved[..., None, :]).flatten(2)
        return places[:, :, None] * self.bounds()[:, None]

    def _prior(self, bins: Tensor) -> Tensor | float:
        """(O, 2, P): where each of several objects begins."""
        if self.begins is None:
            return 0.0
        begins = self.begins.float().log_softmax(-1)[None]
        return self._fit(begins, self._where(bins.new_zeros(1, 1))[0])[0]

    def _fit(self, said: Tensor, where: Tensor) -> Tensor:
        """said: (B, O, 2, C), where: (B, 2, P) -> how well each path fits, (B, O, 2, P)."""
        floored = (said.exp() * (1 - FLOOR) + FLOOR / CELLS).log()
        return at_places(floored, where[:, None].expand(-1, self.objects, -1, -1))


def triangle(phase: Tensor) -> Tensor:
    """What bounces between -1 and 1 with a period of 4: -1 at 0, 1 at 2."""
    return 1 - (phase % 4 - 2).abs()


def at_places(cells: Tensor, places: Tensor) -> Tensor:
    """cells: (..., C) values, places: (..., P) from -1 to 1 -> values between cells (..., P)."""
    lower, share = cell_weights(places)
    return cells.gather(-1, lower).lerp(cells.gather(-1, lower + 1), share)


def cell_weights(places: Tensor) -> tuple[Tensor, Tensor]:
    """Between the middles of which cells places lie: the lower one's index, the upper one's share.

    Args:
        places: (...) from -1 to 1; beyond the outermost middles those are taken.
    """
    at = ((places + 1) * (CELLS / 2) - 0.5).clamp(0, CELLS - 1)
    lower = at.detach().floor().clamp_max(CELLS - 2)
    return lower.long(), at - lower
