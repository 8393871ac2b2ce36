"""A model's step as a graph: tensors in, tensors out, no Python left.

Letters: B streams, C channels, T frames, H W pixels, K classes.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from vigilia.errors import OptionError
from vigilia.export.description import Description
from vigilia.state import map_tensors, named_tensors
from vigilia.stream import StreamClassifier, StreamState, prepared

__all__ = ["INPUTS", "example_inputs", "trace"]

INPUTS = ("clip", "active", "seconds")
"""Names of the inputs before those of the state."""


class Step(nn.Module):
    """`model.step` with the state laid out flat.

    Args:
        model: in evaluation mode.
        like: a state, which says how the flat tensors belong together.
    """

    def __init__(self, model: StreamClassifier, like: StreamState) -> None:
        super().__init__()
        self.model = model
        self._like = like

    def forward(
        self, clip: Tensor, active: Tensor, seconds: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        """clip (B, C, T, H, W), active (B,), seconds (B,), state -> logits (B, K), state."""
        given = iter(tensors)
        state = map_tensors(lambda _: next(given), self._like)
        _, new = self.model.step(clip, state, seconds=seconds)
        chosen = map_tensors(lambda a, b: _where_rows(active, a, b), new, state)
        # Two outputs must not be one tensor, hence the copy.
        return (chosen.logits.clone(), *named_tensors(chosen).values())


def _where_rows(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """As `vigilia.state.where_rows`, with what other runtimes know: no choice between booleans."""
    column = rows.view(-1, *[1] * (new.ndim - 1))
    if new.dtype == torch.bool:
        return (column & new) | (~column & old)
    return torch.where(column, new, old)


def trace(model: StreamClassifier, description: Description) -> torch.export.ExportedProgram:
    """The step of a batch of B streams; inputs and outputs are in the description's order.

    Raises:
        OptionError: the model hears, or something in it can only be decided while it runs.
    """
    if model.hears:
        raise OptionError(f"{model.spec.name} hears; models that take sound cannot be exported")
    watching = prepared(model).cpu()
    step = Step(watching, watching.init_state(description.batch))
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(step, example_inputs(description), strict=False)
    except (torch._dynamo.exc.UserError, GuardOnDataDependentSymNode) as error:
        raise OptionError(
            f"{model.spec.name} with memory {model.spec.memory} cannot be exported: it decides by "
            f"what it sees ({str(error).strip().splitlines()[0]})"
        ) from error


def example_inputs(description: Description) -> tuple[Tensor, ...]:
    """Inputs of the right shapes and types: of a first step."""
    batch = description.batch
    pre = description.spec.preprocessing
    return (
        torch.zeros(description.clip_shape),
        torch.ones(batch, dtype=torch.bool),
        torch.full((batch,), pre.stride_seconds, dtype=torch.float64),
        *(torch.zeros(one.shape, dtype=getattr(torch, one.dtype)) for one in description.state),
    )
