"""Writes into the bundled models' cards what their training recordings look like.

    python scripts/know_pen.py                # some of the recordings of train_pen.py, drawn anew

The weights stay as they are, to the bit. `vigilia train` does the same for every model it makes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from train_pen import LONG_BOUTS, SHORT_BOUTS, recordings

from vigilia.checkpoint import load_classifier, save_model
from vigilia.training.knowing import know_recordings

SHORT, LONG = 12, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("build/pen"), help="recordings")
    parser.add_argument("--out", type=Path, default=Path("src/vigilia/weights"))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    plans = [
        (seeds[:many], *rest) for (seeds, *rest), many in ((SHORT_BOUTS, SHORT), (LONG_BOUTS, LONG))
    ]
    learned = recordings(arguments.work, *plans)
    for name in ("pen", "pen-no-memory"):
        path = arguments.out / f"{name}.safetensors"
        model = load_classifier(path)
        known = know_recordings(model, learned)
        save_model(model, path, card={**model.card, "known": known.as_card()}, dtype=torch.float16)
        print(f"{path}: {len(learned)} recordings, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
