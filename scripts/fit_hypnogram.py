"""Fits the semi-Markov model of sleep states that `vigilia.simulate` draws from.

The data are 4-s epochs of 8 mice over 96 h each, published in the repository mxjan/SWDMr
(data/SleepWakeData.RData, CC-BY), one text file per mouse, one character per epoch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import vigilia.simulate.hypnogram as hypnogram

EPOCH_SECONDS = 4.0
# A digit is an epoch with an artefact in the signal, scored as the state of its letter.
STATE_OF = {"w": "wake", "1": "wake", "n": "NREM", "2": "NREM", "r": "REM", "3": "REM"}


def read_recording(path: Path) -> list[str]:
    """State names of one file: a single line with one character per epoch."""
    text = path.read_text(encoding="ascii").strip()
    unknown = sorted(set(text) - set(STATE_OF))
    if unknown:
        raise SystemExit(f"{path}: {unknown[0]!r} is not a state; expected {''.join(STATE_OF)}")
    return [STATE_OF[character] for character in text]


def fit_folder(folder: Path) -> hypnogram.HypnogramModel:
    """The model fitted to every *.txt file of a folder."""
    files = sorted(folder.glob("*.txt"))
    if not files:
        raise SystemExit(f"{folder}: no *.txt files; give the folder of the scored mice")
    recordings = [read_recording(file) for file in files]
    hours = sum(map(len, recordings)) * EPOCH_SECONDS / 3600
    return hypnogram.fit_hypnogram(
        recordings,
        epoch_seconds=EPOCH_SECONDS,
        provenance={
            "source": "https://github.com/mxjan/SWDMr, data/SleepWakeData.RData",
            "licence": "CC-BY",
            "animals": f"{len(files)} mice, {hours / len(files):g} h each",
            "recordings": [file.stem for file in files],
            "epoch_seconds": EPOCH_SECONDS,
            "fitted_by": "scripts/fit_hypnogram.py",
            "left_out": "the first and last bout of each recording, whose lengths are unknown",
        },
    )


def main() -> None:
    """Reads the command line and writes the model."""
    parser = argparse.ArgumentParser(
        description="Fit the hypnogram model to scored epochs of mice.",
        epilog="example: python scripts/fit_hypnogram.py ../shared/data/labels/sleep_mouse_96h",
    )
    parser.add_argument("folder", type=Path, help="folder of *.txt files, one character per epoch")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(hypnogram.__file__).with_name("hypnogram.json"),
        help="where to write the model (default: the package's own hypnogram.json)",
    )
    arguments = parser.parse_args()
    model = fit_folder(arguments.folder)
    arguments.out.write_text(model.to_json(), encoding="utf-8")
    print(f"{arguments.out}: {len(model.dwell_seconds)} kinds of bout")


if __name__ == "__main__":
    main()
