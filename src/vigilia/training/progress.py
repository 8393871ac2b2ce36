"""What a training tells while it runs: lines for a log, curves for TensorBoard."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from vigilia.errors import MissingExtraError, OutputError
from vigilia.installation import install_command
from vigilia.training.loop import TrainingUpdate

__all__ = ["Counted", "Pace", "progress_line", "tensorboard_curves", "time_left"]


class Counted(Protocol):
    """An update that knows its number."""

    @property
    def update(self) -> int:
        """How many were made."""
        ...

    @property
    def total(self) -> int:
        """How many there will be."""
        ...


class Pace:
    """How long the rest takes, if it goes on as since the first update that was told."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None

    def seconds_left(self, update: Counted, now: float) -> float | None:
        """Seconds to the end; None at the first update seen.

        Args:
            update: the latest.
            now: of a clock that never goes back.
        """
        if self.first is None:
            self.first = (update.update, now)
            return None
        made, elapsed = update.update - self.first[0], now - self.first[1]
        return elapsed / made * (update.total - update.update) if made > 0 else None


def progress_line(update: TrainingUpdate, seconds_left: float | None) -> str:
    """`update 120 of 600, epoch 3, loss 0.412, 0:12:30 left`."""
    parts = [
        f"update {update.update} of {update.total}",
        f"epoch {update.epoch + 1}",
        f"loss {update.loss:.3f}",
    ]
    if seconds_left is not None:
        parts.append(time_left(seconds_left))
    return ", ".join(parts)


def time_left(seconds: float) -> str:
    """`0:12:30 left`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d} left"


@contextlib.contextmanager
def tensorboard_curves(folder: Path) -> Iterator[Callable[[TrainingUpdate], None]]:
    """Writes loss, rate and validation figures for TensorBoard; yields what takes the updates.

    A run that goes on after a kill leaves out what it had written behind its last snapshot.

    Raises:
        MissingExtraError: tensorboard is not installed.
        OutputError: the folder cannot be written to.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            f"--tensorboard needs tensorboard: {install_command('train')}"
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    writer: Any = None

    def take(update: TrainingUpdate) -> None:
        nonlocal writer
        if writer is None:
            writer = SummaryWriter(str(folder), purge_step=update.update)
        writer.add_scalar("train/loss", update.loss, update.update)
        writer.add_scalar("train/learning_rate", update.learning_rate, update.update)
        if update.figures is not None:
            for name in ("accuracy", "balanced_accuracy", "kappa"):
                value = getattr(update.figures, name)
                writer.add_scalar(f"validation/{name}", value, update.update)

    try:
        yield take
    finally:
        if writer is not None:
            writer.close()
