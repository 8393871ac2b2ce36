"""How good the results are: against one scorer or several, cells, bouts, scores, sleep."""

from __future__ import annotations

from vigilia.evaluation.agreement import (
    Agreement,
    ClassAgreement,
    agreement,
    format_agreement,
    pool_agreements,
)
from vigilia.evaluation.bland_altman import BlandAltman, bland_altman
from vigilia.evaluation.calibration import Calibration, calibration
from vigilia.evaluation.comparison import Comparison, compare, in_epochs, with_consensus
from vigilia.evaluation.delay import ClassDelay, detection_delays
from vigilia.evaluation.evaluating import evaluate
from vigilia.evaluation.intervals import ConfidenceInterval, bootstrap
from vigilia.evaluation.ranking import Ranking, average_precision, rank
from vigilia.evaluation.report import write_report
from vigilia.evaluation.results import Evaluation
from vigilia.evaluation.scorers import ScorerAgreement, agreement_of_scorers, consensus
from vigilia.evaluation.segments import Segmental, count_segments, segmental
from vigilia.evaluation.sleep import SleepFigures, sleep_figures
from vigilia.evaluation.text import format_evaluation

__all__ = [
    "Agreement",
    "BlandAltman",
    "Calibration",
    "ClassAgreement",
    "ClassDelay",
    "Comparison",
    "ConfidenceInterval",
    "Evaluation",
    "Ranking",
    "ScorerAgreement",
    "Segmental",
    "SleepFigures",
    "agreement",
    "agreement_of_scorers",
    "average_precision",
    "bland_altman",
    "bootstrap",
    "calibration",
    "compare",
    "consensus",
    "count_segments",
    "detection_delays",
    "evaluate",
    "format_agreement",
    "format_evaluation",
    "in_epochs",
    "pool_agreements",
    "rank",
    "segmental",
    "sleep_figures",
    "with_consensus",
    "write_report",
]
