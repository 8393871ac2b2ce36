"""Beyond classification: a mask followed through a video, and boxes that keep their names.

mask_memory.py    bounded memory of keys and masks, read by similarity
pixel_keys.py     keys of cells and features of boxes that need no training
segmenting.py     a first frame's mask, propagated picture by picture
track_queries.py  tracks as queries that carry on from frame to frame
boxes.py          overlap of boxes, and the best one-to-one matching

Each is a function of a value that is passed in and returned, like every stream here: its bytes
never change, and rows of a batch are independent.
"""

from __future__ import annotations

from vigilia.beyond.boxes import box_overlap, match_boxes
from vigilia.beyond.mask_memory import MaskMemory, MaskState
from vigilia.beyond.pixel_keys import box_features, pixel_keys
from vigilia.beyond.segmenting import MaskPropagator
from vigilia.beyond.track_queries import TrackQueries, TrackState

__all__ = [
    "MaskMemory",
    "MaskPropagator",
    "MaskState",
    "TrackQueries",
    "TrackState",
    "box_features",
    "box_overlap",
    "match_boxes",
    "pixel_keys",
]
