"""One batch: the chosen streams' clips and states in, their probabilities out.

The arithmetic of a row does not depend on the other rows of its batch, and a batch always has B
rows, so a stream gets the same bits whoever shares it. Another B is another order of sums: on a
CPU in float32 that moves probabilities by some 1e-6.

Letters: B rows, T frames, H W pixels, K classes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vigilia.engine.pool import StatePool
from vigilia.state import reset
from vigilia.stream import StreamClassifier

__all__ = ["BatchStepper", "Begun", "probabilities_of"]


@dataclass(frozen=True)
class Begun:
    """A batch that the device works on: logits (N, K) of its N rows, there when it is done."""

    logits: torch.Tensor


class BatchStepper:
    """Steps B rows at a time; all its buffers are allocated once.

    Args:
        model: in evaluation mode.
        pool: of its states; says B.
        ahead: how many batches may be begun before the first of them is finished. Each has a
            buffer of its own for frames: on a GPU those of the next batch are laid out and copied
            while the one before is computed.
    """

    def __init__(self, model: StreamClassifier, pool: StatePool, *, ahead: int = 1) -> None:
        self.model = model
        self.pool = pool
        pre = model.preprocessing
        shape = (pool.batch, pre.clip_frames, pre.height, pre.width, 3)
        on_gpu = pool.device.type == "cuda"
        self._buffers = deque(
            torch.zeros(shape, dtype=torch.uint8, pin_memory=on_gpu) for _ in range(ahead)
        )
        self._device, self._dtype = pool.device, pool.dtype
        self._copies = torch.cuda.Stream(pool.device) if on_gpu else None

    @torch.inference_mode()
    def begin(
        self,
        rows: Sequence[int],
        clips: Sequence[np.ndarray],
        seconds: Sequence[float],
        fresh: Sequence[bool],
        sounds: Sequence[np.ndarray | None] = (),
    ) -> Begun:
        """Steps up to B streams; what is left of the batch is idle. On a GPU, waits for nothing.

        Args:
            rows: of the pool; not of a batch that has begun and is not finished.
            clips: (T, H, W, 3) uint8, one a row.
            seconds: when each clip ended.
            fresh: streams that start anew.
            sounds: (F, M) float32, one a row, for a model that hears; None where nothing was heard.
        """
        batch, count = self.pool.batch, len(rows)
        frames = self._laid_out(clips)
        state = self.pool.gather(rows)
        idle = batch - count
        if any(fresh):
            state = reset(state, [*fresh, *[False] * idle])
        ended = torch.tensor([*seconds, *[0.0] * idle], dtype=torch.float64, device=self._device)
        active = None
        if idle:
            active = torch.tensor([True] * count + [False] * idle, device=self._device)
        logits, state = self.model.step(
            self.model.preprocessing.to_clip(frames, self._dtype),
            state,
            active=active,
            seconds=ended,
            audio=self._heard(sounds),
        )
        self.pool.scatter(rows, state)
        # A copy: the next batch's graph may write where this one's wrote.
        return Begun(logits[:count].clone())

    def finish(self, begun: Begun) -> list[np.ndarray]:
        """Waits for a batch: probabilities (K,) float32, one a row."""
        return [probabilities_of(row) for row in begun.logits.cpu()]

    def _laid_out(self, clips: Sequence[np.ndarray]) -> torch.Tensor:
        """(B, T, H, W, 3) uint8 on the device."""
        self._buffers.rotate()
        buffer = self._buffers[0]
        for place, clip in zip(buffer, clips, strict=False):
            place.copy_(torch.from_numpy(clip))
        if self._copies is None:
            return buffer.to(self._device)
        with torch.cuda.stream(self._copies):
            frames = buffer.to(self._device, non_blocking=True)
        stepping = torch.cuda.current_stream(self._device)
        stepping.wait_stream(self._copies)
        frames.record_stream(stepping)
        return frames

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
