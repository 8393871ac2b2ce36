"""Which part of the backbone learns: none, the stages from one on, or all of it."""

from __future__ import annotations

from torch import nn

from vigilia.errors import OptionError
from vigilia.spiking import NeuroSvt
from vigilia.stream import StreamClassifier
from vigilia.training.options import TrainOptions

__all__ = ["freeze", "set_modes"]


def freeze(model: StreamClassifier | NeuroSvt, options: TrainOptions) -> None:
    """Says which of the backbone's parameters learn.

    With `frozen_stages` the first stages, and what comes before them, stay; later stages and the
    norms behind all stages learn.

    Raises:
        OptionError: the backbone has no stages, or none would be left to learn.
    """
    if isinstance(model, NeuroSvt):
        return  # all of it learns
    backbone = model.backbone
    backbone.requires_grad_(not options.freeze_backbone)
    if options.freeze_backbone or not options.frozen_stages:
        return
    stages = getattr(backbone, "stages", None)
    if not isinstance(stages, nn.ModuleList) or options.frozen_stages >= len(stages):
        count = len(stages) if isinstance(stages, nn.ModuleList) else 0
        raise OptionError(
            f"frozen_stages must be below the backbone's {count} stages, "
            f"got {options.frozen_stages}; to freeze all of it take --freeze-backbone"
        )
    for part in _frozen(model, options):
        part.requires_grad_(False)


def set_modes(model: StreamClassifier | NeuroSvt, options: TrainOptions) -> None:
    """Training mode, but not for what does not learn: nothing is dropped there."""
    model.train()
    if isinstance(model, NeuroSvt):
        return
    for part in _frozen(model, options):
        part.eval()


def _frozen(model: StreamClassifier, options: TrainOptions) -> list[nn.Module]:
    if options.freeze_backbone:
        return [model.backbone]
    if not options.frozen_stages:
        return []
    children = dict(model.backbone.named_children())
    before = list(children.values())[: list(children).index("stages")]
    return [*before, *list(children["stages"].children())[: options.frozen_stages]]
