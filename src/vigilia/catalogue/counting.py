"""Counts what a backbone costs, alone and under every memory, from shapes on the meta device.

The backbone runs once; what a memory adds is counted on the shapes of its tokens, which gives what
`vigilia.models.describe` counts for both together. A multiply-add is one: GMAC, which papers call
GFLOPs.

Letters: B streams, C channels, T frames, H W pixels.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from vigilia.backbones import NANO, Backbone
from vigilia.catalogue.entries import Entry
from vigilia.errors import OptionError
from vigilia.layers.flops import count_flops
from vigilia.memory import MEMORIES, Memory
from vigilia.spiking import SPIKING_MEMORIES, NeuroSvt
from vigilia.stream import StreamClassifier, create_model

__all__ = ["count_model"]

CLASSES = 400


def count_model(entry: Entry, *, pixels: int | None = None) -> dict[str, Any]:
    """The row of a model in counts.json.

    Args:
        entry: of the model.
        pixels: H and W of a step; by default 224, 64 of small models, 128 of spiking ones.

    Returns:
        size: H and W that a step is counted at; frames: T that it takes; stride: new ones;
        receptive_frames; clip_gmac: of the clip that was published, None where none was; memories:
        for each that goes with it parameters, gmac of a step, state_bytes, state_bytes_bfloat16
        and memory_seconds, None without a horizon.
    """
    if entry.family == "neuro_svt":
        return _count_spiking(entry, pixels or 128)
    size = pixels or (64 if entry.name in NANO else 224)
    memories: dict[str, Any] = {}
    plain = _build(entry.name, "none", size)
    tokens, pooled, base = _run(plain, _clip(plain.clip_frames, size))
    for memory in MEMORIES:
        try:
            model = _build(entry.name, memory, size)
        except OptionError:
            continue
        memories[memory] = _count_memory(model, tokens, pooled, base)
    clip = entry.published.clip if entry.published else None
    return {
        "size": size,
        "frames": plain.clip_frames,
        "stride": plain.stride_frames,
        "receptive_frames": plain.receptive_frames,
        "clip_gmac": None if clip is None else _clip_gmac(plain, *clip),
        "memories": memories,
    }


def _build(name: str, memory: str, size: int) -> StreamClassifier:
    with torch.device("meta"):
        model = create_model(name, num_classes=CLASSES, memory=memory, height=size, width=size)
    return model.eval()


def _clip(frames: int, size: int) -> Tensor:
    return torch.empty(1, 3, frames, size, size, device="meta")


def _run(model: StreamClassifier, clip: Tensor) -> tuple[tuple[Tensor, ...], Tensor, int]:
    """Tokens of every stage, their pooled vector, and the operations of a step without memory."""
    seen: list[tuple[Tensor, ...]] = []
    pool = cast(Backbone, model.backbone).pool

    def keep(features: tuple[Tensor, ...]) -> Tensor:
        seen.append(features)
        return pool(features)

    model.backbone.pool = keep  # type: ignore[assignment]
    with torch.no_grad():
        flops = count_flops(lambda: model.step(clip, model.init_state(1)))
        return seen[0], pool(seen[0]), flops


def _count_memory(
    model: StreamClassifier, tokens: tuple[Tensor, ...], pooled: Tensor, base: int
) -> dict[str, Any]:
    memory, state = cast(Memory, model.memory), model.init_state(1)

    def remember() -> None:
        clock: dict[str, Any] = {"seconds": state.seconds, "clips": state.clips}
        readers = memory.readers(state.memory, **clock)
        for number, reader in readers.items():
            reader(tokens[number - 1])
        embedding, _ = memory.update(tokens, pooled, state.memory, **clock)
        model.head(embedding)

    with torch.no_grad():
        flops = base - 2 * pooled.shape[1] * CLASSES + count_flops(remember)
    slots, every = (getattr(memory, name, 0) for name in ("slots", "write_every"))
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "gmac": _rounded(flops / 2e9),
        "state_bytes": state.nbytes,
        "state_bytes_bfloat16": model.init_state(1, dtype=torch.bfloat16).nbytes,
        "memory_seconds": slots * every * model.preprocessing.stride_seconds if slots else None,
    }


def _clip_gmac(model: StreamClassifier, frames: int, size: int) -> float:
    backbone = cast(Any, model.backbone)
    clip = _clip(frames, size)
    with torch.no_grad():
        flops = count_flops(lambda: model.head(backbone.pool(backbone(clip))))
    return _rounded(flops / 2e9)


def _count_spiking(entry: Entry, size: int) -> dict[str, Any]:
    memories: dict[str, Any] = {}
    for memory in SPIKING_MEMORIES:
        with torch.device("meta"):
            model = create_model(
                entry.name, num_classes=CLASSES, memory=memory, height=size, width=size
            )
            assert isinstance(model, NeuroSvt)
            bins = torch.empty(1, 2, size, size)
        state = model.eval().init_state(1)
        with torch.no_grad():
            flops = count_flops(lambda: model.step(bins, state))  # noqa: B023
        memories[memory] = {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "gmac": _rounded(flops / 2e9),
            "state_bytes": state.nbytes,
            "state_bytes_bfloat16": model.init_state(1, dtype=torch.bfloat16).nbytes,
            "memory_seconds": None,
        }
    return {
        "size": size,
        "frames": 1,
        "stride": 1,
        "receptive_frames": 1,
        "clip_gmac": None,
        "memories": memories,
    }


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
