"""AdamW, linear warm-up and cosine, and which weights decay."""

from __future__ import annotations

import math

import torch
from torch import nn

from vigilia.training.options import TrainOptions

__all__ = ["GATE_RATE", "learning_rate_at", "make_optimiser"]


GATE_RATE = 10.0
"""Gates learn this much faster: they start at zero, and what lies behind them waits for them."""


def make_optimiser(model: nn.Module, options: TrainOptions) -> torch.optim.AdamW:
    """AdamW with weight decay on the matrices of linear and convolutional layers alone.

    Biases, norms, gates, learned tokens and bias tables do not decay: zero is no better a value
    for them than another.
    """
    matrices = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d)
    }
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gates = [
        parameter
        for name, parameter in model.named_parameters()
        if name.endswith("gate") and parameter.requires_grad
    ]
    decayed = [parameter for parameter in trainable if id(parameter) in matrices]
    apart = matrices | {id(parameter) for parameter in gates}
    others = [parameter for parameter in trainable if id(parameter) not in apart]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": options.weight_decay},
            {"params": others, "weight_decay": 0.0},
            {"params": gates, "weight_decay": 0.0, "rate": GATE_RATE},
        ],
        lr=options.learning_rate,
        betas=(0.9, 0.98),
    )


def learning_rate_at(update: int, total: int, options: TrainOptions) -> float:
    """The rate of one update: a line up to the peak, then half a cosine down to zero."""
    rising = max(1, round(options.warmup * total))
    if update < rising:
        return options.learning_rate * (update + 1) / rising
    share = (update - rising) / max(1, total - rising)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
