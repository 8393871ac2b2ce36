"""AdamW, linear warm-up and cosine, and which weights decay."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from vigilia.training.options import TrainOptions

__all__ = ["GATE_RATE", "learning_rate_at", "make_optimiser", "set_learning_rate"]


GATE_RATE = 10.0
"""Gates learn this much faster: they start at zero, and what lies behind them waits for them."""


def make_optimiser(model: nn.Module, options: TrainOptions) -> torch.optim.AdamW:
    """AdamW with weight decay on the matrices of linear and convolutional layers alone.

    Biases, norms, gates, learned tokens and bias tables do not decay: zero is no better a value
    for them than another. The backbone may learn more slowly than the rest (`backbone_rate`).
    """
    matrices = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d)
    }
    groups: list[dict[str, Any]] = [
        {"params": [], "weight_decay": options.weight_decay},
        {"params": [], "weight_decay": 0.0},
        {"params": [], "weight_decay": 0.0, "rate": GATE_RATE},
    ]
    if options.backbone_rate != 1:
        groups += [{**group, "params": [], "rate": options.backbone_rate} for group in groups[:2]]
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        still = id(parameter) not in matrices
        if name.endswith("gate"):
            groups[2]["params"].append(parameter)
        elif options.backbone_rate != 1 and name.startswith("backbone."):
            groups[3 + still]["params"].append(parameter)
        else:
            groups[int(still)]["params"].append(parameter)
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.98))


def learning_rate_at(update: int, total: int, options: TrainOptions) -> float:
    """The rate of one update: a line up to the peak, then half a cosine down to zero."""
    rising = max(1, round(options.warmup * total))
    if update < rising:
        return options.learning_rate * (update + 1) / rising
    share = (update - rising) / max(1, total - rising)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Every group learns at `rate`, times its own factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("rate", 1.0)
