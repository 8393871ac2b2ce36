"""Reading a table of a configuration file key by key; what is wrong is one line that says where."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from vigilia.errors import OptionError

__all__ = ["Fields"]

_UNFIT = ("Cc", "Cs", "Zl", "Zp")
"""Control characters, halves of characters, ends of lines."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Fields:
    """The keys of one table. Every key is asked for once; `done` refuses what nobody asked for.

    Args:
        where: the file and the table, for messages.
        table: its keys and values.
        expand: `${NAME}` in a text stands for an environment variable. Only for who may read the
            environment anyway: whoever writes the file, nobody over HTTP.

    Raises:
        OptionError: from every method: a value that breaks its rule. Values are not repeated:
            some are passwords.
    """

    def __init__(self, where: str, table: object, *, expand: bool = True) -> None:
        self.where = where
        self._expand = expand
        if not isinstance(table, Mapping) or not all(isinstance(key, str) for key in table):
            raise OptionError(f"{where}: must be a table of keys and values")
        self._table: Mapping[str, Any] = table
        self._known: set[str] = set()

    def fail(self, key: str, rule: str) -> OptionError:
        """The error that says that `key` breaks a rule."""
        return OptionError(f"{self.where}: {key}: {rule}")

    def get(self, key: str) -> Any:
        """The value as it is written; None if the key is absent."""
        self._known.add(key)
        return self._table.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """Text on one line without control characters; see `expand`."""
        value = self.get(key)
        if value is None:
            if default is None:
                raise self.fail(key, "is missing; it must be text")
            return default
        if not isinstance(value, str):
            raise self.fail(key, "must be text on one line")
        return self._filled_in(key, value)

    def optional_text(self, key: str) -> str | None:
        """Likewise; None if the key is absent."""
        return None if self.get(key) is None else self.text(key)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty if the key is absent."""
        value = self.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self.fail(key, "must be a list of texts")
        return tuple(self._filled_in(key, one) for one in value)

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fail(key, "must be true or false")
        return value

    def number(
        self, key: str, default: float, *, least: float = 0.0, most: float = math.inf
    ) -> float:
        """A finite number from `least` to `most`."""
        value = self.get(key)
        if value is None:
            return default
        number = math.nan
        if isinstance(value, int | float) and not isinstance(value, bool):
            with contextlib.suppress(OverflowError):  # a whole number of 400 digits
                number = float(value)
        if not math.isfinite(number) or not least <= number <= most:
            upper = "" if math.isinf(most) else f" and at most {most:g}"
            raise self.fail(key, f"must be a number of at least {least:g}{upper}")
        return number

    def whole(self, key: str, default: int, *, least: int = 1, most: int = 1_000_000) -> int:
        """A whole number from `least` to `most`."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.fail(key, f"must be a whole number from {least} to {most}")
        return value

    def optional_number(self, key: str, *, least: float) -> float | None:
        """A finite number of at least `least`; None if the key is absent."""
        return None if self.get(key) is None else self.number(key, least, least=least)

    def optional_whole(self, key: str, *, least: int) -> int | None:
        """A whole number of at least `least`; None if the key is absent."""
        return None if self.get(key) is None else self.whole(key, least, least=least)

    def tables(self, key: str) -> list[Any]:
        """A list of tables; empty if the key is absent."""
        value = self.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
            raise self.fail(key, f"must be tables, each under [[{key}]]")
        return value

    def done(self) -> None:
        """Refuses keys that nobody asked for."""
        for key in self._table:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {self._listed()}"
                raise self.fail(key, f"there is no such key; {hint}")

    def _listed(self) -> str:
        return ", ".join(sorted(self._known))

    def _filled_in(self, key: str, text: str) -> str:
        def value(match: re.Match[str]) -> str:
            found = os.environ.get(match[1])
            if found is None:
                raise self.fail(key, f"the environment variable {match[1]} is not set")
            return found

        if self._expand:
            text = _VARIABLE.sub(value, text)
        elif "${" in text:
            raise self.fail(key, "environment variables are for the configuration file only")
        # What is filled in must be a text like any other, and what is not, too.
        if not text.strip() or any(unicodedata.category(one) in _UNFIT for one in text):
            raise self.fail(key, "must be text on one line")
        return text
