"""What an ordinary vision transformer of the same use costs, for comparison.

Letters: H W pixels.
"""

from __future__ import annotations

import torch

from vigilia.backbones._torchvision import import_torchvision
from vigilia.layers.flops import count_flops
from vigilia.spiking.energy import COSTS, Costs

__all__ = ["vit_tiny_joules", "vit_tiny_multiplies"]


def vit_tiny_multiplies(size: int = 224, patch: int = 16, *, classes: int = 1000) -> int:
    """Multiplications of ViT-Tiny on one picture, by torch's own counter.

    Patch embedding, all linear layers and both products of attention are in it, fused kernels too;
    layer norms, softmax, activations, and fetching weights are not.

    Args:
        size: H and W in pixels.
        patch: side of a patch in pixels.
        classes: of the head.
    """
    models = import_torchvision().models

    with torch.device("meta"):
        model = models.VisionTransformer(
            image_size=size,
            patch_size=patch,
            num_layers=12,
            num_heads=3,
            hidden_dim=192,
            mlp_dim=768,
            num_classes=classes,
        )
        picture = torch.empty(1, 3, size, size)
    # In evaluation mode torch may take a fused encoder layer that the counter cannot look into.
    return count_flops(lambda: model.train()(picture)) // 2


def vit_tiny_joules(
    size: int = 224, patch: int = 16, *, classes: int = 1000, costs: Costs = COSTS["float32"]
) -> float:
    """Energy of those multiplications, for every frame, whether anything moves or not."""
    return vit_tiny_multiplies(size, patch, classes=classes) * costs.multiply * 1e-12
