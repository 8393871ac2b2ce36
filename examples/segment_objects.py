"""Carries the mask of a first frame through a video, with a memory that stays bounded.

    python examples/segment_objects.py                                # a scene with known masks
    python examples/segment_objects.py ../shared/data/continuous/vtest.avi --boxes vtest.mot_det.txt

On the synthetic scene the score is J & F of the DAVIS benchmark, by trackeval (which needs
scikit-image for F): the extra `tracks`. Beside it stand the first mask left where
it is, and a memory of the first frame alone. For a video of your own the first masks are ellipses
in the boxes of its first frame (MOT text: frame, id, left, top, width, height, score), there is no
truth, and what is told is how often the middle of a mask lies in a detected box; --out writes a
picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from moving_scene import render_scene

from vigilia.beyond import MaskMemory, MaskPropagator
from vigilia.installation import install_command
from vigilia.video import open_video

MEMORIES = {
    "bounded memory": MaskMemory(frames=4, long_cells=256, write_every=2),
    "first frame alone": MaskMemory(frames=1, long_cells=0, write_every=10**9),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("video", type=Path, nargs="?", help="the synthetic scene without it")
    parser.add_argument("--boxes", type=Path, help="detections of the video, MOT text")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="picture of the last frame to write, .png")
    told = parser.parse_args()
    torch.set_num_threads(1)
    if told.video is None:
        synthetic(told.frames, told.seed)
    elif told.boxes is None:
        parser.error("a video needs --boxes: the masks of its first frame")
    else:
        real(told.video, told.boxes, told.frames, told.out)


def synthetic(frames: int, seed: int) -> None:
    scene = render_scene(frames=frames, seed=seed)
    count = int(scene.masks[0].max())
    still = np.repeat(scene.masks[:1], frames, axis=0)
    print(f"{count} figures, {frames} frames of 96 x 160, seed {seed}")
    print(f"{'the first mask, left there':28}{told_by(scene.masks, still, count)}")
    for name, memory in MEMORIES.items():
        found, size = propagate(scene.pictures, scene.masks[0], MaskPropagator(memory))
        print(f"{name:28}{told_by(scene.masks, found, count)}  state {size / 1e6:.2f} MB")


def propagate(
    pictures: np.ndarray, first: np.ndarray, propagator: MaskPropagator
) -> tuple[np.ndarray, int]:
    """Masks (T, H, W) of all pictures, and the bytes that were remembered at the end."""
    state = propagator.start(as_tensor(pictures[0]), torch.from_numpy(first)[None].long())
    size, masks = state.nbytes, [first]
    for picture in pictures[1:]:
        mask, state = propagator.step(as_tensor(picture), state)
        masks.append(mask[0].numpy().astype(np.uint8))
    assert state.nbytes == size
    return np.stack(masks), size


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def told_by(truth: np.ndarray, found: np.ndarray, count: int) -> str:
    """J & F without the first frame, which was given; by trackeval."""
    try:
        import skimage.morphology  # noqa: F401 - trackeval's F needs it
        from pycocotools.mask import encode
        from trackeval.metrics import JAndF
    except ImportError as error:
        raise SystemExit(f"{error.name} is missing: {install_command('tracks')}") from error
    ids = [np.arange(count) for _ in truth[1:]]
    shown = [
        [
            [encode(np.asfortranarray(mask == number + 1, np.uint8)) for number in range(count)]
            for mask in masks[1:]
        ]
        for masks in (truth, found)
    ]
    result = JAndF().eval_sequence(
        {
            "num_timesteps": len(truth) - 1,
            "num_tracker_ids": count,
            "num_gt_ids": count,
            "gt_dets": shown[0],
            "tracker_dets": shown[1],
            "gt_ids": ids,
            "tracker_ids": [one.copy() for one in ids],
        }
    )
    return "  ".join(f"{key} {100 * result[key]:5.1f}" for key in ("J&F", "J-Mean", "F-Mean"))


def real(video: Path, boxes: Path, frames: int, out: Path | None) -> None:
    size, shrink = (384, 288), 2.0
    rows = np.loadtxt(boxes, delimiter=",")
    rows[:, 2:6] /= shrink
    pictures = []
    with open_video(video, width=size[0], height=size[1]) as reader:
        for frame in reader:
            pictures.append(frame.pixels)
            if len(pictures) == frames:
                break
    first = np.zeros(size[::-1], np.uint8)
    across, down = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    for number, row in enumerate(rows[rows[:, 0] == 1], start=1):
        left, top, width, height = row[2:6]
        inside = ((across - left - width / 2) / (0.4 * width)) ** 2
        first[inside + ((down - top - height / 2) / (0.48 * height)) ** 2 < 1] = number
    count = int(first.max())
    masks, remembered = propagate(np.stack(pictures), first, MaskPropagator())
    hits = shown = 0
    for time, mask in enumerate(masks[1:], start=2):
        detected = rows[rows[:, 0] == time]
        for number in range(1, count + 1):
            places = np.argwhere(mask == number)
            if len(places) < 20:
                continue
            shown += 1
            y, x = np.median(places, axis=0)
            inside = (detected[:, 2] <= x) & (x <= detected[:, 2] + detected[:, 4])
            inside &= (detected[:, 3] <= y) & (y <= detected[:, 3] + detected[:, 5])
            hits += bool(inside.any())
    print(f"{count} people, {len(masks)} frames of {size[0]} x {size[1]}")
    print(f"a mask of 20 pixels or more: {shown / (count * (len(masks) - 1)):.1%} of the time")
    print(f"its middle lies in a detected box: {hits / max(1, shown):.1%} of that")
    print(f"state {remembered / 1e6:.2f} MB, the same throughout")
    if out is not None:
        from matplotlib.pyplot import get_cmap, imsave

        colours = (255 * get_cmap("tab10")(np.arange(10))[:, :3]).astype(np.uint8)
        shade = np.where(
            masks[-1][..., None] > 0,
            pictures[-1] // 2 + colours[masks[-1] % 10] // 2,
            pictures[-1],
        )
        imsave(out, shade)


if __name__ == "__main__":
    main()
