"""What is seen of a pre-training while it runs: a bar, or a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import Progress

from vigilia.cli.show import LINE_EVERY_SECONDS, errors, progress_bar

if TYPE_CHECKING:
    from vigilia.pretraining import PretrainUpdate

__all__ = ["PretrainingDisplay", "pretraining_shown"]


class PretrainingDisplay:
    """Shows decoding, then updates."""

    def __init__(self, bar: Progress) -> None:
        from vigilia.training.progress import Pace

        self._bar = bar
        self._pace = Pace()
        self._told_at = time.monotonic()
        self._before = bar.add_task("decoding", total=None, figures="")
        self._course = bar.add_task("pre-training", total=None, figures="", visible=False)

    def on_frame(self, name: str, seconds: float, duration: float | None) -> None:
        """A recording is decoded so far."""
        self._bar.update(self._before, description=name, completed=seconds, total=duration)

    def on_update(self, update: PretrainUpdate) -> None:
        """The weights were changed once more."""
        from vigilia.training.progress import time_left

        self._bar.update(self._before, visible=False)
        figures = "  ".join(f"{name} {value:.3f}" for name, value in update.figures.items())
        self._bar.update(
            self._course,
            visible=True,
            completed=update.update,
            total=update.total,
            figures=f"epoch {update.epoch + 1}  {figures}",
        )
        now = time.monotonic()
        left = self._pace.seconds_left(update, now)
        if not errors.is_terminal and now - self._told_at > LINE_EVERY_SECONDS:
            self._told_at = now
            told = [f"update {update.update} of {update.total}, epoch {update.epoch + 1}"]
            told += [figures, *([] if left is None else [time_left(left)])]
            errors.print(", ".join(told))


@contextmanager
def pretraining_shown() -> Iterator[PretrainingDisplay]:
    """A display as long as the block lasts."""
    with progress_bar("{task.fields[figures]}") as bar:
        yield PretrainingDisplay(bar)
