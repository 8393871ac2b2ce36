"""A step takes the same memory after an hour as after a minute: nothing it allocates piles up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from conftest import tiny_model
from vigilia.engine import Piece, StepEngine
from vigilia.stream import StreamClassifier, create_model, prepared

CYCLE = 2  # memory writes every second step


def watching(memory: str, incremental: bool) -> StreamClassifier:
    if not incremental:
        options = {"write_every": CYCLE} if memory == "fam" else {}
        return prepared(tiny_model(memory=memory, **options))
    torch.manual_seed(0)
    sizes = {"slots": 3, "summary_tokens": 4, "feedback_tokens": 4, "write_every": CYCLE}
    options = sizes if memory == "fam" else {}
    return prepared(
        create_model(
            "swin3d_nano_incremental", num_classes=3, memory=memory, height=32, width=32, **options
        ).eval()
    )


def allocated(run: Callable[[], object]) -> tuple[int, int, int]:
    """How many allocations a call makes, their bytes, and what is left of them behind it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    changes = [
        event.nbytes()
        for event in seen.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    taken = [size for size in changes if size > 0]
    return len(taken), sum(taken), sum(changes)


@pytest.mark.parametrize("memory", ["none", "gru", "fam"])
@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
@torch.inference_mode()
def test_allocations_a_step_are_constant_after_the_first_few(
    memory: str, incremental: bool, batch: int
) -> None:
    model = watching(memory, incremental)
    pre = model.preprocessing
    engine = StepEngine(model, streams=2, batch=batch, queue_clips=CYCLE)
    random = np.random.default_rng(0)
    clips = random.integers(0, 256, (2, pre.clip_frames, pre.height, pre.width, 3), np.uint8)
    for name in "ab":
        engine.add(name)
    second = 0.0

    def cycle() -> None:
        nonlocal second
        for _ in range(CYCLE):
            for name, clip in zip("ab", clips, strict=True):
                engine.offer(name, Piece(second, second + pre.stride_seconds, clip))
            second += pre.stride_seconds
            while engine.poll(flush=True):
                pass

    for _ in range(6):  # slots fill, plans are made
        cycle()
    early = allocated(cycle)
    for _ in range(20):
        cycle()
    late = allocated(cycle)
    assert early[0] > 10
    assert early[:2] == late[:2]
    # Some last number may still be held: no more of three cycles than of one.
    count, size, left = allocated(lambda: [cycle() for _ in range(3)])
    assert (count, size) == (3 * early[0], 3 * early[1])
    assert max(left, early[2], late[2]) < 1024
