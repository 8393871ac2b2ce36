"""What the user names as a gate."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vigilia.checkpoint import load_model
from vigilia.errors import OptionError
from vigilia.relevance import AnyGate, GateOptions, SpikingGate
from vigilia.spiking import NeuroSvt

__all__ = ["gate_named"]


def gate_named(name: str, *, wakes: int | None = None) -> AnyGate:
    """A gate by its name.

    Args:
        name: "noise", "svt" for the spiking model that comes with Vigilia, or a file of a model of
            events.
        wakes: frames of a clip that must wake a spiking gate; None for its default.

    Raises:
        OptionError: no such gate, or one of noise, which counts no frames that wake it.
        CheckpointError: the file cannot be used.
    """
    if name == "noise":
        if wakes is not None:
            raise OptionError("frames that wake are counted by a spiking gate, as --gate svt")
        return GateOptions()
    if name == "svt":
        file = resources.files("vigilia") / "weights" / "wake.safetensors"
        with resources.as_file(file) as path:
            return _spiking(path, wakes)
    if Path(name).is_file():
        return _spiking(Path(name), wakes)
    raise OptionError(
        f"no gate named {name!r}: there are noise and svt, or name a model of events, a file "
        "(--gate without a value stands behind the recordings)"
    )


def _spiking(path: Path, wakes: int | None) -> SpikingGate:
    model = load_model(path)
    if not isinstance(model, NeuroSvt):
        raise OptionError(f"{path}: is no model of events, and only such a one can be a gate")
    return SpikingGate(model) if wakes is None else SpikingGate(model, wakes=wakes)
