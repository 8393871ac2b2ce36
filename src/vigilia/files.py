"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from vigilia.errors import OutputError

__all__ = ["check_writable", "write_atomically"]


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Writes `data` to `path` whole or not at all, also when the machine loses power.

    The data go to a new file in the same folder, are forced to the disk, and take the name in one
    step, so whatever stood under the name before stays until the new file is complete. Text is
    written as UTF-8. A name that exists and is no regular file (a pipe, `/dev/stdout`) cannot be
    replaced and is written to directly; a link is followed.

    Raises:
        OutputError: the folder is missing, is not writable, or the disk is full.
    """
    payload = data.encode("utf-8") if isinstance(data, str) else data
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(payload)
        else:
            _replace(target, payload)
    except OSError as error:
        raise OutputError(f"cannot write {os.fspath(path)}: {_reason(target, error)}") from error


def check_writable(path: str | os.PathLike[str] | None) -> None:
    """Refuses a name that nothing can be written to, before work goes into what is to lie there.

    Args:
        path: of a file to be written later; None for none.

    Raises:
        OutputError: as of `write_atomically`, as far as it can be told now.
    """
    if path is None:
        return
    target = Path(os.path.realpath(path))
    code = 0
    if target.is_dir():
        code = errno.EISDIR
    elif not target.parent.exists():
        code = errno.ENOENT
    elif not target.parent.is_dir():
        code = errno.ENOTDIR
    elif not os.access(target.parent, os.W_OK):
        code = errno.EACCES
    if code:
        reason = _reason(target, OSError(code, os.strerror(code)))
        raise OutputError(f"cannot write {os.fspath(path)}: {reason}")


def _replace(target: Path, payload: bytes) -> None:
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    # A name of its own length could exceed what the file system allows, hence the cut.
    temporary = target.with_name(f".{target.name[:32]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        # mkstemp would make the file private to its owner; this one obeys the umask.
        with open(temporary, "xb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the new name itself survive a power loss, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(target: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"the folder {target.parent} does not exist; make it first"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space or choose another folder"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "no permission to write there; choose another folder"
    if error.errno == errno.EISDIR:
        return "it is a folder; name a file in it"
    if error.errno == errno.ENOTDIR:
        return f"{target.parent} is not a folder"
    return (error.strerror or str(error)).lower()
