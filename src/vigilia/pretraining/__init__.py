"""Learning from recordings without labels, before training: masked tubes, or likeness in time.

options.py      how
which.py        which backbones can, and how each is masked
draws.py        which clips an update looks at
looks.py        how they are changed
cubes.py        clips as cubes of pixels, and tubes of them that are hidden
decoder.py      from tokens back to hidden cubes
masked.py       the masked autoencoder
contrastive.py  what is near in time is alike, other recordings are not
loop.py         update after update, with resume
start.py        from videos to a model file: what `vigilia pretrain` calls
"""

from __future__ import annotations

from vigilia.pretraining.loop import PretrainUpdate, pretrain_model
from vigilia.pretraining.options import METHODS, PretrainOptions
from vigilia.pretraining.start import pretrain_recordings
from vigilia.pretraining.which import why_not

__all__ = [
    "METHODS",
    "PretrainOptions",
    "PretrainUpdate",
    "pretrain_model",
    "pretrain_recordings",
    "why_not",
]
