"""What a model knows: its training recordings, in so few numbers that the card can hold them.

- light: mean and deviation of each colour over their pixels;
- appearance: of what picture is like, apart from what happens in it (`appearance.py`);
- embeddings: what the backbone made of their clips, streamed with memory as in use.

The last two need two recordings or more, so that one can be left out (`familiarity.py`).

Letters: S clips, T frames of a clip, F new frames of it, H W pixels, D pooled features.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from vigilia.errors import CheckpointError
from vigilia.evaluation.appearance import appearance
from vigilia.evaluation.familiarity import Familiarity, fit_familiarity
from vigilia.stream import StreamClassifier
from vigilia.stream.telling import TellingState, telling

__all__ = ["Known", "Light", "embed_clips", "fit_known", "known_of", "light_of"]

APPEARANCE_AXES = 4
EMBEDDING_AXES = 32


@dataclass(frozen=True)
class Light:
    """Of decoded pixels, scaled to 0..1, by colour.

    Attributes:
        mean: red, green, blue.
        std: likewise.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Known:
    """What the card says of the training recordings.

    Attributes:
        light: of all of them.
        appearance: None where there was one recording.
        embeddings: likewise.
    """

    light: Light
    appearance: Familiarity | None
    embeddings: Familiarity | None

    def as_card(self) -> dict[str, Any]:
        """For a model card, under "known"."""
        card: dict[str, Any] = {"light": {"mean": self.light.mean, "std": self.light.std}}
        for name in ("appearance", "embeddings"):
            fitted = getattr(self, name)
            card[name] = None if fitted is None else fitted.as_card()
        return card


def known_of(card: Mapping[str, Any]) -> Known | None:
    """What a model's card says; None if it says nothing.

    Raises:
        CheckpointError: it is damaged.
    """
    if "known" not in card:
        return None
    told = card["known"]
    try:
        light = Light(*(_three(told["light"][name]) for name in ("mean", "std")))
        fitted = {
            name: None if told[name] is None else Familiarity.from_card(told[name])
            for name in ("appearance", "embeddings")
        }
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"what the card says of the training recordings is damaged ({error}); train it again"
        ) from error
    return Known(light, fitted["appearance"], fitted["embeddings"])


def fit_known(shown: Sequence[NDArray[np.uint8]], embedded: Sequence[NDArray[np.float64]]) -> Known:
    """Fits to recordings.

    Args:
        shown: of each recording, the new frames of some clips, (S, F, H, W, 3).
        embedded: of each, the pooled embeddings of these clips, (S, D).
    """
    enough = [index for index, one in enumerate(embedded) if len(one) > 1]
    several = len(enough) > 1
    return Known(
        light=light_of(shown),
        appearance=fit_familiarity(
            [appearance(shown[index]) for index in enough], axes=APPEARANCE_AXES
        )
        if several
        else None,
        embeddings=fit_familiarity([embedded[index] for index in enough], axes=EMBEDDING_AXES)
        if several
        else None,
    )


def light_of(shown: Iterable[NDArray[np.uint8]]) -> Light:
    """Mean and deviation of each colour. shown: any number of (..., 3) uint8, each counting alike.

    The deviation is that of all pixels of all recordings together.
    """
    moments = []
    for one in shown:
        flat = one.reshape(-1, 3).astype(np.float64) / 255
        moments.append([flat.mean(axis=0), (flat**2).mean(axis=0)])
    mean, square = np.mean(moments, axis=0)
    return Light(_three(mean), _three(np.sqrt(np.maximum(square - mean**2, 1e-8))))


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


@torch.inference_mode()
def embed_clips(
    model: StreamClassifier, clips: Iterable[tuple[NDArray[np.uint8], float]]
) -> NDArray[np.float64]:
    """Streams through clips of one recording, and keeps what the backbone pooled of each: (S, D).

    Args:
        model: in evaluation mode.
        clips: (T, H, W, 3) uint8, and when each ends in seconds.
    """
    told = telling(model)
    state, pooled = told.init_state(1), []
    device = model.head.weight.device
    for frames, end in clips:
        seconds = torch.tensor([end], dtype=torch.float64, device=device)
        clip = model.preprocessing.to_clip(torch.from_numpy(frames)[None].to(device))
        _, after = told.step(clip, state, seconds=seconds)
        state = cast(TellingState, after)
        pooled.append(state.pooled[0].double().cpu().numpy())
    return np.stack(pooled)
