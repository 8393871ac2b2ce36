"""What an exported file says about itself: enough to run it without the model it was made from.

Letters: B streams.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from vigilia.preprocessing import Preprocessing
from vigilia.stream import ModelSpec

__all__ = ["FORMAT", "KEY", "Description", "StateTensor"]

FORMAT = "vigilia-step-1"
KEY = "vigilia"
"""Name of the entry, in the file's metadata, that holds the description as JSON."""


@dataclass(frozen=True)
class StateTensor:
    """One tensor of the state: an input of the step, and an output of the same shape.

    Attributes:
        name: dotted, as `vigilia.state.named_tensors` has it. The input is `state.` + name, the
            output `next.` + name.
        shape: B first.
        dtype: float32, float64 (times in seconds), int64 or bool.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def taken(self) -> str:
        """Name of the input."""
        return f"state.{self.name}"

    @property
    def given(self) -> str:
        """Name of the output."""
        return f"next.{self.name}"


@dataclass(frozen=True)
class Description:
    """What a file holds.

    Attributes:
        spec: what the model was built from; holds classes and preprocessing.
        card: what the model was trained on, and how well it did.
        batch: B; it is fixed.
        precision: float32, bf16 or int8: of the backbone's products.
        state: the state's tensors, in the order of inputs and outputs.
        model_hash: of the weights and arguments, as a saved run has it.
    """

    spec: ModelSpec
    card: dict[str, Any]
    batch: int
    precision: str
    state: tuple[StateTensor, ...]
    model_hash: str

    @property
    def clip_shape(self) -> tuple[int, int, int, int, int]:
        """(B, C, T, H, W) of the input `clip`, float32 as `Preprocessing.to_clip` makes it."""
        pre = self.spec.preprocessing
        return (self.batch, 3, pre.clip_frames, pre.height, pre.width)

    def to_json(self) -> str:
        """As it is written into the file."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)})

    @staticmethod
    def from_json(text: str) -> Description:
        """The inverse of `to_json`.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: it is no such text.
        """
        fields = json.loads(text)
        if fields.pop("format", None) != FORMAT:
            raise ValueError(f"no {FORMAT!r} in it")
        fields["spec"] = _spec(fields["spec"])
        fields["state"] = tuple(
            StateTensor(one["name"], tuple(one["shape"]), one["dtype"]) for one in fields["state"]
        )
        return Description(**fields)


def _spec(fields: dict[str, Any]) -> ModelSpec:
    """JSON has no tuples: what was one comes back as a list."""
    pre = fields["preprocessing"]
    return ModelSpec(
        name=fields["name"],
        memory=fields["memory"],
        classes=tuple(fields["classes"]),
        preprocessing=Preprocessing(**pre | {name: tuple(pre[name]) for name in ("mean", "std")}),
        memory_options={
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields["memory_options"].items()
        },
        backbone_options=fields["backbone_options"],
    )
