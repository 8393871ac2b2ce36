"""Names of recordings in a file that holds several: every recording keeps one of its own.

A format whose names are free numbers those that are alike; one that knows a recording by its name
alone refuses them, because there the second would take the first one's place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations

__all__ = ["numbered", "refuse_alike", "short_paths", "video_name"]


def numbered(names: Sequence[str]) -> list[str]:
    """`a`, `b`, `a` -> `a (1)`, `b`, `a (2)`; no number makes a name that another has."""
    counts, taken = Counter(names), set(names)
    numbers: Counter[str] = Counter()
    unique = []
    for name in names:
        own = name
        while counts[name] > 1 and own in taken:
            numbers[name] += 1
            own = f"{name} ({numbers[name]})"
        taken.add(own)
        unique.append(own)
    return unique


def short_paths(paths: Sequence[str]) -> list[str]:
    """`/1/pen.mp4`, `/2/pen.mp4`, `/2/barn.mp4` -> `1/pen.mp4`, `2/pen.mp4`, `barn.mp4`.

    Of each path as much of its end as no other path has; equal paths stay equal.
    """
    parts = {path: path.replace("\\", "/").split("/") for path in paths}
    ends = Counter(
        tuple(own[-length:]) for own in parts.values() for length in range(1, len(own) + 1)
    )

    def short(own: list[str]) -> str:
        own_ends = (own[-length:] for length in range(1, len(own)))
        return "/".join(next((end for end in own_ends if ends[tuple(end)] == 1), own))

    return [short(parts[path]) for path in paths]


def video_name(annotations: Annotations) -> str:
    """The video's name, with as much of its path as the recording's name tells; else that name."""
    if len(annotations.media) != 1:
        return annotations.title
    (video,) = annotations.media
    return annotations.recording if annotations.recording.endswith(f"/{video}") else video


def refuse_alike(several: Sequence[Annotations], names: Sequence[str], format: str) -> None:
    """Makes sure that no two recordings have one name.

    Args:
        several: the recordings.
        names: of each, as the format knows it.
        format: for messages.

    Raises:
        LabelError: two have.
    """
    counts = Counter(names)
    name = next((name for name in names if counts[name] > 1), None)
    if name is None:
        return
    alike = [one for one, whose in zip(several, names, strict=True) if whose == name]
    titles = list(dict.fromkeys(one.title for one in alike))
    paths = list(dict.fromkeys(str(one.path) for one in alike))
    who = titles if len(titles) > 1 else paths if len(paths) > 1 else []
    raise LabelError(
        f"{alike[0].path} holds {len(alike)} recordings of the name '{name}'"
        + (f" ({', '.join(who[:6])}{' ...' if len(who) > 6 else ''})" if who else "")
        + f", and {format} tells recordings apart by that name alone; choose one with "
        "--recording, or name a folder"
    )
