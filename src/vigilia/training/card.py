"""The model card: what weights were trained on, how well they do, and when not to trust them.

The same facts lie in the model file as JSON and beside it as a page to read, `OUT.card.md`.

Letters: K classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.files import write_atomically
from vigilia.spiking import NeuroSvt
from vigilia.stream import StreamClassifier
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording

__all__ = ["card_path", "describe_training", "render_card", "weakest_class", "write_card"]

FEW_CLIPS = 100
FEW_RECORDINGS = 3


def card_path(out: Path) -> Path:
    """Beside the model file: `sow.safetensors.card.md`."""
    return out.with_name(out.name + ".card.md")


def describe_training(
    model: StreamClassifier | NeuroSvt,
    recordings: Sequence[Recording],
    validation: Sequence[Recording],
    options: TrainOptions,
    *,
    started_from: str,
) -> dict[str, Any]:
    """The part of the card that is known before training, as JSON values."""
    labels = np.concatenate([recording.labels for recording in recordings])
    lengths = np.concatenate([r.end_seconds - r.start_seconds for r in recordings]) / 3600
    hours = sum(float(r.end_seconds[-1] - r.start_seconds[0]) for r in recordings) / 3600
    return {
        "trained_on": f"{len(recordings)} recordings, {hours:.2f} hours: "
        + ", ".join(recording.name for recording in recordings[:4])
        + (", ..." if len(recordings) > 4 else ""),
        "started_from": started_from,
        "clips": {name: int((labels == k).sum()) for k, name in enumerate(model.classes)},
        "hours": {
            name: round(float(lengths[labels == k].sum()), 4)
            for k, name in enumerate(model.classes)
        },
        "unscored_clips": int((labels < 0).sum()),
        "recordings": [recording.name for recording in recordings],
        "validation": [recording.name for recording in validation],
        "options": dataclasses.asdict(options),
    }


def weakest_class(confusion: Sequence[Sequence[int]] | np.ndarray) -> int | None:
    """The class of which the smallest share is found; None if no class was seen.

    confusion: (K, K), truth by row.
    """
    counts = np.asarray(confusion, float)
    seen = counts.sum(axis=1)
    if not seen.any():
        return None
    recall = np.divide(counts.diagonal(), seen, out=np.full(len(seen), np.inf), where=seen > 0)
    return int(recall.argmin())


def write_card(
    out: Path,
    model: StreamClassifier | NeuroSvt,
    card: dict[str, Any],
    history: Sequence[dict[str, Any]],
    options: TrainOptions,
    *,
    command: str | None = None,
) -> None:
    """Writes the page beside the model file.

    Raises:
        OutputError: the disk is full or the place may not be written to.
    """
    write_atomically(
        card_path(out), render_card(out.name, model, card, history, options, command=command)
    )


def render_card(
    name: str,
    model: StreamClassifier | NeuroSvt,
    card: dict[str, Any],
    history: Sequence[dict[str, Any]],
    options: TrainOptions,
    *,
    command: str | None = None,
) -> str:
    """The page as Markdown."""
    scored = [entry for entry in history if options.metric in entry]
    best = max(scored, key=lambda entry: entry[options.metric]) if scored else None
    parts = [
        f"# {name}",
        _model(model, card),
        _data(model, card),
        _figures(model, card, best, options),
        _recipe(history, options, command),
        _caution(model, card, best),
    ]
    return "\n\n".join(parts) + "\n"


def _model(model: StreamClassifier | NeuroSvt, card: dict[str, Any]) -> str:
    if isinstance(model, NeuroSvt):
        seen = model.spec
        return (
            f"Spiking model {seen.name} of events, memory {seen.memory}, "
            f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters. "
            f"Bins of {1000 * seen.bin_seconds:.3g} ms, {seen.width} x {seen.height} pixels, an "
            f"answer after each. A clip, below, is a bin. "
            f"Started from {card.get('started_from', 'the weights it was given')}."
        )
    spec, pre = model.spec, model.preprocessing
    return (
        f"Backbone {spec.name}, memory {spec.memory}, "
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} million parameters. "
        f"Clips of {pre.clip_frames} frames, {pre.fps:g} a second, {pre.width} x {pre.height} "
        f"pixels, a step every {pre.stride_frames} frames ({pre.stride_seconds:g} s). "
        f"Started from {card.get('started_from', 'the weights it was given')}."
        + (f" Taught by {card['teacher']}." if "teacher" in card else "")
    )


def _data(model: StreamClassifier | NeuroSvt, card: dict[str, Any]) -> str:
    lines = [
        "## Data",
        "",
        f"Trained on {card.get('trained_on', 'recordings that are not named')}.",
    ]
    clips, hours = card.get("clips"), card.get("hours", {})
    if clips:
        lines += ["", "| class | clips | hours |", "| --- | ---: | ---: |"]
        lines += [
            f"| {_cell(name)} | {clips.get(name, 0)} | {hours.get(name, 0.0):.2f} |"
            for name in model.classes
        ]
        lines += ["", f"Clips that nobody scored, not learned from: {card['unscored_clips']}."]
    if "recordings" in card:
        apart = card.get("validation") or []
        lines += [
            "",
            "Split by recording; no recording is on both sides.",
            "",
            f"- learned from ({len(card['recordings'])}): {_list(card['recordings'])}",
            f"- kept apart ({len(apart)}): {_list(apart)}",
        ]
    return "\n".join(lines)


def _figures(
    model: StreamClassifier | NeuroSvt,
    card: dict[str, Any],
    best: dict[str, Any] | None,
    options: TrainOptions,
) -> str:
    lines = ["## How well it does", ""]
    if best is None:
        return "\n".join([*lines, "Not known: no recording was kept apart."])
    lines += [
        f"On the recordings kept apart, streamed from end to end, after epoch {best['epoch'] + 1}, "
        f"which was chosen by them ({options.metric.replace('_', ' ')}): such figures are "
        "optimistic.",
        "",
        "| figure | value | 95 % interval over recordings |",
        "| --- | ---: | ---: |",
    ]
    intervals = best.get("intervals", {})
    for name in ("accuracy", "balanced_accuracy", "kappa"):
        ends = intervals.get(name)
        told = f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else "one recording: not known"
        lines.append(f"| {name.replace('_', ' ')} | {best[name]:.3f} | {told} |")
    counts = np.asarray(best["confusion"])
    lines += ["", "| class | clips | found | right when said |", "| --- | ---: | ---: | ---: |"]
    for k, name in enumerate(model.classes):
        lines.append(
            f"| {_cell(name)} | {counts[k].sum()} | {_share(counts[k, k], counts[k].sum())} "
            f"| {_share(counts[k, k], counts[:, k].sum())} |"
        )
    weakest = weakest_class(counts)
    if weakest is not None:
        found = _share(counts[weakest, weakest], counts[weakest].sum())
        lines += ["", f"Weakest class: **{model.classes[weakest]}**, of which {found} is found."]
    return "\n".join(lines)


def _recipe(history: Sequence[dict[str, Any]], options: TrainOptions, command: str | None) -> str:
    lines = ["## Recipe", ""]
    if command:
        lines += [f"    {command}", ""]
    lines += [f"{len(history)} of {options.epochs} epochs. Options that are not the default:", ""]
    usual = dataclasses.asdict(TrainOptions())
    other = {
        key: value for key, value in dataclasses.asdict(options).items() if value != usual[key]
    }
    lines += [f"- {key}: {value}" for key, value in other.items()] or ["- none"]
    if history:
        lines += ["", f"Loss of the last epoch: {history[-1]['loss']:.3f}."]
    return "\n".join(lines)


def _caution(
    model: StreamClassifier | NeuroSvt, card: dict[str, Any], best: dict[str, Any] | None
) -> str:
    lines = ["## When not to trust it", ""]
    lines.append(
        "- On other animals, cameras, pens or light than those it learned from: test it there "
        "first, on recordings that chose nothing."
    )
    clips = card.get("clips", {})
    for name in model.classes if clips else ():
        if clips.get(name, 0) == 0:
            lines.append(f"- For {name}: no clip of it was learned from. It is never said.")
        elif clips[name] < FEW_CLIPS:
            lines.append(f"- For {name}: only {clips[name]} clips were learned from.")
    apart = len(card.get("validation") or [])
    if best is None:
        lines.append("- At all, before it was tested: nothing was kept apart.")
    elif apart < FEW_RECORDINGS:
        lines.append(
            f"- The figures above: they come from {apart} "
            f"recording{'s' if apart > 1 else ''}, too few to say how much recordings differ."
        )
    if best is not None:
        counts = np.asarray(best["confusion"])
        missing = [n for n, row in zip(model.classes, counts, strict=True) if not row.sum()]
        if missing:
            lines.append(f"- For {_list(missing)}: the recordings kept apart hold none of it.")
        weakest = weakest_class(counts)
        if weakest is not None:
            lines.append(f"- For {model.classes[weakest]} more than for any other class.")
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _list(names: Sequence[str], most: int = 12) -> str:
    told = ", ".join(names[:most]) or "none"
    return told + (f" and {len(names) - most} more" if len(names) > most else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
