"""One step as one compiled graph, by `torch.compile`.

Compiling takes a minute or so for each model and batch size; what it finds is kept on disk by
PyTorch and found again. On a graphics card the graph is recorded and played back whole, so that
hundreds of small kernels are launched as one (a CUDA graph). On a CPU it gains little: see
`vigilia.export` for what does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vigilia.errors import OptionError
from vigilia.state import map_tensors
from vigilia.stream.classifier import StreamClassifier

__all__ = ["compiled"]


def compiled(model: StreamClassifier, *, backend: Any = "inductor") -> StreamClassifier:
    """Lets a model step as one graph, in place, and returns it.

    Its results are the same to rounding. Rows that idle make a second graph.

    Args:
        model: that will only watch, as from `vigilia.stream.prepared`.
        backend: of `torch.compile`.

    Raises:
        OptionError: it is being trained; at the first step: it cannot be compiled here.
    """
    from torch._dynamo.exc import TorchDynamoException  # a second of importing

    if model.training:
        raise OptionError("only a model that watches can be compiled: call eval() first")
    plays_back = model.head.weight.device.type == "cuda" and backend == "inductor"
    plain = model.step
    graph: Any = torch.compile(
        plain,
        dynamic=False,
        fullgraph=True,
        backend=backend,
        mode="reduce-overhead" if plays_back else None,
    )
    batches: set[int] = set()

    def step(
        clip: Tensor,
        state: Any,
        *,
        active: Tensor | None = None,
        seconds: Tensor | None = None,
        audio: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        if len(clip) not in batches:  # a plain step leaves the plans of its windows behind
            plain(clip, state, active=active, seconds=seconds, audio=audio)
            batches.add(len(clip))
        if plays_back:
            torch.compiler.cudagraph_mark_step_begin()
        try:
            logits, state = graph(clip, state, active=active, seconds=seconds, audio=audio)
        except TorchDynamoException as error:
            reason = " ".join(str(error).split())[:160]
            raise OptionError(
                f"the step cannot be compiled here ({reason}); on a CPU that takes a C++ compiler: "
                "install g++, or run without compiling"
            ) from error
        if not plays_back:
            return logits, state
        # What a recorded graph returns lies where its next run writes.
        return logits.clone(), map_tensors(torch.clone, state)

    model.compiled = True
    model.step = step  # type: ignore[assignment,method-assign]
    return model
