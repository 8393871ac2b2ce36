"""A recording with how far each second of it is from what the model knows, and its doubt.

Letters: S clips, N seconds, F new frames of a clip, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vigilia.errors import OptionError
from vigilia.evaluation.appearance import appearance
from vigilia.evaluation.familiarity import Familiarity, Verdict, distances, doubt, judge
from vigilia.evaluation.known import Known, known_of
from vigilia.evaluation.watching import ClipSeen, RecordingSeen, watch
from vigilia.files import write_atomically
from vigilia.running.recording import RunUpdate
from vigilia.stream import StreamClassifier
from vigilia.stream.telling import TellingState, telling
from vigilia.timeline import Timeline
from vigilia.video import Gap, Sample

__all__ = ["AppearanceWatch", "Familiar", "watch_familiarity", "write_familiarity"]

Floats = NDArray[np.float64]


class AppearanceWatch:
    """Judges the pictures of a recording while something else runs over it.

    Args:
        known: of the model's card.
        frames: F, samples from one clip to the next.

    Attributes:
        rows: (S, 8) of the appearance so far, as a list.
    """

    def __init__(self, known: Familiarity, frames: int) -> None:
        self._known = known
        self._frames = frames
        self._fresh: list[NDArray[np.uint8]] = []
        self.rows: list[NDArray[np.float64]] = []

    def take(self, sample: Sample | Gap) -> None:
        """The next sample of the recording; a hole begins a new clip."""
        if isinstance(sample, Gap):
            self._fresh = []
            return
        self._fresh.append(sample.pixels)
        if len(self._fresh) == self._frames:
            self.rows.append(appearance(np.stack(self._fresh)[None])[0])
            self._fresh = []

    def verdict(self) -> Verdict | None:
        """Of all clips so far; None if there was none."""
        return judge(self._known, np.stack(self.rows)) if self.rows else None


@dataclass(frozen=True)
class Familiar:
    """A recording as it was taken.

    Attributes:
        timeline: what the model saw.
        seconds: (N,) where each second begins.
        doubt: (N,) entropy of the probabilities: 0 is sure, 1 is all classes alike.
        appearance: (N,) distance of the picture from the training's, in units of the limit that
            95 % of the clips of a training recording stay within; NaN where the card says nothing.
        embedding: (N,) the same of what the backbone made of it.
        looks: the verdict on the pictures; None where the card says nothing.
        means: the verdict on the embeddings, likewise.
    """

    timeline: Timeline
    seconds: Floats
    doubt: Floats
    appearance: Floats
    embedding: Floats
    looks: Verdict | None
    means: Verdict | None

    @property
    def unfamiliar(self) -> bool:
        """Whether most of the recording is unlike the training, in either way."""
        return any(one is not None and one.unfamiliar for one in (self.looks, self.means))


def watch_familiarity(
    video: str | Path,
    model: StreamClassifier,
    *,
    max_gap_seconds: float = 2.0,
    on_update: Callable[[RunUpdate], None] | None = None,
) -> Familiar:
    """Runs a model over a recording, as `vigilia.run` does, and judges every clip on the way.

    Args:
        video: file, folder of recorder chunks, glob.
        model: in evaluation mode.
        max_gap_seconds: a longer time without a frame is unobserved.
        on_update: called after every step.

    Raises:
        VideoError: the video cannot be read.
        OptionError: the model's card does not say what it learned from.
    """
    known = known_of(model.card)
    if known is None:
        raise OptionError(
            f"{model.spec.name}: the model's card does not say what its training recordings look "
            "like; `vigilia train` of this version writes it, train it again"
        )
    looks: list[Floats] = []

    def keep(clip: ClipSeen) -> tuple[NDArray[np.float32], Floats]:
        looks.append(appearance(np.stack(clip.pixels)[None])[0] if clip.pixels else looks[-1])
        state = cast(TellingState, clip.state)
        return clip.probabilities, state.pooled[0].double().cpu().numpy()

    seen = watch(video, telling(model), keep, max_gap_seconds=max_gap_seconds, on_update=on_update)
    said, embedded = zip(*seen.kept, strict=True)
    return _judged(seen, known, np.array(said), looks, list(embedded))


def _judged(
    seen: RecordingSeen,
    known: Known,
    said: NDArray[np.float32],
    looked: list[Floats],
    embedded: list[Floats],
) -> Familiar:
    """Clips become seconds: each shows the clip that labels its beginning."""
    starts, ends = seen.start_seconds, seen.end_seconds
    first, last = float(starts[0]), float(ends[-1])
    seconds: Floats = first + np.arange(max(1, int(np.ceil(last - first - 1e-6))), dtype=np.float64)
    clip = np.maximum(np.searchsorted(starts, seconds + 1e-9, side="right") - 1, 0)
    inside = seconds < ends[clip]
    seconds, clip = seconds[inside], clip[inside]

    def curve(fitted: Familiarity | None, rows: list[Floats]) -> tuple[Floats, Verdict | None]:
        if fitted is None:
            return np.full(len(seconds), np.nan), None
        every = np.stack(rows)
        return (distances(fitted, every) / fitted.limit)[clip], judge(fitted, every)

    looks, looks_verdict = curve(known.appearance, looked)
    means, means_verdict = curve(known.embeddings, embedded)
    return Familiar(
        timeline=seen.timeline,
        seconds=seconds,
        doubt=doubt(said)[clip],
        appearance=looks,
        embedding=means,
        looks=looks_verdict,
        means=means_verdict,
    )


def write_familiarity(found: Familiar, folder: Path) -> None:
    """Writes timeline.csv and .json, familiarity.csv and familiarity.png into a folder.

    Raises:
        OutputError: the folder cannot be written to.
    """
    from vigilia.timeline.plots import plot_timeline

    folder.mkdir(parents=True, exist_ok=True)
    found.timeline.to_csv(folder / "timeline.csv")
    found.timeline.to_json(folder / "timeline.json")
    columns = {
        "doubt": found.doubt,
        "appearance": found.appearance,
        "embedding": found.embedding,
    }
    rows = zip(found.seconds.tolist(), *(one.tolist() for one in columns.values()), strict=True)
    lines = [
        ",".join([f"{second:.3f}", *("" if np.isnan(v) else f"{v:.4f}" for v in values)])
        for second, *values in rows
    ]
    head = ",".join(["start_seconds", *columns])
    write_atomically(folder / "familiarity.csv", "\n".join([head, *lines]) + "\n")
    plot_timeline(
        found.timeline,
        folder / "familiarity.png",
        extra={
            name: (found.seconds + 1, values)
            for name, values in columns.items()
            if not np.isnan(values).any()
        },
    )
