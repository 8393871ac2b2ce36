"""What is seen of a training while it runs: a bar, or a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import Progress

from vigilia.cli.show import LINE_EVERY_SECONDS, errors, progress_bar

if TYPE_CHECKING:
    from vigilia.training import TrainingUpdate

__all__ = ["TrainingDisplay", "training_shown"]


class TrainingDisplay:
    """Shows decoding, then seeing, then training; one line for the figures of an epoch."""

    def __init__(
        self, bar: Progress, metric: str, curves: Callable[[TrainingUpdate], None] | None
    ) -> None:
        from vigilia.training.progress import Pace

        self._bar = bar
        self._metric = metric
        self._curves = curves
        self._pace = Pace()
        self._told_at = time.monotonic()
        self._figure = ""
        self._before = bar.add_task("decoding", total=None, figures="")
        self._training = bar.add_task("training", total=None, figures="", visible=False)

    def on_frame(self, name: str, seconds: float, duration: float | None) -> None:
        """A recording is decoded so far."""
        self._bar.update(self._before, description=name, completed=seconds, total=duration)

    def on_feature(self, name: str, done: int, total: int) -> None:
        """So many clips of a recording were seen by the frozen backbone."""
        self._bar.update(self._before, description=f"seeing {name}", completed=done, total=total)

    def on_update(self, update: TrainingUpdate) -> None:
        """The weights were changed once more."""
        from vigilia.training.progress import progress_line

        if self._curves is not None:
            self._curves(update)
        if update.figures is not None:
            figures = update.figures
            metric = self._metric
            self._figure = f"{metric.replace('_', ' ')} {getattr(figures, metric):.3f}"
            errors.print(
                f"epoch {update.epoch + 1}: validation accuracy {figures.accuracy:.3f}, "
                f"balanced {figures.balanced_accuracy:.3f}, kappa {figures.kappa:.3f}"
            )
        self._bar.update(self._before, visible=False)
        now_known = f"epoch {update.epoch + 1}  loss {update.loss:.3f}"
        self._bar.update(
            self._training,
            visible=True,
            completed=update.update,
            total=update.total,
            figures="  ".join(filter(None, (now_known, self._figure))),
        )
        now = time.monotonic()
        left = self._pace.seconds_left(update, now)
        if not errors.is_terminal and now - self._told_at > LINE_EVERY_SECONDS:
            self._told_at = now
            errors.print(", ".join(filter(None, (progress_line(update, left), self._figure))))


@contextmanager
def training_shown(
    metric: str, curves: Callable[[TrainingUpdate], None] | None
) -> Iterator[TrainingDisplay]:
    """A display as long as the block lasts.

    Args:
        metric: the figure to show, a name of `Figures`.
        curves: also called with every update, such as TensorBoard's curves.
    """
    with progress_bar("{task.fields[figures]}") as bar:
        yield TrainingDisplay(bar, metric, curves)
