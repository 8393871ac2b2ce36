"""Kinetics-400: its class names, its preprocessing, and torchvision's weights for Video Swin.

"The Kinetics Human Action Video Dataset", Kay, Carreira, Simonyan, Zhang, Hillier,
Vijayanarasimhan, Viola, Green, Back, Natsev, Suleyman, Zisserman, 2017.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from torch import Tensor

from vigilia.backbones._torchvision import import_torchvision
from vigilia.backbones.swin3d import from_torchvision
from vigilia.errors import OptionError, VigiliaError

__all__ = [
    "KINETICS400_CROP_PIXELS",
    "KINETICS400_MEAN",
    "KINETICS400_RESIZE_PIXELS",
    "KINETICS400_STD",
    "KINETICS400_WEIGHTS",
    "fetch_kinetics400",
    "kinetics400_classes",
]

# Red, green, blue, of pixels in [0, 1].
KINETICS400_MEAN = (0.485, 0.456, 0.406)
KINETICS400_STD = (0.229, 0.224, 0.225)
# The shorter side is resized to the first, then the centre is cut out, a square of the second.
KINETICS400_RESIZE_PIXELS = 256
KINETICS400_CROP_PIXELS = 224

# Name -> torchvision's weight enum and its member. `_22k` was pre-trained on ImageNet-22k. The
# incremental ones start from clip mode's weights, which have the same shapes.
KINETICS400_WEIGHTS: dict[str, tuple[str, str]] = {
    "swin3d_t": ("Swin3D_T_Weights", "KINETICS400_V1"),
    "swin3d_s": ("Swin3D_S_Weights", "KINETICS400_V1"),
    "swin3d_b": ("Swin3D_B_Weights", "KINETICS400_V1"),
    "swin3d_b_22k": ("Swin3D_B_Weights", "KINETICS400_IMAGENET22K_V1"),
    "swin3d_t_incremental": ("Swin3D_T_Weights", "KINETICS400_V1"),
    "swin3d_s_incremental": ("Swin3D_S_Weights", "KINETICS400_V1"),
    "swin3d_b_incremental": ("Swin3D_B_Weights", "KINETICS400_V1"),
}


@lru_cache(maxsize=1)
def kinetics400_classes() -> tuple[str, ...]:
    """The 400 class names, in the order of the classifier's logits."""
    text = files("vigilia.backbones").joinpath("kinetics400.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def fetch_kinetics400(name: str, *, progress: bool = False) -> dict[str, Tensor]:
    """Download torchvision's Kinetics-400 weights, or take them from torch's download cache.

    Args:
        name: one of `KINETICS400_WEIGHTS`.
        progress: show torchvision's progress bar on standard error.

    Returns:
        The weights of the whole classifier under our names; see `from_torchvision`.

    Raises:
        OptionError: there are no weights of this name.
        VigiliaError: the weights could not be downloaded, or came damaged.
    """
    if name not in KINETICS400_WEIGHTS:
        known = ", ".join(KINETICS400_WEIGHTS)
        raise OptionError(f"no Kinetics-400 weights for {name!r}; there are {known}")
    enum, member = KINETICS400_WEIGHTS[name]
    import_torchvision()
    from torchvision.models import video

    weights = getattr(getattr(video, enum), member)
    try:
        state_dict = weights.get_state_dict(progress=progress, check_hash=True)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash a RuntimeError
        reason = str(error).partition("\n")[0]
        raise VigiliaError(
            f"could not download {weights.url}: {reason}; check the network, or place the file in "
            f"torch's cache (TORCH_HOME)"
        ) from error
    return from_torchvision(state_dict)
