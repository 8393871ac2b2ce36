"""What an entry of the catalogue says, and the families in the order in which they are shown."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Entry", "Family", "Published"]


@dataclass(frozen=True)
class Published:
    """What others say of a model, with 400 classes.

    Attributes:
        clip: T, and H = W, of the clip that the operations are of.
        parameters: in millions.
        gmac: billions of multiply-adds of that clip, which papers call GFLOPs.
        accuracy: top-1 on Kinetics-400 in percent, and with how many views where it is known.
        source: of these.
        difference: why our counts differ, where they do.
    """

    clip: tuple[int, int]
    parameters: float | None = None
    gmac: float | None = None
    accuracy: str = "-"
    source: str = ""
    difference: str = ""


@dataclass(frozen=True)
class Entry:
    """A model.

    Attributes:
        name: key of `BACKBONES` or `SPIKING_SIZES`.
        family: key of `FAMILIES`.
        weights: licence of weights that can be loaded; "-" where there are none.
        published: None for our own.
    """

    name: str
    family: str
    weights: str = "-"
    published: Published | None = None


@dataclass(frozen=True)
class Family:
    """Models of one kind.

    Attributes:
        title: its name.
        source: the paper: authors, year, title.
        pick: when to take one.
        models: names, and what is published of them.
        claims: what is said of it and wrong, and what is right, with the source.
        code: how it is written here.
    """

    title: str
    source: str
    pick: str
    models: tuple[tuple[str, str, Published | None], ...]
    claims: tuple[tuple[str, str], ...] = ()
    code: str = ""
