"""Who takes part: a small backbone of every branch, and a memory that fits it.

Sound and events are left out: there are none in what is shown.
"""

from __future__ import annotations

from typing import Any

from vigilia.backbones import BACKBONES, NANO
from vigilia.bench.contenders import CONTENDERS, Contender
from vigilia.errors import OptionError

__all__ = ["ENTRANTS", "MEMORIES", "contender_for"]

ENTRANTS = (
    "conv3d_nano",
    "conv3d_nano_incremental",
    "c3d_nano",
    "r2plus1d_nano",
    "i3d_nano",
    "slowfast_nano",
    "swin3d_nano",
    "swin3d_nano_incremental",
    "mvit_v2_nano",
    "memvit_nano",
    "timesformer_divided_nano",
    "timesformer_divided_causal_nano",
    "vivit_factorised_encoder_nano",
    "space_time_performer_nano",
    "state_space_nano",
    "slowfast_transformer_nano",
    "cnn_transformer_nano",
    "two_branch_nano",
)
MEMORIES = ("none", "fam")
HEAD_DIMS = (24, 32, 16, 8)


def contender_for(backbone: str, memory: str) -> Contender:
    """The memory benchmark's contender, on this backbone's last stage.

    Raises:
        OptionError: no such backbone or memory, or a backbone that is not for small pictures.
    """
    if memory not in MEMORIES:
        raise OptionError(f"no memory named {memory!r}; there are {', '.join(MEMORIES)}")
    if backbone not in NANO or backbone.startswith("audio_visual"):
        raise OptionError(
            f"{backbone!r} is no backbone for small silent pictures; take one of "
            f"{', '.join(ENTRANTS)}"
        )
    given = CONTENDERS[memory]
    if memory == "none":
        return given
    dims = BACKBONES[backbone]().stage_dims
    head_dim = next(size for size in HEAD_DIMS if dims[-1] % size == 0)
    options: dict[str, Any] = {**given.options, "stages": (len(dims),), "head_dim": head_dim}
    return Contender(given.name, given.title, given.memory, options)
