"""S3D: Inception whose kernels over space and time are each split into one of either.

"Rethinking Spatiotemporal Feature Learning: Speed-Accuracy Trade-offs in Video Classification",
Xie, Sun, Huang, Tu, Murphy, 2018. Kinetics-400 weights come from torchvision (BSD-3-Clause) through
`from_torchvision`. The network itself is in `inception3d`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from vigilia.backbones.conversion import convert
from vigilia.backbones.inception3d import NANO_WIDTHS, Inception3D

__all__ = ["from_torchvision", "s3d", "s3d_nano"]

# torchvision numbers blocks and poolings in one sequence.
_PLACES = {0: "stem", 2: "stages.0.blocks.0", 3: "stages.0.blocks.1"}
_PLACES |= {5: "stages.1.blocks.0", 6: "stages.1.blocks.1"}
_PLACES |= {8 + index: f"stages.2.blocks.{index}" for index in range(5)}
_PLACES |= {14 + index: f"stages.3.blocks.{index}" for index in range(2)}


def s3d(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> Inception3D:
    """8.32 M parameters with a 400-class head, 17.98 GMAC at 16 x 224 x 224.

    There is no residual branch that could be dropped: `drop_path`, which every backbone takes, has
    no effect.
    """
    del drop_path
    return Inception3D(
        separable=True,
        same=False,
        norm_momentum=1e-3,  # as torchvision trained it
        checkpoint_activations=checkpoint_activations,
    )


def s3d_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> Inception3D:
    """Ours, for small pictures: five blocks, narrow ones. `drop_path` has no effect."""
    del drop_path
    return Inception3D(
        separable=True,
        same=False,
        widths=NANO_WIDTHS,
        pools_stages=True,
        checkpoint_activations=checkpoint_activations,
    )


def from_torchvision(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of torchvision's s3d under our names, with the head.

    Raises:
        CheckpointError: a name is unknown or missing, or a tensor has another shape.
    """
    # The head is a convolution of 1 x 1 x 1 there.
    weights = {
        name: tensor.flatten(1) if name == "classifier.1.weight" else tensor
        for name, tensor in state_dict.items()
    }
    return convert(weights, rename=_our_name, build=s3d, source="a torchvision s3d")


def _our_name(name: str) -> str:
    if name.startswith("classifier.1."):
        return name.replace("classifier.1.", "head.")
    place = re.fullmatch(r"features\.(\d+)\.(.+)", name)
    if place is None or int(place[1]) not in _PLACES:
        return name
    return f"{_PLACES[int(place[1])]}.{place[2]}"
