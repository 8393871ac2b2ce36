"""Training: update after update until the course is over, nothing improves, or somebody kills it.

Letters: B rows, K clips of a chunk.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vigilia.checkpoint import save_model
from vigilia.errors import OptionError, VigiliaError
from vigilia.spiking import NeuroSvt
from vigilia.state import map_tensors
from vigilia.stream import StreamClassifier
from vigilia.training.card import write_card
from vigilia.training.chunk import plan_chunk, train_chunk
from vigilia.training.evaluate import Figures, evaluate_clips
from vigilia.training.freezing import freeze, set_modes
from vigilia.training.optimiser import learning_rate_at, make_optimiser, set_learning_rate
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.rows import Batch, first_cursor, make_places
from vigilia.training.saving import Progress, last_model, load_progress, save_progress, saved_run
from vigilia.training.schedule import best_score, has_stalled, make_schedule
from vigilia.training.stretch import (
    CarryingView,
    TeachingView,
    View,
    class_weights,
    pixel_view,
)
from vigilia.training.worker import Worker

__all__ = ["TrainingUpdate", "train_model"]


@dataclass(frozen=True)
class TrainingUpdate:
    """What happened in one update, for progress bars and logs.

    Attributes:
        update: how many were made.
        total: how many there will be.
        epoch: from 0.
        loss: weighted mean over the scored clips of all rows.
        learning_rate: of this update.
        figures: on the validation recordings, behind an epoch.
        chunk_clips: K of this update.
    """

    update: int
    total: int
    epoch: int
    loss: float
    learning_rate: float
    figures: Figures | None = None
    chunk_clips: int = 0


def train_model(
    model: StreamClassifier | NeuroSvt,
    recordings: list[Recording],
    *,
    options: TrainOptions,
    out: Path,
    validation: list[Recording] | None = None,
    restart: bool = False,
    save_every_seconds: float = 60.0,
    card: dict[str, Any] | None = None,
    command: str | None = None,
    on_update: Callable[[TrainingUpdate], None] | None = None,
    view: View | None = None,
    validation_view: View | None = None,
    worker: Worker | None = None,
) -> list[dict[str, Any]]:
    """Trains a model in place and writes it to `out`; goes on where a killed run stopped.

    With validation recordings, `out` holds the epoch that was best on them, and
    `OUT.last.safetensors` the last one; without, `out` holds the last. The model card lies beside
    it as `OUT.card.md`. `OUT.training` holds the run itself until it is finished.

    Args:
        model: with fresh or pretrained weights; one of events comes with its views.
        recordings: to learn from.
        options: how.
        out: the model file.
        validation: recordings kept apart, streamed through after every epoch.
        restart: forget an interrupted run.
        save_every_seconds: at most this much work is lost when the process is killed.
        card: written into the model file with the history.
        command: what the user typed, for the model card.
        on_update: called after every update.
        view: how the model sees the recordings; by default as pixels.
        validation_view: the same for those kept apart.
        worker: this process among others; by default it is alone.

    Returns:
        One entry per epoch.

    Raises:
        InputError: nothing is labelled.
        OptionError: options that do not fit the model or the recordings.
        CheckpointError: an interrupted run lies at `OUT.training`, but with other arguments.
        OutputError: the model cannot be written.
        VigiliaError: the loss or its gradient is not a number.
    """
    worker = worker or Worker(model.head.weight.device)
    _check(model, options, validation, worker)
    weights = class_weights(recordings, len(model.classes), options.balance).to(worker.device)
    freeze(model, options)
    worker.same_weights(model)
    optimiser = make_optimiser(model, options)
    schedule = make_schedule(sum(map(len, recordings)), options)
    places = make_places(recordings, options)
    carrying = view if isinstance(view, CarryingView) else None
    fresh: Any = (carrying or model).init_state(options.rows)
    identity = {
        "options": dataclasses.asdict(options),
        "model": dataclasses.asdict(model.spec),
        "recordings": [[recording.name, len(recording)] for recording in recordings],
        "validation": [[recording.name, len(recording)] for recording in validation or []],
        **({"teacher": carrying.identity} if carrying is not None else {}),
    }
    run = saved_run(out)
    progress = Progress(update=0, cursor=first_cursor(places), state=fresh)
    if run.exists() and not restart:
        progress = load_progress(run, model, optimiser, fresh, identity)
    worker.wait()
    own = worker.rows(options.rows)
    state: Any = map_tensors(lambda tensor: tensor[own], progress.state)
    if view is None:
        assert isinstance(model, StreamClassifier), "a model of events comes with its views"
        view = pixel_view(model, recordings, options, autocast=worker.autocast)
    seen = view

    saved_at = time.monotonic()
    while progress.update < schedule.total and not has_stalled(progress.history, options):
        update = progress.update
        moment = schedule.at(update)
        rate = learning_rate_at(update, schedule.total, options)
        set_learning_rate(optimiser, rate)
        set_modes(model, options)
        batches, cursor = plan_chunk(places, progress.cursor, update, moment)
        shown = seen.at(update / schedule.total) if isinstance(seen, TeachingView) else seen
        part, state = train_chunk(shown, places, state, batches, update, weights, worker)
        worker.add_gradients(model.parameters())
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm))
        # The first process's clock says when to save, so that all do so at once.
        late = float(worker.first and time.monotonic() - saved_at > save_every_seconds)
        loss, late = worker.add(torch.tensor([part, late], dtype=torch.float64)).tolist()
        if not (np.isfinite(loss) and np.isfinite(norm)):
            what = f"gradient is {norm}" if np.isfinite(loss) else f"loss is {loss}"
            problem = f"{what} at update {update} ({_where(recordings, batches)})"
            raise VigiliaError(_broken(model, out, problem, update, worker))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

        losses, history, figures = (*progress.losses, loss), progress.history, None
        if moment.ends_epoch:
            entry: dict[str, Any] = {"epoch": moment.epoch, "loss": float(np.mean(losses))}
            losses = ()
            if validation:
                figures = evaluate_clips(model, validation, view=validation_view, worker=worker)
                entry |= figures.as_dict()
            history = (*history, entry)
            if worker.first:
                _keep(model, out, history, options, card or {}, command)
        progress = Progress(update + 1, cursor, fresh, losses, history)
        if late or figures or progress.update == schedule.total:
            progress = dataclasses.replace(progress, state=worker.gather(state))
            if worker.first:
                save_progress(run, progress, model, optimiser, identity)
            saved_at = time.monotonic()
        if on_update is not None and worker.first:
            on_update(
                TrainingUpdate(
                    update + 1,
                    schedule.total,
                    moment.epoch,
                    loss,
                    rate,
                    figures,
                    moment.chunk_clips,
                )
            )
    if worker.first:
        write_card(out, model, card or {}, progress.history, options, command=command)
        run.unlink(missing_ok=True)
    worker.wait()
    return list(progress.history)


def _check(
    model: StreamClassifier | NeuroSvt,
    options: TrainOptions,
    validation: list[Recording] | None,
    worker: Worker,
) -> None:
    size = model.spec if isinstance(model, NeuroSvt) else model.preprocessing
    if options.quarter_turns and size.height != size.width:
        raise OptionError(f"quarter_turns needs square pictures, got {size.height} by {size.width}")
    if options.patience and not validation:
        raise OptionError("patience needs a recording kept apart; name one with --validation")
    if options.rows % (worker.size * options.accumulate):
        raise OptionError(
            f"rows must divide by processes times accumulate, "
            f"{worker.size} times {options.accumulate}, got {options.rows}"
        )


def _keep(
    model: StreamClassifier | NeuroSvt,
    out: Path,
    history: tuple[dict[str, Any], ...],
    options: TrainOptions,
    card: dict[str, Any],
    command: str | None,
) -> None:
    """Writes the model behind an epoch: as the last, and as the best if it is that."""
    entry, metric = history[-1], options.metric
    told = {**card, "best": entry, "epochs": list(history)}
    scored = metric in entry
    if scored:
        save_model(model, last_model(out), card={**card, "last": entry, "epochs": list(history)})
    before = best_score(history[:-1], metric)
    if not scored or before is None or entry[metric] > before:
        save_model(model, out, card=told)
        write_card(out, model, card, history, options, command=command)


def _where(recordings: list[Recording], batches: list[Batch]) -> str:
    """The recordings and times of a chunk: `a.mp4 at 12-28 s, b.mp4 at 40-56 s`."""
    spans: dict[str, tuple[float, float]] = {}
    for batch in batches:
        both = [
            (batch.recordings, batch.clips),
            (batch.partners[batch.partners >= 0], batch.partner_clips[batch.partners >= 0]),
        ]
        for which, clips in both:
            for index, clip in zip(which, clips, strict=True):
                one = recordings[index]
                start, end = float(one.start_seconds[clip]), float(one.end_seconds[clip])
                low, high = spans.get(one.name, (start, end))
                spans[one.name] = (min(low, start), max(high, end))
    return "batch: " + ", ".join(
        f"{name} at {low:.1f} to {high:.1f} s" for name, (low, high) in sorted(spans.items())
    )


def _broken(
    model: StreamClassifier | NeuroSvt, out: Path, problem: str, update: int, worker: Worker
) -> str:
    """What to say when a number is none: where, what is kept, and what to do."""
    run = saved_run(out)
    sound = update > 0 and all(
        bool(tensor.isfinite().all()) for tensor in model.state_dict().values()
    )
    if sound and worker.first:
        save_model(model, last_model(out), card={"trained_on": "a training that broke off"})
    kept = f"; the weights before it are kept in {last_model(out).name}" if sound else ""
    anew = "start anew" + (" with --restart" if run.exists() else "")
    return f"the {problem}{kept}; lower the learning rate and {anew}"
