"""Updates a second: torchvision's sliding window against our incremental step, side by side.

    python benchmarks/incremental.py --rounds 5
    python benchmarks/incremental.py --threads 1 --cpu-time --rounds 3   # on a busy machine

The same as `vigilia bench speed --no-export`, with its options.
"""

from __future__ import annotations

import sys

from vigilia.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", "speed", "--no-export", *sys.argv[1:]]))
