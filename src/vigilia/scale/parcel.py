"""A model on its way to other machines: the bytes of its file, and who reads them.

Every machine thus runs the same weights, and none needs the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vigilia.checkpoint import load_classifier, save_model
from vigilia.errors import CheckpointError
from vigilia.running import StepModel
from vigilia.stream import StreamClassifier

__all__ = ["Parcel"]


@dataclass(frozen=True)
class Parcel:
    """A model's file.

    Attributes:
        name: of the file.
        data: what is in it.
        load: reads it, a function that every machine can import; None for a model file.
    """

    name: str
    data: bytes
    load: Callable[[Path], Any] | None = None

    def __repr__(self) -> str:
        return f"Parcel({self.name!r}, {len(self.data)} bytes)"

    @staticmethod
    def of_model(model: StreamClassifier) -> Parcel:
        """Packs a model."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            save_model(model, path)
            return Parcel(path.name, path.read_bytes())

    @staticmethod
    def of_file(path: str | Path, load: Callable[[Path], Any]) -> Parcel:
        """Packs a file that somebody else reads, such as an exported step.

        Raises:
            CheckpointError: it cannot be read.
        """
        try:
            return Parcel(Path(path).name, Path(path).read_bytes(), load)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error

    def unpacked(self, device: str = "cpu") -> StepModel:
        """The model.

        Args:
            device: for a model file; whoever else reads a file knows where it runs.

        Raises:
            VigiliaError: the file or the device cannot be used.
        """
        from vigilia.models import usable_device

        with TemporaryDirectory() as folder:
            path = Path(folder) / self.name
            path.write_bytes(self.data)
            if self.load is not None:
                loaded: StepModel = self.load(path)
                return loaded
            return load_classifier(path, device=usable_device(device))
