"""A recording unlike the training ones is flagged, one like them is not; temperature fits."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vigilia.errors import CheckpointError, InputError, OptionError
from vigilia.evaluation.appearance import APPEARANCE, appearance
from vigilia.evaluation.familiarity import (
    Familiarity,
    distances,
    doubt,
    energy,
    fit_familiarity,
    judge,
)
from vigilia.evaluation.temperature import apply_temperature, fit_temperature, log_loss
from vigilia.simulate.pen import draw_pen
from vigilia.simulate.record import plan_recording


def drawn(clips: int, seed: int, shift: float = 0.0, features: int = 40) -> np.ndarray:
    """Embeddings that vary along six directions, with a little noise in all others."""
    axes = np.random.default_rng(99).normal(size=(6, features))
    random = np.random.default_rng(seed)
    return (
        random.normal(size=(clips, 6)) @ axes + 0.1 * random.normal(size=(clips, features)) + shift
    )


def test_left_out_recordings_of_the_same_kind_are_familiar_and_others_are_not() -> None:
    known = fit_familiarity([drawn(80, seed) for seed in range(4)], axes=8)
    same = judge(known, drawn(200, 50))
    assert same.share_beyond < 0.15
    assert not same.unfamiliar
    # A shift of two deviations of the noise in every direction, a twentieth of what clips vary.
    other = judge(known, drawn(200, 51, shift=0.3))
    assert other.unfamiliar
    assert other.median_distance > 1.2 > same.median_distance


def test_training_clips_lie_at_about_one() -> None:
    pooled = [drawn(300, seed) for seed in range(3)]
    known = fit_familiarity(pooled, axes=40)
    assert float(np.sqrt((distances(known, np.concatenate(pooled)) ** 2).mean())) == pytest.approx(
        1.0, abs=0.02
    )


def test_distance_of_two_axes_is_what_it_is_on_paper() -> None:
    known = Familiarity(
        mean=np.zeros(2),
        axes=np.array([[1.0, 0.0]]),
        variances=np.array([4.0]),
        rest=1.0,
        limit=1.0,
        recordings=2,
    )
    # (2^2 / 4 + 3^2 / 1) / 2 = 5
    assert distances(known, [[2.0, 3.0]]).tolist() == pytest.approx([5**0.5])


def test_what_is_known_survives_the_card() -> None:
    known = fit_familiarity([drawn(30, 0), drawn(30, 1)], axes=5)
    card = json.loads(json.dumps(known.as_card()))
    back = Familiarity.from_card(card)
    assert distances(back, drawn(9, 2)) == pytest.approx(distances(known, drawn(9, 2)), rel=1e-4)
    assert (back.limit, back.recordings) == (known.limit, 2)
    for damage in ({"axes": "?"}, {"limit": None}, {"mean": card["mean"][:8]}):
        with pytest.raises(CheckpointError, match="fit it again"):
            Familiarity.from_card(card | damage)
    with pytest.raises(CheckpointError):
        Familiarity.from_card({})


def test_what_cannot_be_fitted_is_told() -> None:
    with pytest.raises(InputError, match="two recordings"):
        fit_familiarity([drawn(9, 0)])
    with pytest.raises(InputError, match="two clips"):
        fit_familiarity([drawn(9, 0), drawn(1, 0)])
    with pytest.raises(OptionError, match="axes"):
        fit_familiarity([drawn(9, 0), drawn(9, 1)], axes=0)
    known = fit_familiarity([drawn(9, 0), drawn(9, 1)])
    with pytest.raises(InputError, match="D=40"):
        distances(known, np.zeros((3, 4)))
    with pytest.raises(InputError, match="without clips"):
        judge(known, np.zeros((0, 40)))


def pen(seed: int) -> np.ndarray:
    plan = plan_recording(seconds=24, seed=seed, fps=4, size=(64, 64))
    return np.stack([pixels for pixels, _ in draw_pen(plan)])


def seen(frames: np.ndarray) -> np.ndarray:
    """The appearance of clips of 8 frames."""
    return appearance(frames[: len(frames) // 8 * 8].reshape(-1, 8, *frames.shape[1:]))


def test_the_pen_at_night_or_through_another_camera_is_flagged_and_another_day_is_not() -> None:
    known = fit_familiarity([seen(pen(seed)) for seed in range(9310, 9318)], axes=2)
    day = pen(9304)
    random = np.random.default_rng(0)
    dark = 0.12 * day.mean(axis=3, keepdims=True) + random.normal(0, 9, day.shape)
    night = dark.clip(0, 255).astype(np.uint8)
    lens = day[:, 16:48, 16:48].repeat(2, axis=1).repeat(2, axis=2)
    assert not judge(known, seen(day)).unfamiliar
    assert not judge(known, seen(pen(9306))).unfamiliar
    for strange in (night, lens, day[..., ::-1]):
        found = judge(known, seen(strange))
        assert found.unfamiliar
        assert found.median_distance > 1.5


def test_appearance_is_what_it_says() -> None:
    flat = np.full((1, 4, 16, 16, 3), 9, np.uint8)
    assert appearance(flat)[0].tolist() == pytest.approx([np.log(10)] * 3 + [0] * 5, abs=1e-5)
    random = np.random.default_rng(0)
    scene = random.integers(0, 200, (16, 16, 1)).repeat(3, axis=2)
    noisy = scene + random.normal(0, 5, (1, 40, 16, 16, 1))
    found = dict(zip(APPEARANCE, appearance(noisy.clip(0, 255).astype(np.uint8))[0], strict=True))
    assert found["colour"] == pytest.approx(0, abs=1e-4)
    # The median of |a - b| for two normal values of deviation 5: 0.6745 * 5 * 2 ** 0.5.
    assert np.expm1(found["noise"]) == pytest.approx(4.77, abs=0.5)
    assert np.expm1(found["contrast"]) == pytest.approx(scene.std(), rel=0.05)
    with pytest.raises(InputError, match="S, T, H, W, 3"):
        appearance(flat[0])


def test_energy_is_high_where_no_class_speaks_up() -> None:
    found = energy([[0.0, 0.0], [10.0, 0.0], [1000.0, 0.0]])
    assert found[0] == pytest.approx(-np.log(2))
    assert found[1] == pytest.approx(-10, abs=1e-3)
    assert found[2] == -1000
    assert energy([[2.0, 2.0]], temperature=2.0)[0] == pytest.approx(-2 - 2 * np.log(2))
    with pytest.raises(OptionError):
        energy([[0.0, 0.0]], temperature=0)


def test_doubt_is_one_where_all_classes_are_alike_and_zero_where_one_is_sure() -> None:
    assert doubt([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]]).tolist() == pytest.approx(
        [1, 0, 0.5]
    )
    assert doubt([[1.0]]).tolist() == [0]


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_used_is_found_again(true: float) -> None:
    random = np.random.default_rng(3)
    honest = random.normal(0, 2, (6000, 3))
    p = apply_temperature(honest, 1.0)
    labels = (random.random(6000)[:, None] > p.cumsum(axis=1)[:, :2]).sum(axis=1)
    labels[:500] = -1
    shown = true * honest  # too sure by this factor
    found = fit_temperature(shown, labels)
    assert found == pytest.approx(true, rel=0.07)
    losses = [
        log_loss(apply_temperature(shown, found * factor), labels) for factor in (0.8, 1.0, 1.25)
    ]
    assert losses[1] == min(losses)


def test_a_temperature_changes_no_answer_and_stays_within_bounds() -> None:
    logits = np.random.default_rng(1).normal(size=(50, 4))
    best = logits.argmax(axis=1)
    assert (apply_temperature(logits, 7.0).argmax(axis=1) == best).all()
    assert fit_temperature(logits, best) == pytest.approx(0.05, rel=1e-3)  # always right: colder
    assert fit_temperature(logits, logits.argmin(axis=1)) == pytest.approx(20.0, rel=1e-3)
    with pytest.raises(InputError, match="labelled"):
        fit_temperature(logits, np.full(50, -1))
    with pytest.raises(InputError, match="labels"):
        fit_temperature(logits, best[:-1])
