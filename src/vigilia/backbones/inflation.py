"""Inflation: the kernels of an image network, spread over time, begin a video network.

"Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", Carreira, Zisserman, 2017,
section 2.4.1: each 2D kernel is repeated over the k frames of the 3D one and divided by k, so that
a still clip gives what its picture gives. That holds to the letter where time is padded with copies
of the first and last frame (`time_padding="replicate"`); zeros, which are published, darken the
ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from vigilia.errors import CheckpointError, OptionError

__all__ = ["TIME_PADDINGS", "check_time_padding", "inflate", "inflate_all"]

TIME_PADDINGS = ("zeros", "replicate")


def check_time_padding(time_padding: str) -> None:
    """Raises an `OptionError` if there is no such padding."""
    if time_padding not in TIME_PADDINGS:
        raise OptionError(
            f"time_padding must be one of {', '.join(TIME_PADDINGS)}, got {time_padding!r}"
        )


def inflate(kernel: Tensor, frames: int) -> Tensor:
    """kernel: (C', C, H, W) -> (C', C, T, H, W), T = `frames`; the sum over T is the kernel."""
    return kernel.unsqueeze(2).repeat(1, 1, frames, 1, 1) / frames


def inflate_all(weights: Mapping[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """Inflates every 2D kernel among renamed image weights to the shape that the backbone has.

    Args:
        weights: under the backbone's names; what is no kernel is passed on.
        backbone: to inflate for.

    Raises:
        CheckpointError: a kernel does not fit the backbone's in height, width or channels.
    """
    shapes = {name: tuple(x.shape) for name, x in backbone.state_dict().items()}
    inflated = {}
    for name, tensor in weights.items():
        shape = shapes.get(name, ())
        if tensor.ndim == 4 and len(shape) == 5:
            if tuple(tensor.shape) != shape[:2] + shape[3:]:
                raise CheckpointError(
                    f"{name} cannot be inflated from {tuple(tensor.shape)} to {shape}; "
                    f"not the weights of the image network it is made from"
                )
            tensor = inflate(tensor, shape[2])
        inflated[name] = tensor
    return inflated
