"""What can go wrong, as one tree.

VigiliaError
├── InputError            the user's mistake or damaged input: one line, exit code 2
│   ├── VideoError        a video cannot be opened or read
│   │   └── BrokenVideoError   it broke half-way; what came before was delivered
│   ├── LabelError        an annotation file cannot be used
│   ├── CheckpointError   a model file, or a saved run, cannot be used
│   └── OptionError       an option has a value that cannot work
├── OutputError           results cannot be written (disk full, no permission)
└── MissingExtraError     an optional dependency is not installed
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BrokenVideoError",
    "CheckpointError",
    "InputError",
    "LabelError",
    "MissingExtraError",
    "OptionError",
    "OutputError",
    "VideoError",
    "VigiliaError",
]


class VigiliaError(Exception):
    """Base of every error that Vigilia raises for its callers.

    Its message is one line whatever it quotes: a damaged file may hold characters that end lines.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__("".join(c if c.isprintable() else "\ufffd" for c in str(message)))


class InputError(VigiliaError):
    """The input cannot be used as it is; the message names it, the problem and the remedy."""


class VideoError(InputError):
    """A video cannot be opened, or holds nothing that can be decoded."""


class BrokenVideoError(VideoError):
    """A video broke half-way. Every frame before the break has been delivered.

    Attributes:
        seconds: container time of the last frame that was delivered, None if there was none.
        timeline: from `vigilia.run`: the timeline of everything before the break.
    """

    timeline: Any = None

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class LabelError(InputError):
    """An annotation file cannot be read, or does not fit the recording."""


class CheckpointError(InputError):
    """A model file or a saved run cannot be used."""


class OptionError(InputError, ValueError):
    """An option or argument has a value that cannot work."""


class OutputError(VigiliaError):
    """Results cannot be written."""


class MissingExtraError(VigiliaError, ImportError):
    """An optional dependency is missing; the message names the extra that brings it."""
