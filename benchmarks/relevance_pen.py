"""The parts of `benchmarks/relevance.py` that are measured on the simulated pen.

Each function yields measurements; `python benchmarks/relevance.py` runs them. Models are the
bundled ones, and no recording here is one that they learned from.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vigilia.evaluation.agreement import agreement_on_cells
from vigilia.models import resolve_model
from vigilia.relevance import (
    GateOptions,
    LearnedGate,
    TokenPredictor,
    change_features,
    decide_learned,
    end_clip,
    frame_changes,
    init_change,
    spread_by_change,
    surprise_of,
    train_gate,
    watch_change,
)
from vigilia.simulate import simulate_recording
from vigilia.simulate.pen import draw_pen
from vigilia.simulate.record import plan_recording
from vigilia.stream import StreamClassifier, build_model
from vigilia.timeline import read_labels
from vigilia.training import Recording, TrainOptions, evaluate_clips, prepare_recording
from vigilia.training.entrance import calibrate_memory
from vigilia.training.features import train_on_features
from vigilia.training.seeing import see_recording

__all__ = [
    "LOSSES",
    "Line",
    "PenSize",
    "area",
    "gates",
    "losses",
    "predictor_of",
    "sampling",
    "surprise",
]

GATE = GateOptions()
BRIEF_SECONDS = 3.0
Line = dict[str, Any]
LOSSES: dict[str, dict[str, float]] = {
    "plain": {},
    "coherence": {"coherence": 0.1},
    "slow": {"slow_features": 0.1},
}


@dataclasses.dataclass(frozen=True)
class PenSize:
    """How much is run.

    Attributes:
        seconds: of each recording.
        recordings: to learn from, and one more for the test.
        updates: of whatever learns.
    """

    seconds: float = 1200.0
    recordings: int = 4
    updates: int = 150


def losses(out: Path, seed: int, size: PenSize) -> Iterator[Line]:
    model = resolve_model("pen")
    recordings = _pen(out, model, seed, size)
    seen = [see_recording(model, one) for one in recordings]
    for loss, options in LOSSES.items():
        torch.manual_seed(seed)
        fresh = build_model(
            dataclasses.replace(model.spec, memory="gru", memory_options={"hidden": 128})
        )
        fresh.backbone.load_state_dict(model.backbone.state_dict())
        calibrate_memory(fresh, seen[:-1])
        trained = TrainOptions(
            rows=8,
            chunk_clips=min(60, len(recordings[0]) // 2),
            learning_rate=3e-3,
            seed=seed,
            **options,  # type: ignore[arg-type]
        )
        train_on_features(fresh, seen[:-1], options=trained, updates=size.updates)
        figures = evaluate_clips(fresh.eval(), recordings[-1:])
        yield {"task": "pen", "loss": loss, "balanced_accuracy": figures.balanced_accuracy}


def gates(out: Path, seed: int, size: PenSize) -> Iterator[Line]:
    model = resolve_model("pen")
    *learn_from, test = _pen(out, model, seed, size)
    told = [(_change_of(one), _stream(model, one, lambda _: True)[1]) for one in learn_from]
    shortest = min(len(features) for features, _ in told)
    features = torch.stack([torch.from_numpy(one[:shortest]) for one, _ in told])
    results = torch.stack([one[:shortest] for _, one in told])
    full = _stream(model, test, lambda _: True)[1]

    def line(name: str, decide: Callable[[int], bool], budget: float | None = None) -> Line:
        share, shown = _stream(model, test, decide)
        scored = test.labels >= 0
        right = agreement_on_cells(
            test.labels[scored], shown.argmax(1).numpy()[scored], model.classes
        )
        return {
            "task": "pen",
            "gate": name,
            "budget": budget,
            "stepped": share,
            "same_as_ungated": float((shown.argmax(1) == full.argmax(1)).float().mean()),
            "balanced_accuracy": right.balanced_accuracy,
        }

    yield line("none", lambda _: True)
    yield line("noise", _decider(test, None))
    for budget in (0.1, 0.25, 0.5):
        torch.manual_seed(seed)
        gate = LearnedGate()
        train_gate(gate, features, results, budget=budget, updates=size.updates, seed=seed)
        found = line("learned", _decider(test, gate), budget)
        yield found
        every = 1 / max(found["stepped"], 1e-3)
        yield line("even", lambda clip: int(clip / every) != int((clip - 1) / every), budget)  # noqa: B023


def _new_frames(one: Recording) -> Iterator[np.ndarray]:
    """The frames of each clip that the clip before did not show."""
    newest = -1
    for clip in one.clips:
        yield one.frames[[index for index in clip if index > newest]]
        newest = int(clip[-1])


def _change_of(one: Recording) -> np.ndarray:
    state, found = init_change(), []
    for frames in _new_frames(one):
        for pixels in frames:
            state = watch_change(state, pixels, clip_frames=one.clips.shape[1], options=GATE)
        found.append(change_features(state))
        state = end_clip(state)
    return np.stack(found)


def _decider(one: Recording, gate: LearnedGate | None) -> Callable[[int], bool]:
    state, steps = init_change(), []
    length = one.clips.shape[1]
    for frames, end in zip(_new_frames(one), one.end_seconds.tolist(), strict=True):
        for pixels in frames:
            state = watch_change(state, pixels, clip_frames=length, options=GATE)
        state, step = decide_learned(state, gate, clip_frames=length, end_seconds=end, options=GATE)
        steps.append(step)
    return lambda clip: steps[clip]


@torch.inference_mode()
def _stream(
    model: StreamClassifier, one: Recording, decide: Callable[[int], bool]
) -> tuple[float, Tensor]:
    """Share of clips stepped, and the probabilities shown (S, K). No memory of what is skipped."""
    state, shown, steps = model.init_state(1), [], 0
    for clip, end in enumerate(one.end_seconds.tolist()):
        if clip == 0 or decide(clip):
            steps += 1
            frames = torch.from_numpy(one.frames[one.clips[clip]])[None]
            seconds = torch.tensor([end], dtype=torch.float64)
            _, state = model.step(model.preprocessing.to_clip(frames), state, seconds=seconds)
        shown.append(state.logits[0].softmax(dim=0))
    return steps / len(one), torch.stack(shown)


def sampling(seed: int, size: PenSize) -> Iterator[Line]:
    plan = plan_recording(seconds=size.seconds, seed=9100 + seed, size=(64, 64))
    frames = np.stack([pixels for pixels, _ in draw_pen(plan)])
    times = np.arange(len(frames)) / plan.fps
    dense, length = 64, 8  # 8 s, of which a clip shows one frame a second
    brief = [one for one in plan.events if one.end_seconds - one.start_seconds <= BRIEF_SECONDS]
    for name in sorted({one.name for one in brief}):
        events = [one for one in brief if one.name == name]
        hits: dict[str, list[bool]] = {"even": [], "dynamic": []}
        for event in events:
            stop = int(np.searchsorted(times, event.end_seconds)) + dense // 2
            window = slice(stop - dense, stop)
            if window.start < 0 or stop > len(frames):
                continue
            changes = frame_changes(frames[window])
            for kind, evenness in (("even", 1.0), ("dynamic", 0.25)):
                shown = times[window][spread_by_change(changes, length, evenness=evenness)]
                inside = (shown >= event.start_seconds) & (shown < event.end_seconds)
                hits[kind].append(int(inside.sum()) >= 2)
        for kind, found in hits.items():
            shown_share = float(np.mean(found)) if found else None
            yield {
                "task": "pen",
                "event": name,
                "sampling": kind,
                "events": len(found),
                "shown_twice": shown_share,
            }


def surprise(out: Path, seed: int, size: PenSize) -> Iterator[Line]:
    model = resolve_model("pen")
    recordings = _pen(out, model, seed, size)
    seen = [see_recording(model, one) for one in recordings]
    trained = predictor_of([one.pooled for one in seen[:-1]], seed, size.updates)
    told = json.loads((out / f"pen-{_pen_seed(seed, size, len(recordings) - 1)}.json").read_text())
    test = recordings[-1]
    # What a clip shows anew, against the events: those that begin in its labelled time.
    holds = np.zeros(len(test), bool)
    for event in told["events"]:
        if event["name"] != "quiet":
            began = event["start_seconds"]
            holds |= (began >= test.start_seconds) & (began < test.end_seconds)
    for kind, predictor in (("fresh", None), ("trained", trained)):
        curve = surprise_of(seen[-1].pooled, test.end_seconds, predictor=predictor)
        yield {
            "task": "pen",
            "predictor": kind,
            "area": area(curve, holds),
            "events": int(holds.sum()),
        }


def predictor_of(pooled: list[Tensor], seed: int, updates: int) -> TokenPredictor:
    torch.manual_seed(seed)
    predictor = TokenPredictor(pooled[0].shape[1])
    optimiser = torch.optim.Adam(predictor.parameters(), lr=1e-3)
    before = torch.cat([one[:-1] for one in pooled])[:, None].float()
    after = torch.cat([one[1:] for one in pooled])[:, None].float()
    usual = (after - before).var(dim=0).clamp(min=1e-6)
    for _ in range(updates):
        some = torch.randint(len(before), (256,))
        loss = ((after[some] - predictor.predict(before[some])).square() / usual).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return predictor.eval()


def area(values: np.ndarray, holds: np.ndarray) -> float | None:
    """Area under the ROC: how often a clip that holds an event has the higher value."""
    if holds.all() or not holds.any():
        return None
    high, low = np.sort(values[holds]), np.sort(values[~holds])
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.sum() / 2 / (len(high) * len(low)))


def _pen_seed(seed: int, size: PenSize, number: int) -> int:
    return 9200 + size.recordings * seed + number


def _pen(out: Path, model: StreamClassifier, seed: int, size: PenSize) -> list[Recording]:
    """Simulated recordings that no bundled model was trained on; the last is for the test."""
    found = []
    for number in range(size.recordings):
        video = out / f"pen-{_pen_seed(seed, size, number)}.mp4"
        labels = video.with_suffix(".csv")
        if not labels.exists():
            simulate_recording(video, seconds=size.seconds, seed=_pen_seed(seed, size, number))
        found.append(
            prepare_recording(
                video,
                read_labels(labels),
                classes=model.classes,
                preprocessing=model.preprocessing,
                cache=out / "frames",
            )
        )
    return found
