"""Counts every model's parameters, operations and state: src/vigilia/catalogue/counts.json.

    python scripts/count_models.py              all of them: some minutes
    python scripts/count_models.py swin3d_t     these; the others are kept

Then `vigilia models --markdown > docs/models.md` writes the page.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from vigilia.catalogue import ENTRIES
from vigilia.catalogue.counting import count_model

OUT = Path(__file__).resolve().parents[1] / "src" / "vigilia" / "catalogue" / "counts.json"


def main(names: list[str]) -> None:
    """Counts the named models, or all."""
    known = json.loads(OUT.read_text()) if OUT.exists() and names else {}
    for name in names or list(ENTRIES):
        known[name] = count_model(ENTRIES[name])
        print(name, flush=True)
    ordered = {name: known[name] for name in ENTRIES if name in known}
    rows = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in ordered.items()]
    OUT.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
