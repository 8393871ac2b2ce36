"""Another camera, another lamp: pixels get the mean and the deviation of the training's.

Nothing is learned. What changes is the normalisation that stands before the backbone, so the whole
of it can be read in the model file: a gain and an offset for each colour.
"""

from __future__ import annotations

from dataclasses import replace

from vigilia.errors import InputError
from vigilia.evaluation.known import Light
from vigilia.preprocessing import Preprocessing

__all__ = ["GREATEST_GAIN", "match_light"]

GREATEST_GAIN = 10.0
"""Beyond, what is amplified is noise."""
FLAT = 1 / 255
"""A deviation of less than a grey level: there is nothing to be seen."""


def match_light(preprocessing: Preprocessing, known: Light, found: Light) -> Preprocessing:
    """The same preprocessing, for pixels of another light.

    Of each colour `p` becomes `(p - found.mean) / found.std * known.std + known.mean`, and is then
    normalised as before. With a deviation halved the gain is two: std goes to a half.

    Args:
        preprocessing: that the model was trained with.
        known: the training's pixels.
        found: those of the new recordings.

    Raises:
        InputError: the new recordings are next to flat.
    """
    means, deviations = [], []
    for old_mean, old_std, source, source_std, target, target_std in zip(
        preprocessing.mean,
        preprocessing.std,
        known.mean,
        known.std,
        found.mean,
        found.std,
        strict=True,
    ):
        if target_std < FLAT or source_std / target_std > GREATEST_GAIN:
            raise InputError(
                f"the recordings vary by {255 * target_std:.1f} grey levels, the training's by "
                f"{255 * source_std:.1f}; what would be amplified is noise. Is the lens covered?"
            )
        scale = target_std / source_std
        deviations.append(old_std * scale)
        means.append(target - (source - old_mean) * scale)
    red, green, blue = means
    red_std, green_std, blue_std = deviations
    return replace(preprocessing, mean=(red, green, blue), std=(red_std, green_std, blue_std))
