"""`vigilia doctor`: whether this machine can do it, and what to do if it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vigilia.cli.show import errors, output, print_json

if TYPE_CHECKING:
    from vigilia.doctor import Report

__all__ = ["doctor"]

MARKS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


def doctor(
    folder: Annotated[
        Path, typer.Option("--out", help="Where results will be written: its disk is looked at.")
    ] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this machine: Python, torch, devices, FFmpeg, disk, memory, extras, a self-test.

    A few seconds; nothing is downloaded, nothing is left behind. Exit code: 0 everything works,
    1 something does not, and a line says what to do. Send its output along with a bug report.

    Examples:

        vigilia doctor

        vigilia doctor --json > doctor.json
    """
    from vigilia import __version__
    from vigilia.doctor import examine

    with errors.status("") as status:
        report = examine(folder, on_check=lambda name: status.update(f"{name} ..."))
    if as_json:
        findings = [
            {"name": one.name, "status": one.status, "found": one.found, "advice": one.advice}
            for one in report.findings
        ]
        print_json({"ok": report.ok, "version": __version__, "findings": findings})
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    width = max(len(one.name) for one in report.findings)
    for one in report.findings:
        output.print(f"{MARKS[one.status]}  {one.name:<{width}}  {one.found}")
        if one.advice:
            output.print(f"{'':{len(MARKS['ok']) + width + 4}}-> {one.advice}")
    count = len(report.problems)
    if count:
        output.print(f"{count} problem{'' if count == 1 else 's'}; the arrows say what to do")
    else:
        output.print("Everything that is needed works.")
