"""Which backbones can learn without labels, and how each is to be asked.

Letters: B clips, T' H' W' the token grid of a stage, D_s its width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from vigilia.backbones import BACKBONES, Backbone
from vigilia.errors import OptionError
from vigilia.spiking import SPIKING_SIZES
from vigilia.stream import StreamClassifier

__all__ = ["Asked", "ask_what", "check_pretrains", "features_of", "why_not"]


@dataclass(frozen=True)
class Asked:
    """Which stages tell what a clip holds.

    Attributes:
        stages: their numbers, from 1: those that the pooled embedding comes from, from the last
            one backwards as long as their grids do not get finer (a finer grid is what the others
            were made of; two pathways end in two stages). If none of them has more than one
            place, the nearest before them that has is asked, too.
        dims: D_s of each.
    """

    stages: tuple[int, ...]
    dims: tuple[int, ...]


def why_not(name: str) -> str | None:
    """Why a model of the family cannot be pre-trained on video; None if it can.

    All backbones of `BACKBONES` can, by either method; what differs is how "mae" hides, see
    `vigilia.pretraining.masked`.
    """
    if name in BACKBONES:
        return None
    if name in SPIKING_SIZES:
        return (
            f"{name} takes the events of an event camera, not video: there are no pixels to "
            "predict, and its clips are bins; train it with labels (vigilia train)"
        )
    return f"no backbone named {name!r}; `vigilia models` lists what there is"


def check_pretrains(name: str) -> None:
    """Raises:
    OptionError: it cannot be pre-trained; the message says why.
    """
    if (reason := why_not(name)) is not None:
        raise OptionError(reason)


def features_of(model: StreamClassifier, clip: Tensor) -> tuple[Tensor, ...]:
    """clip: (B, C, T, H, W) -> tokens of every stage. A model that hears hears nothing."""
    backbone: Any = model.backbone
    if model.hears:
        return cast(tuple[Tensor, ...], backbone(clip, audio=model.unheard(len(clip)).to(clip)))
    return cast(tuple[Tensor, ...], backbone(clip))


def ask_what(model: StreamClassifier, frames: int) -> Asked:
    """Finds out what a model pools, by looking at one empty clip.

    Args:
        model: in any mode; it is left in it.
        frames: T.

    Raises:
        OptionError: no stage has more than one place, so nothing can be said of any.
    """
    was_training = model.training
    model.eval()
    size = model.preprocessing
    device = model.head.weight.device
    clip = torch.zeros(1, 3, frames, size.height, size.width, device=device)
    with torch.no_grad():
        features = [x.detach() for x in features_of(model, clip)]
    leaves = tuple(x.requires_grad_() for x in features)
    with torch.enable_grad():
        pooled = cast(Backbone, model.backbone).pool(leaves)
        found = torch.autograd.grad(pooled.sum(), leaves, allow_unused=True)
    model.train(was_training)
    used = [number for number, grad in enumerate(found, start=1) if grad is not None]
    places = [x.shape[2] * x.shape[3] for x in features]
    stages = [used.pop()]
    while used and places[used[-1] - 1] <= places[stages[0] - 1]:
        stages.insert(0, used.pop())
    placed = [number for number, count in enumerate(places, start=1) if count > 1]
    if not placed:
        raise OptionError(
            f"{model.spec.name} has no stage with more than one place at "
            f"{size.height} x {size.width} pixels; take larger pictures (--size), "
            "or --method contrastive"
        )
    if not set(stages) & set(placed):
        before = [number for number in placed if number < min(stages)] or placed
        stages.append(before[-1])
    chosen = tuple(sorted(stages))
    return Asked(chosen, tuple(features[number - 1].shape[-1] for number in chosen))


def takes_tubes(backbone: nn.Module) -> bool:
    """Whether a backbone can encode some places of the picture alone."""
    return bool(getattr(backbone, "takes_tubes", False))
