"""The relevance gate: what does not move is skipped, what moves never is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest

from vigilia.engine import Piece, Place, pieces
from vigilia.errors import OptionError
from vigilia.relevance import GateOptions, GateState, decide, init_gate, keep_noise, watch
from vigilia.relevance.gate import cell_means
from vigilia.video import Gap, Sample
from vigilia.video.clips import ClipWindow

FPS, CLIP, STRIDE = 4.0, 16, 4
SIDE = 56


def scene(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(40, 200, (SIDE, SIDE, 3))


def filmed(pictures: Iterable[np.ndarray], noise: float, seed: int = 1) -> list[np.ndarray]:
    """What a camera with that much noise a pixel makes of scenes."""
    random = np.random.default_rng(seed)
    return [
        np.clip(picture + random.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
        for picture in pictures
    ]


def samples(frames: list[np.ndarray], first: int = 0) -> list[Sample]:
    return [
        Sample(pixels, (first + k) / FPS, (first + k) / FPS, tick=first + k)
        for k, pixels in enumerate(frames)
    ]


def gated(items: Iterable[Sample | Gap], options: GateOptions | None = None) -> list[Piece]:
    place = Place(ClipWindow(clip_frames=CLIP, stride_frames=STRIDE, interval_seconds=1 / FPS))
    return list(pieces(items, place, gate=options or GateOptions()))


def told(found: list[Piece]) -> str:
    """One letter a piece: s stepped, k kept, h hole."""
    return "".join("h" if p.frames is None else "k" if p.still else "s" for p in found)


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0])
def test_a_still_recording_is_stepped_once_a_minute_whatever_the_camera_s_noise(
    noise: float,
) -> None:
    minutes = 3
    found = gated(samples(filmed([scene()] * int(60 * FPS * minutes), noise)))
    assert told(found).count("s") in (minutes, minutes + 1)
    assert len(found) == 60 * minutes
    assert told(found[:60]) == "s" + 59 * "k"


def test_a_camera_noisier_than_is_believed_is_stepped_more_often_not_less() -> None:
    letters = told(gated(samples(filmed([scene()] * 1200, 12.0))))
    assert 5 < letters.count("s") < len(letters)


def test_a_small_movement_is_stepped_until_a_whole_clip_after_it_was() -> None:
    # A thing as large as one cell, 20 frames of movement from frame 100 on.
    pictures = [scene().copy() for _ in range(200)]
    for k in range(100, 120):
        pictures[k][10:13, (k - 100) : (k - 100) + 3] += 50
    found = gated(samples(filmed(pictures, 2.0)))
    letters = told(found)
    moving = range(100 // STRIDE, (120 + CLIP) // STRIDE)
    assert letters[: moving[0]] == "s" + "k" * (moving[0] - 1)
    assert {letters[number] for number in moving} == {"s"}
    # One step on a clip that holds nothing of the movement, and rest.
    assert letters[moving[-1] + 1 :].lstrip("s") == "k" * letters[moving[-1] + 1 :].count("k")
    assert letters[moving[-1] + 1 :].count("s") <= 1


def test_what_always_moves_is_always_stepped() -> None:
    random = np.random.default_rng(3)
    for amplitude in (15, 60, 200):
        frames = []
        for k in range(120):
            picture = scene()
            place = int(random.integers(0, SIDE - 6))
            picture[place : place + 6, (k * 3) % (SIDE - 6) :][:, :6] += amplitude
            frames.append(picture)
        assert set(told(gated(samples(filmed(frames, 1.0))))) == {"s"}, amplitude
    everywhere = [random.integers(0, 256, (SIDE, SIDE, 3)) for _ in range(120)]
    assert set(told(gated(samples(filmed(everywhere, 0.0))))) == {"s"}


def test_a_slow_change_counts_when_it_has_added_up() -> None:
    # A sunrise of a tenth of a grey level a frame: no two frames differ by more than noise.
    frames = filmed([scene() + 0.1 * k for k in range(600)], 1.0)
    letters = told(gated(samples(frames)))
    assert 10 < letters.count("s") < len(letters)
    assert letters[:6].count("s") == 1
    still = told(gated(samples(filmed([scene()] * 600, 1.0))))
    assert letters.count("s") > 3 * still.count("s")


def test_the_noise_is_measured_in_spite_of_movement() -> None:
    options = GateOptions()
    for noise in (2.0, 6.0, 12.0):
        quiet, busy = init_gate(), init_gate()
        random = np.random.default_rng(0)
        for still, moving in zip(
            filmed([scene()] * 300, noise, 5), filmed([scene()] * 300, noise, 6), strict=True
        ):
            quiet = watch(quiet, still, clip_frames=CLIP, options=options)
            moving = moving.copy()
            moving[: int(0.4 * SIDE)] = random.integers(0, 256)  # two fifths of the picture
            busy = watch(busy, moving, clip_frames=CLIP, options=options)
        # Cells of 2 by 2 pixels and 3 colours, a difference of two.
        expected = noise * np.sqrt(2 / 12)
        assert quiet.noise_levels == pytest.approx(min(expected, options.ceiling_levels), rel=0.15)
        assert busy.noise_levels < 2 * quiet.noise_levels


def test_after_a_hole_a_clip_is_stepped_and_the_noise_is_known() -> None:
    before = samples(filmed([scene()] * 40, 2.0))
    after = samples(filmed([scene()] * 40, 2.0, seed=9), first=100)
    found = gated([*before, Gap(10.0, 25.0), *after])
    assert told(found) == "s" + "k" * 9 + "h" + "s" + "k" * 9
    noise = [piece.place.gate.noise_levels for piece in found if piece.place and piece.place.gate]
    assert noise[10] == noise[9] > 0
    assert keep_noise(found[9].place.gate).settled_steps == 0  # type: ignore[union-attr]


def test_more_settling_takes_more_steps_and_a_shorter_refresh_too() -> None:
    items = samples(filmed([scene()] * 400, 1.0))
    assert told(gated(items, GateOptions(settle_steps=3)))[:6] == "ssskkk"
    letters = told(gated(items, GateOptions(refresh_seconds=5.0)))
    assert letters[:13] == "skkkkkskkkkks"


def test_the_gate_goes_on_from_its_saved_state_to_the_bit() -> None:
    pictures = [scene().copy() for _ in range(160)]
    for k in range(60, 80):
        pictures[k][5:9, k - 60 : k - 55] += 40
    frames = filmed(pictures, 2.0)
    options = GateOptions(refresh_seconds=9.0)

    def run(saves: bool) -> list[tuple[float, bool]]:
        state, found = init_gate(), []
        for number, pixels in enumerate(frames, 1):
            state = watch(state, pixels, clip_frames=CLIP, options=options)
            if number % STRIDE == 0:
                state, step = decide(
                    state, clip_frames=CLIP, end_seconds=number / FPS, options=options
                )
                found.append((state.noise_levels, step))
            if saves:
                state = GateState.from_arrays(state.to_arrays())
        return found

    assert run(True) == run(False)
    assert len({step for _, step in run(True)}) == 2
    fresh = GateState.from_arrays(init_gate().to_arrays())
    assert fresh.anchor is None
    assert fresh.stepped_seconds == -np.inf


def test_the_state_does_not_grow() -> None:
    state = init_gate()
    sizes = set()
    for pixels in filmed([scene(k) for k in range(50)], 1.0):
        state = watch(state, pixels, clip_frames=CLIP, options=GateOptions())
        sizes.add(sum(array.nbytes for array in state.to_arrays().values()))
    assert sizes == {2 * 28 * 28 * 4 + 4 * 8}


def test_cells_are_means_of_their_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3)).astype(np.uint8)
    cells = cell_means(pixels, 7)
    assert cells.shape == (7, 7)
    assert cells[0, 0] == pytest.approx(pixels[:4, :5].mean(), rel=1e-6)
    assert cells[6, 6] == pytest.approx(pixels[25:, 35:].mean(), rel=1e-6)
    assert cell_means(pixels, 28).shape == (15, 20)  # no cell below two pixels
    assert cell_means(np.full((8, 8, 3), 200, np.uint8), 2).tolist() == [[200, 200]] * 2


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0.0},
        {"threshold": float("nan")},
        {"cells": 0},
        {"settle_steps": 0},
        {"refresh_seconds": float("inf")},
        {"floor_levels": 2.0},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        GateOptions(**options)
    assert dataclasses.replace(GateOptions(), threshold=3.0).threshold == 3.0
