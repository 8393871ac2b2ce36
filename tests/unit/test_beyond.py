"""Masks followed and boxes named: bounded, streaming, and right where the truth is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
import torch
from torch import Tensor

from vigilia.beyond import (
    MaskMemory,
    MaskPropagator,
    TrackQueries,
    box_features,
    box_overlap,
    match_boxes,
    pixel_keys,
)
from vigilia.errors import InputError, OptionError
from vigilia.state import named_tensors


def scene(frames: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A red and a blue square on grey noise. Pictures (T, 3, 32, 48), masks (T, 32, 48)."""
    made = torch.Generator().manual_seed(seed)
    pictures = 0.4 + 0.05 * torch.randn(frames, 3, 32, 48, generator=made)
    masks = torch.zeros(frames, 32, 48, dtype=torch.int64)
    for time in range(frames):
        for number, (row, column, colour) in enumerate(
            [(4, 2 + time, (0.9, 0.1, 0.1)), (18, 36 - time, (0.1, 0.2, 0.9))], start=1
        ):
            pictures[time, :, row : row + 10, column : column + 10] = torch.tensor(colour).view(
                3, 1, 1
            )
            masks[time, row : row + 10, column : column + 10] = number
    return pictures.clamp(0, 1), masks


def test_a_mask_follows_its_object_in_the_same_bytes() -> None:
    pictures, masks = scene(24)
    propagator = MaskPropagator(
        MaskMemory(frames=2, long_cells=16, write_every=1), cell=2, keys=keys
    )
    state = propagator.start(pictures[:1], masks[:1])
    size = state.nbytes
    for time in range(1, 24):
        found, state = propagator.step(pictures[time : time + 1], state)
        for number in (1, 2):
            mine, truth = found[0] == number, masks[time] == number
            assert (mine & truth).sum() / (mine | truth).sum() > 0.7, (time, number)
        assert state.nbytes == size
    assert state.written.tolist() == [23]
    assert (state.long_uses > 0).any()


def keys(pictures: Tensor) -> Tensor:
    return pixel_keys(pictures, cell=2)


def test_with_room_for_everything_a_read_is_attention_over_the_whole_past() -> None:
    made = torch.Generator().manual_seed(0)
    given = torch.randn(6, 1, 5, 3, generator=made)
    first = torch.rand(1, 5, 2, generator=made).softmax(dim=2)
    memory = MaskMemory(frames=10, long_cells=0, write_every=1, best=1000)
    state = memory.start(given[0], first)
    past_keys, past_masks = [given[0]], [first]
    for frame in given[1:]:
        found, state = memory.step(frame, state)
        every, masks = torch.cat(past_keys, dim=1), torch.cat(past_masks, dim=1)
        distance = ((frame[:, :, None] - every[:, None]) ** 2).sum(dim=3)
        expected = (-distance).softmax(dim=2) @ masks
        assert torch.allclose(found, expected, atol=1e-5)
        past_keys.append(frame)
        past_masks.append(found)


