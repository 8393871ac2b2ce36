"""From a model file and videos without labels to an adapted model: what `vigilia adapt` calls."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vigilia.adaptation.entropy import minimise_entropy, prior_of
from vigilia.adaptation.judging import Change, first_held_out, judge_change, look
from vigilia.adaptation.light import match_light
from vigilia.adaptation.norms import renorm
from vigilia.adaptation.options import AdaptOptions
from vigilia.checkpoint import save_model
from vigilia.errors import OptionError, VideoError
from vigilia.evaluation.appearance import appearance
from vigilia.evaluation.familiarity import Verdict, fit_familiarity, judge
from vigilia.evaluation.known import APPEARANCE_AXES, Known, known_of, light_of
from vigilia.models import resolve_model
from vigilia.pretraining.start import unlabelled_recording
from vigilia.stream import StreamClassifier
from vigilia.training.recordings import Recording
from vigilia.training.start import check_place
from vigilia.video import find_videos

__all__ = ["Adapted", "adapt_model", "adapt_recordings"]

BATCH = 8


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Attributes:
        model: the adapted one.
        done: the methods that did something, each with what it did.
        change: on the held-out part of the recordings.
        refused: why the model should not be used, the change's reasons among them; empty if
            nothing speaks against it.
    """

    model: StreamClassifier
    done: dict[str, Any]
    change: Change
    refused: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON and the card."""
        sides = {"before": self.change.before, "after": self.change.after}
        return {
            "done": self.done,
            "changed": self.change.changed,
            "refused": list(self.refused),
            **{
                name: {
                    "shares": dict(zip(self.model.classes, map(float, seen.shares), strict=True)),
                    "doubt": seen.doubt,
                    "distance": seen.distance,
                }
                for name, seen in sides.items()
            },
        }


def adapt_recordings(
    model: str | Path,
    videos: Sequence[str | Path],
    *,
    out: Path,
    options: AdaptOptions | None = None,
    force: bool = False,
    device: str = "cpu",
    cache: Path | None = None,
    on_frame: Callable[[str, float, float | None], None] | None = None,
    on_update: Callable[[int, int], None] | None = None,
) -> Adapted:
    """Decodes the recordings, adapts a copy of the model, judges it, writes it if it may be used.

    Args:
        model: a model file, or a bundled model.
        videos: of the new camera: files, folders of recordings, or patterns.
        out: the model file to write.
        options: how.
        force: write it even if something speaks against it.
        device: where to learn.
        cache: folder for decoded frames; by default beside `out`.
        on_frame: called while decoding with the recording, seconds, and its duration if known.
        on_update: called after every update of "entropy".

    Raises:
        VideoError: no video is found, or one cannot be read at all.
        OptionError: nothing of what is asked for can be done with this model.
        InputError: the recordings are next to flat.
        OutputError: the model cannot be written.
    """
    paths = list(dict.fromkeys(path for video in videos for path in find_videos(video)))
    if not paths:
        raise VideoError(f"{videos[0]}: no video found" if videos else "no video is named")
    check_place(out)
    start = resolve_model(model, device=device)

    def prepared(video: Path) -> Recording:
        def progress(seconds: float, duration: float | None) -> None:
            if on_frame is not None:
                on_frame(video.name, seconds, duration)

        return unlabelled_recording(
            video, start, cache=cache or out.with_name(out.name + ".frames"), on_frame=progress
        )

    recordings = [prepared(path) for path in paths]
    adapted = adapt_model(start, recordings, options=options, on_update=on_update)
    if not adapted.refused or force:
        told = start.card.get("trained_on", "not said")
        names = ", ".join(one.name for one in recordings[:4])
        story = {
            "trained_on": f"{told}; adapted without labels to {names}"
            + (", ..." if len(recordings) > 4 else ""),
            "adapted": adapted.as_dict(),
        }
        save_model(adapted.model, out, card={**adapted.model.card, **story})
    return adapted


def adapt_model(
    model: StreamClassifier,
    recordings: Sequence[Recording],
    *,
    options: AdaptOptions | None = None,
    on_update: Callable[[int, int], None] | None = None,
) -> Adapted:
    """Adapts a copy of a model.

    Args:
        model: in evaluation mode; is left as it is.
        recordings: of the new camera; labels are not looked at.
        options: how.
        on_update: as in `adapt_recordings`.

    Raises:
        OptionError: nothing of what is asked for can be done with this model.
        InputError: the recordings are next to flat.
    """
    options = options or AdaptOptions()
    known = known_of(model.card)
    learned = [_first_part(one) for one in recordings]
    done: dict[str, Any] = {}
    looks = None
    if known is not None and known.appearance is not None:
        looks = judge(
            known.appearance, np.concatenate([_appearance(model, one) for one in learned])
        )
    other = copy.deepcopy(model).eval()
    if "light" in options.methods and known is not None:
        found = light_of(_frames(one) for one in learned)
        preprocessing = match_light(model.preprocessing, known.light, found)
        other.spec = dataclasses.replace(model.spec, preprocessing=preprocessing)
        other.card = {**model.card, "known": _known_now(other, known, found, learned).as_card()}
        done["light"] = {"mean": preprocessing.mean, "std": preprocessing.std}
    if "norms" in options.methods and (count := renorm(other, _batches(other, learned))):
        done["norms"] = {"clips": count}
    if "entropy" in options.methods:
        prior = prior_of(model.card, model.classes)
        minimise_entropy(other, learned, prior=prior, options=options, on_update=on_update)
        other.eval()
        done["entropy"] = {"updates": options.updates}
    if not done:
        raise OptionError(
            f"{model.spec.name}: the model's card does not say what its training recordings look "
            "like, and it has no batch norms; train it again with this version, or ask for "
            "--method entropy"
        )
    embeddings = None if known is None else known.embeddings
    change = judge_change(look(model, recordings, embeddings), look(other, recordings, embeddings))
    return Adapted(other, done, change, (*_nothing_to_do(looks, change), *change.refused))


def _nothing_to_do(looks: Verdict | None, change: Change) -> tuple[str, ...]:
    """Why there is nothing to adapt to, if so.

    Eight plain numbers of the picture may find nothing unusual where the backbone does: in light
    that varied in training, but never so far. So adaptation is for recordings that look unlike the
    training's, and for those that it brought nearer to it in what the backbone makes of them.
    """
    if looks is None or looks.unfamiliar or change.nearer:
        return ()
    before, after = change.before.distance, change.after.distance
    far = "" if before is None or after is None else f" ({before:.2f} before, {after:.2f} after)"
    return (
        "the recordings look like those of the training already "
        f"({100 * looks.share_beyond:.0f} % of the clips lie beyond, 5 % would), and what the "
        f"backbone makes of them came no nearer to it{far}: there is nothing to adapt to",
    )


def _first_part(one: Recording) -> Recording:
    """Without the clips that are judged."""
    count = max(1, first_held_out(one))
    return dataclasses.replace(
        one,
        clips=one.clips[:count],
        start_seconds=one.start_seconds[:count],
        end_seconds=one.end_seconds[:count],
        labels=one.labels[:count],
    )


def _frames(one: Recording) -> np.ndarray:
    """About a hundred frames of a recording, evenly."""
    numbers = np.unique(one.clips)
    return np.asarray(one.frames[numbers[:: max(1, len(numbers) // 100)]])


def _appearance(model: StreamClassifier, one: Recording) -> np.ndarray:
    """(S, 8) of about a hundred clips."""
    every = max(1, len(one) // 100)
    new = model.stride_frames
    return appearance(np.stack([one.frames[clip[-new:]] for clip in one.clips[::every]]))


def _known_now(
    model: StreamClassifier, known: Known, found: Any, learned: Sequence[Recording]
) -> Known:
    """What the adapted model's card says: its light and appearance are the new camera's."""
    looks = [_appearance(model, one) for one in learned if len(one) > 1]
    return Known(
        light=found,
        appearance=fit_familiarity(looks, axes=APPEARANCE_AXES) if len(looks) > 1 else None,
        embeddings=known.embeddings,
    )


def _batches(model: StreamClassifier, learned: Sequence[Recording]) -> Iterator[Tensor]:
    device = model.head.weight.device
    for one in learned:
        for first in range(0, len(one), BATCH):
            frames = one.frames[one.clips[first : first + BATCH]]
            yield model.preprocessing.to_clip(torch.from_numpy(frames).to(device))
