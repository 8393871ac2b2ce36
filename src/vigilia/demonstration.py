"""The demonstration: half an hour of a simulated pen, with and without memory, against the truth.

It shows the main job on a recording whose truth is known. It is a simulation and no evidence about
real animals: the sleep states follow real mice, the looks and movements are invented.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from vigilia.evaluation import Agreement, agreement
from vigilia.files import write_atomically
from vigilia.models import resolve_model
from vigilia.running import RunUpdate, run
from vigilia.simulate import simulate_recording
from vigilia.timeline import Timeline, read_labels
from vigilia.timeline.plots import plot_timeline

__all__ = ["Demonstration", "ModelResult", "demonstrate", "resident_bytes"]

SEED = 9000
"""The recipe in scripts/train_pen.py trains on other seeds, and chooses nothing by this one."""


@dataclass(frozen=True)
class ModelResult:
    """How one model did.

    Attributes:
        name: of the bundled model.
        accuracy: share of seconds that are right.
        balanced_accuracy: mean over states of the share that is right.
        kappa: Cohen's kappa.
        seconds: that the run took.
        times_real_time: recording time over running time.
        state_bytes: what the stream remembered; the same at every step, or this raises.
        resident_bytes_early: memory of the process after a tenth of the recording.
        resident_bytes_late: at its end.
    """

    name: str
    accuracy: float
    balanced_accuracy: float
    kappa: float
    seconds: float
    times_real_time: float
    state_bytes: int
    resident_bytes_early: int
    resident_bytes_late: int


@dataclass(frozen=True)
class Demonstration:
    """Everything the demonstration found.

    Attributes:
        minutes: length of the recording.
        with_memory: the result of `pen`.
        without_memory: the result of `pen-no-memory`.
        agreement: of `pen` with the truth, class by class.
        folder: where the files are.
        peak_resident_bytes: largest memory of the process.
    """

    minutes: float
    with_memory: ModelResult
    without_memory: ModelResult
    agreement: Agreement
    folder: Path
    peak_resident_bytes: int


def demonstrate(
    folder: str | Path,
    *,
    minutes: float = 30.0,
    seed: int = SEED,
    on_stage: Callable[[str], None] | None = None,
    on_update: Callable[[RunUpdate], None] | None = None,
) -> Demonstration:
    """Simulates a recording, classifies it twice and compares both with the truth.

    The folder then holds pen.mp4 with its labels, the timeline in every format, hypnogram.png
    (truth, with memory, without memory, and the memory of the process over time) and figures.json.

    Args:
        folder: made if absent.
        minutes: length of the recording.
        seed: of the recording.
        on_stage: told what begins.
        on_update: see `vigilia.run`.

    Raises:
        OutputError: the folder cannot be written to.
    """
    folder = Path(folder)
    say = on_stage or (lambda text: None)
    say(f"drawing {minutes:g} minutes of a simulated pen (seed {seed})")
    video = folder / "pen.mp4"
    truth = read_labels(simulate_recording(video, seconds=60 * minutes, seed=seed))

    say("classifying it with memory")
    timeline, result, memory_curve = _classified("pen", video, folder, on_update)
    agreed = agreement(timeline, truth)
    say("classifying it without memory")
    plain, plain_result, _ = _classified("pen-no-memory", video, folder / "no-memory", on_update)
    plain_agreed = agreement(plain, truth)

    say("drawing the hypnogram")
    plot_timeline(
        timeline,
        folder / "hypnogram.png",
        truth=truth,
        title=(
            f"A simulated pen, {minutes:g} minutes: Cohen's kappa "
            f"{agreed.kappa:.2f} with memory, {plain_agreed.kappa:.2f} without"
        ),
        extra={"no memory": plain, "resident memory, MB": memory_curve},
    )
    demonstration = Demonstration(
        minutes=minutes,
        with_memory=_with_agreement(result, agreed),
        without_memory=_with_agreement(plain_result, plain_agreed),
        agreement=agreed,
        folder=folder,
        peak_resident_bytes=_peak_resident_bytes(),
    )
    figures = {**asdict(demonstration), "folder": folder.name, "simulation": True, "seed": seed}
    write_atomically(folder / "figures.json", json.dumps(figures, indent=2) + "\n")
    return demonstration


def _classified(
    name: str, video: Path, folder: Path, on_update: Callable[[RunUpdate], None] | None
) -> tuple[Timeline, ModelResult, tuple[list[float], list[float]]]:
    model = resolve_model(name)
    sizes: set[int] = set()
    seconds: list[float] = []
    resident: list[float] = []

    def watch(update: RunUpdate) -> None:
        sizes.add(update.state_nbytes)
        seconds.append(update.seconds)
        resident.append(resident_bytes() / 1e6)
        if on_update is not None:
            on_update(update)

    began = time.monotonic()
    timeline = run(video, model=model, out=folder, restart=True, on_update=watch)
    took = time.monotonic() - began
    assert len(sizes) == 1, f"the state grew: {sorted(sizes)}"
    result = ModelResult(
        name=name,
        accuracy=0.0,
        balanced_accuracy=0.0,
        kappa=0.0,
        seconds=took,
        times_real_time=timeline.duration_seconds / took,
        state_bytes=sizes.pop(),
        resident_bytes_early=int(resident[len(resident) // 10] * 1e6),
        resident_bytes_late=int(resident[-1] * 1e6),
    )
    return timeline, result, (seconds, resident)


def _with_agreement(result: ModelResult, agreed: Agreement) -> ModelResult:
    return ModelResult(
        **{
            **asdict(result),
            "accuracy": agreed.accuracy,
            "balanced_accuracy": agreed.balanced_accuracy,
            "kappa": agreed.kappa,
        }
    )


def resident_bytes() -> int:
    """Memory of this process now; its peak where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return _peak_resident_bytes()
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak_resident_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
