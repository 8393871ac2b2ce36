"""Which digit: trains Neuro-SVT on real recordings of an event camera, tests on unseen ones.

    python examples/nmnist.py ../shared/data/events/nmnist

The folder holds recordings of N-MNIST (Orchard, Jayawant, Cohen, Thakor, "Converting static image
datasets to spiking neuromorphic datasets using saccades", 2015) and labels.csv (id, digit). Each
recording is held out once, in one of several folds; it is streamed as bins of 10 ms, and what is
said after the last of them counts. Beside it stands a linear model on how often each pixel fired,
trained on the same recordings (--linear). What is learned from is turned, scaled, slanted and
shifted a little: glimpses of three bins first, then half recordings.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vigilia.bench.permanence.scores import wilson
from vigilia.events import Binning, bin_events, open_events
from vigilia.spiking import create_spiking_model
from vigilia.spiking.training import EventBatch, Progress, SpikingTraining, train_on_events

BIN_US = 10_000
BINS = 30
SIDE = 34
PADDED = 36
"""A multiple of the patch."""

GLIMPSE = 3
"""Bins of the short streams that are learned from first."""

EYES: dict[str, Any] = {"dim": 64, "heads": 4, "convolutions": 2}
"""Twice as wide as the nano preset."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=600)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one fold, from 0")
    parser.add_argument("--linear", action="store_true", help="a linear model on event counts")
    options = parser.parse_args()
    bins, labels = read(options.folder)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(options.seed))
    right = tested = 0
    for fold in range(options.folds) if options.only is None else [options.only]:
        test = order[fold :: options.folds]
        train = order[~torch.isin(order, test)]
        classify = linear if options.linear else spiking
        said = classify(bins, labels, train, test, options)
        right += int((said == labels[test]).sum())
        tested += len(test)
        share = wilson(right, tested)
        print(
            f"after fold {fold}: {share.value:.3f} of {tested} right, "
            f"95 % interval {share.low95:.3f} to {share.high95:.3f}",
            flush=True,
        )


def read(folder: Path) -> tuple[Tensor, Tensor]:
    """(N, T, 2, 36, 36) uint8, whether there was an event; (N,) labels."""
    found, labels = [], []
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        with open_events(folder / f"{row['id']}.bs2", width=SIDE, height=SIDE) as reader:
            binning = Binning(SIDE, SIDE, bin_us=BIN_US, kind="binary")
            frames = np.concatenate([part.frames for part in bin_events(binning, reader)])[:BINS]
        grid = np.zeros((BINS, 2, PADDED, PADDED), np.uint8)
        grid[: len(frames), :, 1 : SIDE + 1, 1 : SIDE + 1] = frames
        found.append(grid)
        labels.append(int(row["digit"]))
    return torch.from_numpy(np.stack(found)), torch.tensor(labels)


def spiking(
    bins: Tensor, labels: Tensor, train: Tensor, test: Tensor, options: argparse.Namespace
) -> Tensor:
    """Classes said of the test recordings, (N,)."""
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    model = create_spiking_model(
        "neuro_svt_nano",
        num_classes=10,
        height=PADDED,
        width=PADDED,
        bin_seconds=BIN_US / 1e6,
        objects=0,
        **EYES,
    )

    def part(rows: int, length: int) -> EventBatch:
        chosen = train[torch.randint(len(train), (rows,), generator=generator)]
        begin = int(torch.randint(BINS - length + 1, (), generator=generator))
        shown = changed(bins[chosen, begin : begin + length].float(), generator).transpose(0, 1)
        return EventBatch(shown, labels[chosen, None], None, torch.ones(length, rows))

    def on_update(progress: Progress) -> None:
        if progress.update % 100 == 0:
            print(f"update {progress.update}: loss {progress.loss:.2f}", flush=True)

    training = SpikingTraining(
        updates=options.updates, rows=options.rows, glimpses=0.4, weight_decay=1e-2
    )
    train_on_events(
        model,
        lambda gap: part(options.rows, BINS // 2),
        training,
        glimpse=lambda: part(4 * options.rows, GLIMPSE),
        on_update=on_update,
    )
    said = []
    with torch.inference_mode():
        for some in test.split(32):
            shown = bins[some].float().transpose(0, 1)
            outputs, _ = model.sequence(shown, model.init_state(len(some)))
            said.append(outputs.logits[-1].argmax(-1))
    return torch.cat(said)


def changed(bins: Tensor, generator: torch.Generator) -> Tensor:
    """Each recording turned, scaled, slanted and shifted a little. bins: (B, T, 2, H, W)."""
    spread = torch.tensor([[0.12, 0.2, 0.12], [0.2, 0.12, 0.12]])
    moved = torch.eye(2, 3) + spread * (2 * torch.rand(len(bins), 2, 3, generator=generator) - 1)
    flat = bins.flatten(1, 2)
    grid = F.affine_grid(moved, list(flat.shape), align_corners=False)
    return F.grid_sample(flat, grid, mode="nearest", align_corners=False).view_as(bins)


def linear(
    bins: Tensor, labels: Tensor, train: Tensor, test: Tensor, options: argparse.Namespace
) -> Tensor:
    """The same by a linear model on the counts of ON and OFF events of each pixel."""
    torch.manual_seed(options.seed)
    counts = bins.float().sum(1).flatten(1)
    counts = (counts + 1).log()
    counts = (counts - counts[train].mean(0)) / counts[train].std(0).clamp_min(0.1)
    weight = torch.zeros(counts.shape[1], 10, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight], max_iter=100)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(counts[train] @ weight, labels[train])
        loss = loss + 0.01 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return (counts[test] @ weight.detach()).argmax(-1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
