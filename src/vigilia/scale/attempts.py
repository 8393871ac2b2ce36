"""The folder of a recording's results while several machines may be writing to it.

Every attempt at a recording writes into a folder of its own, `unfinished.` and a random word, in
the results' folder. It begins with a copy of the snapshot of whichever earlier attempt had come
furthest. A machine that was taken for dead and is not keeps writing to its old folder and harms
nobody. Results are only written by the one process that has the queue: file by file, each in one
step, and last `complete.json`, which says of what they are the results.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vigilia.checkpoint import read_tensors
from vigilia.errors import CheckpointError, OutputError
from vigilia.files import write_atomically

__all__ = ["begin", "commit", "drop", "forget", "is_complete"]

FORMAT = "vigilia-complete-1"

_RUN = "unfinished"  # what `vigilia run` calls the folder of an unfinished run
_SNAPSHOT, _RECORDS = "snapshot.safetensors", "steps.bin"
_NAME = re.compile(rf"{_RUN}\.[0-9a-f]{{12}}")
_COMPLETE, _CHECKED = "complete.json", "timeline.json"


def begin(out: Path) -> Path:
    """Makes the folder of a new attempt, which goes on where the furthest before it was.

    Raises:
        OutputError: the folder cannot be written to.
    """
    attempt = out / f"{_RUN}.{secrets.token_hex(6)}"
    try:
        earlier = _attempts(out)
        attempt.mkdir(parents=True)
        best = max([out, *earlier], key=lambda folder: _steps(folder / _RUN))
        if _steps(best / _RUN) > 0:
            _copy(best / _RUN, attempt)
        for folder in earlier:
            shutil.rmtree(folder, ignore_errors=True)
        (out / _COMPLETE).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written to ({error.strerror}); name another place with --out"
        ) from error
    return attempt


def _steps(run: Path) -> int:
    """How far the unfinished run in a folder has come; 0 if nothing there can be used."""
    with contextlib.suppress(CheckpointError, KeyError, TypeError, ValueError):
        if (run / _SNAPSHOT).exists():
            return int(json.loads(read_tensors(run / _SNAPSHOT)[1]["place"])["steps"])
    return 0


def _copy(run: Path, attempt: Path) -> None:
    """Copies a run that may still be written to.

    The snapshot first: the records it counts are then there, and what is behind them is cut off.
    """
    copying = attempt / f"{_RUN}.copying"
    copying.mkdir()
    for name in (_SNAPSHOT, _RECORDS):
        shutil.copyfile(run / name, copying / name)
    copying.rename(attempt / _RUN)


def commit(out: Path, files: Mapping[str, bytes], identity: Mapping[str, Any] | None) -> None:
    """Writes a recording's results.

    Args:
        out: their folder.
        files: name to content; holds "timeline.json".
        identity: of what they are the results, JSON values; None for a recording that broke
            half-way, which is run again the next time.

    Raises:
        OutputError: the folder cannot be written to.
    """
    for name, data in files.items():
        write_atomically(out / name, data)
    if identity is not None:
        found = {"format": FORMAT, "of": dict(identity), _CHECKED: _hash(files[_CHECKED])}
        write_atomically(out / _COMPLETE, json.dumps(found, indent=1, sort_keys=True) + "\n")
    _remove_attempts(out)


def is_complete(out: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a folder holds the results of just this; leftovers of the attempts are removed."""
    try:
        found = json.loads((out / _COMPLETE).read_text(encoding="utf-8"))
        written = _hash((out / _CHECKED).read_bytes())
    except (OSError, ValueError):
        return False
    asked = {"format": FORMAT, "of": json.loads(json.dumps(dict(identity))), _CHECKED: written}
    if found != asked:
        return False
    _remove_attempts(out)
    return True


def forget(out: Path) -> None:
    """Forgets what was done for a recording; results that lie there stay until they are replaced.

    Raises:
        OutputError: the folder cannot be written to.
    """
    try:
        (out / _COMPLETE).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written to ({error.strerror})") from error
    _remove_attempts(out)


def drop(attempt: Path) -> None:
    """Removes an attempt that came to nothing, and the results' folder if nothing is in it."""
    shutil.rmtree(attempt, ignore_errors=True)
    with contextlib.suppress(OSError):
        attempt.parent.rmdir()


def _attempts(out: Path) -> list[Path]:
    return [path for path in out.glob(f"{_RUN}.*") if _NAME.fullmatch(path.name) and path.is_dir()]


def _remove_attempts(out: Path) -> None:
    for folder in _attempts(out):
        shutil.rmtree(folder, ignore_errors=True)
    # What `vigilia run` left; something of the user's may lie there too, and then stays.
    with contextlib.suppress(OSError):
        for name in (_SNAPSHOT, _RECORDS):
            (out / _RUN / name).unlink(missing_ok=True)
        (out / _RUN).rmdir()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
