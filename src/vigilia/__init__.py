"""Vigilia classifies video that never ends, second by second, with a memory that stays bounded.

    import vigilia

    model = vigilia.load_model("sow.safetensors")
    timeline = vigilia.run("barn.mp4", model=model, out="barn")
    print(timeline.summary())

The tree shows the data's way: `video` (frames, clips), `backbones`, `memory`, `stream` (the
classifier and its one step), `timeline`, `running` (all of it joined), `training`, `evaluation`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vigilia.checkpoint import load_model, save_model
    from vigilia.running import run
    from vigilia.state import detach, reset
    from vigilia.stream import create_model
    from vigilia.timeline import Segment, Timeline

__version__ = "0.1.0"

# Imported when first used: `import vigilia` takes milliseconds, torch takes seconds.
_HOMES = {
    "Segment": "vigilia.timeline",
    "Timeline": "vigilia.timeline",
    "create_model": "vigilia.stream",
    "detach": "vigilia.state",
    "load_model": "vigilia.checkpoint",
    "reset": "vigilia.state",
    "run": "vigilia.running",
    "save_model": "vigilia.checkpoint",
}

__all__ = [
    "Segment",
    "Timeline",
    "__version__",
    "create_model",
    "detach",
    "load_model",
    "reset",
    "run",
    "save_model",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    try:
        # `vigilia.backbones` after `import vigilia` alone.
        return importlib.import_module(f"vigilia.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"vigilia.{name}":
            raise
        raise AttributeError(f"module 'vigilia' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return __all__
