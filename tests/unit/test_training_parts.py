"""What must not change the result: parts, checkpoints, other rows; and what must: burn-in, bf16."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training_noise import TWO, chunk, opened, recording, tiny

from vigilia.errors import OptionError
from vigilia.state import named_tensors, reset
from vigilia.stream import StreamClassifier
from vigilia.training import Recording, TrainOptions
from vigilia.training.freezing import freeze, set_modes
from vigilia.training.optimiser import make_optimiser
from vigilia.training.rows import Batch, Cursor, make_places, next_batch
from vigilia.training.stretch import pixel_view, stretch_loss
from vigilia.training.worker import Worker, make_worker

FOUR = TrainOptions(rows=4, chunk_clips=4, carry_probability=0.5, seed=3)
MIXED = {"mixup": 1.0, "cutmix": 1.0, "mix_probability": 1.0, "tube_mask": 0.2}


def gradients(model: StreamClassifier) -> dict[str, Tensor]:
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def learned(options: TrainOptions, memory: str = "fam", **more: Any) -> tuple[float, dict, dict]:
    """Loss, gradients and state behind one chunk; the weights are always the same."""
    model = opened(tiny(memory, **more))
    loss, state, _ = chunk(model, [*TWO, recording("c.mp4", 25, 4)], options)
    return loss, gradients(model), named_tensors(state)


def close(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], rtol=tolerance, atol=tolerance), name


@pytest.mark.parametrize("memory", ["fam", "gru"])
@pytest.mark.parametrize("accumulate", [2, 4])
def test_rows_in_parts_give_the_loss_gradient_and_state_of_all_at_once(
    memory: str, accumulate: int
) -> None:
    options = dataclasses.replace(FOUR, **MIXED)
    loss, gradient, state = learned(options, memory)
    parts = dataclasses.replace(options, accumulate=accumulate)
    loss_of_parts, gradient_of_parts, state_of_parts = learned(parts, memory)
    assert loss_of_parts == pytest.approx(loss, rel=1e-5)
    close(gradient, gradient_of_parts, 1e-5)
    close(state, state_of_parts, 1e-5)


def test_parts_with_different_numbers_of_scored_clips_are_not_averaged_as_if_equal() -> None:
    # The mean of two means would weigh a clip of the emptier part more.
    sparse = dataclasses.replace(TWO[0], labels=np.where(np.arange(30) < 26, -1, TWO[0].labels))
    options = TrainOptions(rows=2, chunk_clips=4, carry_probability=1.0)
    rows = [(0, 0), (0, 24)]
    losses = []
    for accumulate in (1, 2):
        places = make_places([sparse], dataclasses.replace(options, accumulate=accumulate))
        batches = [batch_at(places, rows, step) for step in range(4)]
        counts = [sum(int(b.labels[row] >= 0) for b in batches) for row in range(2)]
        assert counts[0] != counts[1]
        model = tiny("gru")
        losses.append(train_on(model, places, batches))
        view = pixel_view(model, places.recordings, places.options)
        total, _ = stretch_loss(view, batches, model.init_state(2), torch.ones(2))
        assert losses[-1] == pytest.approx(float(total.detach()) / sum(counts), rel=1e-5)


def batch_at(places: Any, rows: list[tuple[int, int]], step: int) -> Batch:
    cursor = Cursor(
        tuple(range(len(rows))), tuple(clip + step for _, clip in rows), (step == 0,) * len(rows)
    )
    batch, _ = next_batch(places, cursor)
    return batch._replace(recordings=np.array([index for index, _ in rows]))


def train_on(model: StreamClassifier, places: Any, batches: list[Batch]) -> float:
    from vigilia.training.chunk import train_chunk

    state = model.init_state(len(batches[0].clips))
    view = pixel_view(model, places.recordings, places.options)
    worker = Worker(torch.device("cpu"))
    return train_chunk(view, places, state, batches, 0, torch.ones(2), worker)[0]


@pytest.mark.parametrize("memory", ["fam", "gru", "none"])
def test_what_is_computed_again_gives_the_same_gradient(memory: str) -> None:
    # With DropPath on: the second computation must drop what the first one dropped.
    loss, gradient, state = learned(FOUR, memory, drop_path=0.5)
    again = dataclasses.replace(FOUR, checkpoint_activations=True)
    loss_again, gradient_again, state_again = learned(again, memory, drop_path=0.5)
    assert loss_again == loss
    close(gradient, gradient_again, 0.0)
    close(state, state_again, 0.0)


def test_between_clips_only_the_state_is_kept() -> None:
    def kept(options: TrainOptions) -> int:
        count = 0

        def pack(tensor: Tensor) -> Tensor:
            nonlocal count
            count += tensor.nbytes
            return tensor

        model = tiny()
        view = pixel_view(model, TWO, options)
        places = make_places(TWO, options)
        batches = [batch_at(places, [(0, 0), (1, 0)], step) for step in range(4)]
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            stretch_loss(view, batches, model.init_state(2), torch.ones(2))
        return count

    plain = TrainOptions(rows=2)
    whole = kept(plain)
    assert kept(dataclasses.replace(plain, checkpoint_activations=True)) < whole / 5


@pytest.mark.parametrize("memory", ["fam", "pilot", "gru", "none"])
def test_bfloat16_learns_about_the_same_and_the_state_stays_as_it_was(memory: str) -> None:
    options = dataclasses.replace(FOUR, precision="bf16")
    results = []
    for chosen in (FOUR, options):
        model = opened(tiny(memory))
        worker = make_worker(torch.device("cpu"), precision=chosen.precision, rows=4)
        loss, state, _ = chunk(model, TWO, chosen, worker=worker)
        fresh = named_tensors(model.init_state(4))
        for name, tensor in named_tensors(state).items():
            assert tensor.dtype == fresh[name].dtype, name
        results.append((loss, gradients(model)))
    (loss, gradient), (rough_loss, rough) = results
    assert rough_loss == pytest.approx(loss, rel=0.1)
    assert rough_loss != loss  # else nothing ran in bfloat16
    assert rough.keys() == gradient.keys()
    for name in gradient:
        assert rough[name].dtype == torch.float32, name
    one, other = (torch.cat([g[n].flatten() for n in sorted(g)]) for g in (gradient, rough))
    assert torch.cosine_similarity(one, other, dim=0) > 0.9


# Rows do not mix


@pytest.mark.parametrize("memory", ["fam", "gru"])
def test_a_row_that_starts_anew_is_bit_equal_to_an_empty_memory(memory: str) -> None:
    # Whatever the row held before, and whatever the other row holds: not a number, even.
    model = opened(tiny(memory)).eval()
    view = pixel_view(model, TWO)
    places = make_places(TWO, TrainOptions(rows=2))
    weights = torch.ones(2)

    def behind(state: Any, other: int, spoil: bool) -> dict[str, Tensor]:
        batches = [batch_at(places, [(0, 3), (other, 2)], step) for step in range(3)]
        if spoil:
            state = dataclasses.replace(
                state, memory=poisoned(state.memory), logits=state.logits * float("nan")
            )
        with torch.no_grad():
            return named_tensors(stretch_loss(view, batches, state, weights)[1])

    fresh = behind(model.init_state(2), other=1, spoil=False)
    used = stretch_loss(
        view,
        [batch_at(places, [(1, 0), (0, 9)], step) for step in range(5)],
        model.init_state(2),
        weights,
    )[1]
    for state in (behind(used, 0, spoil=False), behind(used, 1, spoil=True)):
        for name, tensor in state.items():
            assert torch.equal(tensor[0], fresh[name][0]), name


def poisoned(memory: Any) -> Any:
    from vigilia.state import map_tensors

    return map_tensors(
        lambda x: torch.full_like(x, float("nan")) if x.is_floating_point() else x + 7, memory
    )


def test_rows_are_emptied_exactly_where_a_recording_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    short = [recording("a.mp4", 5, 1), recording("b.mp4", 7, 2)]
    model = opened(tiny())
    seen: list[list[int]] = []
    step = model.step

    def watched(clip: Tensor, state: Any, **rest: Any) -> Any:
        empty = named_tensors(reset(state))
        for row in range(3):
            if state.clips[row] == 0:
                for name, tensor in named_tensors(state).items():
                    assert torch.equal(tensor[row], empty[name][row]), name
        seen.append(state.clips.tolist())
        return step(clip, state, **rest)

    monkeypatch.setattr(model, "step", watched)
    options = TrainOptions(rows=3, chunk_clips=30, carry_probability=1.0, seed=2)
    chunk(model, short, options)
    cursor = Cursor((0, 1, 2), tuple(first(short, options)), (True,) * 3)
    places = make_places(short, options)
    starts = []
    for _ in range(30):
        batch, cursor = next_batch(places, cursor)
        starts.append(batch.starts.tolist())
    assert [[count == 0 for count in counts] for counts in seen] == starts
    assert np.sum(starts) > 12


def first(recordings: list[Recording], options: TrainOptions) -> list[int]:
    from vigilia.training.rows import first_cursor

    return list(first_cursor(make_places(recordings, options)).clips)


# Clips without loss


def test_burn_in_by_hand() -> None:
    one = [dataclasses.replace(recording("a.mp4", 12, 1), labels=np.ones(12, dtype=np.int64))]
    options = TrainOptions(rows=1, burn_in_clips=3, carry_probability=1.0)
    places = make_places(one, options)
    play = next(p for p in range(50) if first_of(places, p) == 4)
    labels = played(places, play, 4, 8)
    assert labels == [-1, -1, -1, 1, 1, 1, 1, 1]
    # What begins where the recording begins is what the model will meet in use.
    start = next(p for p in range(50) if first_of(places, p) == 0)
    assert played(places, start, 0, 6) == [1] * 6


def first_of(places: Any, play: int) -> int:
    from vigilia.training.rows import place_of

    return place_of(places, play)[1]


def played(places: Any, play: int, clip: int, count: int, reach: int | None = None) -> list[int]:
    cursor, labels = Cursor((play,), (clip,), (True,)), []
    for _ in range(count):
        batch, cursor = next_batch(places, cursor, reach=reach)
        labels.append(int(batch.labels[0]))
    return labels


def test_burn_in_clips_reach_memory_but_not_the_loss() -> None:
    # All clips of the chunk burn in: no loss, no gradient, and yet the memory is written.
    options = TrainOptions(rows=2, chunk_clips=3, burn_in_clips=3, carry_probability=0.9, seed=1)
    long = [recording("a.mp4", 400, 1)]
    assert min(first(long, options)) > 0
    model = opened(tiny())
    loss, state, _ = chunk(model, long, options)
    assert loss == 0.0
    assert not any(gradient.any() for gradient in gradients(model).values())
    assert state.clips.tolist() == [3, 3]
    assert named_tensors(state)["memory.stages.0.feedback"].any()


def test_a_curriculum_of_recent_states_leaves_old_ones_out() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, -1, 0, 0], dtype=np.int64)
    one = [dataclasses.replace(recording("a.mp4", 10, 1), labels=labels)]
    places = make_places(one, TrainOptions(rows=1))
    play = next(p for p in range(50) if first_of(places, p) == 0)
    assert places.ages[0].tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 0, 1]
    assert played(places, play, 0, 10) == labels.tolist()
    assert played(places, play, 0, 10, reach=1) == [0, 0, -1, -1, 1, 1, -1, -1, 0, 0]


# What learns


def test_frozen_stages_stay_and_later_ones_learn() -> None:
    model = opened(tiny(drop_path=0.5))
    options = dataclasses.replace(FOUR, frozen_stages=2)
    freeze(model, options)
    set_modes(model, options)
    optimiser = make_optimiser(model, options)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    chunk(model, TWO, options)
    optimiser.step()
    changed = {name for name, value in model.state_dict().items() if (value != before[name]).any()}
    frozen = ("backbone.patch_embed.", "backbone.stages.0.", "backbone.stages.1.")
    assert not [name for name in changed if name.startswith(frozen)]
    for part in ("backbone.stages.2.", "backbone.stages.3.", "backbone.norm.", "memory.", "head."):
        assert [name for name in changed if name.startswith(part)], part
    stages = list(model.backbone.stages)  # type: ignore[arg-type]
    assert [stage.training for stage in stages] == [False, False, True, True]


@pytest.mark.parametrize("stages", [4, 9])
def test_freezing_every_stage_has_a_word_of_its_own(stages: int) -> None:
    with pytest.raises(OptionError, match=r"frozen_stages must be below .* --freeze-backbone"):
        freeze(tiny(), TrainOptions(frozen_stages=stages))


def test_the_backbone_may_learn_at_a_rate_of_its_own() -> None:
    model = tiny()
    groups = make_optimiser(model, TrainOptions(backbone_rate=0.1)).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(p)]: group.get("rate", 1.0) for group in groups for p in group["params"]}
    decays = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
    plain = make_optimiser(model, TrainOptions()).param_groups
    assert rates.keys() == set(names.values())
    for name, rate in rates.items():
        assert rate == (0.1 if name.startswith("backbone.") else 10.0 if "gate" in name else 1.0)
    assert decays == {names[id(p)]: g["weight_decay"] for g in plain for p in g["params"]}
