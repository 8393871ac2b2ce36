"""The schemes: how tokens of all places and times come to see each other, each as a few steps.

A block runs the steps one after another, then its MLP. A step lets the tokens of a group attend
among themselves; `make_schemes` says which group. With T times and N = H W places, a step over
groups of n tokens costs 4 T N D**2 multiply-adds for its projections and 2 T N n D for its
products, so that schemes differ in n; `costs.py` has them all.

"Is Space-Time Attention All You Need for Video Understanding?" (TimeSformer), Bertasius, Wang,
Torresani, 2021; "ViViT: A Video Vision Transformer", Arnab, Dehghani, Heigold, Sun, Lucic, Schmid,
2021; "Generating Long Sequences with Sparse Transformers", Child, Gray, Radford, Sutskever, 2019;
"Longformer: The Long-Document Transformer", Beltagy, Peters, Cohan, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vigilia.errors import OptionError
from vigilia.layers.grouping import Grouping
from vigilia.layers.selection import Choice

__all__ = ["ClassRule", "Mixer", "Scheme", "Step", "find_scheme", "make_schemes"]

Mixer = Literal["softmax", "linformer", "performer"]
"""How the tokens of a group attend."""

ClassRule = Literal["copied", "left out", "global"]
"""What tokens beside the grid do in a step: a copy joins every group and the copies are averaged;
they wait; or they see all tokens and all tokens see them."""


@dataclass(frozen=True)
class Step:
    """One attention over groups.

    Attributes:
        groupings: the heads are divided among these.
        class_rule: see `ClassRule`.
        mixer: see `Mixer`.
    """

    groupings: tuple[Grouping, ...]
    class_rule: ClassRule = "copied"
    mixer: Mixer = "softmax"


@dataclass(frozen=True)
class Scheme:
    """The steps of a block.

    Attributes:
        steps: one after another.
        between: a further linear layer follows every step but the last, as in TimeSformer.
        class_token: whether the scheme says what a class token sees.
        choice: what can be kept when only some tokens are worked on; None when the scheme needs
            the whole grid.
    """

    steps: tuple[Step, ...]
    between: bool = False
    class_token: bool = True
    choice: Choice | None = None


JOINT = Grouping(("whole", "whole", "whole"))
SPACE = Grouping((1, "whole", "whole"))
TIME = Grouping(("whole", 1, 1))
HEIGHT = Grouping((1, "whole", 1))
WIDTH = Grouping((1, 1, "whole"))
QUADRANT = Grouping(("whole", "half", "half"))
LATTICE = Grouping((2, 2, 2), across=True)


def make_schemes(block_frames: int = 4) -> dict[str, Scheme]:
    """All schemes by name.

    Args:
        block_frames: k of "strided" and "block_local", in tokens along time.

    Raises:
        OptionError: a block without frames.
    """
    if block_frames < 1:
        raise OptionError(f"block_frames must be at least 1, got {block_frames}")
    block = Grouping((block_frames, "whole", "whole"))
    every_kth = Grouping((block_frames, "whole", "whole"), across=True)
    return {
        # ViViT's model 1, TimeSformer's ST.
        "joint": Scheme((Step((JOINT,)),), choice="tokens"),
        # TimeSformer's S: frames never meet before they are pooled.
        "space": Scheme((Step((SPACE,)),), choice="frames"),
        # TimeSformer's T+S, temporal first. As in the released code, the class token waits in the
        # temporal step; the paper lets tokens see it there, too.
        "divided": Scheme(
            (Step((TIME,), "left out"), Step((SPACE,))), between=True, choice="tubes"
        ),
        # TimeSformer's L+G. The paper does not define it further and no code is public: we take
        # the four quadrants over all times, then every second token along each axis.
        "local_global": Scheme(
            (Step((QUADRANT,)), Step((LATTICE,))), between=True, class_token=False
        ),
        # TimeSformer's T+W+H.
        "axial": Scheme(
            (Step((TIME,)), Step((WIDTH,)), Step((HEIGHT,))), between=True, class_token=False
        ),
        # ViViT's model 3, in the paper's order.
        "factorised_self": Scheme(
            (Step((SPACE,)), Step((TIME,))), class_token=False, choice="tubes"
        ),
        # ViViT's model 4: half the heads see space, half time.
        "factorised_dot": Scheme((Step((SPACE, TIME)),), class_token=False, choice="tubes"),
        # Sparse Transformer's two patterns: k frames together, then every k-th frame at one place.
        "strided": Scheme((Step((block,)), Step((every_kth,))), class_token=False, choice="tubes"),
        # Blocks of k frames, and global tokens that see and are seen by all.
        "block_local": Scheme((Step((block,), "global"),), choice="tubes"),
        "linformer": Scheme((Step((JOINT,), "copied", "linformer"),)),
        "performer": Scheme((Step((JOINT,), "copied", "performer"),), choice="tokens"),
    }


def find_scheme(attention: str, *, block_frames: int = 4) -> Scheme:
    """The scheme of that name.

    Args:
        attention: a key of `make_schemes`.
        block_frames: as there.

    Raises:
        OptionError: no such scheme, or a block without frames.
    """
    schemes = make_schemes(block_frames)
    if attention not in schemes:
        raise OptionError(f"no attention named {attention!r}; there are {', '.join(schemes)}")
    return schemes[attention]
