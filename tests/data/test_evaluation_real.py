"""Published predictions and five scorers' nights: the figures are those of the papers.

As a program, `python tests/data/test_evaluation_real.py`, it prints the figures that
docs/evaluation.md shows.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vigilia.evaluation import (
    Comparison,
    Evaluation,
    ScorerAgreement,
    agreement_of_scorers,
    consensus,
    evaluate,
    sleep_figures,
    with_consensus,
)
from vigilia.evaluation.frames import weighted_f1

PREDICTIONS = {
    "50 Salads, ED-TCN": ("50Salads/mid/mid_video_ED-TCN_L2_C15", ("0",)),
    "GTEA, ED-TCN": ("GTEA/video_ED-TCN_L2_C25", ("0",)),
    "GTEA, SVM": ("GTEA/video_SVM", ("0",)),
    "JIGSAWS, ED-TCN": ("JIGSAWS/sensors_ED-TCN_L2_C15", ()),
    "MERL": ("MERL/MERL_dense", ("5",)),
}
"""Folder, and the class that its authors take for background."""

STAGES = ("W", "N1", "N2", "N3", "R")
PEOPLE = tuple(f"scorer_{number}" for number in range(1, 6))


# MATLAB's level 5 files, as far as these need it


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each element."""
    place = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, place)
        if kind >> 16:
            # A small element keeps its size beside its kind and its content in the same 8 bytes.
            yield kind & 0xFFFF, data[place + 4 : place + 4 + (kind >> 16)]
            place += 8
            continue
        yield kind, data[place + 8 : place + 8 + size]
        place += 8 + size + (0 if kind == 15 else -size % 8)


def matlab_array(data: bytes) -> tuple[str, list[np.ndarray]]:
    """Name and content: the arrays of a cell array, or a single one."""
    flags, dimensions, name, *content = elements(data)
    if flags[1][0] == 1:
        return bytes(name[1]).decode(), [matlab_array(part)[1][0] for _, part in content]
    kinds = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q"}
    values = np.frombuffer(content[0][1], f"<{kinds[content[0][0]]}")
    shape = np.frombuffer(dimensions[1], "<i4")
    return bytes(name[1]).decode(), [values.reshape(shape, order="F")]


def read_matlab(path: Path) -> dict[str, list[np.ndarray]]:
    found = {}
    for kind, data in elements(path.read_bytes()[128:]):
        if kind == 15:
            ((_, data),) = elements(zlib.decompress(data))
        name, arrays = matlab_array(data)
        found[name] = arrays
    return found


# The recordings


def predictions(data: Path, folder: str) -> list[Comparison]:
    """Every recording of every split; the split is the animal, so that it can be told apart."""
    recordings = []
    for path in sorted((data / "labels" / "tcn_predictions" / folder).glob("*.mat")):
        content = read_matlab(path)
        for number, (truth, said, scores) in enumerate(
            zip(content["Y"], content["P"], content["S"], strict=True)
        ):
            classes = tuple(str(code) for code in range(scores.shape[1]))
            recordings.append(
                Comparison(f"{path.stem}/{number}", classes, truth.ravel(), said.ravel(), scores)
            )
    return recordings


def nights(data: Path, dataset: str) -> list[Comparison]:
    """Each night by five people; nobody's prediction yet."""
    folder = data / "labels" / "sleep_human_5scorers" / dataset
    recordings = []
    for path in sorted((folder / PEOPLE[0]).glob("*.json")):
        scorers = {
            who: np.array(json.loads((folder / who / path.name).read_text())) for who in PEOPLE
        }
        nothing = np.full(len(scorers[PEOPLE[0]]), -1)
        recordings.append(
            Comparison(path.stem, STAGES, nothing, nothing, scorers=scorers, step_seconds=30.0)
        )
    return recordings


def evaluated(data: Path, name: str, resamples: int = 0) -> Evaluation:
    folder, background = PREDICTIONS[name]
    return evaluate(predictions(data, folder), background=background, resamples=resamples)


