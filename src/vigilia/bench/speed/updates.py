"""What is timed: one update each, from decoded frames to logits.

The yardstick is what a user would otherwise run: torchvision's swin3d_t over the last 32 frames,
every 8 frames, everything computed anew, in float32.

Letters: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vigilia.backbones import from_torchvision
from vigilia.backbones._torchvision import import_torchvision
from vigilia.layers.flops import count_flops
from vigilia.preprocessing import Preprocessing
from vigilia.stream import StreamClassifier, create_model, prepared

__all__ = ["YARDSTICK", "Update", "own_updates", "swin_t", "update_of", "yardstick"]

YARDSTICK = "torchvision, 32 frames"

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Update:
    """One way to get the next label.

    Attributes:
        name: of the row.
        precision: float32, bf16 or int8, of nearly all of the work.
        call: makes one update.
        gflop: of one, counted.
        state_bytes: what a stream remembers.
    """

    name: str
    precision: str
    call: Callable[[], object]
    gflop: float
    state_bytes: int


def yardstick(size: int, *, compiled: bool = False) -> tuple[list[Update], dict[str, Tensor]]:
    """torchvision's update, also compiled if that is asked for, and its weights.

    Args:
        size: H and W.
        compiled: add the same model under `torch.compile`.
    """
    model = import_torchvision().models.video.swin3d_t().eval()
    pre = Preprocessing(height=size, width=size)
    frames = _frames(32, size)
    with torch.inference_mode():
        gflop = count_flops(lambda: model(pre.to_clip(frames))) / 1e9
    updates = [Update(YARDSTICK, "float32", lambda: model(pre.to_clip(frames)), gflop, 0)]
    if compiled:
        fast = torch.compile(model)
        updates.append(
            Update(f"{YARDSTICK}, compiled", "float32", lambda: fast(pre.to_clip(frames)), gflop, 0)
        )
    return updates, model.state_dict()


def swin_t(
    weights: dict[str, Tensor], *, memory: str, size: int, incremental: bool
) -> StreamClassifier:
    """Our Swin-T with torchvision's weights, in evaluation mode.

    Args:
        weights: torchvision's.
        memory: a key of `MEMORIES`.
        size: H and W.
        incremental: 8 new frames a step in place of 32.
    """
    name = "swin3d_t_incremental" if incremental else "swin3d_t"
    model = create_model(name, num_classes=400, memory=memory, height=size, width=size).eval()
    model.load_state_dict(from_torchvision(weights), strict=False)
    return model


def own_updates(
    weights: dict[str, Tensor],
    *,
    size: int,
    memories: Sequence[str] = ("none", "fam"),
    precisions: Sequence[str] = ("float32", "bf16"),
    compiled: bool = False,
    on_model: Callable[[str, StreamClassifier, float], Sequence[Update]] | None = None,
) -> list[Update]:
    """Clip mode and incremental mode, with each memory and in each precision, in plain PyTorch.

    Args:
        weights: torchvision's.
        size: H and W.
        memories: keys of `MEMORIES`.
        precisions: keys of `DTYPES`.
        compiled: add each under `torch.compile`.
        on_model: more updates of an incremental model, such as its export; called with the row's
            name, the model in float32 and the GFLOP of a step.
    """
    updates = []
    for incremental in (False, True):
        for memory in memories:
            model = swin_t(weights, memory=memory, size=size, incremental=incremental)
            name = f"{'incremental' if incremental else 'clip mode'}, {memory}"
            gflop = 0.0
            for precision in precisions:
                fast = prepared(model, DTYPES[precision])
                one = update_of(name, fast, precision=precision)
                gflop = gflop or one.gflop
                updates.append(one)
                if compiled:
                    step = torch.compile(fast.step, dynamic=False)
                    updates.append(
                        update_of(
                            f"{name}, compiled", fast, precision=precision, gflop=gflop, step=step
                        )
                    )
            if incremental and on_model is not None:
                updates += on_model(name, model, gflop)
    return updates


@torch.inference_mode()
def update_of(
    name: str,
    model: Any,
    *,
    precision: str,
    gflop: float | None = None,
    step: Callable[..., Any] | None = None,
) -> Update:
    """An update of whatever has `init_state` and `step`, on a stream that is under way.

    Args:
        name: of the row.
        model: may be an exported step.
        precision: that it computes in.
        gflop: of a step; None counts it.
        step: to call in place of the model's own.
    """
    pre = model.preprocessing
    frames = _frames(pre.clip_frames, pre.height)
    chosen = step or model.step
    _, state = chosen(pre.to_clip(frames), model.init_state(1))
    if gflop is None:
        gflop = count_flops(lambda: model.step(pre.to_clip(frames), state)) / 1e9

    def update() -> None:
        nonlocal state
        _, state = chosen(pre.to_clip(frames), state)

    return Update(name, precision, update, gflop, state.nbytes)


def _frames(count: int, size: int) -> Tensor:
    """(1, T, H, W, 3) uint8 of noise."""
    return torch.randint(0, 256, (1, count, size, size, 3), dtype=torch.uint8)
