"""Writes a simulated recording: a video, its labels, and what is in it."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import av

from vigilia.errors import OptionError, OutputError
from vigilia.simulate.behaviour import PenRecording, clip_ambiguity, plan_pen
from vigilia.simulate.hypnogram import REST_WAKE_SECONDS, load_hypnogram_model, sample_hypnogram
from vigilia.simulate.pen import draw_pen

__all__ = ["plan_recording", "simulate_recording"]

# A length in the mouse's own time that holds about one REM bout.
SECONDS_PER_BOUT = 150.0


def plan_recording(
    *,
    seconds: float,
    seed: int,
    fps: float = 8.0,
    size: tuple[int, int] = (128, 128),
    time_scale: float = 4.0,
) -> PenRecording:
    """Draws a hypnogram and plans what the animal does.

    The hypnogram starts awake, so that every state is announced by a visible event. It is drawn
    with `rest_only`, and until every state has one bout per `SECONDS_PER_BOUT` of the mouse's
    time, up to three: 30 minutes at the default `time_scale` hold at least three bouts of each.

    Args:
        seconds: length of the recording.
        seed: the same seed gives the same recording.
        fps: frames per second.
        size: height and width in pixels.
        time_scale: factor on the mouse's dwell times; a sow's sleep cycle is longer.

    Raises:
        OptionError: an argument has a value that cannot work.
    """
    states = sample_hypnogram(
        load_hypnogram_model(),
        seconds=seconds,
        seed=seed,
        start="wake",
        rest_only=True,
        min_bouts=_bouts_wanted(seconds, time_scale),
        time_scale=time_scale,
    )
    # Milliseconds, so that the label file says exactly what is drawn.
    rounded = [(round(a, 3), round(b, 3), state) for a, b, state in states]
    rounded[-1] = (rounded[-1][0], seconds, rounded[-1][2])
    return plan_pen(rounded, seconds=seconds, fps=fps, size=size, seed=seed)


def simulate_recording(
    path: str | Path,
    *,
    seconds: float,
    seed: int,
    fps: float = 8.0,
    size: tuple[int, int] = (128, 128),
    time_scale: float = 4.0,
) -> Path:
    """Writes a simulated pen as H.264 video, with labels and a description beside it.

    Beside `path` appear `<stem>.csv` with the columns `start_seconds,end_seconds,label`, and
    `<stem>.json` with the seed, the parameters and every event. The same arguments give the same
    frames.

    Args:
        path: the video to write, an .mp4.
        seconds: length of the recording.
        seed: of everything that is drawn by chance.
        fps: frames per second.
        size: height and width in pixels.
        time_scale: factor on the mouse's dwell times.

    Returns:
        The path of the label file.

    Raises:
        OptionError: an argument has a value that cannot work.
        OutputError: a file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise OptionError(f"{path}: a simulated recording is an .mp4 file; name it so")
    recording = plan_recording(
        seconds=seconds, seed=seed, fps=fps, size=size, time_scale=time_scale
    )
    labels = path.with_suffix(".csv")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_video(path, recording)
        with labels.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["start_seconds", "end_seconds", "label"])
            writer.writerows([f"{a:.3f}", f"{b:.3f}", state] for a, b, state in recording.states)
        path.with_suffix(".json").write_text(_description(recording, time_scale), encoding="utf-8")
    except (OSError, av.FFmpegError) as error:
        raise OutputError(f"{path}: cannot be written ({error}); check the folder") from error
    return labels


def _bouts_wanted(seconds: float, time_scale: float) -> int:
    return min(3, int(seconds / time_scale / SECONDS_PER_BOUT))


def _write_video(path: Path, recording: PenRecording) -> None:
    rate = Fraction(recording.fps).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=rate, options={"preset": "veryfast", "crf": "23"}
        )
        stream.height, stream.width = recording.size
        stream.pix_fmt = "yuv420p"
        # With several threads the bits, and so the decoded pixels, would depend on the machine.
        stream.codec_context.thread_count = 1
        for pixels, _ in draw_pen(recording):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _description(recording: PenRecording, time_scale: float) -> str:
    ambiguity = {
        "NREM": clip_ambiguity(recording, states=("NREM",)),
        "REM": clip_ambiguity(recording, states=("REM",)),
        "NREM+REM": clip_ambiguity(recording),
    }
    content = {
        "note": "This is a simulation: a drawn animal, not a recording of one. Its sleep states "
        "follow the dwell times and transitions of real mice; looks and movements are invented.",
        "seed": recording.seed,
        "seconds": recording.seconds,
        "fps": recording.fps,
        "size": list(recording.size),
        "time_scale": time_scale,
        "time_scale_note": "Every dwell time of the mice is multiplied by time_scale.",
        "selection": "Starts awake; wake bouts are drawn from those of the mice up to "
        f"{REST_WAKE_SECONDS:g} s (before scaling); drawn again until every state had "
        f"{_bouts_wanted(recording.seconds, time_scale)} bouts.",
        "hypnogram_provenance": dict(load_hypnogram_model().provenance),
        "share_of_8_s_clips_without_any_event": {
            state: None if share != share else round(share, 4) for state, share in ambiguity.items()
        },
        "events": [
            {
                **asdict(event),
                "start_seconds": round(event.start_seconds, 3),
                "end_seconds": round(event.end_seconds, 3),
            }
            for event in recording.events
        ],
    }
    return json.dumps(content, indent=1) + "\n"
