"""Features on disk: what a frozen backbone saw, once, in shards that survive a kill.

A folder for each recording holds shards of some clips each. The folder's name is a fingerprint of
the backbone's weights, the preprocessing and the recording's frames, so what another backbone or
another video left there is never taken for this one's. Shards are read clip by clip, never whole.

Letters: S clips, T H W token grid, D features.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vigilia.checkpoint import save_tensors
from vigilia.errors import OutputError
from vigilia.fingerprints import add_weights
from vigilia.stream import StreamClassifier
from vigilia.training.recordings import Recording
from vigilia.training.seeing import SeenRecording, see_clips, used_stages

__all__ = ["SHARD_CLIPS", "ShardedTokens", "cached_features", "fingerprint_of_backbone"]

SHARD_CLIPS = 256
FORMAT = "vigilia-features-1"
POOLED = "pooled"


class ShardedTokens:
    """The tokens of one stage, (S, T, H, W, D), in files; indexed like a tensor."""

    def __init__(self, paths: tuple[Path, ...], name: str, clips: int, shard_clips: int) -> None:
        self.paths = paths
        self.name = name
        self.clips = clips
        self.shard_clips = shard_clips

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int | slice) -> Tensor:
        if isinstance(index, slice):
            return torch.stack([self[clip] for clip in range(*index.indices(self.clips))])
        shard, place = divmod(index, self.shard_clips)
        return _opened(self.paths[shard]).get_slice(self.name)[place]


@functools.lru_cache(maxsize=128)
def _opened(path: Path) -> Any:
    """A shard stays open while it is among the last that were read: stretches read it in order."""
    return safe_open(path, framework="pt")


def fingerprint_of_backbone(model: StreamClassifier) -> str:
    """Of the weights, of how frames become clips, and of which stages are kept."""
    digest = hashlib.sha256()
    add_weights(digest, model.backbone)
    facts = [dataclasses.asdict(model.preprocessing), model.spec.name, used_stages(model)]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()


def cached_features(
    model: StreamClassifier,
    recording: Recording,
    cache: Path,
    *,
    backbone: str | None = None,
    shard_clips: int = SHARD_CLIPS,
    on_clip: Callable[[int, int], None] | None = None,
) -> SeenRecording:
    """What the backbone saw of a recording, computed where it is not there yet.

    Args:
        model: whose backbone sees.
        recording: to be seen.
        cache: folder for the shards.
        backbone: its fingerprint, if it is known already.
        shard_clips: clips of a shard; all that is lost when the process is killed.
        on_clip: called with the number of clips that are done and of all.

    Raises:
        OutputError: the disk is full or the place may not be written to.
    """
    mark = _fingerprint(recording, backbone or fingerprint_of_backbone(model))
    folder = cache / f"{Path(recording.name).stem}-{mark[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: features cannot be kept there ({error.strerror}); "
            "name another folder with --cache"
        ) from error
    total = len(recording)
    paths = []
    for first in range(0, total, shard_clips):
        clips = range(first, min(first + shard_clips, total))
        path = folder / f"{first // shard_clips:05d}.safetensors"
        header = {"format": FORMAT, "fingerprint": mark, "clips": f"{clips.start}-{clips.stop}"}
        if not _is_whole(path, header):
            parts = list(zip(*see_clips(model, recording, clips), strict=True))
            names = [*(str(number) for number in range(1, len(parts))), POOLED]
            tensors = {name: torch.cat(part) for name, part in zip(names, parts, strict=True)}
            save_tensors(path, tensors, header)
        paths.append(path)
        if on_clip is not None:
            on_clip(clips.stop, total)
    with safe_open(paths[0], framework="pt") as file:
        stages = len(file.keys()) - 1
    pooled = []
    for path in paths:
        with safe_open(path, framework="pt") as file:
            pooled.append(file.get_tensor(POOLED))
    return SeenRecording(
        recording=recording,
        features=tuple(
            ShardedTokens(tuple(paths), str(number), total, shard_clips)
            for number in range(1, stages + 1)
        ),
        pooled=torch.cat(pooled),
    )


def _is_whole(path: Path, header: dict[str, str]) -> bool:
    """Whether a shard is there, undamaged, and about these clips."""
    if not path.exists():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return bool(file.metadata() == header)
    except (SafetensorError, OSError):
        return False


def _fingerprint(recording: Recording, backbone: str) -> str:
    """Of a backbone and of what it is shown: which frames, and a part of their pixels."""
    digest = hashlib.sha256(f"{FORMAT} {backbone} {recording.name}".encode())
    digest.update(np.ascontiguousarray(recording.clips).tobytes())
    digest.update(str(recording.frames.shape).encode())
    step = max(1, len(recording.frames) // 64)
    digest.update(np.ascontiguousarray(recording.frames[::step]).tobytes())
    return digest.hexdigest()
