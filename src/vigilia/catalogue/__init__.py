"""What is known of every model without building it: source, licence, published figures, counts.

Loads neither torch nor numpy, so that `vigilia models` answers at once. What papers say is written
by hand (transformers.py, others.py); what the models cost scripts/count_models.py counts into
counts.json, and a test holds a sample of it true.

entries.py     what is said of a model, and of a family
counting.py    how counts.json comes about (needs torch; not imported here)
page.py        docs/models.md
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from vigilia.catalogue.entries import Entry, Family, Published
from vigilia.catalogue.others import OTHERS
from vigilia.catalogue.transformers import TRANSFORMERS

__all__ = ["ENTRIES", "FAMILIES", "Entry", "Family", "Published", "counts"]

FAMILIES: dict[str, Family] = {**TRANSFORMERS, **OTHERS}

ENTRIES: dict[str, Entry] = {
    name: Entry(name, family, weights, published)
    for family, one in FAMILIES.items()
    for name, weights, published in one.models
}


@cache
def counts() -> dict[str, dict[str, Any]]:
    """By name what `vigilia.catalogue.counting.count_model` found."""
    text = files("vigilia.catalogue").joinpath("counts.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
