"""How far a benchmark of many cells is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vigilia.cli.show import errors, progress_bar

if TYPE_CHECKING:
    from vigilia.bench.memory import BenchUpdate

__all__ = ["cells_shown"]


@contextmanager
def cells_shown() -> Iterator[Callable[[BenchUpdate], None]]:
    """A bar of the cells that are done, and a line for each."""
    with progress_bar("{task.fields[told]}") as bar:
        running = bar.add_task("cells", total=None, told="")

        def on_update(update: BenchUpdate) -> None:
            bar.update(running, completed=update.done, total=update.total, told=update.told)
            errors.print(f"{update.done}/{update.total} {update.told}")

        yield on_update
