"""Spiking networks for event cameras: neurons, the Neuro-SVT model, and a meter of its energy.

SPIKING_SIZES names the models and SPIKING_MEMORIES the presets of their memory token. Both hold
arguments of `NeuroSvt`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from vigilia.errors import OptionError
from vigilia.spiking.model import NeuroSvt
from vigilia.spiking.values import SpikingOutputs, SpikingSpec, SpikingState

__all__ = [
    "SPIKING_MEMORIES",
    "SPIKING_SIZES",
    "NeuroSvt",
    "SpikingOutputs",
    "SpikingSpec",
    "SpikingState",
    "build_spiking_model",
    "create_spiking_model",
]

SPIKING_SIZES: dict[str, dict[str, Any]] = {
    "neuro_svt_nano": {
        "dim": 32,
        "depth": 1,
        "heads": 2,
        "patch": 4,
        "tau": None,
        "memory_tokens": 2,
    },
    "neuro_svt_ti": {"dim": 192, "depth": 4, "heads": 3},
    "neuro_svt_s": {"dim": 384, "depth": 6, "heads": 6},
    "neuro_svt_b": {"dim": 512, "depth": 8, "heads": 8},
}
"""Models by name.

"nano" is for small pictures, and what the permanence benchmark trains: only its memory has a past.
"""

SPIKING_MEMORIES: dict[str, dict[str, Any]] = {
    "event": {},
    "hold30": {"memory_taus": (43.8, 43.8), "memory_gated": False},
    "seed": {
        "tau": 1.1,
        "memory_taus": (2.0, 2.0),
        "memory_gated": False,
        "memory_reset": "hard",
    },
}
"""Presets of the memory token.

event: a bank of time constants from 2 to 100 writes behind a spiking gate. What is hidden stays.
hold30: one time constant, 43.8 bins, that halves what is remembered every 30 bins, gate or not.
seed: the source document's 2.0 and 1.1, an ordinary neuron. It keeps 9e-10 of its membrane over 30
    blank bins and never fires on one: it is here to be compared with, and fails as it must.
"""


def create_spiking_model(
    name: str,
    *,
    num_classes: int | None = None,
    classes: Iterable[str] | None = None,
    memory: str = "event",
    height: int = 128,
    width: int = 128,
    bin_seconds: float = 1 / 30,
    **options: Any,
) -> NeuroSvt:
    """Builds a spiking model with fresh weights.

    Args:
        name: a key of `SPIKING_SIZES`.
        num_classes: K; may be left out when `classes` is given.
        classes: names of the K classes; by default "0", "1", ...
        memory: a key of `SPIKING_MEMORIES`.
        height: H in pixels, a multiple of the patch.
        width: W in pixels, likewise.
        bin_seconds: how long a bin lasts.
        **options: other arguments of `NeuroSvt`, such as `memory_tokens=2`.

    Raises:
        OptionError: an unknown name or a value that cannot work.
    """
    names = tuple(classes) if classes is not None else None
    if names is None:
        if num_classes is None or num_classes < 1:
            raise OptionError(f"num_classes must be at least 1, got {num_classes}")
        names = tuple(str(index) for index in range(num_classes))
    if num_classes is not None and num_classes != len(names):
        raise OptionError(f"num_classes is {num_classes}, but classes has {len(names)} names")
    if not names or len(set(names)) != len(names):
        raise OptionError(f"classes must be different names, at least one, got {list(names)}")
    return build_spiking_model(
        SpikingSpec(name, memory, names, height, width, bin_seconds, dict(options))
    )


def build_spiking_model(spec: SpikingSpec) -> NeuroSvt:
    """Builds the model that a spec describes, with fresh weights."""
    if spec.name not in SPIKING_SIZES:
        raise OptionError(
            f"no spiking model named {spec.name!r}; there are {', '.join(SPIKING_SIZES)}"
        )
    if spec.memory not in SPIKING_MEMORIES:
        raise OptionError(
            f"a spiking model has no memory named {spec.memory!r}; "
            f"there are {', '.join(SPIKING_MEMORIES)}"
        )
    known = [name for name in inspect.signature(NeuroSvt).parameters if name != "spec"]
    for option in spec.options:
        if option not in known:
            raise OptionError(
                f"a spiking model has no option {option!r}; it has {', '.join(known)}"
            )
    arguments: dict[str, Any] = {
        **SPIKING_SIZES[spec.name],
        **SPIKING_MEMORIES[spec.memory],
        **spec.options,
    }
    arguments["memory_taus"] = tuple(arguments.get("memory_taus", (2.0, 100.0)))  # JSON has lists
    return NeuroSvt(spec, **arguments)
