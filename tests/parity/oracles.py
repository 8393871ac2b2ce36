"""Importing transformers, also where a companion that it would use is broken."""

from __future__ import annotations

import transformers.utils
import transformers.utils.import_utils

from vigilia.backbones._torchvision import import_torchvision

__all__ = ["transformers"]

import_torchvision()
# A torchaudio wheel that was built for CUDA next to a CPU build of torch breaks every model's
# import, also of models without sound.
for _module in (transformers.utils, transformers.utils.import_utils):
    _module.is_torchaudio_available = lambda: False
