"""An image network without its head, as the eye that looks at each frame by itself.

Letters: B streams, C channels, T frames, H W pixels, H' W' the grid, D features.
"""

from __future__ import annotations

import importlib
from typing import cast

import torch
from torch import Tensor, nn

from vigilia.backbones._torchvision import import_torchvision
from vigilia.errors import MissingExtraError, OptionError

__all__ = ["Trunk", "image_trunk", "small_trunk"]

_PIXELS = 96
"""Of a picture that shows where a network loses its grid: 32 times smaller is still 3 x 3."""


class Trunk(nn.Module):
    """A network (R, C, H, W) -> (R, D, H', W') that is run on every frame.

    Args:
        network: that one.
        dim: D.
        name: for messages.
        least: pixels that a side must have, so that something is left of it.
    """

    def __init__(self, network: nn.Module, *, dim: int, name: str, least: int) -> None:
        super().__init__()
        self.network = network
        self.dim = dim
        self.name, self.least = name, least

    def forward(self, clip: Tensor) -> Tensor:
        """clip: (B, C, T, H, W) -> (B, T, H', W', D).

        Raises:
            OptionError: the frames are too small for the network.
        """
        if min(clip.shape[3:]) < self.least:
            raise OptionError(
                f"{self.name} reduces frames {self.least} times, so that height and width must be "
                f"at least {self.least} pixels, got {tuple(clip.shape[3:])}"
            )
        seen = self.network(clip.transpose(1, 2).flatten(0, 1))
        if isinstance(seen, dict):
            seen = seen["tokens"]
        return cast(Tensor, seen).unflatten(0, (len(clip), -1)).permute(0, 1, 3, 4, 2)


def image_trunk(name: str) -> Trunk:
    """A convolutional network for pictures, fresh, up to its global pooling.

    Args:
        name: of torchvision's, such as "resnet18", "mobilenet_v3_small" or "convnext_tiny"; or of
            timm's, such as "timm:resnet18". Its parameters keep their names, below `network.`, so
            that weights for pictures load.

    Raises:
        OptionError: no such network, or one without a grid of features.
        MissingExtraError: timm is not installed.
    """
    if name.startswith("timm:"):
        network = _timm(name)
    else:
        network = _torchvision(name)
    network.eval()
    with torch.no_grad():
        seen = network(torch.zeros(1, 3, _PIXELS, _PIXELS))
    shape = tuple((seen["tokens"] if isinstance(seen, dict) else seen).shape)
    if len(shape) != 4:
        raise OptionError(f"{name} gives {shape}, not a grid of features; take a convolutional one")
    network.train()
    return Trunk(network, dim=shape[1], name=name, least=-(-_PIXELS // min(shape[2:])))


def small_trunk(dims: tuple[int, ...]) -> Trunk:
    """Ours, for small pictures: each convolution halves height and width."""
    layers: list[nn.Module] = []
    for dim_in, dim in zip((3, *dims), dims, strict=False):
        layers += [nn.Conv2d(dim_in, dim, 3, 2, 1), nn.GroupNorm(1, dim), nn.GELU()]
    return Trunk(nn.Sequential(*layers), dim=dims[-1], name="the small trunk", least=1)


def _timm(name: str) -> nn.Module:
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise MissingExtraError(
            f"{name} needs timm, which is not installed: pip install timm; "
            f"torchvision's networks need nothing"
        ) from error
    try:
        return cast(
            nn.Module, timm.create_model(name.removeprefix("timm:"), num_classes=0, global_pool="")
        )
    except RuntimeError as error:
        raise OptionError(f"timm has no {name.removeprefix('timm:')!r}") from error


def _torchvision(name: str) -> nn.Module:
    import_torchvision()
    from torch.fx import GraphModule
    from torch.fx.passes.shape_prop import ShapeProp
    from torchvision import models
    from torchvision.models.feature_extraction import (
        NodePathTracer,
        create_feature_extractor,
        get_graph_node_names,
    )

    known = models.list_models(module=models)
    if name not in known:
        raise OptionError(f"torchvision has no {name!r}; it has {', '.join(known)}")
    model = models.get_model(name, weights=None).eval()
    tracer = NodePathTracer()
    graph = GraphModule(model, tracer.trace(model))
    ShapeProp(graph).propagate(torch.zeros(1, 3, _PIXELS, _PIXELS))
    last = None
    for node in graph.graph.nodes:
        if node.op == "call_module" and isinstance(
            graph.get_submodule(str(node.target)), nn.AdaptiveAvgPool2d
        ):
            continue  # VGG's gives a grid of 7 x 7 to any picture
        shape = getattr(node.meta.get("tensor_meta"), "shape", ())
        if len(shape) == 4 and min(shape[2:]) > 1 and node.op != "placeholder":
            last = tracer.node_to_qualname[node]
    if last is None:
        raise OptionError(f"{name} has no grid of features; take a convolutional network")
    known_nodes = get_graph_node_names(model)[1]
    while last not in known_nodes:  # it lies within a layer that torchvision keeps whole
        last = last.rpartition(".")[0]
    return cast(nn.Module, create_feature_extractor(model, {last: "tokens"}))
