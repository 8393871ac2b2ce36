"""A recording of an event camera as training sees it: its bins on disk, a label for each.

Events are read and binned once; a bin lies in a flat file as one bit a pixel and polarity, mapped
into memory. A clip is one bin, so all that chooses rows and stretches works as it does for video.

Letters: N bins, H W pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vigilia.errors import OutputError
from vigilia.events import model_bins
from vigilia.files import write_atomically
from vigilia.spiking import SpikingSpec
from vigilia.timeline import Labels, check_labels, labels_for
from vigilia.training.recordings import Recording

__all__ = ["prepare_event_recording", "unpack_bins"]


def prepare_event_recording(
    path: Path,
    labels: Labels,
    *,
    spec: SpikingSpec,
    cache: Path,
    on_frame: Callable[[float, float | None], None] | None = None,
) -> Recording:
    """Bins a recording into the cache, if it is not there yet, and labels its bins.

    Args:
        path: a file of any format in `vigilia.events`.
        labels: its annotation, in seconds of the file's clock.
        spec: of the model: size, length of a bin, classes.
        cache: folder for the bins: height x width / 4 bytes for each.
        on_frame: called with seconds binned, and None.

    Returns:
        A recording whose frames are (N, 2, H * W / 8) uint8, packed bits.

    Raises:
        InputError: the file cannot be read, or holds no event.
        LabelError: the annotation names an unknown class or does not fit the recording.
        OutputError: the cache cannot be written.
    """
    place = cache / f"{path.stem}-{_fingerprint(path, spec)}.bins"
    index = place.with_suffix(".json")
    if not (place.exists() and index.exists()):
        _write(path, spec, place, on_frame)
    first = float(json.loads(index.read_text())["first_seconds"])
    flat = np.memmap(place, dtype=np.uint8, mode="r")
    frames = flat.reshape(-1, 2, spec.height * spec.width // 8)
    # In whole microseconds, as the bins were cut.
    edges = first + np.arange(len(frames) + 1) * (max(1, round(spec.bin_seconds * 1e6)) / 1e6)
    check_labels(labels, classes=spec.classes, duration_seconds=float(edges[-1]))
    return Recording(
        name=path.name,
        frames=frames,
        clips=np.arange(len(frames))[:, None],
        start_seconds=edges[:-1],
        end_seconds=edges[1:],
        labels=labels_for(labels, edges[:-1], edges[1:], spec.classes),
    )


def unpack_bins(packed: np.ndarray, height: int, width: int) -> np.ndarray:
    """(..., 2, H * W / 8) packed -> (..., 2, H, W) uint8 in {0, 1}."""
    bits = np.unpackbits(packed, axis=-1)
    return bits.reshape(*packed.shape[:-1], height, width)


def _write(
    path: Path,
    spec: SpikingSpec,
    place: Path,
    on_frame: Callable[[float, float | None], None] | None,
) -> None:
    first: float | None = None
    partial = place.with_suffix(".partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            for bins, starts in model_bins(
                path, height=spec.height, width=spec.width, bin_seconds=spec.bin_seconds
            ):
                first = float(starts[0]) if first is None else first
                file.write(np.packbits(bins.frames.reshape(len(bins), 2, -1), axis=-1).tobytes())
                if on_frame is not None:
                    on_frame(float(starts[-1]), None)
        os.replace(partial, place)
    except OSError as error:
        raise OutputError(
            f"{place.parent}: bins cannot be kept there ({error.strerror}); "
            "name another folder with --cache"
        ) from error
    write_atomically(place.with_suffix(".json"), json.dumps({"first_seconds": first}))


def _fingerprint(path: Path, spec: SpikingSpec) -> str:
    status = path.stat()
    facts = [str(path.resolve()), status.st_size, status.st_mtime_ns]
    facts += [spec.height, spec.width, spec.bin_seconds]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
