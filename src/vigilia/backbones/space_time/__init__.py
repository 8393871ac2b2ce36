"""Space-time transformers: TimeSformer's and ViViT's schemes, and others, on clips and on streams.

- `SpaceTime(attention=...)` sees whole clips, with any scheme of `make_schemes`;
  `FactorisedEncoder` is ViViT's model 2, which is two transformers.
- `causal_space_time(attention=...)` streams: a step computes the new frames and reuses cached keys
  and values. Schemes of `CAUSAL` have this form.
- `SPACE_TIME` names the published sizes and small ones; `from_timesformer` and `from_vivit` convert
  the weights of transformers.
"""

from __future__ import annotations

from vigilia.backbones.space_time.causal import UNBOUNDED_FRAMES, CausalTransformer
from vigilia.backbones.space_time.causal_attention import CAUSAL
from vigilia.backbones.space_time.causal_variants import causal_space_time
from vigilia.backbones.space_time.convert import from_timesformer, from_vivit
from vigilia.backbones.space_time.costs import attention_macs
from vigilia.backbones.space_time.factorised_encoder import FactorisedEncoder
from vigilia.backbones.space_time.model import SpaceTime
from vigilia.backbones.space_time.schemes import make_schemes
from vigilia.backbones.space_time.variants import SPACE_TIME, SPACE_TIME_NANO

__all__ = [
    "CAUSAL",
    "SPACE_TIME",
    "SPACE_TIME_NANO",
    "UNBOUNDED_FRAMES",
    "CausalTransformer",
    "FactorisedEncoder",
    "SpaceTime",
    "attention_macs",
    "causal_space_time",
    "from_timesformer",
    "from_vivit",
    "make_schemes",
]
