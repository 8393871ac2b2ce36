"""Training: weights and rates by hand, gradient through time, and a run that can be killed."""

from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_noise import (
    QUICK,
    TWO,
    Killed,
    chunk,
    first_clip,
    kill_after,
    opened,
    recording,
    same,
    tiny,
    weights_of,
)

from vigilia.checkpoint import load_model
from vigilia.errors import CheckpointError, InputError, OptionError, VigiliaError
from vigilia.state import named_tensors
from vigilia.stream import create_model
from vigilia.training import Recording, TrainingUpdate, TrainOptions, evaluate_clips, train_model
from vigilia.training.optimiser import GATE_RATE, learning_rate_at, make_optimiser
from vigilia.training.stretch import class_weights


def labelled(*labels: int) -> Recording:
    return dataclasses.replace(TWO[0], labels=np.array(labels))


def test_class_weights_by_hand() -> None:
    # Four clips of one class and one of the other: 1/2 and 1 at balance 1/2, whose mean over
    # clips is 3/5; 1/4 and 1 at balance 1, whose mean is 2/5.
    clips = [labelled(0, 0, -1, 0), labelled(0, 1, -1)]
    assert class_weights(clips, 2, 0.0).tolist() == [1.0, 1.0]
    assert class_weights(clips, 2, 0.5).tolist() == pytest.approx([5 / 6, 5 / 3])
    assert class_weights(clips, 2, 1.0).tolist() == pytest.approx([0.625, 2.5])


def test_class_weights_average_to_one_and_an_absent_class_weighs_nothing() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.integers(-1, 4, size=200)
        labels[labels == 2] = 3
        weights = class_weights([labelled(*labels)], 4, rng.random())
        assert weights[2] == 0
        scored = labels[labels >= 0]
        assert float(weights[torch.from_numpy(scored)].mean()) == pytest.approx(1.0, rel=1e-5)


def test_recordings_without_a_single_label_are_refused() -> None:
    with pytest.raises(InputError, match="no clip of any recording is labelled"):
        class_weights([labelled(-1, -1)], 2, 0.5)


def test_the_learning_rate_by_hand() -> None:
    options = TrainOptions(learning_rate=1.0, warmup=0.2)
    rates = [learning_rate_at(update, 20, options) for update in range(20)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[12] == pytest.approx(0.5)  # half of the way from 4 to 20
    assert rates[8] == pytest.approx(0.5 * (1 + math.sqrt(0.5)))
    assert 0 < rates[19] < 0.02
    assert all(later < before for before, later in itertools.pairwise(rates[4:]))


@pytest.mark.parametrize(("total", "warmup"), [(1, 0.05), (1, 1.0), (2, 0.0), (7, 1.0)])
def test_the_learning_rate_of_a_short_run_is_a_rate(total: int, warmup: float) -> None:
    options = TrainOptions(learning_rate=0.1, warmup=warmup)
    for update in range(total):
        assert 0 < learning_rate_at(update, total, options) <= 0.1


@pytest.mark.parametrize("memory", ["fam", "gru"])
def test_only_the_matrices_of_layers_decay(memory: str) -> None:
    model = tiny(memory)
    groups = make_optimiser(model, TrainOptions(weight_decay=0.3)).param_groups
    decaying, others, gates = groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0, 0.0]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = {names[id(parameter)] for parameter in decaying["params"]}
    quick = {names[id(parameter)] for parameter in gates["params"]}
    still = {names[id(parameter)] for parameter in others["params"]} | quick
    assert quick == {name for name in names.values() if name.endswith("gate")}
    assert gates["rate"] == GATE_RATE > 1
    assert decayed | still == set(names.values())
    assert not decayed & still
    assert all(name.endswith("weight") for name in decayed)
    assert all(dict(model.named_parameters())[name].ndim >= 2 for name in decayed)
    assert "head.weight" in decayed
    assert "backbone.patch_embed.proj.weight" in decayed
    for part in ("bias", "gate", "queries", "start", "no_memory", "age_bias", "norm", "bias_table"):
        assert not any(part in name.split(".")[-2:] for name in decayed), part
    if memory == "fam":
        assert "memory.stages.0.writer.key_value.weight" in decayed
        assert {"memory.stages.0.reader.gate", "memory.stages.1.writer.queries"} <= still


def test_frozen_weights_are_left_out() -> None:
    model = tiny("none")
    model.backbone.requires_grad_(False)
    groups = make_optimiser(model, TrainOptions()).param_groups
    assert sum(len(group["params"]) for group in groups) == 2


