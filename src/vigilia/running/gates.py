"""What the user names as a gate."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vigilia.checkpoint import load_model
from vigilia.errors import OptionError
from vigilia.relevance import AnyGate, GateOptions, SpikingGate
from vigilia.spiking import NeuroSvt

__all__ = ["gate_named"]


def gate_named(name: str) -> AnyGate:
    """A gate by its name.

    Args:
        name: "noise", "svt" for the spiking model that comes with Vigilia, or a file of a model of
            events.

    Raises:
        OptionError: no such gate.
        CheckpointError: the file cannot be used.
    """
    if name == "noise":
        return GateOptions()
    if name == "svt":
        file = resources.files("vigilia") / "weights" / "wake.safetensors"
        with resources.as_file(file) as path:
            return _spiking(path)
    if Path(name).is_file():
        return _spiking(Path(name))
    raise OptionError(
        f"no gate named {name!r}: there are noise and svt, or name a model of events, a file "
        "(--gate without a value stands behind the recordings)"
    )


def _spiking(path: Path) -> SpikingGate:
    model = load_model(path)
    if not isinstance(model, NeuroSvt):
        raise OptionError(f"{path}: is no model of events, and only such a one can be a gate")
    return SpikingGate(model)
