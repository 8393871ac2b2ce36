"""Where a timeline is written, and what it is called."""

from __future__ import annotations

from pathlib import Path

from vigilia.timeline import Timeline

__all__ = ["name_of", "write_outputs"]


def write_outputs(timeline: Timeline, folder: Path) -> None:
    """Writes timeline.csv, timeline.json, timeline.vtt and timeline.png into a folder.

    Raises:
        OutputError: the folder cannot be written to.
    """
    from vigilia.timeline.plots import plot_timeline

    timeline.to_csv(folder / "timeline.csv")
    timeline.to_json(folder / "timeline.json")
    timeline.to_vtt(folder / "timeline.vtt")
    plot_timeline(timeline, folder / "timeline.png")


def name_of(video: str | Path) -> str:
    """What a recording's results are named after: `barn/night3.mp4` gives `night3`."""
    return Path(str(video).rstrip("/")).stem or "camera"
