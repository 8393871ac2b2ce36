"""Packages that the extra `export` brings."""

from __future__ import annotations

import importlib
from typing import Any

from vigilia.errors import MissingExtraError
from vigilia.installation import install_command

__all__ = ["import_extra"]


def import_extra(name: str) -> Any:
    """The module of that name.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".", 1)[0]
        raise MissingExtraError(
            f"{package} is not installed; exported steps need it: {install_command('export')}"
        ) from error
