"""Out of annotations: a subject, other names, one track of states, a column a behaviour.

Letters: N cells of a grid, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import LabelError
from vigilia.timeline.annotations import (
    NO_SUBJECT,
    Annotations,
    Event,
    Span,
    observed_between,
    refuse_broken,
)
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.timeline.labels import Interval, Labels
from vigilia.timeline.timeline import UNOBSERVED

__all__ = ["merged", "presence", "renamed", "selected", "states"]


def selected(
    annotations: Annotations, *, subject: str | None = None, scorer: str | None = None
) -> Annotations:
    """The events of one subject, or of one scorer, or of one subject by one scorer.

    Args:
        annotations: all of them.
        subject: all if not given; `""` or `No focal subject` for events that name none.
        scorer: all if not given.

    Raises:
        LabelError: there is no such subject or scorer, or the recording is unreadable.
    """
    if annotations.unreadable:
        raise LabelError(annotations.unreadable)
    events = annotations.events
    if subject is not None:
        subject = "" if subject == NO_SUBJECT else subject
        _must_be_one_of(annotations, "subject", subject, annotations.subjects)
        events = tuple(event for event in events if event.subject == subject)
    if scorer is not None:
        _must_be_one_of(annotations, "scorer", scorer, annotations.scorers)
        events = tuple(event for event in events if event.scorer == scorer)
    return replace(annotations, events=events)


def renamed(annotations: Annotations, names: Mapping[str, str]) -> Annotations:
    """Gives labels other names; what becomes `unobserved` or empty is taken as not labelled.

    Args:
        annotations: the annotations.
        names: new names by old ones.
    """
    hidden = {old for old, new in names.items() if new in ("", UNOBSERVED)}
    kept = [event for event in annotations.events if event.label not in hidden]
    observed = annotations.observed
    holes = [
        (event.start_seconds, event.end_seconds)
        for event in annotations.events
        if event.label in hidden
    ]
    if holes:
        spans = observed if observed is not None else ((0.0, annotations.end_seconds),)
        observed = tuple(
            part for start, end in spans for part in observed_between(start, end, holes)
        )
    return replace(
        annotations,
        events=tuple(replace(event, label=names.get(event.label, event.label)) for event in kept),
        classes=tuple(
            dict.fromkeys(names.get(one, one) for one in annotations.classes if one not in hidden)
        ),
        observed=observed,
    )


def merged(annotations: Annotations) -> Annotations:
    """Bouts of the same thing that overlap or touch become one, per subject, scorer, modifiers."""
    kept: list[Event] = []
    last: dict[tuple[str, str, str, tuple[str, ...]], int] = {}
    for event in annotations.events:
        key = (event.label, event.subject, event.scorer, event.modifiers)
        index = last.get(key)
        if not event.is_point and index is not None:
            before = kept[index]
            if event.start_seconds <= before.end_seconds + ROUNDING_SECONDS:
                end = max(before.end_seconds, event.end_seconds)
                kept[index] = replace(before, end_seconds=end)
                continue
        kept.append(event)
        if not event.is_point:
            last[key] = len(kept) - 1
    return replace(annotations, events=tuple(kept))


def states(
    annotations: Annotations, *, subject: str | None = None, scorer: str | None = None
) -> Labels:
    """The bouts as one track, in which one label holds at a time; points are left out.

    Args:
        annotations: the annotations.
        subject: whose, needed where there are several.
        scorer: according to whom, needed where there are several.

    Raises:
        LabelError: there are several subjects or scorers and none is chosen, an event is broken, or
            bouts overlap; the message names the rows.
    """
    chosen = selected(annotations, subject=subject, scorer=scorer)
    for kind, found in (("subject", chosen.subjects), ("scorer", chosen.scorers)):
        if len(found) > 1:
            names = ", ".join(name or f"nobody ('{NO_SUBJECT}')" for name in found[:6])
            raise LabelError(
                f"{annotations.path} holds {len(found)} {kind}s in {annotations.title} ({names}); "
                f"choose one with --{kind} NAME"
            )
    refuse_broken(chosen)
    bouts = [event for event in chosen.events if event.label and not event.is_point]
    for before, after in itertools.pairwise(bouts):
        if after.start_seconds < before.end_seconds - ROUNDING_SECONDS:
            raise LabelError(
                f"{annotations.path}, row {after.row}: '{after.label}' from "
                f"{after.start_seconds:.3f} s overlaps '{before.label}' of row {before.row}, which "
                f"lasts to {before.end_seconds:.3f} s; a recording has one label at a time"
            )
    return Labels(
        tuple(Interval(one.start_seconds, one.end_seconds, one.label, one.row) for one in bouts),
        annotations.path,
    )


def presence(
    annotations: Annotations,
    starts: ArrayLike,
    ends: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
) -> NDArray[np.int8]:
    """Which behaviours go on in each cell, several at once if need be.

    A bout counts in a cell that it covers at least half of, a point in the cell that contains it.
    Where the file does not say when somebody looked, only time that some bout covers counts as
    observed.

    Args:
        annotations: the annotations, of one subject by one scorer; see `selected`.
        starts: (N,) seconds, ascending.
        ends: (N,) seconds; cells do not overlap.
        classes: the columns, by default `annotations.labels`.

    Returns:
        (N, K) int8: 1 present, 0 absent, -1 where less than half of the cell was observed.

    Raises:
        LabelError: an event is broken; the message names its row.
    """
    refuse_broken(annotations)
    starts, ends = np.asarray(starts, np.float64), np.asarray(ends, np.float64)
    names = annotations.labels if classes is None else tuple(classes)
    bouts = [event for event in annotations.events if not event.is_point]
    everything = [(event.start_seconds, event.end_seconds) for event in bouts]
    spans = everything if annotations.observed is None else list(annotations.observed)
    half = (ends - starts) / 2 - ROUNDING_SECONDS
    found = np.zeros((len(starts), len(names)), np.int8)
    for column, name in enumerate(names):
        of_name = [(e.start_seconds, e.end_seconds) for e in bouts if e.label == name]
        found[_covered(of_name, starts, ends) >= half, column] = 1 if of_name else 0
    found[_covered(spans, starts, ends) < half] = -1
    index = {name: column for column, name in enumerate(names)}
    for event in annotations.events:
        if event.is_point and event.label in index and len(starts):
            row = int(np.searchsorted(starts, event.start_seconds, side="right")) - 1
            if row >= 0 and event.start_seconds < ends[row]:
                found[row, index[event.label]] = 1
    return found


def _covered(
    spans: Sequence[Span], starts: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N,) seconds of each cell that at least one of the spans covers."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    if not merged:
        return np.zeros(len(starts))
    edges = np.array(merged).ravel()
    lengths = np.append(0.0, np.cumsum(edges[1::2] - edges[::2]))
    # Seconds covered up to a moment: a piecewise linear function of it.
    total = np.repeat(lengths, 2)[1:-1]
    below = np.interp(starts, edges, total, left=0.0)
    return np.interp(ends, edges, total, left=0.0) - below


def _must_be_one_of(annotations: Annotations, kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        shown = ", ".join(one or f"nobody ('{NO_SUBJECT}')" for one in list(known)[:8])
        raise LabelError(
            f"{annotations.path} has no {kind} '{name}' in {annotations.title}; it names {shown}"
        )
