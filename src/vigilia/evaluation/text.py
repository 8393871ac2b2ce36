"""An evaluation as plain text, for the terminal."""

from __future__ import annotations

from vigilia.evaluation.agreement import format_agreement
from vigilia.evaluation.results import Evaluation

__all__ = ["figure", "format_evaluation", "minutes", "short_duration", "span"]


def format_evaluation(result: Evaluation) -> str:
    """The chief figures, section by section; sections that do not apply are left out."""
    sections = [format_agreement(result.agreement), _intervals(result), _bouts(result)]
    sections += [_scores(result), _delays(result), _sleep(result), _scorers(result)]
    return "\n\n".join(section for section in sections if section)


def figure(value: float | None) -> str:
    """0.1234 -> 0.123; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def minutes(seconds: float | None) -> str:
    """90 s -> 1.5 min; a dash where there is none."""
    return "-" if seconds is None else f"{seconds / 60:.1f} min"


def short_duration(seconds: float | None) -> str:
    """Seconds up to two minutes, then minutes, from two hours on hours; a dash for none."""
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def span(result: Evaluation, name: str) -> str:
    """The interval of a chief figure, such as 0.701 to 0.822; "" where there is none."""
    found = result.intervals.get(name)
    if found is None or found.low is None or found.high is None:
        return ""
    return f"{found.low:.3f} to {found.high:.3f}"


def _intervals(result: Evaluation) -> str:
    if not result.resamples:
        return ""
    lines = [f"95 % intervals from resampling {result.resampled}"]
    for name in ("accuracy", "balanced_accuracy", "kappa", "macro_f1"):
        lines.append(f"  {name.replace('_', ' '):<18} {span(result, name)}")
    return "\n".join(lines)


def _bouts(result: Evaluation) -> str:
    if result.segmental is None:
        return ""
    found = result.segmental
    if len(result.recordings) == 1:
        rows = [("bouts: edit", figure(found.edit_pooled))]
        rows += [(f"F1@{100 * one.overlap:.0f}", figure(one.pooled)) for one in found.f1]
        return "   ".join(" ".join(row) for row in rows)
    lines = ["bouts   mean over recordings  pooled"]
    pairs = [("edit", found.edit_mean_over_recordings, found.edit_pooled)]
    pairs += [
        (f"F1@{100 * one.overlap:.0f}", one.mean_over_recordings, one.pooled) for one in found.f1
    ]
    lines += [f"{name:<6}  {mean:20.3f}  {pooled:6.3f}" for name, mean, pooled in pairs]
    return "\n".join(lines)


def _scores(result: Evaluation) -> str:
    parts = []
    if result.ranking is not None:
        parts.append(f"mAP {result.ranking.mean_average_precision:.3f}")
        parts.append(f"calibrated {result.ranking.mean_calibrated_average_precision:.3f}")
    if result.calibration is not None:
        parts.append(f"ECE {result.calibration.expected_calibration_error:.3f}")
        parts.append(f"Brier {result.calibration.brier_score:.3f}")
    return "scores: " + "   ".join(parts) if parts else ""


def _delays(result: Evaluation) -> str:
    if not result.delays:
        return ""
    whole = result.delays[-1]
    return (
        f"detection: {whole.bouts - whole.missed} of {whole.bouts} bouts found, "
        f"median delay {short_duration(whole.median_seconds)}, "
        f"mean {short_duration(whole.mean_seconds)}"
    )


def _sleep(result: Evaluation) -> str:
    if result.sleep is None:
        return ""
    lines = [
        f"sleep in epochs of {result.sleep.epoch_seconds:g} s: "
        f"kappa {result.sleep.agreement.kappa:.3f}"
    ]
    if len(result.sleep.recordings) == 1:
        one = result.sleep.recordings[0]
        lines.append(f"{'':<20} {'truth':>12} {'prediction':>12}")
        rows = [
            ("total sleep time", "total_sleep_seconds"),
            ("WASO", "waso_seconds"),
            ("sleep latency", "sleep_latency_seconds"),
            ("REM latency", "rem_latency_seconds"),
        ]
        for name, field in rows:
            pair = [minutes(getattr(side, field)) for side in (one.truth, one.prediction)]
            lines.append(f"{name:<20} {pair[0]:>12} {pair[1]:>12}")
        for state in one.truth.states:
            other = one.prediction.state(state.state)
            share = "-" if other is None else f"{other.share_of_scored:.1%}"
            lines.append(f"{state.state:<20} {state.share_of_scored:>12.1%} {share:>12}")
        return "\n".join(lines)
    lines.append(f"{'prediction - truth':<24} {'bias':>8}   limits of agreement")
    for compared in result.sleep.bland_altman:
        limits = "-"
        if compared.lower_limit is not None and compared.upper_limit is not None:
            limits = f"{compared.lower_limit:.1f} to {compared.upper_limit:.1f}"
        lines.append(f"{compared.quantity:<24} {compared.bias:>8.1f}   {limits}")
    return "\n".join(lines)


def _scorers(result: Evaluation) -> str:
    found = result.scorers
    if found is None:
        return ""
    lowest, highest = found.human_ceiling_range
    lines = [
        f"{len(found.scorers)} scorers: kappa of each with the others' consensus "
        f"{found.human_ceiling_kappa:.3f} ({lowest:.3f} to {highest:.3f}), "
        f"Fleiss {figure(found.fleiss_kappa)}"
    ]
    if found.model is not None:
        lines.append(
            f"model with the same consensuses {found.model.kappa_with_others:.3f}, with that of "
            f"all {found.model.kappa_with_consensus:.3f}"
        )
        width = max(len(name) for name in found.scorers)
        lines += [
            f"  model with {name:<{width}}  {figure(kappa)}"
            for name, kappa in zip(found.scorers, found.model.kappa_with_each, strict=True)
        ]
    return "\n".join(lines)
