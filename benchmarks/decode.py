"""How many samples a second our reader delivers, beside plain PyAV, OpenCV and torchcodec.

    python benchmarks/decode.py [VIDEO] [--seconds 20] [--rounds 3] [--threads 0]

The same as `vigilia bench decode`. Ratios of one run are the result: absolute numbers depend on the
machine and its load. OpenCV and torchcodec take part where they are installed; they are no
dependencies: `pip install opencv-python-headless torchcodec` (the latter needs FFmpeg's shared
libraries).
"""

from __future__ import annotations

import sys

from vigilia.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", "decode", *sys.argv[1:]]))
