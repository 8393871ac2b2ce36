"""Everything that is said about predictions, as one value: what `evaluate` returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vigilia.evaluation.agreement import Agreement
from vigilia.evaluation.bland_altman import BlandAltman
from vigilia.evaluation.calibration import Calibration
from vigilia.evaluation.delay import ClassDelay
from vigilia.evaluation.intervals import ConfidenceInterval
from vigilia.evaluation.ranking import Ranking
from vigilia.evaluation.scorers import ScorerAgreement
from vigilia.evaluation.segments import Segmental
from vigilia.evaluation.sleep import SleepFigures

__all__ = ["Evaluation", "RecordingResult", "RecordingSleep", "SleepEvaluation"]


@dataclass(frozen=True)
class RecordingResult:
    """The figures of one recording alone.

    Attributes:
        name: of the recording.
        animal: whom it shows; "" if not said.
        agreement: cell by cell.
        segmental: of its bouts; None where neither side has one.
        mean_average_precision: mAP; None without scores, or where no class has both kinds of cells.
        expected_calibration_error: None without probabilities.
    """

    name: str
    animal: str
    agreement: Agreement
    segmental: Segmental | None
    mean_average_precision: float | None
    expected_calibration_error: float | None


@dataclass(frozen=True)
class RecordingSleep:
    """Sleep of one recording, over the epochs that both sides scored.

    Attributes:
        name: of the recording.
        animal: whom it shows; "" if not said.
        truth: by the truth.
        prediction: by the prediction.
        agreement: of the epochs, wake, NREM and REM.
    """

    name: str
    animal: str
    truth: SleepFigures
    prediction: SleepFigures
    agreement: Agreement


@dataclass(frozen=True)
class SleepEvaluation:
    """Sleep by the truth and by the prediction.

    Attributes:
        kinds: what each class counts as: wake, NREM, REM or sleep; others count as not scored.
        epoch_seconds: length of an epoch.
        agreement: of the epochs of all recordings, by kind.
        recordings: the figures of each.
        bland_altman: prediction minus truth over animals, each the mean of its recordings.
    """

    kinds: Mapping[str, str]
    epoch_seconds: float
    agreement: Agreement
    recordings: tuple[RecordingSleep, ...]
    bland_altman: tuple[BlandAltman, ...]


@dataclass(frozen=True)
class Evaluation:
    """How good predictions are, by every figure.

    Attributes:
        agreement: cell by cell, all recordings together.
        segmental: of bouts; None where neither side has one.
        ranking: of scores; None without scores.
        calibration: None without probabilities.
        delays: one entry a class that has bouts, the last one, without a label, all of them.
        sleep: None where the classes are no states of sleep.
        scorers: how far people agree with each other and the model with them; None with fewer than
            two.
        scorer_seconds: length of the cells on which scorers are compared.
        intervals: the chief figures by name, with intervals from resampling.
        recordings: each alone.
        background: classes that bouts, delays and means of average precision leave out.
        resampled: what was drawn with replacement, such as "12 recordings".
        resamples: how often.
    """

    agreement: Agreement
    segmental: Segmental | None
    ranking: Ranking | None
    calibration: Calibration | None
    delays: tuple[ClassDelay, ...]
    sleep: SleepEvaluation | None
    scorers: ScorerAgreement | None
    scorer_seconds: float
    intervals: Mapping[str, ConfidenceInterval]
    recordings: tuple[RecordingResult, ...]
    background: tuple[str, ...]
    resampled: str
    resamples: int

    @property
    def classes(self) -> tuple[str, ...]:
        return self.agreement.classes

    def to_dict(self) -> dict[str, Any]:
        """Everything as dicts, lists, numbers and text; the figures of `agreement` on top."""
        content = dataclasses.asdict(self)
        return {**content.pop("agreement"), **content}

    def __str__(self) -> str:
        from vigilia.evaluation.text import format_evaluation

        return format_evaluation(self)
