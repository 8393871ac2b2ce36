"""T8 of the memory benchmark: the chain it draws from, and its Bayes filter."""

from __future__ import annotations

import numpy as np
import pytest

from vigilia.bench import TASKS
from vigilia.bench.semi_markov import SemiMarkov
from vigilia.bench.tasks.sleep_like import GAP, REM_AFTER_CLIPS, sleep_model

WAKE, NREM, REM = range(3)


def random_chain(random: np.random.Generator, states: int = 3, longest: int = 4) -> SemiMarkov:
    bouts = random.random((states, longest, states)) ** 3
    bouts[0, :2] = 0.0
    bouts[1, 3:] = 0.0
    bouts /= bouts.sum((1, 2), keepdims=True)
    return SemiMarkov(
        start=random.dirichlet(np.ones(states)),
        bouts=bouts,
        emissions=random.dirichlet(np.ones(3), states),
    )


def enumerated(chain: SemiMarkov, symbols: np.ndarray) -> np.ndarray:
    """Posterior of the last clip's state, by going through every sequence of bouts."""
    weights = np.zeros(len(chain.start))

    def go(state: int, now: int, weight: float) -> None:
        for dwell in range(1, chain.bouts.shape[1] + 1):
            end = min(now + dwell, len(symbols))
            seen = weight * np.prod(chain.emissions[state, symbols[now:end]])
            for following in range(len(weights)):
                likely = seen * chain.bouts[state, dwell - 1, following]
                if now + dwell >= len(symbols):
                    weights[state] += likely
                else:
                    go(following, end, likely)

    for state, probability in enumerate(chain.start):
        go(state, 0, float(probability))
    return weights / weights.sum()


def test_the_filter_equals_going_through_all_bouts() -> None:
    random = np.random.default_rng(0)
    for _ in range(4):
        chain = random_chain(random)
        _, symbols, _ = chain.sample(6, random)
        posterior = chain.filter(symbols)
        for clips in range(1, 7):
            np.testing.assert_allclose(
                posterior[clips - 1], enumerated(chain, symbols[:clips]), atol=1e-12
            )


def test_the_filter_knows_how_long_bouts_last() -> None:
    # Two states of exactly 2 and 3 clips in turn, and emissions that tell nothing.
    bouts = np.zeros((2, 3, 2))
    bouts[0, 1, 1] = bouts[1, 2, 0] = 1.0
    chain = SemiMarkov(start=np.array([1.0, 0.0]), bouts=bouts, emissions=np.full((2, 2), 0.5))
    posterior = chain.filter(np.zeros(9, np.int64))
    assert posterior.argmax(1).tolist() == [0, 0, 1, 1, 1, 0, 0, 1, 1]
    np.testing.assert_allclose(posterior.max(1), 1.0)
    states, _, since = chain.sample(9, np.random.default_rng(0))
    assert states.tolist() == [0, 0, 1, 1, 1, 0, 0, 1, 1]
    assert since.tolist() == [0, 1, 0, 1, 2, 0, 1, 0, 1]


def test_a_chain_checks_its_probabilities() -> None:
    chain = random_chain(np.random.default_rng(1))
    with pytest.raises(ValueError, match="emissions must sum to 1"):
        SemiMarkov(chain.start, chain.bouts, chain.emissions * 0.9)


def test_samples_have_the_emissions_of_their_state() -> None:
    chain = sleep_model()
    states, symbols, _ = chain.sample(200_000, np.random.default_rng(2))
    for state, expected in enumerate(chain.emissions):
        counts = np.bincount(symbols[states == state], minlength=len(expected))
        np.testing.assert_allclose(counts / counts.sum(), expected, atol=0.01)


def test_rem_follows_only_long_nrem_and_bouts_have_their_lengths() -> None:
    states, _, since = sleep_model().sample(300_000, np.random.default_rng(3))
    ends = np.flatnonzero(np.diff(states))
    left, entered, dwells = states[ends], states[ends + 1], since[ends] + 1
    before_rem = dwells[entered == REM]
    assert set(left[entered == REM].tolist()) == {NREM}
    assert before_rem.min() == REM_AFTER_CLIPS
    assert (dwells[left == NREM] < REM_AFTER_CLIPS).mean() > 0.1
    for state, shortest in ((WAKE, 5), (NREM, 10), (REM, 8)):
        assert dwells[left == state].min() == shortest
        assert 110 < dwells[left == state].max() <= 120
        assert (dwells[left == state] <= 60).mean() > 0.6
    assert dwells.mean() == pytest.approx(GAP, rel=0.03)


def test_the_gap_scales_the_bouts() -> None:
    for gap in (8.0, 20.0):
        _, _, since = sleep_model(gap).sample(50_000, np.random.default_rng(4))
        assert 50_000 / (since == 0).sum() == pytest.approx(gap, rel=0.2)


def test_ages_count_from_the_clip_in_which_the_state_was_entered() -> None:
    stream = TASKS["T8"].draw(3000, np.random.default_rng(5))
    changed = np.flatnonzero(np.diff(stream.labels)) + 1
    expected = np.arange(3000) - np.maximum.accumulate(
        np.where(np.isin(np.arange(3000), [0, *changed]), np.arange(3000), 0)
    )
    np.testing.assert_array_equal(stream.ages, expected)


def test_most_clips_leave_open_which_state_it_is() -> None:
    chain = sleep_model()
    states, _, _ = chain.sample(300_000, np.random.default_rng(6))
    joint = chain.emissions * (np.bincount(states) / len(states))[:, None]
    sure = joint.max(0) / joint.sum(0)
    assert joint.sum(0)[sure < 0.62].sum() > 0.7


def test_history_tells_much_that_a_clip_does_not() -> None:
    task = TASKS["T8"]
    streams = [task.draw(10_000, np.random.default_rng([seed, 1])) for seed in range(4)]
    ceiling = task.memoryless_ceiling(streams)
    right = np.mean([task.oracle(stream) == stream.labels for stream in streams])
    assert 0.5 < ceiling < 0.6
    assert right > ceiling + 0.22
    # The ceiling counted on the streams is that of Bayes' rule with the shares of the states.
    labels = np.concatenate([stream.labels for stream in streams])
    joint = sleep_model().emissions * (np.bincount(labels) / len(labels))[:, None]
    assert ceiling == pytest.approx(joint.max(0).sum(), abs=0.01)


def test_the_filter_uses_the_dwell_times_of_the_gap_it_is_told() -> None:
    task = TASKS["T8"]
    streams = [task.draw(5000, np.random.default_rng([seed, 2]), gap=12.0) for seed in range(4)]
    told = np.mean([task.oracle(stream, gap=12.0) == stream.labels for stream in streams])
    untold = np.mean([task.oracle(stream) == stream.labels for stream in streams])
    assert told > untold + 0.01
