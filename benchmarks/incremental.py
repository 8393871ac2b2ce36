"""Updates a second: torchvision's sliding window against our incremental step, side by side.

    python benchmarks/incremental.py --rounds 5
    python benchmarks/incremental.py --threads 1 --cpu-time --rounds 3   # on a busy machine

What a user would otherwise run is torchvision's swin3d_t on 32 frames every 8 frames, in float32.
One update of either starts from decoded frames (uint8) and ends with logits. Every round times all
of them, one after another, so that a busy machine slows all; the least time of each counts, and
the ratios are the result. `--cpu-time` counts the seconds that the processor worked for this
process in place of those on the wall: with one thread it is hardly moved by what else runs.

Peak is the rate of a product of two 1,024 x 1,024 matrices of the same type, in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor

from vigilia.backbones import from_torchvision
from vigilia.backbones._torchvision import import_torchvision
from vigilia.layers.flops import count_flops
from vigilia.stream import StreamClassifier, StreamState, create_model, prepared

BASELINE = "torchvision swin3d_t, 32 frames"
PEAK = 1024
TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


def sliding_window(size: int) -> tuple[Callable[[], object], dict[str, Tensor], float]:
    """torchvision's update, its weights, and the GFLOP of one."""
    model = import_torchvision().models.video.swin3d_t().eval()
    preprocessing = create_model("swin3d_nano", num_classes=2, memory="none").preprocessing
    frames = torch.randint(0, 256, (1, 32, size, size, 3), dtype=torch.uint8)
    gflop = count_flops(lambda: model(preprocessing.to_clip(frames))) / 1e9
    return lambda: model(preprocessing.to_clip(frames)), model.state_dict(), gflop


def incremental(
    weights: dict[str, Tensor], memory: str, dtype: torch.dtype, size: int, steps: int
) -> tuple[Callable[[], object], float, int]:
    """Our update on a stream that is under way, the GFLOP of one, and the bytes of its state."""
    model = create_model(
        "swin3d_t_incremental", num_classes=400, memory=memory, height=size, width=size
    ).eval()
    model.load_state_dict(from_torchvision(weights), strict=False)
    model = prepared(model, dtype)
    frames = torch.randint(0, 256, (1, 8, size, size, 3), dtype=torch.uint8)
    state = model.init_state(1)
    for _ in range(steps):
        _, state = step(model, frames, state)
    gflop = count_flops(lambda: step(model, frames, state)) / 1e9

    def update() -> None:
        nonlocal state
        _, state = step(model, frames, state)

    return update, gflop, state.nbytes


def step(model: StreamClassifier, frames: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
    """From decoded frames to logits."""
    return model.step(model.preprocessing.to_clip(frames), state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=8, help="of ours in a round: fam writes")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--memories", nargs="+", default=["none", "fam"])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    clock = time.process_time if arguments.cpu_time else time.perf_counter

    with torch.inference_mode():
        window, weights, gflop = sliding_window(arguments.size)
        updates = {BASELINE: (window, gflop, 0, "float32")}
        for memory in arguments.memories:
            for name, dtype in TYPES.items():
                # A hundred steps fill the slots of `fam`; reading empty ones costs as much.
                update, cost, held = incremental(weights, memory, dtype, arguments.size, steps=1)
                updates[f"incremental, {memory}, {name}"] = (update, cost, held, name)
        matrices = {name: torch.randn(PEAK, PEAK, dtype=dtype) for name, dtype in TYPES.items()}
        best = dict.fromkeys([*updates, *matrices], float("inf"))
        sums = dict.fromkeys(updates, float("inf"))
        for _ in range(arguments.rounds):
            for label, (update, *_) in updates.items():
                count = 1 if label == BASELINE else arguments.updates
                total = 0.0
                for _ in range(count):
                    began = clock()
                    update()
                    took = clock() - began
                    total += took
                    best[label] = min(best[label], took)
                sums[label] = min(sums[label], total / count)
            for name, matrix in matrices.items():
                for _ in range(10):
                    began = clock()
                    matrix @ matrix
                    best[name] = min(best[name], clock() - began)
    peak = {name: 2 * PEAK**3 / best[name] / 1e9 for name in matrices}
    rows = []
    for label, (_, gflop, held, name) in updates.items():
        rate = gflop / best[label]
        rows.append(
            {
                "update": label,
                "seconds": best[label],
                "mean_seconds": sums[label],
                "times": best[BASELINE] / best[label],
                "times_on_average": sums[BASELINE] / sums[label],
                "gflop": gflop,
                "gflop_per_second": rate,
                "share_of_peak": rate / peak[name],
                "state_bytes": held,
            }
        )
    if arguments.json:
        print(json.dumps({"peak_gflop_per_second": peak, "updates": rows}, indent=1))
        return
    kind = "CPU seconds" if arguments.cpu_time else "seconds"
    print(f"{arguments.threads} threads, {arguments.size} x {arguments.size}, {kind}, least of all")
    print("peak: " + ", ".join(f"{name} {value:.0f} GFLOP/s" for name, value in peak.items()))
    print(f"{'update':34s} {'seconds':>8s} {'times':>6s} {'(mean)':>6s} {'GFLOP':>7s} ", end="")
    print(f"{'GFLOP/s':>8s} {'of peak':>8s} {'state MB':>9s}")
    for row in rows:
        print(
            f"{row['update']:34s} {row['seconds']:8.3f} {row['times']:6.1f} "
            f"{row['times_on_average']:6.1f} {row['gflop']:7.2f} {row['gflop_per_second']:8.0f} "
            f"{row['share_of_peak']:8.0%} {row['state_bytes'] / 1e6:9.1f}"
        )


if __name__ == "__main__":
    main()
