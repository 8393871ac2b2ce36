"""Which labels mean wake, NREM and REM."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from vigilia.errors import OptionError

__all__ = ["KINDS", "parse_sleep_states", "recognise_sleep_states"]

KINDS = ("wake", "sleep", "NREM", "REM")
"""Sleep that nobody told NREM or REM is just "sleep"."""

_WORDS = {
    "wake": ("w", "wk", "wake", "wakefulness", "waking", "awake", "wakeful"),
    "REM": ("r", "rem", "ps", "paradoxical", "rems"),
    "NREM": (
        *("n", "nr", "nrem", "nonrem", "nrems", "sws", "slowwave", "n1", "n2", "n3", "n4"),
        *("s1", "s2", "s3", "s4", "stage1", "stage2", "stage3", "stage4", "light", "deep"),
    ),
    "sleep": ("sleep", "asleep", "sleeping"),
}
_NOISE = ("sleep", "stage", "state", "phase")


def recognise_sleep_states(classes: Sequence[str]) -> dict[str, str] | None:
    """Kind of each class whose name says it: `W`, `Sleep stage N2`, `quiet wake`, `non-REM` ...

    Returns:
        Class to one of `KINDS`, without the classes that say nothing about sleep; None where they
        do not hold both wake and a kind of sleep.
    """
    found = {label: kind for label in classes if (kind := _kind(label)) is not None}
    kinds = set(found.values())
    return found if "wake" in kinds and len(kinds) > 1 else None


def parse_sleep_states(text: str, classes: Sequence[str]) -> dict[str, str]:
    """Reads `wake=W,Wake; nrem=N1,N2,N3; rem=R`; labels that do not occur in `classes` are ignored.

    Raises:
        OptionError: it does not read so, a kind is unknown, a label stands twice, or no class of
            the recordings is named.
    """
    kinds = {kind.lower(): kind for kind in KINDS}
    found: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(";"))):
        name, sign, labels = part.partition("=")
        kind = kinds.get(name.strip().lower())
        if not sign or kind is None:
            raise OptionError(
                f"sleep states must read like 'wake=W; nrem=N1,N2,N3; rem=R', got '{part}'"
            )
        for label in (one.strip() for one in labels.split(",")):
            if found.get(label, kind) != kind:
                raise OptionError(f"sleep states name '{label}' as {found[label]} and as {kind}")
            if label:
                found[label] = kind
    return check_sleep_states(found, classes)


def check_sleep_states(states: Mapping[str, str], classes: Sequence[str]) -> dict[str, str]:
    """The entries of `states` whose label is one of `classes`.

    Raises:
        OptionError: a kind is unknown, or there is no such entry.
    """
    for label, kind in states.items():
        if kind not in KINDS:
            raise OptionError(f"'{label}' is said to be {kind!r}, which is none of {KINDS}")
    found = {label: kind for label, kind in states.items() if label in classes}
    if not found:
        raise OptionError(
            f"sleep states name none of the classes ({', '.join(list(classes)[:12])}); "
            "write for example 'wake=W; nrem=N1,N2,N3; rem=R'"
        )
    return found


def _kind(label: str) -> str | None:
    plain = re.sub(r"\bnon[ _-]*rem\b", "nrem", label.lower())
    plain = re.sub(r"\bslow[ _-]*wave\b", "sws", plain)
    plain = re.sub(r"\bstage[ _-]*([1-4])\b", r"s\1", plain)
    words = [word for word in re.split(r"[^a-z0-9]+", plain) if word]
    telling = [word for word in words if word not in _NOISE] or words
    for kind, names in _WORDS.items():
        # One letter says something only where it stands alone.
        if any(word in names and (len(word) > 1 or len(telling) == 1) for word in telling):
            return kind
    return None
