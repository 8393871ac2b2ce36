"""What the spiking model spends on a bin while something moves, while it is hidden, and on nothing.

Operations are counted event by event, never estimated from rates (`vigilia.spiking.energy`), and
stand beside those of ViT-Tiny on a picture of the same size, which spends the same on every frame.

Letters: T bins, B scenes, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vigilia.bench.permanence.scenes import PICTURE, Setting, draw_scenes
from vigilia.spiking import NeuroSvt
from vigilia.spiking.compared import vit_tiny_multiplies
from vigilia.spiking.energy import COSTS, EnergyCount, EnergyMeter

__all__ = ["LEFT_OUT", "PHASES", "PhaseEnergy", "energy_table", "measure_energy", "vit_patch"]

PHASES = {
    "visible": "a digit moves, 1 % noise",
    "hidden": "behind a curtain whose texture drifts, 1 % noise",
    "still": "behind a curtain that stands still: 1 % noise alone",
    "blank": "not one event",
}
LEFT_OUT = (
    "Counted are additions and multiplications in 45 nm (Horowitz, 2014). Left out on both sides: "
    "fetching weights, which costs more than the arithmetic in most chips. Left out of Neuro-SVT: "
    "routing of spikes, the sensor, bytes of membranes read and written (given beside). Left out "
    "of ViT-Tiny: layer norms, softmax, activations, making a frame of events. ViT-Tiny has 5.5 "
    "million parameters and would know far more classes; no accuracy is compared here."
)


@dataclass(frozen=True)
class PhaseEnergy:
    """Means over the bins of a phase, for one stream.

    Attributes:
        phase: key of `PHASES`.
        bins: how many were measured, of all streams.
        accumulates: additions caused by spikes.
        multiplies: multiplications with an addition.
        updates: neurons that received a current.
        spikes: neurons that fired.
        state_bytes: of membranes read and written.
        microjoules: of all of them in float32.
        microjoules_int8: the same operations in int8.
    """

    phase: str
    bins: int
    accumulates: float
    multiplies: float
    updates: float
    spikes: float
    state_bytes: float
    microjoules: float
    microjoules_int8: float


@torch.inference_mode()
def measure_energy(
    model: NeuroSvt, *, rows: int = 8, hidden: int = 20, seed: int = 0
) -> tuple[PhaseEnergy, ...]:
    """Runs scenes through the model under the meter.

    Scenes are 16 by 16 pixels; for a model of larger pictures they are magnified, so that each
    event becomes a square of events.

    Args:
        model: in evaluation mode.
        rows: B.
        hidden: bins of each phase but the visible one.
        seed: of the scenes.
    """
    moving = Setting()
    found: dict[str, EnergyCount] = {}
    bins: dict[str, int] = {}
    for setting, phase in ((moving, "hidden"), (replace(moving, drift=False), "still")):
        generator = torch.Generator().manual_seed(seed)
        scenes = draw_scenes(rows, hidden + 1, generator, split="test", setting=setting)
        shown = _magnified(scenes.bins, model)
        state = model.init_state(rows)
        parts = {"visible": scenes.visible, phase: scenes.covered}
        with EnergyMeter(model) as meter:
            for index, one in enumerate(shown):
                _, state = model.step(one, state)
                count = meter.reset()
                for name, mask in parts.items():
                    if bool(mask[index]) and not (name == "visible" and setting is not moving):
                        found[name] = _sum(found.get(name), count)
                        bins[name] = bins.get(name, 0) + rows
            if setting is moving:
                blank = torch.zeros_like(shown[0])
                for _ in range(hidden):
                    _, state = model.step(blank, state)
                found["blank"], bins["blank"] = meter.reset(), hidden * rows
    return tuple(_mean(name, found[name], bins[name]) for name in PHASES)


def vit_patch(height: int) -> int:
    """The patch of the ViT-Tiny that is compared with: 16, or a quarter of a small picture."""
    return 16 if height >= 64 else max(1, height // 4)


def energy_table(
    measured: Sequence[PhaseEnergy], *, height: int
) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """Rows of a table, the head first, and the same as values.

    The last three columns: energy in float32, in per cent of ViT-Tiny's in float32 and in int8;
    and both in int8.

    Args:
        measured: of `measure_energy`.
        height: H and W of the model's pictures, in pixels.
    """
    macs = vit_tiny_multiplies(height, vit_patch(height))
    full, byte = (macs * COSTS[kind].multiply * 1e-6 for kind in ("float32", "int8"))
    # Narrow enough for a terminal; state bytes are among the values.
    rows = [["", "adds", "mults", "updates", "uJ", "% of fp32", "% of int8", "int8 %"]]
    values = []
    for one in measured:
        shares = [one.microjoules / full, one.microjoules / byte, one.microjoules_int8 / byte]
        numbers = (one.accumulates, one.multiplies, one.updates)
        rows.append(
            [
                one.phase,
                *(f"{number:,.0f}" for number in numbers),
                f"{one.microjoules:.3f}",
                *(f"{100 * share:.3f}" for share in shares),
            ]
        )
        values.append(
            {
                **asdict(one),
                "of_vit_tiny_float32": shares[0],
                "of_vit_tiny_int8": shares[1],
                "int8_of_vit_tiny_int8": shares[2],
            }
        )
    name = f"ViT-Tiny {height}/{vit_patch(height)}"
    last = [f"{full:.1f}", "100", f"{100 * full / byte:.0f}", "100"]
    rows.append([name, "0", f"{macs:,}", "", *last])
    return rows, values


def _magnified(bins: Tensor, model: NeuroSvt) -> Tensor:
    height, width = model.embed.size
    rows = torch.arange(height) * PICTURE // height
    columns = torch.arange(width) * PICTURE // width
    return bins[..., rows[:, None], columns]


def _sum(a: EnergyCount | None, b: EnergyCount) -> EnergyCount:
    return b if a is None else EnergyCount((*a.layers, *b.layers))


def _mean(name: str, count: EnergyCount, bins: int) -> PhaseEnergy:
    return PhaseEnergy(
        phase=name,
        bins=bins,
        accumulates=count.accumulates / bins,
        multiplies=count.multiplies / bins,
        updates=count.updates / bins,
        spikes=count.spikes / bins,
        state_bytes=count.state_bytes / bins,
        microjoules=1e6 * count.joules() / bins,
        microjoules_int8=1e6 * count.joules(COSTS["int8"]) / bins,
    )
