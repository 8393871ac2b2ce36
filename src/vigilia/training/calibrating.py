"""A model whose probabilities mean what they say: what `vigilia calibrate` calls.

One temperature is fitted to recordings that the model did not learn from (`evaluation.temperature`)
and divided into the head's weights and bias, which is the same as dividing the logits: nothing else
in the model file changes, no answer does, and `run`, `serve` and `export` need not know.

How much better it is is told by recordings that are left out of the fit, one after another.

Letters: N scored clips, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vigilia.checkpoint import save_model
from vigilia.errors import InputError
from vigilia.evaluation.calibration import calibration
from vigilia.evaluation.temperature import apply_temperature, fit_temperature, log_loss
from vigilia.models import resolve_model
from vigilia.stream import StreamClassifier
from vigilia.training.evaluate import alone
from vigilia.training.recordings import Recording, prepare_recording
from vigilia.training.sources import Annotated
from vigilia.training.start import check_place
from vigilia.training.stretch import pixel_view

__all__ = ["Calibrated", "calibrate_model", "calibrate_recordings"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibrated:
    """What came of it.

    Attributes:
        model: says the same, as sure as it is right.
        temperature: by which the logits are divided; above 1: the model was too sure.
        clips: scored ones.
        error: expected calibration error before and after, 0 is calibrated.
        loss: mean surprise at the truth in nats, before and after.
        left_out: whether "after" is of recordings that were left out of the fit, each with the
            temperature of the others. Of a single recording it is of the fit itself.
    """

    model: StreamClassifier
    temperature: float
    clips: int
    error: tuple[float, float]
    loss: tuple[float, float]
    left_out: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON and the card."""
        return {
            "temperature": self.temperature,
            "clips": self.clips,
            "expected_calibration_error": list(self.error),
            "log_loss": list(self.loss),
            "left_out": self.left_out,
        }


def calibrate_recordings(
    model: str | Path,
    annotated: Sequence[Annotated],
    *,
    out: Path,
    device: str = "cpu",
    cache: Path | None = None,
    on_frame: Callable[[str, float, float | None], None] | None = None,
) -> Calibrated:
    """Decodes the recordings, fits the temperature and writes the calibrated model.

    Args:
        model: a model file, or a bundled model.
        annotated: recordings and labels that it did not learn from.
        out: the model file to write.
        device: where the model runs.
        cache: folder for decoded frames; by default beside `out`.
        on_frame: called while decoding with the recording, seconds, and its duration if known.

    Raises:
        VigiliaError: see `prepare_recording` and `calibrate_model`.
    """
    check_place(out)
    start = resolve_model(model, device=device)

    def prepared(one: Annotated) -> Recording:
        def progress(seconds: float, duration: float | None) -> None:
            if on_frame is not None:
                on_frame(one.video.name, seconds, duration)

        return prepare_recording(
            one.video,
            one.labels,
            classes=start.classes,
            preprocessing=start.preprocessing,
            cache=cache or out.with_name(out.name + ".frames"),
            on_frame=progress,
        )

    found = calibrate_model(start, [prepared(one) for one in annotated])
    names = [one.video.name for one in annotated]
    save_model(
        found.model,
        out,
        card={**start.card, "calibrated": {**found.as_dict(), "recordings": names}},
    )
    return found


def calibrate_model(model: StreamClassifier, recordings: Sequence[Recording]) -> Calibrated:
    """Calibrates a copy of a model.

    Args:
        model: in evaluation mode; is left as it is.
        recordings: that it did not learn from, with labels.

    Raises:
        InputError: no clip is labelled.
    """
    told = [
        pair for one in recordings if len((pair := _streamed(model, one))[1])
    ]  # (N, K), (N,) each
    if not told:
        raise InputError("no clip is labelled; a temperature needs labelled recordings")
    logits, truth = (np.concatenate(parts) for parts in zip(*told, strict=True))
    temperature = fit_temperature(logits, truth)
    before = apply_temperature(logits, 1.0)
    if len(told) > 1:
        after = np.concatenate([_left_out(told, index) for index in range(len(told))])
    else:
        after = apply_temperature(logits, temperature)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.head.weight.div_(temperature)
        other.head.bias.div_(temperature)
    return Calibrated(
        model=other,
        temperature=temperature,
        clips=len(truth),
        error=(_error(before, truth), _error(after, truth)),
        loss=(log_loss(before, truth), log_loss(after, truth)),
        left_out=len(told) > 1,
    )


def _left_out(told: Sequence[tuple[Floats, NDArray[np.int64]]], index: int) -> Floats:
    """Probabilities of one recording, with the temperature of the others."""
    others = [pair for number, pair in enumerate(told) if number != index]
    logits, truth = (np.concatenate(parts) for parts in zip(*others, strict=True))
    return apply_temperature(told[index][0], fit_temperature(logits, truth))


def _error(probabilities: Floats, truth: NDArray[np.int64]) -> float:
    found = calibration(probabilities, truth)
    assert found is not None  # there is a scored clip
    return found.expected_calibration_error


@torch.no_grad()
def _streamed(model: StreamClassifier, one: Recording) -> tuple[Floats, NDArray[np.int64]]:
    """Logits and labels of the scored clips of a recording, streamed from its beginning."""
    view, state = pixel_view(model, [one]), model.init_state(1)
    kept = []
    for clip, label in enumerate(one.labels):
        logits, state = view(alone(one, 0, clip), state)
        if label >= 0:
            kept.append(logits[0].double().cpu().numpy())
    scored = one.labels[one.labels >= 0]
    return (np.stack(kept) if kept else np.zeros((0, len(model.classes)))), scored
