"""What adaptation to another camera brings, and what it breaks, on shifts that are made.

    python benchmarks/adaptation.py --out build/adaptation          # about half an hour
    python benchmarks/adaptation.py --out build/adaptation --smoke  # a minute; means nothing

Everything is simulated: recordings of `vigilia simulate`, ten minutes each, that the bundled model
`pen` did not learn from, seen through a camera that is made of them: dark, faint, bright, at night
(grey, dim, noisy), blurred, or from another place. "same" is no shift at all: adaptation must leave
it alone. A copy of the model is adapted to two recordings without labels and tested on three
others. Each seed has recordings of its own.

Every line is one adaptation as JSON, and is kept in OUT/results.jsonl; what is there is not done
again. "refused" says what the guards said: with --force a user would get the figures all the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from pooled_kappa import draws, pooled
from vigilia.adaptation import AdaptOptions
from vigilia.adaptation.start import adapt_model
from vigilia.evaluation.agreement import balanced_accuracy, cohen_kappa
from vigilia.models import resolve_model
from vigilia.simulate import simulate_recording
from vigilia.stream import StreamClassifier
from vigilia.timeline import read_labels
from vigilia.training import Recording, evaluate_clips, prepare_recording

MODEL = "pen"
Frames = np.ndarray


def affine(x: Frames, degrees: float, size: float, right: float, down: float) -> Frames:
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle) * size, np.sin(angle) * size
    map_ = torch.tensor([[c, -s, right], [s, c, down]], dtype=torch.float32)
    pictures = torch.from_numpy(x).float().permute(0, 3, 1, 2)
    grid = F.affine_grid(map_.expand(len(x), 2, 3), list(pictures.shape), align_corners=False)
    moved = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return moved.permute(0, 2, 3, 1).numpy()


def night(x: Frames) -> Frames:
    """A third of the light, no colour, and a noise of two grey levels."""
    grey = x.mean(axis=3, keepdims=True).repeat(3, axis=3)
    return 0.33 * grey + 8 + np.random.default_rng(0).normal(0, 2, grey.shape)


def blur(x: Frames) -> Frames:
    pictures = torch.from_numpy(x).float().permute(0, 3, 1, 2)
    return (
        F.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
        .permute(0, 2, 3, 1)
        .numpy()
    )


SHIFTS: dict[str, Callable[[Frames], Frames]] = {
    "same": lambda x: x,
    "dark": lambda x: 0.35 * x,
    "faint": lambda x: 128 + 0.3 * (x - 128),
    "bright": lambda x: 255 - 0.5 * (255 - x),
    "night": night,
    "blur": blur,
    "view": lambda x: affine(x, 20, 1.2, 0.1, -0.1),
}
METHODS: dict[str, tuple[str, ...]] = {
    "light": ("light",),
    "light and entropy": ("light", "entropy"),
    "entropy": ("entropy",),
}
WITH_ENTROPY = ("same", "dark", "night")


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is run."""

    seconds: float = 600.0
    learned: int = 2
    tested: int = 3
    updates: int = 30
    seeds: tuple[int, ...] = (0, 1, 2)


SMOKE = Size(seconds=90.0, learned=1, tested=1, updates=2, seeds=(0,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/adaptation"))
    parser.add_argument("--smoke", action="store_true", help="as little as runs; means nothing")
    parser.add_argument("--seeds", nargs="+", type=int, help="others than 0 1 2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = SMOKE if arguments.smoke else Size()
    if arguments.seeds:
        size = dataclasses.replace(size, seeds=tuple(arguments.seeds))
    out = arguments.out / ("smoke" if arguments.smoke else "full")
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.jsonl"
    told = (
        [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    )
    done = {(one["shift"], one["method"], one["seed"]) for one in told}
    model = resolve_model(MODEL)
    for seed in size.seeds:
        for shift in SHIFTS:
            wanted = {
                "none": (),
                **{n: m for n, m in METHODS.items() if n == "light" or shift in WITH_ENTROPY},
            }
            for method, steps in wanted.items():
                if (shift, method, seed) in done:
                    continue
                line = measure(model, out, shift, steps, seed, size)
                told.append({"shift": shift, "method": method, "seed": seed, **line})
                shown = {k: v for k, v in told[-1].items() if k != "confusions"}
                print(json.dumps(shown), flush=True)
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(told[-1]) + "\n")
    for text in summary(told):
        print(text)


def measure(
    model: StreamClassifier, out: Path, shift: str, steps: tuple[str, ...], seed: int, size: Size
) -> dict:
    began = time.process_time()
    count = size.learned + size.tested
    seen = [recording(model, out, 9600 + count * seed + n, shift, size) for n in range(count)]
    found: dict = {"refused": [], "changed": 0.0}
    used = model
    if steps:
        options = AdaptOptions(methods=steps, updates=size.updates, seed=seed)
        adapted = adapt_model(model, seen[: size.learned], options=options)
        used = adapted.model
        found = {"refused": list(adapted.refused), "changed": adapted.change.changed}
        found |= {side: getattr(adapted.change, side).distance for side in ("before", "after")}
    matrices = [evaluate_clips(used, [one]).confusion for one in seen[size.learned :]]
    return {
        "kappa": cohen_kappa(np.sum(matrices, axis=0)),
        "balanced_accuracy": balanced_accuracy(np.sum(matrices, axis=0)),
        "confusions": [one.tolist() for one in matrices],
        **found,
        "processor_seconds": round(time.process_time() - began, 1),
    }


def recording(model: StreamClassifier, out: Path, seed: int, shift: str, size: Size) -> Recording:
    video = out / f"pen{seed}.mp4"
    if not video.with_suffix(".json").exists():  # written last
        simulate_recording(video, seconds=size.seconds, seed=seed)
    plain = prepare_recording(
        video,
        read_labels(video.with_suffix(".csv")),
        classes=model.classes,
        preprocessing=model.preprocessing,
        cache=out / "frames",
    )
    seen = SHIFTS[shift](np.asarray(plain.frames, np.float32)).round().clip(0, 255)
    return dataclasses.replace(plain, frames=seen.astype(np.uint8))


def summary(told: list[dict]) -> list[str]:
    """Kappa over the test recordings of all seeds, and the gain over no adaptation."""
    lines = ["| camera | adapted by | kappa | gain | refused |", "| --- | --- | --: | --: | --: |"]
    for shift in SHIFTS:
        before = pooled(lines_of(told, shift, "none"))
        for method in ("none", *METHODS):
            mine = lines_of(told, shift, method)
            if not mine:
                continue
            now = pooled(mine)
            kappa, old = cohen_kappa(now.sum(0)), cohen_kappa(before.sum(0))
            low, high = np.percentile(draws(now), [2.5, 97.5])
            gain = ""
            if method != "none":
                ends = np.percentile(draws(now) - draws(before), [2.5, 97.5])
                gain = f"{kappa - old:+.2f} ({ends[0]:+.2f} to {ends[1]:+.2f})"
            refused = sum(bool(one["refused"]) for one in mine)
            lines.append(
                f"| {shift} | {method} | {kappa:.2f} ({low:.2f}-{high:.2f}) | {gain} "
                f"| {'' if method == 'none' else f'{refused} of {len(mine)}'} |"
            )
    return lines


def lines_of(told: list[dict], shift: str, method: str) -> list[dict]:
    return [one for one in told if (one["shift"], one["method"]) == (shift, method)]


if __name__ == "__main__":
    main()
