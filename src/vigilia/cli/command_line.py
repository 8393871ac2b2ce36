"""The command line as it was typed, and options that are lists."""

from __future__ import annotations

import os
import shlex

import typer

__all__ = ["as_typed", "whole_numbers"]


def whole_numbers(name: str, text: str | None) -> tuple[int, ...]:
    """`8,16,32` -> (8, 16, 32).

    Raises:
        OptionError: it is no such list; the message names the option.
    """
    from vigilia.errors import OptionError

    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise OptionError(
            f"{name} must be whole numbers with commas between them, got {text!r}"
        ) from error


def as_typed(context: typer.Context) -> str:
    """The command line, as far as it was typed: what the model card tells to reproduce it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    words = ["vigilia"] if size == 1 else ["torchrun", "--nproc-per-node", str(size)]
    words += ["train"] if size == 1 else ["-m", "vigilia", "train"]
    for parameter in context.command.params:
        name = str(parameter.name)
        source, value = context.get_parameter_source(name), context.params.get(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        values = value if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            words += map(str, values)
        elif isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            words += [word for one in values for word in (parameter.opts[0], str(one))]
    return shlex.join(words)
