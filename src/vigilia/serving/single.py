"""One service a data folder: two would write the same seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vigilia.errors import OutputError

__all__ = ["only_one"]


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Holds the folder; the system lets go of it when the process ends, however it ends.

    Raises:
        OutputError: another process holds it, or it cannot be written to.
    """
    try:
        file = open(folder / "service.lock", "a")  # noqa: SIM115
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written to ({error.strerror})") from error
    with file:
        if os.name == "posix":
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise OutputError(
                    f"{folder}: another service uses this folder; end it, or name another `data`"
                ) from error
        yield
