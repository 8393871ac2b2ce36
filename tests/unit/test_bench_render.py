"""Rendering of the memory benchmark: reproducible, without leaks, and with visible sprites."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vigilia.bench import TASKS, Stream, render_clips
from vigilia.bench.sprites import COLOURS, FRAMED, SHAPES, sprite, sprite_colour, sprite_mask
from vigilia.bench.streams import plain_levels
from vigilia.errors import OptionError


def showing(symbols: list[int] | np.ndarray, levels: np.ndarray | None = None) -> Stream:
    shown = np.array(symbols, np.int16)
    nothing = np.full(len(shown), -1, np.int64)
    return Stream(shown, nothing, nothing, plain_levels(len(shown)) if levels is None else levels)


def test_clips_have_the_promised_shape() -> None:
    stream = showing([0, 1, 40])
    clips = render_clips(stream, seed=0)
    assert clips.shape == (3, 8, 32, 32, 3)
    assert clips.dtype == np.uint8
    assert render_clips(stream, frames=4, size=48, seed=0, start=1).shape == (2, 4, 48, 48, 3)
    assert render_clips(stream, seed=0, start=2, stop=2).shape == (0, 8, 32, 32, 3)


def test_any_part_of_a_stream_renders_to_the_same_pixels() -> None:
    stream = TASKS["T6"].draw(100, np.random.default_rng(0), gap=5.0)
    whole = render_clips(stream, seed=7)
    np.testing.assert_array_equal(render_clips(stream, seed=7), whole)
    for start, stop in ((0, 1), (3, 50), (17, 18), (99, 100)):
        part = render_clips(stream, seed=7, start=start, stop=stop)
        np.testing.assert_array_equal(part, whole[start:stop])
    chunks = [
        render_clips(stream, seed=7, start=at, stop=min(at + 7, 100)) for at in range(0, 100, 7)
    ]
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_another_seed_is_another_scene() -> None:
    stream = showing([0] * 20)
    one, other = (render_clips(stream, seed=seed).mean((0, 1, 4)) for seed in (1, 2))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] < 0.7
    assert np.abs(one - other).mean() > 5


def test_pixels_tell_nothing_but_the_clip_s_own_symbol_and_level() -> None:
    random = np.random.default_rng(3)
    stream = TASKS["T1"].draw(60, random, gap=6.0)
    whole = render_clips(stream, seed=5)
    told = Stream(
        stream.symbols, random.integers(0, 4, 60), random.integers(0, 9, 60), stream.levels
    )
    np.testing.assert_array_equal(render_clips(told, seed=5), whole)
    for clip in (10, 31):
        symbols, levels = stream.symbols.copy(), stream.levels.copy()
        symbols[:clip] = random.integers(0, 30, clip)
        symbols[clip + 1 :] = random.integers(0, 30, 59 - clip)
        levels[:clip] = random.random(clip)
        levels[clip + 1 :] = random.random(59 - clip)
        other = render_clips(showing(symbols, levels), seed=5)
        np.testing.assert_array_equal(other[clip], whole[clip])
        assert (other[clip - 1] != whole[clip - 1]).any()


def test_a_sprite_changes_its_clip_only_where_and_while_it_is_shown() -> None:
    blank = render_clips(showing([0] * 200), seed=9).astype(int)
    with_cue = render_clips(showing([1] * 200), seed=9).astype(int)
    changed = (blank != with_cue).any(-1)
    frames = changed.any((2, 3))
    counts = frames.sum(1)
    assert set(counts.tolist()) == {3, 4, 5, 6}
    assert set(frames.argmax(1).tolist()) == set(range(6))
    for clip, seen in enumerate(frames):
        at = np.flatnonzero(seen)
        assert (np.diff(at) == 1).all()
        for frame in at:
            rows, columns = np.nonzero(changed[clip, frame])
            assert 7 <= np.ptp(rows) + 1 <= 14
            assert 7 <= np.ptp(columns) + 1 <= 14


def test_sprites_appear_everywhere_and_move_in_all_directions() -> None:
    blank = render_clips(showing([0] * 300), seed=2).astype(int)
    clips = render_clips(showing([sprite("disc", "green")] * 300), seed=2).astype(int)
    changed = np.abs(blank - clips).sum(-1) > 60
    centres, ways = [], []
    for clip in changed:
        path = [np.mean(np.nonzero(frame), axis=1) for frame in clip if frame.any()]
        centres.append(path[0])
        ways.append((path[-1] - path[0]) / (len(path) - 1))
    assert (np.ptp(centres, axis=0) > 15).all()
    speeds = np.hypot(*np.transpose(ways))
    assert 0.5 < np.median(speeds) < 1.1
    assert (np.abs(np.mean(ways, axis=0)) < 0.12).all()
    assert (np.std(ways, axis=0) > 0.4).all()


@pytest.mark.parametrize("symbol", [1, 2, 3, 4, 12, 23, 37, 40])
def test_a_sprite_shows_its_colour(symbol: int) -> None:
    blank = render_clips(showing([0] * 50), seed=4).astype(float)
    clips = render_clips(showing([symbol] * 50), seed=4).astype(float)
    colour = np.array(sprite_colour(symbol))
    # Whatever differs most from a blank clip, in the direction from grey to the colour.
    towards = (colour - 115) / np.linalg.norm(colour - 115)
    most = ((clips - blank) @ towards).reshape(50, -1).argmax(1)
    seen = clips.reshape(50, -1, 3)[np.arange(50), most].mean(0)
    assert np.abs(seen - np.clip(colour, 0, 255)).max() < 45


def test_every_sprite_has_its_own_number_shape_and_colour() -> None:
    numbers = [sprite(shape, colour) for shape in SHAPES for colour in COLOURS]
    assert sorted(numbers) == list(range(1, 37))
    assert sprite("cross", "red") == 1
    assert sprite("disc", "green") == 2
    assert sprite("cross", "green") == 7
    assert sprite("cross", "red", framed=True) == 1 + FRAMED
    for shape in SHAPES:
        for colour, expected in COLOURS.items():
            assert sprite_colour(sprite(shape, colour)) == expected
    for bad in (0, 73):
        with pytest.raises(ValueError, match="1 to 72"):
            sprite_colour(bad)


def test_shapes_look_different() -> None:
    at = np.arange(13) - 6.0
    masks = [sprite_mask(number, at[None, :], at[:, None], 5.5).ravel() for number in range(1, 7)]
    for one, mask in enumerate(masks):
        assert 25 < mask.sum() < 125
        for other in masks[one + 1 :]:
            assert np.abs(mask - other).sum() > 15


def test_a_frame_goes_around_a_sprite() -> None:
    plain, framed = (render_clips(showing([s] * 30), seed=6).astype(int) for s in (1, 1 + FRAMED))
    assert ((framed > 215).all(-1)).sum((1, 2, 3)).min() > 60
    assert ((plain > 215).all(-1)).sum((1, 2, 3)).max() < 15


def test_the_patch_follows_its_level_and_the_light_does_not() -> None:
    levels = np.linspace(0, 1, 400).astype(np.float32)
    clips = render_clips(showing([0] * 400, levels), seed=8).mean((1, 4))
    flat = render_clips(showing([0] * 400), seed=8).mean((1, 4))
    change = clips[-20:].mean(0) - clips[:20].mean(0)
    patch = change > 0.8 * change.max()
    assert 40 < patch.sum() < 130
    assert change.max() > 120
    follow = np.corrcoef(clips[:, patch].mean(1), levels)[0, 1]
    assert follow > 0.98
    assert abs(np.corrcoef(flat[:, patch].mean(1), levels)[0, 1]) < 0.2
    assert np.abs(change[~(change > 1)]).max() < 10


def test_noise_is_new_in_every_frame_and_light_flickers() -> None:
    clips = render_clips(showing([0] * 30), seed=1).astype(float)
    steps = np.diff(clips, axis=1)
    rest = steps - steps.mean((2, 3), keepdims=True)
    assert 10 < rest.std() < 20
    assert np.abs(np.corrcoef(rest[:, 0].ravel(), rest[:, 2].ravel())[0, 1]) < 0.1
    brightness = clips.mean((2, 3, 4))
    assert 5 < np.diff(brightness, axis=1).std() < 12


def test_the_mean_pixel_does_not_tell_the_sprite() -> None:
    symbols = np.tile(np.arange(5), 400)
    means = render_clips(showing(symbols), seed=11).mean((1, 2, 3))
    centres = np.stack([means[:1000][symbols[:1000] == s].mean(0) for s in range(5)])
    spread = np.cov(means[:1000].T - centres[symbols[:1000]].T)
    away = means[1000:, None] - centres
    nearest = np.einsum("nki,ij,nkj->nk", away, np.linalg.inv(spread), away).argmin(1)
    assert 0.2 < (nearest == symbols[1000:]).mean() < 0.65


def test_five_hundred_clips_take_less_than_two_seconds() -> None:
    stream = TASKS["T6"].draw(500, np.random.default_rng(0))
    began = time.perf_counter()
    render_clips(stream, seed=0)
    # Measured 0.15 s on one core; the bound leaves room for a busy machine.
    assert time.perf_counter() - began < 2.0


def test_impossible_arguments_are_refused() -> None:
    stream = showing([0, 1, 2])
    for arguments in ({"start": -1}, {"stop": 4}, {"start": 2, "stop": 1}):
        with pytest.raises(OptionError, match="start and stop"):
            render_clips(stream, seed=0, **arguments)
    for arguments in ({"frames": 3}, {"size": 20}):
        with pytest.raises(OptionError, match="frames must"):
            render_clips(stream, seed=0, **arguments)
    with pytest.raises(OptionError, match="seed"):
        render_clips(stream, seed=-1)
