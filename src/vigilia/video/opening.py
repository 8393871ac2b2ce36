"""Opening a file or an address with FFmpeg, and saying plainly why it cannot be."""

from __future__ import annotations

from pathlib import Path

import av

from vigilia.errors import VideoError

__all__ = ["READ_TIMEOUT_SECONDS", "check_file", "open_container", "what_failed"]

OPEN_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 10.0


def check_file(path: Path, name: str) -> None:
    """Refuses a file that is not there, may not be read or is empty.

    Raises:
        VideoError: with the reason and what to do.
    """
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise VideoError(f"{name}: there is no such file; check the path") from None
    except PermissionError:
        raise VideoError(
            f"{name}: no permission to read it; change its permissions or run as its owner"
        ) from None
    except OSError as error:
        raise VideoError(f"{name}: cannot be read ({error.strerror}); check the disk") from error
    if empty:
        raise VideoError(f"{name}: the file is empty (0 bytes); copy or record it again")


def open_container(where: str | Path, name: str, format: str | None) -> av.container.InputContainer:
    """The container, its headers read.

    Args:
        where: a file, or an address as text.
        name: for messages, without passwords.
        format: FFmpeg's input format, if it must be named.

    Raises:
        VideoError: it cannot be opened.
    """
    if isinstance(where, Path):
        # "file:" keeps FFmpeg from reading "12:30.mp4" as a protocol.
        target, timeout, options = f"file:{where.absolute()}", None, {}
    else:
        target, timeout = where, (OPEN_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        # UDP loses packets under load and shows it as smeared pictures.
        options = {"rtsp_transport": "tcp"} if where.lower().startswith("rtsp") else {}
    try:
        return av.open(
            target, format=format, options=options, timeout=timeout, metadata_errors="ignore"
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        problem = what_failed(error, f"no answer within {OPEN_TIMEOUT_SECONDS:.0f} s")
    # Raised out here so that FFmpeg's error, whose text has the password, is not its context.
    if isinstance(where, Path):
        raise VideoError(
            f"{name}: cannot be opened as a video ({problem}); "
            "it is damaged, incomplete or not a video: copy it again or name another file"
        )
    raise VideoError(
        f"{name}: cannot be opened ({problem}); "
        "check that it is switched on, the address, the user name and the password"
    )


def what_failed(error: Exception, late: str) -> str:
    """What FFmpeg says of an error; `late` where it was we who lost patience."""
    if isinstance(error, av.error.ExitError):
        return late
    return getattr(error, "strerror", None) or type(error).__name__
