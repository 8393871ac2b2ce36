"""Importing torchvision, also where its compiled operators do not fit the installed torch."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

__all__ = ["import_torchvision"]

# A library's definitions disappear with the object, so it is kept for the life of the process.
_definitions: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """torchvision, imported on demand.

    A torchvision wheel that was built for CUDA next to a CPU build of torch cannot load its
    operators, and then fails on import because it describes `nms` to torch. We need none of these
    operators, so a bare definition of their signatures lets the import pass.

    Raises:
        ImportError: torchvision is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error) or _definitions:
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _definitions.append(library)
    return importlib.import_module("torchvision")
