"""What the user named, as a list of parts: a file, a folder, a pattern, a device, an address.

A folder of recorder chunks is one recording whose parts are read in natural order (chunk2 before
chunk10) and laid end to end.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vigilia.errors import VideoError

__all__ = [
    "SUFFIXES",
    "Source",
    "find_videos",
    "hidden_parts",
    "natural_key",
    "redact",
    "resolve",
]

# fmt: off
SUFFIXES = frozenset((
    ".264", ".265", ".3gp", ".asf", ".avi", ".dav", ".dv", ".flv", ".gif",
    ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv",
    ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogg", ".ogv",
    ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
))
# fmt: on

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DEVICE = re.compile(r"(?:/dev/video|webcam:)(\d+)")
# Many recorders want them in the path: /user=admin&password=s3cret&channel=1.sdp, or with _ for &.
_CREDENTIAL = re.compile(
    r"(?:(?:user|usr|login|pass|psw|pwd|token|auth|secret|key)[a-z-]*|(?<![a-z])(?:u|p|pw))"
    r"(?:=|%3d)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """Where frames come from.

    Attributes:
        name: for messages; holds no password.
        parts: the files, in order; empty for a camera or an address.
        address: what FFmpeg opens, if it is not a file. May hold a password.
        format: FFmpeg's input format, if it must be named.
        live: a camera: it has no end, and what is not read in time is lost.
    """

    name: str
    parts: tuple[Path, ...] = ()
    address: str | None = None
    format: str | None = None
    live: bool = False

    def __repr__(self) -> str:
        return f"Source({self.name!r}, {len(self.parts)} files, live={self.live})"


def resolve(source: str | Path) -> Source:
    """Finds out what the user named.

    Raises:
        VideoError: there is nothing of that name, or no video in it.
    """
    text = str(source)
    if device := _DEVICE.fullmatch(text):
        return _camera(text, int(device[1]))
    if text.startswith("file://"):
        try:
            text = unquote(urlsplit(text).path)
        except ValueError:
            raise VideoError(f"{text}: cannot be read as an address; name the file") from None
    elif isinstance(source, str) and _ADDRESS.match(text):
        # Whether an http address is a camera shows when it is opened: a film has a length.
        live = not text.lower().startswith(("http://", "https://"))
        return Source(name=redact(text), address=text, live=live)
    return Source(name=text, parts=tuple(find_videos(text)))


def find_videos(source: str | Path) -> list[Path]:
    """The video files that a file, a folder or a pattern names, in natural order.

    A file that is named is taken whatever it is called. Of a folder, the files with a video's
    suffix are taken; only if there are none, those of its subfolders (recorders that keep one
    folder a day). Hidden files are passed over.

    Raises:
        VideoError: there is nothing of that name, or no video in it.
    """
    path = Path(os.path.expanduser(source))  # pathlib's raises where there is no such user
    try:
        if path.is_dir():
            return _in_folder(path)
        # A pattern must not shadow a file that is really called "pen[1].mp4".
        if path.exists() or not glob.has_magic(str(path)):
            if not path.exists():
                raise VideoError(f"{source}: there is no such file or folder; check the path")
            return [path]
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]
    except OSError as error:
        raise VideoError(
            f"{source}: cannot be looked at ({error.strerror}); check the path and its permissions"
        ) from error
    found = [name for name in found if name.is_file() and name.suffix.lower() in SUFFIXES]
    if not found:
        raise VideoError(f"{source}: no video file matches the pattern; check it, and quote it")
    return sorted(found, key=natural_key)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts digits as numbers: chunk2 comes before chunk10."""
    return [
        (0, int(piece), piece) if piece.isdecimal() else (1, 0, piece.casefold())
        for piece in re.split(r"(\d+)", str(path))
        if piece
    ]


def redact(address: str) -> str:
    """The address without what cameras carry credentials in: user name, password, query, fragment,
    and the rest of a path from a `user=`, `password=` or the like on."""
    try:
        pieces = urlsplit(address)
    except ValueError:  # where it is broken nobody can say what is a password
        return f"{address.partition('://')[0]}://..."
    host, (path, secret) = pieces.netloc.rpartition("@")[2], _cut(pieces.path)
    shown = f"{pieces.scheme}://{host}{path}" + "..." * bool(secret)
    return shown + ("?..." if pieces.query else "")


def hidden_parts(address: str) -> list[str]:
    """What `redact` leaves out, whole and in parts, the longest first: no message may hold it."""
    try:
        pieces = urlsplit(address)
    except ValueError:
        return [address]
    user = pieces.netloc.rpartition("@")[0]
    password = user.partition(":")[2]
    found = {user, password, unquote(password)}
    for text in (_cut(pieces.path)[1], pieces.query, pieces.fragment):
        found.add(text)
        for match in _CREDENTIAL.finditer(text):
            value = re.split(r"[&;,/?#]|_[a-z]+=", text[match.end() :], maxsplit=1)[0]
            found |= {value, unquote(value)}
    return sorted(filter(None, found), key=lambda one: (-len(one), one))


def _cut(path: str) -> tuple[str, str]:
    """A path up to the first credential in it, and from there on."""
    match = _CREDENTIAL.search(path)
    return (path, "") if match is None else (path[: match.end()], path[match.end() :])


def _in_folder(folder: Path) -> list[Path]:
    def videos(paths: list[Path]) -> list[Path]:
        return [
            path
            for path in paths
            if path.suffix.lower() in SUFFIXES
            and not any(name.startswith(".") for name in path.relative_to(folder).parts)
            and path.is_file()
        ]

    found = videos(list(folder.iterdir())) or videos(list(folder.rglob("*")))
    if not found:
        raise VideoError(
            f"{folder}: the folder holds no video file (.mp4, .mkv, .avi, .mov, ...); "
            "name the folder that does, or a file"
        )
    return sorted(found, key=natural_key)


def _camera(name: str, number: int) -> Source:
    if sys.platform == "darwin":
        return Source(name=name, address=str(number), format="avfoundation", live=True)
    if sys.platform == "win32":
        raise VideoError(
            f"{name}: cameras of this computer cannot be read under Windows; "
            "let a program publish it as rtsp:// and name that address"
        )
    return Source(name=name, address=f"/dev/video{number}", format="video4linux2", live=True)