def scored(data: Path, dataset: str) -> ScorerAgreement:
    rows = nights(data, dataset)
    codes = {who: np.concatenate([one.scorers[who] for one in rows]) for who in PEOPLE}
    found = agreement_of_scorers(codes, len(STAGES))
    assert found is not None
    return found


def published_f1(data: Path, dataset: str) -> float:
    """F1 of people as Guillot and others 2020 compute it, mean over people and nights.

    Each person is held against the consensus of the others; in a tie the one counts who agreed best
    with the rest that night, in shares of the largest vote. Epochs weigh as much as the share of
    the votes that the consensus got, F1 of classes as much as they fill the night. Nights begin and
    end where the last person began and the first ended, or where the light went.
    """
    dark = {"63b799f6-8a4f-4224-8797-ea971f78fb53": 60, "de3af7b1-ab6f-43fd-96f0-6fc64e8d2ed4": 60}
    light = {"a14f8058-f636-4be7-a67a-8f7f91a419e7": 620}
    found = []
    for night in nights(data, dataset):
        codes = np.stack([night.scorers[who] for who in PEOPLE])
        known = codes >= 0
        first = max(known.argmax(axis=1).max(), dark.get(night.name, 0))
        last = codes.shape[1] - known[:, ::-1].argmax(axis=1).max()
        codes = codes[:, first : min(last, light.get(night.name, last))]
        votes = (codes[:, None] == np.arange(5)[:, None]).astype(float)  # (R, K, N)
        soft = []
        for person in range(5):
            of_others = votes.sum(axis=0) - votes[person]
            largest = np.maximum(of_others.max(axis=0), 1)
            soft.append(((votes[person] * of_others).sum(axis=0) / largest).mean())
        ranking = np.argsort(-np.array(soft), kind="stable")
        for person in range(5):
            others = [one for one in ranking.tolist() if one != person]
            truth, _ = consensus(codes[others], 5, order=range(4))
            weights = (codes[others] == truth).mean(axis=0)
            scored = (truth >= 0) & (codes[person] >= 0)
            matrix = np.zeros((5, 5))
            np.add.at(matrix, (truth[scored], codes[person][scored]), weights[scored])
            found.append(weighted_f1(matrix))
    return float(np.mean(found))


# What the papers say


def test_figures_of_50_salads_are_the_published_ones(shared_data: Path) -> None:
    found = evaluated(shared_data, "50 Salads, ED-TCN")
    assert len(found.recordings) == 50
    assert found.segmental is not None
    # Lea and others 2017, table 1: F1@10,25,50 of 68.0, 63.9, 52.6, edit 59.8, accuracy 64.7.
    published = [one.mean_over_recordings for one in found.segmental.f1]
    assert [round(100 * one, 1) for one in published] == [68.0, 63.9, 52.6]
    assert round(100 * found.segmental.edit_mean_over_recordings, 1) == 59.8
    accuracy = found.intervals["accuracy_mean_over_recordings"].value
    assert round(100 * accuracy, 1) == 64.7
    # Pooled, as later papers do it, they are others.
    pooled = [round(100 * one.pooled, 1) for one in found.segmental.f1]
    assert pooled == [67.1, 63.0, 51.9]


def test_three_splits_of_gtea_come_close_to_the_published_four(shared_data: Path) -> None:
    found = evaluated(shared_data, "GTEA, ED-TCN")
    assert len(found.recordings) == 21
    assert found.segmental is not None
    # Over four splits: 72.2, 69.3, 56.0, accuracy 64.0.
    published = [100 * one.mean_over_recordings for one in found.segmental.f1]
    assert published == pytest.approx([72.2, 69.3, 56.0], abs=1.5)
    accuracy = found.intervals["accuracy_mean_over_recordings"].value
    assert 100 * accuracy == pytest.approx(64.0, abs=0.5)
    svm = evaluated(shared_data, "GTEA, SVM")
    # Margins are ranked, but are no probabilities; a frame-wise classifier shreds bouts.
    assert svm.calibration is None
    assert svm.ranking is not None
    assert svm.segmental is not None
    assert svm.segmental.f1[2].pooled < 0.6 * found.segmental.f1[2].pooled


