"""A bank of clips from which any number of training streams is put together.

What a clip shows depends on its scene, its symbol or level and chance, on nothing else. So every
scene is looked at once with every symbol, several times over, and a new stream picks its clips from
there: as if it had been rendered, but in no time. Test streams are rendered whole.

Letters: N scenes, C clips of a scene's catalogue, B streams, S clips of a stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vigilia.bench.seen import SeenStreams, see_streams
from vigilia.bench.streams import Stream, Task
from vigilia.stream import StreamClassifier

__all__ = [
    "SCENES",
    "Bank",
    "Catalogue",
    "catalogue",
    "choose_clips",
    "compose",
    "fill_bank",
    "scene_seeds",
]

SCENES = 64
BLANKS = 48
SPRITES = 120
LEVELS = 32
LEVEL_CLIPS = 5


@dataclass(frozen=True)
class Catalogue:
    """What every scene of a bank shows.

    Attributes:
        clips: C of them, unscored.
        places: for each symbol, or each step of level, the clips that show it.
        by_level: the keys of `places` are steps of level, not symbols.
    """

    clips: Stream
    places: dict[int, np.ndarray]
    by_level: bool


@dataclass(frozen=True)
class Bank:
    """Clips by scene.

    Attributes:
        seen: N scenes, each showing the same catalogue of C clips.
        places: for each symbol, or each step of level, the clips of the catalogue that show it.
        by_level: the keys of `places` are steps of level, not symbols.
    """

    seen: SeenStreams
    places: dict[int, np.ndarray]
    by_level: bool


def fill_bank(task: Task, eyes: StreamClassifier, *, seed: int, scenes: int = SCENES) -> Bank:
    """Renders and looks at the catalogue of a task in every scene.

    Args:
        task: whose symbols and levels are needed.
        eyes: the shared backbone.
        seed: of the scenes.
        scenes: N.
    """
    contents = catalogue(task)
    seeds = scene_seeds(task, seed=seed, scenes=scenes)
    return Bank(
        seen=see_streams(eyes, [contents.clips] * scenes, seeds),
        places=contents.places,
        by_level=contents.by_level,
    )


def catalogue(task: Task) -> Catalogue:
    """Every symbol, or every step of level, of a task, several times over."""
    if task.level_bins is not None:
        keys = np.repeat(np.arange(LEVELS + 1), LEVEL_CLIPS)
        symbols, levels = np.zeros(len(keys), np.int16), keys / LEVELS
    else:
        shown = task.draw(4000, np.random.default_rng(0), gap=8).symbols
        sprites = [symbol for symbol in np.unique(shown).tolist() if symbol]
        each = max(4, SPRITES // max(1, len(sprites)))
        keys = np.concatenate([np.zeros(BLANKS, int), np.repeat(sprites, each)])
        symbols, levels = keys.astype(np.int16), np.full(len(keys), 0.5)
    unscored = np.full(len(keys), -1)
    return Catalogue(
        clips=Stream(symbols, unscored, unscored, levels.astype(np.float32)),
        places={int(key): np.flatnonzero(keys == key) for key in np.unique(keys)},
        by_level=task.level_bins is not None,
    )


def scene_seeds(task: Task, *, seed: int, scenes: int) -> list[int]:
    """What the scenes of a bank are rendered from."""
    random = np.random.default_rng([seed, 25, int(task.name[1:])])
    return [int(one) for one in random.integers(2**31, size=scenes)]


def compose(bank: Bank, streams: Sequence[Stream], random: np.random.Generator) -> SeenStreams:
    """Streams of one length as if they had been rendered, each in a scene drawn by chance.

    Args:
        bank: of the streams' task.
        streams: B of them.
        random: which scene, and which of the clips that show the same.
    """
    contents = Catalogue(bank.seen.streams[0], bank.places, bank.by_level)
    where = choose_clips(contents, len(bank.seen), streams, random)
    return SeenStreams(
        streams=tuple(streams),
        tokens=bank.seen.tokens[where],
        pooled=bank.seen.pooled[where],
        labels=torch.from_numpy(np.stack([stream.labels for stream in streams])),
    )


def choose_clips(
    contents: Catalogue,
    scenes: int,
    streams: Sequence[Stream],
    random: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Which scene (B, 1) and which clips (B, S) of the catalogue show what the streams should.

    Args:
        contents: of the streams' task.
        scenes: N to choose from.
        streams: B of them, of one length.
        random: which scene, and which of the clips that show the same.
    """
    chosen = random.integers(scenes, size=len(streams))
    clips = np.empty((len(streams), len(streams[0])), np.int64)
    for row, stream in enumerate(streams):
        keys = np.rint(stream.levels * LEVELS) if contents.by_level else stream.symbols
        for key in np.unique(keys).tolist():
            held = keys == key
            clips[row, held] = random.choice(contents.places[int(key)], int(held.sum()))
    return torch.from_numpy(chosen)[:, None], torch.from_numpy(clips)
