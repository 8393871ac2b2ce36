"""From videos without labels to a model file that training starts from: `vigilia pretrain`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vigilia.errors import VideoError
from vigilia.models import usable_device
from vigilia.pretraining.loop import PretrainUpdate, pretrain_model
from vigilia.pretraining.options import PretrainOptions
from vigilia.pretraining.which import check_pretrains
from vigilia.timeline import Labels
from vigilia.training.building import build_for_training
from vigilia.training.recordings import Recording, prepare_recording
from vigilia.training.start import check_place
from vigilia.training.worker import make_worker
from vigilia.video import find_videos

__all__ = ["UNLABELLED", "pretrain_recordings", "unlabelled_recording"]

UNLABELLED = "unlabelled"
"""The one class of a model that has not learned any."""


def pretrain_recordings(
    videos: Sequence[str | Path],
    *,
    out: Path,
    options: PretrainOptions,
    model: str | Path = "swin3d_nano",
    weights: str | None = None,
    fps: float = 4.0,
    clip_frames: int | None = None,
    stride_frames: int | None = None,
    size: int | None = None,
    background: float = 1.0,
    drop_path: float = 0.0,
    device: str = "cpu",
    precision: str = "32",
    cache: Path | None = None,
    restart: bool = False,
    on_frame: Callable[[str, float, float | None], None] | None = None,
    on_update: Callable[[PretrainUpdate], None] | None = None,
) -> list[dict[str, Any]]:
    """Decodes the recordings, teaches the backbone, writes it.

    Args:
        videos: files, folders of recordings, or patterns.
        out: the model file; `vigilia train --model OUT` starts from it.
        options: how.
        model: a backbone's name, or a model file to go on from: it brings backbone and
            preprocessing, its memory and head are left behind.
        weights: "kinetics400" for a backbone that has them.
        fps: with a backbone's name: samples per second.
        clip_frames: likewise, T; by default 32, or what a streaming backbone takes.
        stride_frames: likewise, frames from one clip to the next; by default 8, or the same.
        size: likewise, height and width.
        background: likewise, how much of what does not move is kept; see `Preprocessing`.
        drop_path: likewise, stochastic depth.
        device: where to learn.
        precision: "32", or "bf16".
        cache: folder for decoded frames; by default beside `out`.
        restart: forget an interrupted run.
        on_frame: called while decoding with the recording, seconds, and its duration if known.
        on_update: called after every update.

    Returns:
        One entry per epoch.

    Raises:
        VideoError: no video is found, or one cannot be read at all.
        VigiliaError: see `pretrain_model`.
    """
    paths = list(dict.fromkeys(path for video in videos for path in find_videos(video)))
    if not paths:
        raise VideoError(f"{videos[0]}: no video found" if videos else "no video is named")
    if not Path(model).suffix and not Path(model).exists():
        check_pretrains(str(model))
    check_place(out)
    worker = make_worker(usable_device(device), precision=precision)
    net, _ = build_for_training(
        model,
        weights,
        (UNLABELLED,),
        memory="none",
        memory_options={},
        fps=fps,
        clip_frames=clip_frames,
        stride_frames=stride_frames,
        size=size,
        background=background,
        drop_path=drop_path,
        seed=options.seed,
    )
    net = net.to(worker.device)

    def prepared(video: Path) -> Recording:
        def progress(seconds: float, duration: float | None) -> None:
            if on_frame is not None:
                on_frame(video.name, seconds, duration)

        return unlabelled_recording(
            video, net, cache=cache or out.with_name(out.name + ".frames"), on_frame=progress
        )

    recordings = [prepared(video) for video in paths]
    hours = sum(float(one.end_seconds[-1] - one.start_seconds[0]) for one in recordings) / 3600
    shown = ", ".join(one.name for one in recordings[:4]) + (", ..." if len(paths) > 4 else "")
    return pretrain_model(
        net,
        recordings,
        options=options,
        out=out,
        restart=restart,
        card={
            "trained_on": f"no labels: {options.method} on {len(recordings)} recordings, "
            f"{hours:.2f} hours: {shown}",
            "started_from": str(weights or model),
        },
        worker=worker,
        on_update=on_update,
    )


def unlabelled_recording(
    video: Path,
    model: Any,
    *,
    cache: Path,
    on_frame: Callable[[float, float | None], None] | None = None,
) -> Recording:
    """A recording as training sees it, in which nothing is scored; see `prepare_recording`.

    Args:
        video: a file, or a folder of recorder chunks.
        model: whose preprocessing is used.
        cache: folder for decoded frames.
        on_frame: called with seconds decoded and the duration, if that is known.
    """
    return prepare_recording(
        video,
        Labels((), video),
        classes=(UNLABELLED,),
        preprocessing=model.preprocessing,
        cache=cache,
        on_frame=on_frame,
    )