@pytest.mark.parametrize(
    "option",
    [
        {"epochs": 0},
        {"rows": 0},
        {"chunk_clips": -1},
        {"carry_probability": 1.1},
        {"warmup": -0.1},
        {"balance": 2},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"clip_norm": -1},
    ],
    ids=str,
)
def test_options_that_cannot_work_are_refused_by_name(option: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"^{next(iter(option))} must"):
        TrainOptions(**option)


def only_last_label(one: Recording, clip: int) -> Recording:
    labels = np.full(len(one), -1)
    labels[clip] = 1
    return dataclasses.replace(one, labels=labels)


@pytest.mark.parametrize("memory", ["fam", "gru", "none"])
def test_gradient_reaches_a_clip_several_steps_back(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainOptions(rows=1, chunk_clips=5, carry_probability=1.0, seed=1)
    model = opened(tiny(memory))
    start = first_clip(TWO, options)
    long = [only_last_label(recording("a.mp4", 48, 1), start + 4)]
    start = first_clip(long, options)
    long = [only_last_label(long[0], start + 4)]
    inputs: list[Tensor] = []
    step = model.step

    def watched(clip: Tensor, *arguments: Any, **options: Any) -> Any:
        inputs.append(clip.requires_grad_())
        return step(clip, *arguments, **options)

    monkeypatch.setattr(model, "step", watched)
    chunk(model, long, options)
    assert len(inputs) == 5
    reached = [clip.grad is not None and bool(clip.grad.any()) for clip in inputs]
    assert reached == [memory != "none"] * 4 + [True]


def test_the_state_behind_a_chunk_is_carried_on_without_its_gradient() -> None:
    _, state, cursor = chunk(tiny(), TWO, QUICK)
    assert not any(tensor.requires_grad for tensor in named_tensors(state).values())
    assert (state.clips > 0).all()
    assert state.seconds.tolist() == [
        pytest.approx(clip * 0.5) if not start else state.seconds[row]
        for row, (clip, start) in enumerate(zip(cursor.clips, cursor.starts, strict=True))
    ]


def test_the_loss_of_a_chunk_is_the_weighted_mean_over_scored_clips() -> None:
    options = TrainOptions(
        rows=1, chunk_clips=6, carry_probability=1.0, mirror=False, brightness=0.0, seed=2
    )
    model = tiny("gru").eval()
    long = [recording("a.mp4", 60, 3, unscored=0.4)]
    first = first_clip(long, options)
    weights = torch.tensor([0.5, 3.0])
    loss, _, _ = chunk(model, long, options, weights=weights)
    total = scale = 0.0
    state = model.init_state(1)
    with torch.no_grad():
        for clip in range(first, first + 6):
            frames = torch.from_numpy(long[0].frames[long[0].clips[clip]])[None]
            logits, state = model.step(model.preprocessing.to_clip(frames), state)
            label = int(long[0].labels[clip])
            if label >= 0:
                total -= float(weights[label] * logits.log_softmax(1)[0, label])
                scale += float(weights[label])
    assert loss == pytest.approx(total / scale, rel=1e-4)


def test_a_chunk_without_labels_teaches_nothing() -> None:
    model = tiny("none")
    silent = [dataclasses.replace(TWO[0], labels=np.full(30, -1))]
    loss, _, _ = chunk(model, silent, QUICK)
    assert loss == 0.0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_a_row_that_jumps_starts_with_an_empty_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny()
    seen: list[tuple[list[int], list[float]]] = []
    step = model.step

    def watched(clip: Tensor, state: Any, *, seconds: Tensor, **options: Any) -> Any:
        seen.append((state.clips.tolist(), seconds.tolist()))
        return step(clip, state, seconds=seconds, **options)

    monkeypatch.setattr(model, "step", watched)
    options = dataclasses.replace(QUICK, carry_probability=0.0, rows=1)
    cursor = state = None
    for update in range(4):
        _, state, cursor = chunk(model, TWO, options, state=state, cursor=cursor, update=update)
    assert [clips for clips, _ in seen[::4]] == [[0]] * 4
    for (clips, now), (next_clips, later) in itertools.pairwise(seen):
        if next_clips[0]:
            assert next_clips[0] == clips[0] + 1
            assert later[0] == now[0] + 0.5


def test_training_on_a_visible_difference_lowers_the_loss(tmp_path: Path) -> None:
    losses: list[float] = []
    out = tmp_path / "m.safetensors"
    model = tiny()
    before = evaluate_clips(model, TWO)
    options = dataclasses.replace(QUICK, epochs=6)
    history = train_model(
        model, TWO, options=options, out=out, on_update=lambda update: losses.append(update.loss)
    )
    assert len(losses) == 6 * (48 // 8)
    assert np.mean(losses[-6:]) < 0.3 * np.mean(losses[:3])
    assert [entry["epoch"] for entry in history] == list(range(6))
    assert history[0]["loss"] == pytest.approx(np.mean(losses[:6]))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    figures = evaluate_clips(load_model(out), TWO)
    assert figures.accuracy > 0.9 > 0.7 > before.accuracy
    assert figures.confusion.sum() == sum(int((one.labels >= 0).sum()) for one in TWO)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["m.safetensors", "m.safetensors.card.md"]
    gates = [p for name, p in model.named_parameters() if name.endswith("gate")]
    assert all(gate.abs().max() > 0 for gate in gates)


@pytest.mark.parametrize(("memory", "kills"), [("fam", (2, 7)), ("gru", (1, 12))])
def test_a_killed_run_goes_on_bit_for_bit(
    tmp_path: Path, memory: str, kills: tuple[int, ...]
) -> None:
    options = dataclasses.replace(QUICK, epochs=2)

    def run(out: Path, on_update: Any = None, seed: int = 0) -> list[dict[str, Any]]:
        return train_model(
            tiny(memory, seed=seed, drop_path=0.3),
            TWO,
            options=options,
            out=out,
            validation=[recording("c.mp4", 9, 3)],
            save_every_seconds=0,
            card={"trained_on": "noise"},
            on_update=on_update,
        )

    straight, broken = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors"
    history = run(straight)
    for number, updates in enumerate(kills):
        with pytest.raises(Killed):
            # Whatever the fresh weights are: those of the run on disk count.
            run(broken, kill_after(updates), seed=number)
        assert broken.with_name(broken.name + ".training").exists()
    seen: list[int] = []
    torch.manual_seed(99)
    resumed = run(broken, lambda update: seen.append(update.update), seed=77)
    assert seen == list(range(kills[-1] + 1, 13))
    assert resumed == history
    assert same(weights_of(straight), weights_of(broken))
    assert load_model(broken).card == load_model(straight).card
    assert not broken.with_name(broken.name + ".training").exists()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that is not there yet, beside a run that was killed."""
    out = tmp_path_factory.mktemp("interrupted") / "m.safetensors"
    with pytest.raises(Killed):
        train_model(
            tiny(),
            TWO,
            options=QUICK,
            out=out,
            validation=[TWO[1]],
            save_every_seconds=0,
            on_update=kill_after(2),
        )
    return out


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"options": dataclasses.replace(QUICK, learning_rate=1e-4)}, "options"),
        ({"options": dataclasses.replace(QUICK, seed=6)}, "options"),
        ({"recordings": TWO[:1]}, "recordings"),
        ({"recordings": TWO[::-1]}, "recordings"),
        ({"recordings": [TWO[0], recording("b.mp4", 19, 2)]}, "recordings"),
        ({"validation": None}, "validation"),
        ({"model": "gru"}, "model"),
        ({"model": "fam", "slots": 3}, "model"),
    ],
    ids=["rate", "seed", "fewer", "order", "length", "validation", "memory", "slots"],
)
def test_a_run_with_other_arguments_is_not_gone_on_with(
    interrupted: Path, change: dict[str, Any], what: str
) -> None:
    options = {"slots": change["slots"]} if "slots" in change else {}
    with pytest.raises(CheckpointError) as caught:
        train_model(
            tiny(change.get("model", "fam"), **options),
            change.get("recordings", TWO),
            options=change.get("options", QUICK),
            out=interrupted,
            validation=change.get("validation", [TWO[1]]),
        )
    text = str(caught.value)
    assert f"m.safetensors.training: the interrupted run had another {what};" in text
    assert "--restart" in text
    assert "\n" not in text


def test_restart_forgets_the_interrupted_run(tmp_path: Path, interrupted: Path) -> None:
    out, fresh = tmp_path / "m.safetensors", tmp_path / "fresh.safetensors"
    run = interrupted.with_name(interrupted.name + ".training")
    shutil.copy(run, tmp_path / run.name)
    options = dataclasses.replace(QUICK, epochs=1, learning_rate=2e-3)
    for path in (out, fresh):
        train_model(tiny(), TWO, options=options, out=path, restart=True)
    assert same(weights_of(out), weights_of(fresh))


@pytest.mark.parametrize("content", [b"", b"garbage" * 20])
def test_a_damaged_run_is_one_line(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "m.safetensors"
    out.with_name(out.name + ".training").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"m\.safetensors\.training: not a safetensors file"):
        train_model(tiny(), TWO, options=QUICK, out=out)


def test_a_model_in_the_place_of_a_run_is_one_line(tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    train_model(tiny("none"), TWO, options=dataclasses.replace(QUICK, epochs=1), out=out)
    out.rename(out.with_name(out.name + ".training"))
    with pytest.raises(CheckpointError, match="not a training run of this version"):
        train_model(tiny("none"), TWO, options=QUICK, out=out)


@pytest.mark.parametrize("when", [0, 3])
def test_a_loss_that_is_no_number_stops_with_one_line(tmp_path: Path, when: int) -> None:
    model, out = tiny(), tmp_path / "m.safetensors"

    def poison(update: TrainingUpdate) -> None:
        if update.update == when:
            nn.init.constant_(model.head.bias, float("nan"))

    if when == 0:
        nn.init.constant_(model.head.bias, float("nan"))
    with pytest.raises(VigiliaError) as caught:
        train_model(model, TWO, options=QUICK, out=out, save_every_seconds=0, on_update=poison)
    text = str(caught.value)
    assert f"the loss is nan at update {when}" in text
    assert "lower the learning rate" in text
    assert "\n" not in text
    kept = out.with_name(out.name + ".training")
    assert kept.exists() == (when > 0)
    assert ("--restart" in text) == (when > 0)
    if when:
        assert all(tensor.isfinite().all() for tensor in weights_of(kept).values())


def test_a_gradient_that_is_no_number_never_reaches_the_weights(tmp_path: Path) -> None:
    model, out = tiny(), tmp_path / "m.safetensors"
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.head.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(VigiliaError, match="gradient"):
        train_model(model, TWO, options=QUICK, out=out)
    assert same(before, dict(model.state_dict()))


def test_with_validation_the_best_epoch_is_kept(tmp_path: Path) -> None:
    out, kept = tmp_path / "m.safetensors", []
    validation = [recording("c.mp4", 24, 3)]

    def on_update(update: TrainingUpdate) -> None:
        if update.figures is not None:
            kept.append((update.figures.balanced_accuracy, weights_of(out)))

    model = tiny("none")
    history = train_model(
        model,
        TWO,
        options=dataclasses.replace(QUICK, epochs=4, learning_rate=5e-3),
        out=out,
        validation=validation,
        on_update=on_update,
    )
    scores = [score for score, _ in kept]
    best = scores.index(max(scores))
    assert [entry["balanced_accuracy"] for entry in history] == scores
    assert same(weights_of(out), kept[best][1])
    loaded = load_model(out)
    assert loaded.card["best"]["epoch"] == best
    assert evaluate_clips(loaded, validation).balanced_accuracy == max(scores)


def test_evaluation_streams_and_leaves_the_mode_alone() -> None:
    model = tiny().train()
    figures = evaluate_clips(model, TWO)
    assert model.training
    assert figures.confusion.shape == (2, 2)
    trace = np.trace(figures.confusion) / figures.confusion.sum()
    assert figures.accuracy == pytest.approx(trace)
    apart = sum(evaluate_clips(model, [one]).confusion for one in TWO)
    assert np.array_equal(apart, figures.confusion)


def test_quarter_turns_of_oblong_pictures_are_refused(tmp_path: Path) -> None:
    model = create_model("swin3d_nano", num_classes=2, height=16, width=24)
    options = dataclasses.replace(QUICK, quarter_turns=True)
    with pytest.raises(OptionError, match="quarter_turns needs square pictures, got 16 by 24"):
        train_model(model, TWO, options=options, out=tmp_path / "m.safetensors")


def test_recordings_shorter_than_a_chunk_can_be_learned_from(tmp_path: Path) -> None:
    short = [recording("s.mp4", 2, 0, unscored=0.0), recording("t.mp4", 1, 1, unscored=0.0)]
    options = TrainOptions(epochs=2, rows=3, chunk_clips=4)
    history = train_model(tiny(), short, options=options, out=tmp_path / "m.safetensors")
    assert len(history) == 2