def test_the_first_frame_and_what_was_read_most_are_never_forgotten() -> None:
    far = torch.tensor([[[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]])
    first = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    memory = MaskMemory(frames=1, long_cells=1, write_every=1, best=1)
    state = memory.start(far, first)
    for _ in range(30):
        _, state = memory.step(torch.full_like(far, 50.0), state)
    found, _ = memory.step(far, state)
    assert torch.equal(found, first)


def test_rows_of_masks_do_not_mix_and_a_stream_goes_on_from_its_state() -> None:
    pictures, masks = scene(8)
    others, other_masks = scene(8, seed=1)
    propagator = MaskPropagator(cell=2, keys=keys)
    both = propagator.start(
        torch.stack([pictures[0], others[0].flip(2)]),
        torch.stack([masks[0], other_masks[0].flip(1)]),
    )
    alone = propagator.start(pictures[:1], masks[:1])
    for time in range(1, 8):
        together, both = propagator.step(torch.stack([pictures[time], others[time].flip(2)]), both)
        single, alone = propagator.step(pictures[time : time + 1], alone)
        assert torch.equal(together[0], single[0])
        saved = {name: tensor.clone() for name, tensor in named_tensors(alone).items()}
        assert set(saved) == set(vars(alone))
        alone = replace(alone, **saved)  # as if it had been read from a file


@pytest.mark.parametrize(
    ("arguments", "message"), [({"frames": 0}, "at least 1"), ({"sharpness": 0.0}, "positive")]
)
def test_a_mask_memory_that_cannot_work_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        MaskMemory(**arguments)


def test_pictures_and_masks_that_do_not_fit_are_refused() -> None:
    pictures, masks = scene(1)
    with pytest.raises(InputError, match="multiples of 4"):
        pixel_keys(pictures[:, :, :31])
    with pytest.raises(InputError, match="mask must be"):
        MaskPropagator().start(pictures, masks[:, :30])
    with pytest.raises(InputError, match="lie in"):
        MaskPropagator().start(pictures, masks, objects=2)


def test_overlap_is_intersection_over_union() -> None:
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    others = torch.tensor([[1.0, 0.0, 3.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
    assert box_overlap(boxes, others).tolist() == [
        [pytest.approx(1 / 3), 1.0],
        [0.0, 0.0],
    ]


def test_the_matching_has_the_greatest_total_gain() -> None:
    assert match_boxes(torch.tensor([[0.9, 0.8], [0.8, 0.1]]), least=0.05) == [(0, 1), (1, 0)]
    assert match_boxes(torch.tensor([[0.9, 0.8], [0.8, 0.1]]), least=0.85) == [(0, 0)]
    assert match_boxes(torch.zeros(0, 3), least=0.1) == []
    made = torch.Generator().manual_seed(0)
    for rows, columns in ((4, 4), (3, 5), (5, 3)):
        gain = torch.rand(rows, columns, generator=made)
        found = match_boxes(gain, least=1e-9)
        small, large = sorted((rows, columns))
        table = gain if rows <= columns else gain.T
        best = max(
            sum(float(table[i, j]) for i, j in enumerate(chosen))
            for chosen in permutations(range(large), small)
        )
        assert sum(float(gain[pair]) for pair in found) == pytest.approx(best)
        assert len(found) == small


def crossing(frames: int) -> tuple[Tensor, Tensor]:
    """Two people who pass each other. Boxes (T, 2, 4), features (2, 4)."""
    time = torch.arange(frames, dtype=torch.float32)
    lefts = torch.stack([10 + 4 * time, 90 - 4 * time], dim=1)  # (T, 2)
    tops = torch.tensor([20.0, 24.0]).expand(frames, 2)
    boxes = torch.stack([lefts, tops, lefts + 16, tops + 40], dim=2)
    return boxes, torch.tensor([[1.0, 0.0, 0.2, 0.0], [0.0, 1.0, 0.0, 0.2]])


def test_tracks_keep_their_names_through_a_crossing_and_an_absence() -> None:
    boxes, features = crossing(20)
    queries = TrackQueries(tracks=8, dim=4, patience=5)
    state = queries.init_state(1)
    size = state.nbytes
    for time in range(20):
        order = [0, 1] if time % 2 else [1, 0]  # a detector has no order
        scores = torch.ones(1, 2)
        if 12 <= time < 15:
            scores[0, order.index(0)] = 0  # the first is not detected for a while
        names, state = queries.step(boxes[time, order][None], scores, features[order][None], state)
        named = dict(zip(order, names[0].tolist(), strict=True))
        if time == 0:
            first = named
        assert state.nbytes == size
        for person, name in named.items():
            seen = scores[0, order.index(person)] > 0
            assert name == (first[person] if seen else 0), time
    assert sorted(first.values()) == [1, 2]
    assert state.named.tolist() == [2]


def test_a_track_that_waited_too_long_is_another() -> None:
    boxes, features = crossing(1)
    queries = TrackQueries(tracks=2, dim=4, patience=2)
    state = queries.init_state(1)
    names, state = queries.step(boxes, torch.ones(1, 2), features[None], state)
    for _ in range(3):
        _, state = queries.step(boxes, torch.zeros(1, 2), features[None], state)
    assert state.names.tolist() == [[0, 0]]
    names, state = queries.step(boxes, torch.ones(1, 2), features[None], state)
    assert names.tolist() == [[3, 4]]
    names, state = queries.step(
        boxes, torch.full((1, 2), 0.3), features[None], queries.init_state(1)
    )
    assert names.tolist() == [[0, 0]]


def test_rows_of_tracks_do_not_mix() -> None:
    boxes, features = crossing(6)
    queries = TrackQueries(tracks=4, dim=4)
    both, alone = queries.init_state(2), queries.init_state(1)
    for time in range(6):
        given = torch.stack([boxes[time], boxes[5 - time] + 200])
        together, both = queries.step(given, torch.ones(2, 2), features.expand(2, -1, -1), both)
        single, alone = queries.step(boxes[time][None], torch.ones(1, 2), features[None], alone)
        assert torch.equal(together[0], single[0])
    for name, tensor in named_tensors(alone).items():
        assert torch.equal(named_tensors(both)[name][0], tensor[0]), name
    with pytest.raises(InputError, match="2 streams"):
        queries.step(boxes[:1], torch.ones(1, 2), features[None], both)


def test_boxes_are_told_by_the_colours_of_their_halves() -> None:
    picture = torch.zeros(3, 20, 20)
    picture[0, :10] = 1.0
    found = box_features(picture, torch.tensor([[0.0, 0.0, 8.0, 20.0], [4.0, 0.0, 9.0, 10.0]]))
    assert found.shape == (2, 48)
    assert torch.allclose(found.square().sum(dim=1), torch.tensor([6.0, 6.0]))
    assert found[0, 7] == 1  # the upper half is bright in red
    assert found[0, 24] == 1  # the lower is not
    assert found[1, 31] == 1
