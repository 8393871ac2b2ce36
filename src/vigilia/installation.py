"""How this very copy of Vigilia is installed again, with an extra.

A bare name is no answer: whatever has it on a public index may be somebody else's package. So the
advice names where this copy came from, as its installer noted it (PEP 610, `direct_url.json`).
"""

from __future__ import annotations

import json
import shlex
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["install_command"]


def install_command(extra: str = "", *, again: bool = False) -> str:
    """The command that installs Vigilia from where it came from.

    Args:
        extra: of its extras, to have as well.
        again: even if this version is there.
    """
    wanted, editable = _requirement(f"[{extra}]" * bool(extra))
    if (Path(sys.prefix) / "pipx_metadata.json").exists():
        return " ".join(["pipx install --force", *["--editable"] * editable, wanted])
    options = ["--force-reinstall"] * again + ["--editable"] * editable
    return " ".join(["pip install", *options, wanted])


def _requirement(extras: str) -> tuple[str, bool]:
    """What is to be installed, quoted for a shell, and whether it is to stay where it is."""
    try:
        copy = metadata.distribution("vigilia")
    except metadata.PackageNotFoundError:  # on the path, but not installed
        return shlex.quote(f".{extras}"), False
    origin = json.loads(copy.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    if "vcs_info" in origin:
        system, commit = origin["vcs_info"]["vcs"], origin["vcs_info"]["commit_id"]
        return shlex.quote(f"vigilia{extras} @ {system}+{url}@{commit}"), False
    if url.startswith("file:"):
        place = url2pathname(urlsplit(url).path)
        return shlex.quote(place + extras), bool(origin.get("dir_info", {}).get("editable"))
    if url:
        return shlex.quote(f"vigilia{extras} @ {url}"), False
    return shlex.quote(f"vigilia{extras}=={copy.version}"), False
