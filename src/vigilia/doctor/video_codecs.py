"""FFmpeg, as it comes inside PyAV: its version, and what it can decode and encode."""

from __future__ import annotations

from pathlib import Path

from vigilia.doctor.findings import Finding

__all__ = ["codecs", "ffmpeg"]

NEEDED = {"h264": "H.264", "mpeg4": "MPEG-4"}
USUAL = {
    **{"hevc": "HEVC", "mjpeg": "Motion JPEG", "vp9": "VP9", "msmpeg4v2": "MS-MPEG-4"},
    **{"libdav1d": "AV1", "rawvideo": "uncompressed"},
}
"""What cameras and recorders write, by the name of FFmpeg's decoder."""


def ffmpeg(folder: Path) -> Finding:
    """Whether PyAV can be loaded, and which FFmpeg is in it."""
    try:
        import av
    except (ImportError, OSError) as error:
        text = f"PyAV cannot be loaded: {str(error).splitlines()[0][:160]}"
        return Finding("FFmpeg", "problem", text, "pip install --force-reinstall av")
    version = getattr(av, "ffmpeg_version_info", "")
    libraries = ".".join(map(str, av.library_versions["libavcodec"]))
    return Finding(
        "FFmpeg", "ok", f"{version or 'libavcodec ' + libraries} in PyAV {av.__version__}"
    )


def codecs(folder: Path) -> Finding:
    """What can be decoded; H.264 can be encoded for what `simulate` and `demo` write."""
    import av

    lacking = [name for codec, name in NEEDED.items() if not _has(codec, "r")]
    if lacking:
        text = f"cannot decode {', '.join(lacking)}"
        return Finding("codecs", "problem", text, "pip install --force-reinstall av")
    decoded = [name for codec, name in (NEEDED | USUAL).items() if _has(codec, "r")]
    missing = [name for codec, name in USUAL.items() if not _has(codec, "r")]
    missing += [] if _has("libx264", "w") else ["writing H.264 (for simulate and demo)"]
    missing += [] if "rtsp" in av.formats_available else ["RTSP cameras"]
    found = f"decodes {', '.join(decoded)}"
    if missing:
        advice = "pip install --force-reinstall av brings an FFmpeg that has all of them"
        return Finding("codecs", "note", f"{found}; without {', '.join(missing)}", advice)
    return Finding("codecs", "ok", found)


def _has(codec: str, mode: str) -> bool:
    import av

    try:
        av.Codec(codec, "r" if mode == "r" else "w")
    except ValueError:  # what PyAV raises for an unknown one
        return False
    return True
