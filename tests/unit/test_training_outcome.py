"""What a training leaves behind: the best, the last, the card; and when it stops early."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_noise import QUICK, TWO, recording, same, tiny, weights_of

from vigilia.checkpoint import load_model
from vigilia.errors import OptionError, VigiliaError
from vigilia.evaluation.agreement import balanced_accuracy
from vigilia.training import Figures, TrainingUpdate, TrainOptions, evaluate_clips, train_model
from vigilia.training import loop as loop_module
from vigilia.training.card import describe_training, render_card, weakest_class
from vigilia.training.evaluate import figures_of, interval_over_recordings
from vigilia.training.progress import Pace, progress_line, tensorboard_curves

APART = [recording("c.mp4", 12, 3), recording("d.mp4", 9, 4)]


def scores(monkeypatch: pytest.MonkeyPatch, *kappas: float) -> None:
    """Lets validation say these figures, one after the other."""
    told = iter(kappas)

    def evaluate(model: nn.Module, recordings: Any, **more: Any) -> Figures:
        return Figures(0.5, 0.5, next(told), np.array([[3, 1], [2, 2]]))

    monkeypatch.setattr(loop_module, "evaluate_clips", evaluate)


def test_training_stops_when_nothing_improves_and_keeps_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, 0.1, 0.4, 0.3, 0.4, 0.9)
    options = dataclasses.replace(QUICK, epochs=5, patience=2, metric="kappa")
    out, after = tmp_path / "m.safetensors", []

    def on_update(update: TrainingUpdate) -> None:
        if update.figures is not None:
            after.append(weights_of(tmp_path / "m.last.safetensors"))

    history = train_model(
        tiny("none"), TWO, options=options, out=out, validation=APART, on_update=on_update
    )
    assert [entry["kappa"] for entry in history] == [0.1, 0.4, 0.3, 0.4]
    assert same(weights_of(out), after[1])
    assert same(weights_of(tmp_path / "m.last.safetensors"), after[3])
    assert not same(after[1], after[3])
    assert load_model(out).card["best"]["epoch"] == 1
    assert load_model(tmp_path / "m.last.safetensors").card["last"]["epoch"] == 3
    assert not list(tmp_path.glob("*.training"))


def test_a_run_killed_behind_its_last_epoch_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, 0.4, 0.3, 0.2, 0.9)
    options = dataclasses.replace(QUICK, epochs=4, patience=1, metric="kappa")
    out = tmp_path / "m.safetensors"

    def killed(update: TrainingUpdate) -> None:
        if update.figures is not None and update.figures.kappa == 0.3:
            raise KeyboardInterrupt

    arguments: dict[str, Any] = {"options": options, "out": out, "validation": APART}
    with pytest.raises(KeyboardInterrupt):
        train_model(tiny("none"), TWO, on_update=killed, **arguments)
    history = train_model(tiny("none", seed=9), TWO, **arguments)
    assert [entry["kappa"] for entry in history] == [0.4, 0.3]


def test_patience_without_a_recording_kept_apart_is_refused(tmp_path: Path) -> None:
    options = dataclasses.replace(QUICK, patience=1)
    with pytest.raises(OptionError, match="patience needs a recording kept apart"):
        train_model(tiny("none"), TWO, options=options, out=tmp_path / "m.safetensors")


def test_the_chosen_figure_chooses_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, 0.1, 0.4, 0.3)
    options = dataclasses.replace(QUICK, epochs=3)  # balanced accuracy: always 0.5, the first wins
    out = tmp_path / "m.safetensors"
    train_model(tiny("none"), TWO, options=options, out=out, validation=APART)
    assert load_model(out).card["best"]["epoch"] == 0


# Numbers that are none


def test_a_bad_batch_is_named_with_its_times_and_the_last_good_weights_are_kept(
    tmp_path: Path,
) -> None:
    # Pixels cannot be NaN, but a label can be worth one: the weights are still sound then.
    model, out = tiny("none"), tmp_path / "m.safetensors"
    good: list[dict[str, torch.Tensor]] = []

    def poison(update: TrainingUpdate) -> None:
        if update.update == 4:
            good.append({name: value.clone() for name, value in model.state_dict().items()})
            model.head.register_forward_hook(lambda module, x, y: y * float("nan"))

    with pytest.raises(VigiliaError) as caught:
        train_model(model, TWO, options=QUICK, out=out, on_update=poison)
    text = str(caught.value)
    assert text.startswith("the loss is nan at update 4 (batch: ")
    assert "a.mp4 at " in text
    assert "b.mp4 at " in text
    assert "kept in m.last.safetensors" in text
    assert "\n" not in text
    assert same(weights_of(tmp_path / "m.last.safetensors"), good[0])


def test_the_named_times_are_those_of_the_batch() -> None:
    from vigilia.training.rows import Cursor, make_places, next_batch

    places = make_places(TWO, TrainOptions(rows=1))
    play = next(p for p in range(50) if loop_module_place(places, p) == (1, 6))
    cursor, batches = Cursor((play,), (6,), (True,)), []
    for _ in range(3):
        batch, cursor = next_batch(places, cursor)
        batches.append(batch)
    # Clips of half a second: the seventh begins at 3 s, the ninth ends at 4.5 s.
    assert loop_module._where(TWO, batches) == "batch: b.mp4 at 3.0 to 4.5 s"


def loop_module_place(places: Any, play: int) -> tuple[int, int]:
    from vigilia.training.rows import place_of

    return place_of(places, play)


# Figures and their intervals


def test_an_interval_over_recordings_covers_how_much_they_differ() -> None:
    random = np.random.default_rng(0)
    alike = np.tile([[8, 2], [2, 8]], (6, 1, 1))
    low, high = interval_over_recordings(alike, balanced_accuracy)
    assert low == high == pytest.approx(0.8)
    differ = np.array([[[10, 0], [random.integers(10), 5]] for _ in range(6)])
    low, high = interval_over_recordings(differ, balanced_accuracy)
    assert low < balanced_accuracy(differ.sum(axis=0)) < high
    assert figures_of(differ).intervals == figures_of(differ).intervals  # always the same


def test_one_recording_has_no_interval() -> None:
    figures = figures_of(np.array([[[3, 1], [2, 4]]]))
    assert figures.intervals is None
    assert "intervals" not in figures.as_dict()
    assert figures.accuracy == 0.7


def test_the_intervals_are_of_the_recordings_kept_apart() -> None:
    model = tiny()
    figures = evaluate_clips(model, APART)
    each = np.stack([evaluate_clips(model, [one]).confusion for one in APART])
    assert figures.intervals == figures_of(each).intervals


# The card


def test_a_card_tells_data_split_figures_recipe_and_doubts(tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    model = tiny("none")
    card = describe_training(model, TWO, APART, QUICK, started_from="nothing")
    train_model(
        model,
        TWO,
        options=QUICK,
        out=out,
        validation=APART,
        card=card,
        command="vigilia train a.mp4 labels.csv --out m.safetensors",
    )
    text = (tmp_path / "m.safetensors.card.md").read_text()
    labels = np.concatenate([one.labels for one in TWO])
    for number, name in enumerate(("dark", "bright")):
        count = int((labels == number).sum())
        assert f"| {name} | {count} | {count * 0.5 / 3600:.2f} |" in text
        assert f"For {name}: only {count} clips were learned from." in text
    assert f"nobody scored, not learned from: {int((labels < 0).sum())}." in text
    assert "- learned from (2): a.mp4, b.mp4" in text
    assert "- kept apart (2): c.mp4, d.mp4" in text
    loaded = load_model(out)
    best = loaded.card["best"]
    low, high = best["intervals"]["kappa"]
    assert f"| kappa | {best['kappa']:.3f} | {low:.3f} to {high:.3f} |" in text
    assert f"after epoch {best['epoch'] + 1}," in text
    weakest = weakest_class(best["confusion"])
    assert weakest is not None
    assert f"Weakest class: **{model.classes[weakest]}**" in text
    assert "    vigilia train a.mp4 labels.csv --out m.safetensors\n" in text
    assert "- learning_rate: 0.001" in text
    assert "3 of 3 epochs" in text
    assert "mirror" not in text  # what is as usual is not told
    assert "from 2 recordings, too few" in text
    assert loaded.card["clips"] == card["clips"]


def test_a_card_without_validation_says_that_nothing_is_known(tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    train_model(tiny("none"), TWO, options=dataclasses.replace(QUICK, epochs=1), out=out)
    text = (tmp_path / "m.safetensors.card.md").read_text()
    assert "Not known: no recording was kept apart." in text
    assert "before it was tested" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.safetensors", "m.safetensors.card.md"]


def test_a_class_without_a_clip_is_told() -> None:
    model = tiny("none")
    dark = [dataclasses.replace(TWO[0], labels=np.zeros(30, dtype=np.int64))]
    card = describe_training(model, dark, [], TrainOptions(), started_from="nothing")
    entry = {
        "epoch": 0,
        "loss": 1.0,
        **figures_of(np.array([[[5, 0], [0, 0]]])).as_dict(),
    }
    text = render_card("m", model, card, [entry], TrainOptions())
    assert "For bright: no clip of it was learned from. It is never said." in text
    assert "For bright: the recordings kept apart hold none of it." in text
    assert "one recording: not known" in text


def test_the_weakest_class_by_hand() -> None:
    assert weakest_class([[9, 1, 0], [0, 0, 0], [3, 0, 5]]) == 2
    assert weakest_class([[0, 0], [0, 0]]) is None


# While it runs


def update(number: int, figures: Figures | None = None) -> TrainingUpdate:
    return TrainingUpdate(number, 100, 2, 0.4567, 1e-3, figures, 8)


def test_progress_lines_by_hand() -> None:
    assert progress_line(update(10), None) == "update 10 of 100, epoch 3, loss 0.457"
    assert progress_line(update(10), 3725.9).endswith(", 1:02:05 left")


def test_the_pace_is_that_of_this_process() -> None:
    pace = Pace()
    assert pace.seconds_left(update(40), 7.0) is None  # 40 updates were made by one that was killed
    assert pace.seconds_left(update(50), 27.0) == pytest.approx(100.0)


def test_curves_for_tensorboard(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    with tensorboard_curves(tmp_path / "curves") as take:
        take(update(1))
        take(update(2, Figures(0.5, 0.25, 0.125, np.eye(2))))
    events = event_accumulator.EventAccumulator(str(tmp_path / "curves"))
    events.Reload()
    losses = events.Scalars("train/loss")
    assert [one.step for one in losses] == [1, 2]
    assert losses[0].value == pytest.approx(0.4567)
    assert events.Scalars("validation/kappa")[0].value == 0.125
    assert events.Scalars("train/learning_rate")[0].value == pytest.approx(1e-3)
