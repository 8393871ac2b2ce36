"""Frames of a recording or a camera, in order of time.

Time is the container's own: `pts * time_base`, as stored, so a file whose first frame says 1.075 s
starts at 1.075 s. Three exceptions, each documented where it is made: a folder's parts are laid
end to end, AVI has only decoding times, and a frame without a timestamp gets the one before it
plus the nominal interval (a camera's: the clock on the wall).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from vigilia.errors import BrokenVideoError, OptionError, VideoError
from vigilia.video.decoder import Decoder, DecodingStopped
from vigilia.video.frames import Frame, Gap, Position, Sample, checksum
from vigilia.video.resize import PictureConverter, displayed_size
from vigilia.video.sampling import TOLERANCE_SECONDS, sample
from vigilia.video.source import Source, resolve