def test_real_scores_are_ranked_and_overconfident(shared_data: Path) -> None:
    for name in ("50 Salads, ED-TCN", "JIGSAWS, ED-TCN"):
        found = evaluated(shared_data, name)
        assert found.calibration is not None
        assert found.ranking is not None
        # The prediction is the most probable class, so both count the same cells right.
        assert found.calibration.accuracy == pytest.approx(found.agreement.accuracy)
        error = found.calibration.mean_confidence - found.calibration.accuracy
        assert 0.1 < error <= found.calibration.expected_calibration_error + 1e-9
        calibrated = found.ranking.mean_calibrated_average_precision
        assert found.ranking.mean_average_precision < calibrated


def test_predictions_agree_with_torchmetrics(shared_data: Path) -> None:
    from vigilia.backbones._torchvision import import_torchvision

    import_torchvision()
    import torch
    from torchmetrics.functional import classification

    rows = predictions(shared_data, PREDICTIONS["JIGSAWS, ED-TCN"][0])
    found = evaluate(rows, resamples=0)
    truth = torch.tensor(np.concatenate([one.truth for one in rows]))
    scores = torch.tensor(np.concatenate([one.scores for one in rows if one.scores is not None]))
    classes = scores.shape[1]
    kappa = classification.multiclass_cohen_kappa(scores, truth, classes)
    assert found.agreement.kappa == pytest.approx(kappa.item(), abs=1e-5)
    error = classification.multiclass_calibration_error(scores, truth, classes, n_bins=15)
    assert found.calibration is not None
    expected_error = found.calibration.expected_calibration_error
    assert expected_error == pytest.approx(error.item(), abs=1e-4)
    each = classification.multiclass_average_precision(scores, truth, classes, average="none")
    assert found.ranking is not None
    for one in found.ranking.per_class:
        assert one.average_precision == pytest.approx(each[int(one.label)].item(), abs=1e-4)


def test_five_scorers_agree_as_far_as_published(shared_data: Path) -> None:
    # Guillot and others 2020: the F1 of people is 86.8 on 25 healthy, 84.8 on 55 apnoeic sleepers;
    # here are 20 and 40 of the nights.
    assert 100 * published_f1(shared_data, "dodh") == pytest.approx(86.8, abs=1)
    assert 100 * published_f1(shared_data, "dodo") == pytest.approx(84.8, abs=1)
    for dataset, ceiling, fleiss in [("dodh", 0.771, 0.712), ("dodo", 0.742, 0.682)]:
        found = scored(shared_data, dataset)
        assert found.human_ceiling_kappa == pytest.approx(ceiling, abs=5e-4)
        assert found.fleiss_kappa == pytest.approx(fleiss, abs=5e-4)
        low, high = found.human_ceiling_range
        assert 0.7 < low < found.human_ceiling_kappa < high < 0.82
        kappa = np.array(found.kappa, float)
        assert np.array_equal(kappa, kappa.T)
        # Two people agree less with each other than with a consensus.
        pairs = kappa[~np.eye(5, dtype=bool)]
        assert pairs.mean() < found.human_ceiling_kappa


