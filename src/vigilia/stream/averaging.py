"""One model out of several checkpoints of one training: the mean of their weights.

Izmailov, Podoprikhin, Garipov, Vetrov, Wilson, "Averaging weights leads to wider optima and better
generalization", 2018. It costs nothing when the model runs. Checkpoints of different trainings do
not average to anything useful: put those side by side in an `Ensemble`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from vigilia.errors import OptionError
from vigilia.stream.classifier import StreamClassifier

__all__ = ["average_models"]


def average_models(models: Sequence[StreamClassifier]) -> StreamClassifier:
    """The model whose every weight is the mean of theirs; they are left as they are.

    Running statistics of norms are averaged, too, which is not exact; whole numbers are the first
    model's.

    Raises:
        OptionError: fewer than two models, or models that are not built alike.
    """
    if len(models) < 2:
        raise OptionError(f"an average is taken of at least 2 models, got {len(models)}")
    first, *others = models
    for number, other in enumerate(others, start=2):
        if other.spec != first.spec:
            raise OptionError(
                f"model {number} is not built like the first, so their weights do not average: "
                f"{other.spec.name} with {other.spec.memory} beside {first.spec.name} with "
                f"{first.spec.memory}, or other classes, preprocessing or options"
            )
    averaged = copy.deepcopy(first)
    tensors = [model.state_dict() for model in models]
    mean = {
        name: torch.stack([one[name].double() for one in tensors]).mean(dim=0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in tensors[0].items()
    }
    averaged.load_state_dict(mean)
    trained_on = first.card.get("trained_on", "not said")
    averaged.card = {"trained_on": f"{trained_on}; the mean of {len(models)} checkpoints"}
    return averaged
