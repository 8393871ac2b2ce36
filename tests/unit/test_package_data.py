"""What is not Python and lies in the package is in the wheel, too."""

from __future__ import annotations

import tomllib
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "vigilia"


def test_every_file_of_the_package_is_named_as_package_data() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["vigilia"]
    files = [
        PurePosixPath(path.relative_to(PACKAGE).as_posix())
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert PurePosixPath("serving/page/index.html") in files
    left_out = [
        str(path)
        for path in files
        if not any(path.match(pattern.removeprefix("**/")) for pattern in patterns)
    ]
    assert left_out == []
