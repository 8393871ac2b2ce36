"""Asking a trained memory, also one that was shown something else than it should have been.

Letters: N streams, S clips, Q questions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from vigilia.bench.seen import SeenStreams, step_seen
from vigilia.errors import OptionError
from vigilia.stream import StreamClassifier

__all__ = ["answers_after", "history_of"]


def history_of(seen: SeenStreams, kind: str, seed: int) -> SeenStreams:
    """What the memory is shown in place of the streams' own past.

    Args:
        seen: N streams.
        kind: "own", "foreign" (each gets the stream before it) or "shuffled" (its own clips in an
            order drawn by chance).
        seed: of that order.

    Raises:
        OptionError: no such kind, or a single stream has no foreign one.
    """
    if kind == "own":
        return seen
    if kind == "foreign":
        if len(seen) < 2:
            raise OptionError("another stream's memory needs two streams or more")
        return replace(seen, tokens=seen.tokens.roll(1, 0), pooled=seen.pooled.roll(1, 0))
    if kind == "shuffled":
        random = np.random.default_rng([seed, 33])
        order = torch.from_numpy(
            np.stack([random.permutation(seen.labels.shape[1]) for _ in range(len(seen))])
        )
        rows = torch.arange(len(seen))[:, None]
        return replace(seen, tokens=seen.tokens[rows, order], pooled=seen.pooled[rows, order])
    raise OptionError(f"no history of kind {kind!r}; there are own, foreign, shuffled")


@torch.inference_mode()
def answers_after(model: StreamClassifier, seen: SeenStreams, history: SeenStreams) -> np.ndarray:
    """Answers to every clip, from a memory that was shown the history up to the clip before.

    Args:
        model: in evaluation mode.
        seen: what is on and asked.
        history: of the same shape; `seen` itself for the honest test.

    Returns:
        (N, S) or (N, S, Q) int64, as the labels.
    """
    state = model.init_state(len(seen))
    said = []
    for clip in range(seen.labels.shape[1]):
        logits, following = step_seen(model, seen, clip, state)
        if history is not seen:
            _, following = step_seen(model, history, clip, state)
        state = following
        shape = (*seen.labels[:, clip].shape, -1)  # (N, K) or (N, Q, K)
        said.append(logits.reshape(shape).argmax(dim=-1))
    return torch.stack(said, dim=1).numpy()
