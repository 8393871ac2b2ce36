"""What `vigilia run` shows: a bar a recording while it runs, the shares of states behind it."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress

from vigilia.cli.show import LINE_EVERY_SECONDS, clock, errors, output

if TYPE_CHECKING:
    from vigilia.evaluation import Agreement
    from vigilia.running import RunUpdate
    from vigilia.timeline import Segment, Timeline

__all__ = ["JobDisplay", "RecordingDisplay", "far", "print_report", "summary_of"]


class RecordingDisplay:
    """How far one recording is: its bar, without a terminal a line now and then, its segments.

    Args:
        bar: with the fields `speed` and `now`.
        name: of the recording.
        say: prints a segment as soon as it is final; None prints none.
        label: put before a segment, where several recordings run at once.
        lines: a line now and then where there is no terminal.
    """

    def __init__(
        self,
        bar: Progress,
        name: str,
        *,
        say: Callable[[str], None] | None = None,
        label: str = "",
        lines: bool = True,
    ) -> None:
        self._bar = bar
        self._name = name
        self._say = say
        self._label = label
        self._lines = lines and not errors.is_terminal
        self._task = bar.add_task(name, total=None, speed="", now="", visible=False)
        self._began: float | None = None
        self._told_at = time.monotonic()
        self._told_until = -math.inf
        self.kept_steps = 0
        self.steps = 0

    def begin(self) -> None:
        """Shows the bar: the recording is being opened."""
        self._began = time.monotonic()
        self._bar.update(self._task, visible=True)

    def update(self, update: RunUpdate) -> None:
        """Takes one step's news."""
        if self._began is None:
            self.begin()
        assert self._began is not None
        now = time.monotonic()
        done = update.seconds - update.start_seconds
        fresh = update.steps - update.resumed_steps
        self.kept_steps, self.steps = update.kept_steps, fresh
        speed = done * fresh / max(1, update.steps) / max(1e-6, now - self._began)
        running = update.now
        self._bar.update(
            self._task,
            completed=done,
            total=update.duration_seconds,
            speed=f"{clock(done)}  {speed:.0f}x real time",
            now=f"{running.label or 'unobserved'} {running.confidence:.2f}" if running else "",
        )
        if self._lines and now - self._told_at > LINE_EVERY_SECONDS:
            self._told_at = now
            errors.print(f"{self._name}: {far(done, speed, update.duration_seconds)}")
        for segment in update.closed:
            self._tell(segment)

    def finish(self, timeline: Timeline | None) -> None:
        """The recording has ended: its last segments, and the bar goes."""
        for segment in () if timeline is None else timeline.segments:
            if segment.start_seconds >= self._told_until:
                self._tell(segment)
        self._bar.update(self._task, visible=False)

    def _tell(self, segment: Segment) -> None:
        self._told_until = segment.end_seconds
        if self._say is not None:
            self._say(
                f"{self._label}{clock(segment.start_seconds)} - {clock(segment.end_seconds)}  "
                f"{segment.label or 'unobserved'}  {segment.confidence:.2f}"
            )


class JobDisplay:
    """How many recordings of many have ended: a bar, without a terminal a line now and then.

    Args:
        bar: with the fields `speed` and `now`.
        total: how many there are.
    """

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._total = total
        self._ended = 0
        self._told_at = time.monotonic()
        self._task = bar.add_task("recordings", total=total, speed=f"0 of {total}", now="")

    def ended(self) -> None:
        """One more."""
        self._ended += 1
        told = f"{self._ended} of {self._total}"
        self._bar.update(self._task, completed=self._ended, speed=told)
        now = time.monotonic()
        due = self._ended < self._total and now - self._told_at > LINE_EVERY_SECONDS
        if due and not errors.is_terminal:
            self._told_at = now
            errors.print(f"{told} recordings")


def far(done: float, speed: float, duration: float | None) -> str:
    """How far a run is: seconds done, times real time, and the time left if the end is known."""
    told = f"{clock(done)}{f' of {clock(duration)}' if duration else ''}, {speed:.0f}x real time"
    if duration and speed > 0:
        told += f", {clock(max(0.0, duration - done) / speed)} left"
    return told


def summary_of(
    timeline: Timeline,
    folder: Path,
    found: Agreement | None = None,
    gated: RecordingDisplay | None = None,
) -> dict[str, Any]:
    """A timeline's figures for programs.

    Args:
        timeline: of a recording.
        folder: where it was written.
        found: its agreement with hand labels; None without.
        gated: knows how many steps the gate skipped; None without a gate.
    """
    summary = timeline.summary()
    report = {
        "source": timeline.source,
        "folder": str(folder),
        "seconds": timeline.duration_seconds,
        "segments": len(timeline.segments),
        "unobserved_seconds": summary.unobserved_seconds,
        "classes": {
            one.label: {"seconds": one.seconds, "share": one.share, "bouts": one.bouts}
            for one in summary.classes
            if one.bouts
        },
    }
    if gated is not None:
        report |= {"steps": gated.steps, "kept_steps": gated.kept_steps}
    if found is not None:
        report["agreement"] = dataclasses.asdict(found)
    return report


def print_report(
    timeline: Timeline,
    folder: Path,
    seconds: float,
    found: Agreement | None = None,
    gated: RecordingDisplay | None = None,
) -> None:
    """The same for people, with the seconds that it took."""
    summary = timeline.summary()
    output.print(
        f"{timeline.source}: {clock(timeline.duration_seconds)} in {seconds:.1f} s, "
        f"{len(timeline.segments)} segments -> {folder}"
    )
    for one in sorted(summary.classes, key=lambda one: -one.seconds)[:8]:
        if one.bouts:
            output.print(
                f"  {one.label:<20} {one.share:6.1%}  {one.bouts} bouts, "
                f"mean {one.mean_bout_seconds:.1f} s"
            )
    if gated is not None:
        output.print(f"  {gated.kept_steps} of {gated.steps} steps skipped: nothing moved")
    if found is not None:
        from vigilia.evaluation import format_agreement

        output.print(format_agreement(found))
