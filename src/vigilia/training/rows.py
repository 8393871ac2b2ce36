"""Recordings side by side: each row of a batch plays a stretch of one recording, in order.

Clips are never shuffled within a stretch, because each is classified with the memory of those
before it. But a row that played one recording for hours would show the optimiser nearly the same
picture, with the same label, update after update. So a row plays on only with a stated probability
(random state passing: Hwang et al., "TransformerFAM", 2024, section 3.4); otherwise it jumps to
another place and starts with an empty memory there, as it does when a recording ends.

Only numbers are handled here, for all rows of all processes; whoever computes a row loads it.

Letters: B rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vigilia.training.augment import draw_mix
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording

__all__ = [
    "Batch",
    "Cursor",
    "Places",
    "first_cursor",
    "jump",
    "make_places",
    "next_batch",
    "partner_of",
    "place_of",
]

GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Places:
    """Where stretches may begin.

    Attributes:
        recordings: laid end to end, in this order.
        options: of the training: seed, sampling, burn-in, mixing.
        ends: (recordings,) clips up to the end of each.
        weight_before: (clips,) how much the clips up to each one weigh, itself included; None
            where all weigh the same.
        ages: for each recording, (S,) how many clips ago the state began.
    """

    recordings: tuple[Recording, ...]
    options: TrainOptions
    ends: np.ndarray
    weight_before: np.ndarray | None
    ages: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Cursor:
    """Where every row stands; small enough to be saved with each checkpoint.

    Attributes:
        plays: (B,) number of the stretch that each row plays; it says where that began.
        clips: (B,) the row's next clip.
        starts: (B,) whether that clip is the first of its stretch.
    """

    plays: tuple[int, ...]
    clips: tuple[int, ...]
    starts: tuple[bool, ...]


class Batch(NamedTuple):
    """One clip of each row, as numbers; every field has B entries.

    Attributes:
        recordings: which recording.
        clips: which clip of it.
        labels: int64, -1 where the loss does not look: unscored, burn-in, beyond the curriculum.
        seconds: float64, when the clip ended.
        starts: rows whose memory must be empty.
        plays: which stretch it is.
        partners: the recording that is mixed in; -1 for none.
        partner_clips: which clip of that.
        partner_labels: as `labels`.
        shares: float64, share of the row's own recording in the picture and in the loss.
    """

    recordings: np.ndarray
    clips: np.ndarray
    labels: np.ndarray
    seconds: np.ndarray
    starts: np.ndarray
    plays: np.ndarray
    partners: np.ndarray
    partner_clips: np.ndarray
    partner_labels: np.ndarray
    shares: np.ndarray

    def rows(self, which: slice) -> Batch:
        """The same clip of some of the rows."""
        return Batch(*(column[which] for column in self))


def make_places(recordings: Sequence[Recording], options: TrainOptions) -> Places:
    """Prepares recordings for `place_of`; with balanced sampling rare states weigh more."""
    weights = None
    if options.balanced_sampling:
        labels = np.concatenate([recording.labels for recording in recordings])
        counts = np.bincount(labels + 1).astype(float)  # unscored clips are counted in front
        each = np.maximum(counts, 1.0) ** -options.balanced_sampling
        # Nothing is learned where nothing is scored: such clips are as likely as the commonest.
        each[0] = each[1:][counts[1:] > 0].min(initial=each[0])
        weights = np.cumsum(each[labels + 1])
    return Places(
        recordings=tuple(recordings),
        options=options,
        ends=np.cumsum([len(recording) for recording in recordings]),
        weight_before=weights,
        ages=tuple(_ages(recording.labels) for recording in recordings),
    )


def _ages(labels: np.ndarray) -> np.ndarray:
    """(S,) -> (S,): 5 5 7 7 7 gives 0 1 0 1 2."""
    numbers = np.arange(len(labels))
    changed = np.diff(labels, prepend=labels[:1] - 1) != 0
    return numbers - np.maximum.accumulate(np.where(changed, numbers, 0))


def place_of(places: Places, play: int) -> tuple[int, int]:
    """Where a stretch begins: recording and clip.

    Places follow the golden ratio along all clips laid end to end, so that any number of them
    covers the recordings evenly, each in proportion to its length. With balanced sampling they
    cover the clips' weights evenly, and a stretch begins up to a chunk before the clip that was
    drawn: rare states must not be what a model sees whenever its memory is empty.
    """
    options = places.options
    offset = np.random.default_rng([options.seed, 1]).random()
    share = (offset + play * GOLDEN_RATIO) % 1.0
    if places.weight_before is None:
        return _split(places, int(share * places.ends[-1]))
    weights = places.weight_before
    along = int(np.searchsorted(weights, share * weights[-1], side="right"))
    index, clip = _split(places, min(along, len(weights) - 1))
    lead = options.burn_in_clips + options.chunk_clips
    return index, max(0, clip - int(np.random.default_rng([options.seed, 7, play]).integers(lead)))


def partner_of(places: Places, play: int) -> tuple[int, int]:
    """Where the stretch begins that is mixed into this one."""
    share = np.random.default_rng([places.options.seed, 9, play]).random()
    return _split(places, int(share * places.ends[-1]))


def _split(places: Places, along: int) -> tuple[int, int]:
    index = int(np.searchsorted(places.ends, along, side="right"))
    return index, along - int(places.ends[index]) + len(places.recordings[index])


def first_cursor(places: Places) -> Cursor:
    """Every row at the beginning of a stretch."""
    plays = tuple(range(places.options.rows))
    clips = tuple(place_of(places, play)[1] for play in plays)
    return Cursor(plays, clips, starts=(True,) * len(plays))


def jump(places: Places, cursor: Cursor, rows: np.ndarray) -> Cursor:
    """Sends the chosen rows, (B,) bool, to new places."""
    plays, clips, starts = list(cursor.plays), list(cursor.clips), list(cursor.starts)
    for row in np.flatnonzero(rows):
        plays[row] = max(plays) + 1
        clips[row] = place_of(places, plays[row])[1]
        starts[row] = True
    return Cursor(tuple(plays), tuple(clips), tuple(starts))


def next_batch(places: Places, cursor: Cursor, *, reach: int | None = None) -> tuple[Batch, Cursor]:
    """The clips under the cursor, and the cursor behind them.

    Args:
        places: what the cursor points into.
        cursor: where the rows stand.
        reach: clips whose state began more clips ago than this are not scored.
    """
    rows = [
        _row(places, play, clip, reach)
        for play, clip in zip(cursor.plays, cursor.clips, strict=True)
    ]
    batch = Batch(
        recordings=np.array([row.recording for row in rows]),
        clips=np.array(cursor.clips),
        labels=np.array([row.label for row in rows], dtype=np.int64),
        seconds=np.array([row.seconds for row in rows]),
        starts=np.array(cursor.starts),
        plays=np.array(cursor.plays),
        partners=np.array([row.partner for row in rows]),
        partner_clips=np.array([row.partner_clip for row in rows]),
        partner_labels=np.array([row.partner_label for row in rows], dtype=np.int64),
        shares=np.array([row.share for row in rows]),
    )
    moved = Cursor(
        cursor.plays, tuple(clip + 1 for clip in cursor.clips), (False,) * len(cursor.plays)
    )
    return batch, jump(places, moved, np.array([row.ended for row in rows]))


class _Row(NamedTuple):
    recording: int
    label: int
    seconds: float
    ended: bool
    partner: int = -1
    partner_clip: int = 0
    partner_label: int = -1
    share: float = 1.0


def _row(places: Places, play: int, clip: int, reach: int | None) -> _Row:
    options = places.options
    index, first = place_of(places, play)
    recording = places.recordings[index]
    row = _Row(
        recording=index,
        label=_label(places, index, first, clip, reach),
        seconds=float(recording.end_seconds[clip]),
        ended=clip + 1 == len(recording),
    )
    mix = draw_mix(options, play, *recording.frames.shape[1:3])
    if mix is None:
        return row
    partner, partner_first = partner_of(places, play)
    partner_clip = partner_first + clip - first
    return row._replace(
        partner=partner,
        partner_clip=partner_clip,
        partner_label=_label(places, partner, partner_first, partner_clip, reach),
        share=mix.share,
        # A partner that is over ends the stretch: what the memory holds of it would be wrong.
        ended=row.ended or partner_clip + 1 == len(places.recordings[partner]),
    )


def _label(places: Places, index: int, first: int, clip: int, reach: int | None) -> int:
    """The label, or -1 in the burn-in of a stretch and beyond the curriculum's reach."""
    burning = first > 0 and clip - first < places.options.burn_in_clips
    beyond = reach is not None and places.ages[index][clip] > reach
    return -1 if burning or beyond else int(places.recordings[index].labels[clip])
