"""One batch: the chosen streams' clips and states in, their probabilities out.

The arithmetic of a row does not depend on the other rows of its batch, and a batch always has B
rows, so a stream gets the same bits whoever shares it. Another B is another order of sums: on a
CPU in float32 that moves probabilities by some 1e-6.

Letters: B rows, T frames, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vigilia.engine.pool import StatePool
from vigilia.state import reset
from vigilia.stream import StreamClassifier

__all__ = ["BatchStepper", "probabilities_of"]


class BatchStepper:
    """Steps B rows at a time; all its buffers are allocated once.

    Args:
        model: in evaluation mode.
        pool: of its states; says B.
    """

    def __init__(self, model: StreamClassifier, pool: StatePool) -> None:
        self.model = model
        self.pool = pool
        pre = model.preprocessing
        shape = (pool.batch, pre.clip_frames, pre.height, pre.width, 3)
        on_gpu = pool.device.type == "cuda"
        self._frames = torch.zeros(shape, dtype=torch.uint8, pin_memory=on_gpu)
        self._device, self._dtype = pool.device, pool.dtype

    @torch.inference_mode()
    def step(
        self,
        rows: Sequence[int],
        clips: Sequence[np.ndarray],
        seconds: Sequence[float],
        fresh: Sequence[bool],
        sounds: Sequence[np.ndarray | None] = (),
    ) -> list[np.ndarray]:
        """Steps up to B streams; what is left of the batch is idle.

        Args:
            rows: of the pool.
            clips: (T, H, W, 3) uint8, one a row.
            seconds: when each clip ended.
            fresh: streams that start anew.
            sounds: (F, M) float32, one a row, for a model that hears; None where nothing was heard.

        Returns:
            Probabilities (K,) float32, one a row.
        """
        batch, count = self.pool.batch, len(rows)
        for place, clip in zip(self._frames, clips, strict=False):
            place.copy_(torch.from_numpy(clip))
        state = self.pool.gather(rows)
        idle = batch - count
        if any(fresh):
            state = reset(state, [*fresh, *[False] * idle])
        ended = torch.tensor([*seconds, *[0.0] * idle], dtype=torch.float64, device=self._device)
        active = None
        if idle:
            active = torch.tensor([True] * count + [False] * idle, device=self._device)
        logits, state = self.model.step(
            self.model.preprocessing.to_clip(
                self._frames.to(self._device, non_blocking=True), self._dtype
            ),
            state,
            active=active,
            seconds=ended,
            audio=self._heard(sounds),
        )
        self.pool.scatter(rows, state)
        return [probabilities_of(row) for row in logits[:count].cpu()]

    def _heard(self, sounds: Sequence[np.ndarray | None]) -> torch.Tensor | None:
        """(B, F, M), NaN where nothing was heard; None for a model that does not hear."""
        if not self.model.hears:
            return None
        audio = self.model.unheard(self.pool.batch)
        for place, sound in zip(audio, sounds, strict=False):
            if sound is not None:
                place.copy_(torch.from_numpy(sound))
        return audio


def probabilities_of(logits: torch.Tensor) -> np.ndarray:
    """logits: (K,) -> probabilities (K,) float32."""
    return logits.float().softmax(0).cpu().numpy()