def test_a_scorer_taken_for_the_model_does_as_well_as_people(shared_data: Path) -> None:
    rows = [
        Comparison(
            one.name,
            STAGES,
            one.truth,
            one.scorers["scorer_5"],
            scorers={who: codes for who, codes in one.scorers.items() if who != "scorer_5"},
            step_seconds=30.0,
        )
        for one in nights(shared_data, "dodh")
    ]
    found = evaluate(with_consensus(rows, PEOPLE[:4]), resamples=50)
    assert found.scorers is not None
    assert found.scorers.model is not None
    whole = scored(shared_data, "dodh")
    with_all = found.scorers.model.kappa_with_consensus
    assert with_all == pytest.approx(whole.kappa_with_others[4])
    assert found.agreement.kappa == pytest.approx(with_all)
    assert found.sleep is not None
    assert len(found.sleep.recordings) == 20
    by_name = {one.quantity: one for one in found.sleep.bland_altman}
    assert abs(by_name["total sleep time (min)"].bias) < 20
    assert len(by_name["total sleep time (min)"].names) == 20
    for one in found.sleep.recordings:
        # A night in a sleep laboratory.
        assert 3 < one.truth.total_sleep_seconds / 3600 < 10
        assert 0.4 < one.truth.sleep_efficiency <= 1


def test_four_days_of_mice_have_the_sleep_of_mice(shared_data: Path) -> None:
    kinds = {"w": "wake", "n": "NREM", "r": "REM"}
    paths = sorted((shared_data / "labels" / "sleep_mouse_96h").glob("*.txt"))
    assert len(paths) == 8
    for path in paths:
        letters = np.array(list(path.read_text().strip()))
        codes = np.select([np.isin(letters, list(pair)) for pair in ("w1", "n2", "r3")], [0, 1, 2])
        found = sleep_figures(codes, "wnr", kinds, epoch_seconds=4.0)
        assert found is not None
        assert found.recording_seconds == 96 * 3600
        wake, nrem, rem = found.states
        # Mice sleep about half of the time, a tenth to an eighth of it REM, in bouts of minutes.
        assert 0.3 < wake.share_of_scored < 0.7
        assert 0.03 < rem.share_of_scored < 0.12
        assert wake.share_of_scored + nrem.share_of_scored + rem.share_of_scored == pytest.approx(1)
        assert nrem.mean_bout_seconds is not None
        assert 20 < nrem.mean_bout_seconds < 600
        # No epoch is left out, so each bout of REM but a first one is entered once.
        entered = found.transitions[0][2] + found.transitions[1][2]
        assert entered + (codes[0] == 2) == rem.bouts


def main(data: Path) -> None:
    """Prints the figures of docs/evaluation.md."""
    say = sys.stdout.write
    for name in PREDICTIONS:
        found = evaluated(data, name, resamples=1000)
        say(f"\n{name}: {len(found.recordings)} recordings, background {found.background}\n")
        for figure, one in found.intervals.items():
            if not figure.startswith("f1 of"):
                span = "" if one.low is None else f"  ({one.low:.3f} to {one.high:.3f})"
                say(f"  {figure:<36} {one.value:.4f}{span}\n")
        delays = found.delays[-1]
        say(f"  missed {delays.missed} of {delays.bouts} bouts, ")
        say(f"median delay {delays.median_seconds} cells, mean {delays.mean_seconds}\n")
    for dataset in ("dodh", "dodo"):
        people = scored(data, dataset)
        say(f"\n{dataset}: {len(nights(data, dataset))} nights, {people.cells} epochs, ")
        say(f"{people.tied_cells} tied\n")
        low, high = people.human_ceiling_range
        say(f"  human ceiling {people.human_ceiling_kappa:.4f} ({low:.4f} to {high:.4f}), ")
        say(f"accuracy {people.human_ceiling_accuracy:.4f}, Fleiss {people.fleiss_kappa:.4f}\n")
        say(f"  each with the others {[round(one or 0, 4) for one in people.kappa_with_others]}\n")
        pairs = np.array(people.kappa, float)[~np.eye(5, dtype=bool)]
        say(f"  each with each, mean {pairs.mean():.4f} ({pairs.min():.4f} to {pairs.max():.4f})\n")
        say(f"  weighted F1 as published {published_f1(data, dataset):.4f}\n")


if __name__ == "__main__":
    main(Path(__file__).resolve().parents[2].parent / "shared" / "data")
