"""Changes over time and by a second recording: the same from the first clip of a stretch on."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from training_noise import TWO, chunk, recording, tiny

from vigilia.training import Recording, TrainOptions
from vigilia.training.augment import SQUARES, Mix, apply_look, apply_mix, draw_look, draw_mix
from vigilia.training.frames import load_frames, shown_frames
from vigilia.training.rows import (
    Batch,
    Places,
    first_cursor,
    make_places,
    next_batch,
    partner_of,
    place_of,
)
from vigilia.training.stretch import pixel_view, stretch_loss, weight_of

MIXED = TrainOptions(rows=4, mixup=0.8, cutmix=1.0, mix_probability=0.7, seed=6)


def played(places: Places, batches: int) -> list[Batch]:
    cursor, out = first_cursor(places), []
    for _ in range(batches):
        batch, cursor = next_batch(places, cursor)
        out.append(batch)
    return out


def test_partner_share_and_box_stay_from_the_start_of_a_stretch_to_its_end() -> None:
    batches = played(make_places(TWO, MIXED), 120)
    seen = {"mixed": 0, "plain": 0, "ended by partner": 0}
    for before, batch in itertools.pairwise(batches):
        for row in range(4):
            if batch.starts[row]:
                seen["mixed" if batch.partners[row] >= 0 else "plain"] += 1
                over = before.clips[row] + 1 < len(TWO[before.recordings[row]])
                seen["ended by partner"] += int(over)
                continue
            assert batch.plays[row] == before.plays[row]
            assert batch.partners[row] == before.partners[row]
            assert batch.shares[row] == before.shares[row]
            assert batch.clips[row] == before.clips[row] + 1
            if batch.partners[row] >= 0:
                assert batch.partner_clips[row] == before.partner_clips[row] + 1
                one = TWO[batch.partners[row]]
                assert batch.partner_labels[row] == one.labels[batch.partner_clips[row]]
            play = int(batch.plays[row])
            assert draw_mix(MIXED, play, 16, 16) == draw_mix(MIXED, play, 16, 16)
    assert min(seen.values()) > 5


def test_a_row_without_partner_counts_whole() -> None:
    for batch in played(make_places(TWO, TrainOptions()), 5):
        assert (batch.partners == -1).all()
        assert (batch.shares == 1).all()
    mixed = played(make_places(TWO, MIXED), 60)
    for batch in mixed:
        assert ((batch.partners >= 0) | (batch.shares == 1)).all()


def test_partners_are_found_everywhere() -> None:
    places = make_places(TWO, MIXED)
    found = [partner_of(places, play) for play in range(400)]
    assert {index for index, _ in found} == {0, 1}
    assert {clip for index, clip in found if index == 1} == set(range(18))
    assert found != [place_of(places, play) for play in range(400)]


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_each_way_of_mixing_is_drawn_as_often_as_asked(mixup: float, cutmix: float) -> None:
    options = TrainOptions(mixup=mixup, cutmix=cutmix, mix_probability=0.6)
    mixes = [draw_mix(options, play, 20, 30) for play in range(600)]
    real = [mix for mix in mixes if mix is not None]
    assert abs(len(real) / 600 - 0.6) < 0.07
    boxes = sum(mix.box is not None for mix in real) / len(real)
    assert boxes == pytest.approx(0.5 if mixup and cutmix else float(cutmix > 0), abs=0.1)
    assert abs(np.mean([mix.share for mix in real]) - 0.5) < 0.06
    for mix in real:
        assert 0 <= mix.share <= 1
        if mix.box is not None:
            top, left, bottom, right = mix.box
            assert 0 <= top <= bottom <= 20
            assert 0 <= left <= right <= 30
            assert mix.share == 1 - (bottom - top) * (right - left) / 600


def test_mixing_by_hand() -> None:
    own, other = torch.zeros(3, 1, 2, 4, 4), torch.ones(3, 1, 2, 4, 4)
    got = apply_mix(own, other, [None, Mix(0.75, None), Mix(14 / 16, (1, 2, 3, 3))])
    assert torch.equal(got[0], own[0])
    assert torch.equal(got[1], torch.full((1, 2, 4, 4), 0.25))
    cut = torch.zeros(4, 4)
    cut[1:3, 2:3] = 1
    assert torch.equal(got[2], cut.expand(1, 2, 4, 4))
    assert not own.any()


def test_the_loss_of_a_mixed_clip_is_shared_between_both_labels() -> None:
    model = tiny("none").eval()
    places = make_places(TWO, TrainOptions(rows=1))
    batch = played(places, 1)[0]._replace(
        labels=np.array([0]),
        partners=np.array([1]),
        partner_clips=np.array([3]),
        partner_labels=np.array([1]),
        shares=np.array([0.7]),
    )
    weights = torch.tensor([2.0, 5.0])
    view = pixel_view(model, TWO)
    with torch.no_grad():
        logits, _ = view(batch, model.init_state(1))
        loss, _ = stretch_loss(view, [batch], model.init_state(1), weights)
    likely = logits.log_softmax(1)[0]
    assert float(loss) == pytest.approx(float(-0.7 * 2 * likely[0] - 0.3 * 5 * likely[1]))
    assert weight_of([batch], weights) == pytest.approx(0.7 * 2 + 0.3 * 5)
    nobody = batch._replace(partner_labels=np.array([-1]))
    with torch.no_grad():
        loss, _ = stretch_loss(view, [nobody], model.init_state(1), weights)
    assert float(loss) == pytest.approx(float(-0.7 * 2 * likely[0]))
    assert weight_of([nobody], weights) == pytest.approx(1.4)


def test_the_model_sees_the_mixed_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    options = TrainOptions(
        rows=2, chunk_clips=2, mixup=1.0, mix_probability=1.0, mirror=False, brightness=0.0
    )
    model, seen = tiny("none"), []
    step = model.step

    def watched(clip: torch.Tensor, *arguments: object, **more: object) -> object:
        seen.append(clip)
        return step(clip, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "step", watched)
    chunk(model, TWO, options)
    batch = played(make_places(TWO, options), 1)[0]
    for row in range(2):
        own, other = (
            TWO[index].frames[TWO[index].clips[clip]]
            for index, clip in (
                (batch.recordings[row], batch.clips[row]),
                (batch.partners[row], batch.partner_clips[row]),
            )
        )
        both = batch.shares[row] * own + (1 - batch.shares[row]) * other
        clip = model.preprocessing.to_clip(torch.from_numpy(both)[None])
        assert torch.allclose(seen[0][row], clip[0], atol=1e-4)


# Frames that come late or not at all


def test_what_happens_to_a_frame_is_the_same_in_every_clip_that_shows_it() -> None:
    options = TrainOptions(frame_drop=0.3, temporal_jitter=2, seed=4)
    whole = shown_frames(np.arange(400), 7, options)
    agree = total = 0
    for first in range(100, 350, 8):
        numbers = np.arange(first, first + 32)
        shown = shown_frames(numbers, 7, options)
        # Only at the older edge does a clip lack what it would have to show.
        inner = whole[numbers] >= first
        agree += int((shown == whole[numbers])[inner].sum())
        total += int(inner.sum())
    assert total > 900
    assert agree == total


@pytest.mark.parametrize(("drop", "jitter"), [(0.4, 0), (0.0, 3), (0.3, 2)])
def test_frames_are_never_from_the_future_nor_out_of_order(drop: float, jitter: int) -> None:
    options = TrainOptions(frame_drop=drop, temporal_jitter=jitter)
    for play in range(40):
        numbers = np.arange(50, 82)
        shown = shown_frames(numbers, play, options)
        assert (shown <= numbers).all()
        assert (np.diff(shown) >= 0).all()
        assert shown[0] == 50
        if not drop:
            assert (numbers - shown <= jitter).all()


def test_frames_are_lost_and_late_as_often_as_asked() -> None:
    numbers = np.arange(20000)
    lost = shown_frames(numbers, 3, TrainOptions(frame_drop=0.25)) != numbers
    assert lost.mean() == pytest.approx(0.25, abs=0.02)
    late = numbers - shown_frames(numbers, 3, TrainOptions(temporal_jitter=1))
    assert late.mean() == pytest.approx(0.5, abs=0.02)
    other = shown_frames(numbers, 4, TrainOptions(frame_drop=0.25)) != numbers
    assert 0.2 < (lost & other).mean() / lost.mean() < 0.3  # stretches have nothing in common


def test_a_lost_frame_shows_the_one_before_by_hand() -> None:
    options = TrainOptions(frame_drop=0.5)
    numbers = np.arange(8)
    shown = shown_frames(numbers, 1, options)
    assert 0 < (shown != numbers).sum() < 8
    for place in range(1, 8):
        assert shown[place] in (numbers[place], shown[place - 1])


def test_without_options_frames_are_those_of_the_clip() -> None:
    one = np.array([0]), np.array([5]), np.array([0])
    plain = load_frames(TWO, *one)
    assert np.array_equal(plain, load_frames(TWO, *one, TrainOptions()))
    assert np.array_equal(plain[0], TWO[0].frames[TWO[0].clips[5]])
    dropped = load_frames(TWO, *one, TrainOptions(frame_drop=0.9))
    assert not np.array_equal(plain, dropped)


# Squares that are hidden


def test_a_tube_is_hidden_in_every_frame_and_clip_of_a_stretch() -> None:
    options = TrainOptions(tube_mask=0.25, mirror=False, brightness=0.0, seed=2)
    clip = torch.randn(3, 3, 4, 32, 32) + 10
    first, second = (apply_look(one, draw_look(options, (4, 5, 4))) for one in (clip, clip * 2))
    hidden = first == 0
    assert torch.equal(hidden, second == 0)
    assert torch.equal(hidden, hidden[:, :1, :1].expand_as(hidden))
    assert torch.equal(hidden[0], hidden[2])
    assert not torch.equal(hidden[0], hidden[1])
    assert torch.equal(first[~hidden], clip[~hidden])
    assert hidden[0, 0, 0].float().mean() == 0.25
    squares = hidden[0, 0, 0].view(SQUARES, 4, SQUARES, 4)
    assert torch.equal(squares.all(3).all(1), squares.any(3).any(1))


# Where rows jump to


def rare() -> list[Recording]:
    labels = np.zeros(200, dtype=np.int64)
    labels[120:126] = 1
    labels[:20] = -1
    return [dataclasses.replace(recording("r.mp4", 200, 5), labels=labels)]


@pytest.mark.parametrize(("balanced", "expected"), [(0.0, 6 / 200), (1.0, 0.4)])
def test_balanced_sampling_plays_rare_states_often(balanced: float, expected: float) -> None:
    options = TrainOptions(chunk_clips=8, balanced_sampling=balanced)
    places = make_places(rare(), options)
    starts = [place_of(places, play)[1] for play in range(600)]
    near = np.mean([any(120 <= clip < 126 for clip in range(s, s + 8)) for s in starts])
    assert near >= expected
    assert near < 0.07 or balanced


def test_a_rare_state_is_not_always_the_first_thing_seen() -> None:
    # Else a model would learn that whoever remembers nothing is in that state.
    options = TrainOptions(chunk_clips=8, balanced_sampling=1.0)
    places = make_places(rare(), options)
    labels = rare()[0].labels
    starts = [place_of(places, play)[1] for play in range(600)]
    assert np.mean([labels[start] == 1 for start in starts]) < 0.35
    before = [start for start in starts if 113 <= start < 120]
    assert len(before) > 150
    assert len(set(before)) == 7


def test_balanced_places_are_a_function_of_seed_and_number() -> None:
    one, same = (make_places(rare(), TrainOptions(balanced_sampling=0.7)) for _ in range(2))
    other = make_places(rare(), TrainOptions(balanced_sampling=0.7, seed=1))
    places = [[place_of(each, play) for play in range(40)] for each in (one, same, other)]
    assert places[0] == places[1] != places[2]
