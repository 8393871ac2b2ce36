"""Gives the objects of a video names that they keep, from boxes that a detector found.

    python examples/track_objects.py                                # a scene with known identities
    python examples/track_objects.py ../shared/data/continuous/vtest.avi --boxes vtest.mot_det.txt

On the synthetic scene boxes come from the truth, shaken, with misses and false alarms, and the
scores are MOTA and IDF1 by trackeval: `pip install trackeval`. Beside them stands overlap alone,
without patience. For a video of your own the boxes are given (MOT text: frame, id, left, top,
width, height, score); without known identities only the tracks are counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from moving_scene import Scene, render_scene

from vigilia.beyond import TrackQueries, box_features, box_overlap
from vigilia.installation import install_command
from vigilia.video import open_video

TRACKERS = {
    "track queries": TrackQueries(),
    "overlap, no patience": TrackQueries(patience=0, appearance=0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("video", type=Path, nargs="?", help="the synthetic scene without it")
    parser.add_argument("--boxes", type=Path, help="detections of the video, MOT text")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    torch.set_num_threads(1)
    if told.video is None:
        synthetic(told.frames, told.seed)
    elif told.boxes is None:
        parser.error("a video needs --boxes: what a detector found in it")
    else:
        real(told.video, told.boxes, told.frames)


def synthetic(frames: int, seed: int) -> None:
    scene = render_scene(frames=frames, figures=6, seed=seed)
    detected = list(detections(scene, seed))
    print(f"6 figures, {frames} frames, seed {seed}; 5 % missed, one false alarm in ten frames")
    for name, queries in TRACKERS.items():
        named, size = track(queries, zip(scene.pictures, detected, strict=True))
        print(f"{name:24}{told_by(scene, named)}  state {size / 1e3:.0f} kB")


def detections(scene: Scene, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Boxes (N, 4) and scores (N,) of every frame, as a detector would find them."""
    random = np.random.default_rng([seed, 1])
    for boxes, seen in zip(scene.boxes, scene.seen, strict=True):
        found = (seen > 0.4) & (random.random(len(seen)) > 0.05)
        shaken = boxes[found] + random.normal(0, 0.8, (int(found.sum()), 4))
        if random.random() < 0.1:
            corner = random.uniform(0, (140, 60))
            shaken = np.concatenate([shaken, [[*corner, *(corner + np.array([14, 34]))]]])
        yield shaken.astype(np.float32), np.full(len(shaken), 0.9, np.float32)


def track(
    queries: TrackQueries,
    frames: Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]],
) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """Names (n,) and boxes (n, 4) of what is tracked in every frame, and the bytes remembered."""
    state = queries.init_state(1)
    size, named = state.nbytes, []
    for pixels, (boxes, scores) in frames:
        picture = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        given = torch.from_numpy(boxes).view(-1, 4)
        features = box_features(picture, given)
        names, state = queries.step(
            given[None], torch.from_numpy(scores)[None], features[None], state
        )
        kept = names[0].numpy() > 0
        named.append((names[0].numpy()[kept], boxes[kept]))
    assert state.nbytes == size
    return named, size


def told_by(scene: Scene, named: list[tuple[np.ndarray, np.ndarray]]) -> str:
    """MOTA, IDF1 and switches, by trackeval; figures that are mostly hidden are not asked for."""
    try:
        from trackeval.metrics import CLEAR, Identity
    except ImportError as error:
        raise SystemExit(f"{error.name} is missing: {install_command('tracks')}") from error
    number = {
        name: index for index, name in enumerate(np.unique(np.concatenate([n for n, _ in named])))
    }
    truth, told, overlaps = [], [], []
    for boxes, seen, (names, found) in zip(scene.boxes, scene.seen, named, strict=True):
        shown = seen > 0.4
        truth.append(np.flatnonzero(shown))
        told.append(np.array([number[name] for name in names], int))
        overlaps.append(
            box_overlap(torch.from_numpy(boxes[shown]), torch.from_numpy(found).view(-1, 4)).numpy()
        )
    data = {
        "num_timesteps": len(truth),
        "num_gt_ids": scene.boxes.shape[1],
        "num_tracker_ids": len(number),
        "num_gt_dets": sum(map(len, truth)),
        "num_tracker_dets": sum(map(len, told)),
        "gt_ids": truth,
        "tracker_ids": told,
        "similarity_scores": overlaps,
    }
    quiet = {"PRINT_CONFIG": False, "THRESHOLD": 0.5}
    clear, identity = CLEAR(quiet).eval_sequence(data), Identity(quiet).eval_sequence(data)
    return (
        f"MOTA {100 * clear['MOTA']:5.1f}  IDF1 {100 * identity['IDF1']:5.1f}  "
        f"{clear['IDSW']:.0f} switches"
    )


def real(video: Path, boxes: Path, frames: int) -> None:
    rows = np.loadtxt(boxes, delimiter=",")
    rows[:, 4:6] += rows[:, 2:4]

    def items() -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
        with open_video(video) as reader:
            for number, frame in enumerate(reader, start=1):
                if number > frames:
                    return
                mine = rows[rows[:, 0] == number].astype(np.float32)
                yield frame.pixels, (mine[:, 2:6], mine[:, 6])

    named, size = track(TrackQueries(), items())
    lengths = np.unique(np.concatenate([names for names, _ in named]), return_counts=True)[1]
    detected = sum(len(found) for _, found in named)
    print(f"{len(named)} frames, {detected} boxes in {len(lengths)} tracks")
    print(
        f"median {np.median(lengths):.0f} frames, longest {lengths.max()}; "
        f"state {size / 1e3:.0f} kB"
    )


if __name__ == "__main__":
    main()
