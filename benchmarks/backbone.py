"""Video Swin forward: ours against torchvision's, side by side in one run.

    python benchmarks/backbone.py --size 224 --repeats 3

Each round times both, one after the other, so that a busy machine slows both. Printed are the
medians and the ratio of each round; a ratio above 1 means ours is faster. Logits must agree.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from vigilia.backbones import from_torchvision
from vigilia.backbones._torchvision import import_torchvision
from vigilia.stream import create_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="swin3d_t", choices=["swin3d_t", "swin3d_s", "swin3d_b"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    theirs = getattr(import_torchvision().models.video, arguments.model)().eval()
    ours = create_model(arguments.model, num_classes=400, memory="none").eval()
    ours.load_state_dict(from_torchvision(theirs.state_dict()))
    clip = torch.randn(1, 3, arguments.frames, arguments.size, arguments.size)

    with torch.inference_mode():
        state = ours.init_state(1)
        difference = (theirs(clip) - ours.step(clip, state)[0]).abs().max()  # warms both up
        rounds = []
        for _ in range(arguments.repeats):
            began = time.perf_counter()
            theirs(clip)
            middle = time.perf_counter()
            ours.step(clip, state)
            rounds.append((middle - began, time.perf_counter() - middle))
    ratios = [a / b for a, b in rounds]
    print(f"{arguments.model}, {tuple(clip.shape)}, {arguments.threads} threads, float32")
    print(f"torchvision {statistics.median(a for a, _ in rounds):7.3f} s")
    print(f"vigilia     {statistics.median(b for _, b in rounds):7.3f} s")
    print(
        f"ratio       {statistics.median(ratios):7.2f}   "
        f"(rounds {', '.join(f'{ratio:.2f}' for ratio in ratios)})"
    )
    print(f"largest difference of the logits {difference:.1e}")


if __name__ == "__main__":
    main()
