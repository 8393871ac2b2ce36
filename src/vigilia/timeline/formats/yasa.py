"""Hypnograms of YASA: what its `Hypnogram.to_json` writes, or a table of `Epoch` and `Stage`.

YASA knows four sets of stages, each with `ART` and `UNS` (not scored) added:

| stages | words |
| --- | --- |
| 2 | WAKE, SLEEP |
| 3 | WAKE, NREM, REM |
| 4 | WAKE, LIGHT, DEEP, REM |
| 5 | WAKE, N1, N2, N3, REM |

`UNS` becomes time without observation, and back. Raphael Vallat and Matthew P. Walker, "An
open-source, high-performance tool for automated sleep staging", 2021.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations
from vigilia.timeline.formats.format import EPOCH_HINT, Format, Options
from vigilia.timeline.formats.frames import codes_of, from_codes
from vigilia.timeline.formats.jsons import parse_json
from vigilia.timeline.tables import read_table
from vigilia.timeline.texts import read_text

__all__ = ["YASA", "YASA_TABLE", "is_yasa", "is_yasa_table", "stage_word"]

NOT_SCORED = "UNS"
VOCABULARIES = {
    5: ("WAKE", "N1", "N2", "N3", "REM", "ART"),
    3: ("WAKE", "NREM", "REM", "ART"),
    4: ("WAKE", "LIGHT", "DEEP", "REM", "ART"),
    2: ("WAKE", "SLEEP", "ART"),
}
"""By their number; of several that fit, the first is YASA's own default."""
WORDS = {
    **dict.fromkeys(("w", "wake", "awake", "waking"), "WAKE"),
    **dict.fromkeys(("r", "rem", "rem sleep"), "REM"),
    **dict.fromkeys(("n", "nrem", "nrem sleep", "non-rem"), "NREM"),
    **{name: name.upper() for name in ("n1", "n2", "n3", "sleep", "light", "deep")},
    **dict.fromkeys(("art", "artefact", "artifact", "movement time", "mt"), "ART"),
}
UNITS = {"ms": 0.001, "s": 1.0, "S": 1.0, "min": 60.0, "T": 60.0, "h": 3600.0, "H": 3600.0}


def is_yasa(content: Any) -> bool:
    return isinstance(content, dict) and {"values", "n_stages", "freq"} <= content.keys()


def is_yasa_table(header: Sequence[str]) -> bool:
    return [name.strip().lower() for name in header] == ["epoch", "stage"]


def stage_word(label: str) -> str | None:
    """What YASA calls a sleep stage; None if the label is none."""
    return WORDS.get(label.strip().lower().removeprefix("sleep stage "))


def _read_json(path: Path, options: Options) -> tuple[Annotations, ...]:
    content = parse_json(read_text(path), path)
    if not is_yasa(content):
        raise LabelError(f"{path} is no hypnogram of YASA: it has no values, n_stages and freq")
    values, scorer, start = content["values"], content.get("scorer"), content.get("start")
    if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
        raise LabelError(f"{path}: values are no list of stages")
    try:
        started = None if start is None else datetime.fromisoformat(str(start))
    except ValueError as error:
        raise LabelError(f"{path}: start is '{start}', which is no date and time") from error
    one = _of_stages(values, path, _epoch_seconds(str(content["freq"]), path))
    who = "" if scorer is None else str(scorer)
    events = tuple(replace(event, scorer=who) for event in one.events)
    return (replace(one, events=events, started=started),)


def _epoch_seconds(freq: str, path: Path) -> float:
    """`30s` -> 30.0, as pandas writes lengths of time."""
    found = re.fullmatch(r"(\d*\.?\d*)\s*([a-zA-Z]+)", freq)
    seconds = float(found[1] or 1) * UNITS.get(found[2], 0) if found and found[1] != "." else 0.0
    if not seconds:
        raise LabelError(f"{path}: freq is '{freq}', which is no length of an epoch such as 30s")
    return seconds


def _read_table(path: Path, options: Options) -> tuple[Annotations, ...]:
    table = read_table(path)
    if not is_yasa_table(table.header):
        raise LabelError(
            f"{path} is no hypnogram of YASA: found {table.names}, expected Epoch, Stage"
        )
    if options.epoch_seconds is None:
        raise LabelError(f"{path} holds one stage an epoch and no times; {EPOCH_HINT}")
    for number, row in enumerate(table.rows):
        if row.cells[0] != str(number):
            raise LabelError(
                f"{path}, row {row.number}: epoch '{row.cells[0]}' where {number} should be; "
                "every epoch needs its row"
            )
    stages = [row.cells[1] for row in table.rows]
    if not stages:
        raise LabelError(f"{path} has a header but no rows")
    return (_of_stages(stages, path, options.epoch_seconds, first_row=2),)


def _of_stages(
    stages: Sequence[str], path: Path, epoch_seconds: float, first_row: int = 1
) -> Annotations:
    codes = ["" if stage.upper() == NOT_SCORED else stage for stage in stages]
    return from_codes(codes, path, Options(epoch_seconds=epoch_seconds), first_row)


def _write_json(several: Sequence[Annotations], options: Options) -> str:
    (annotations,) = several
    stages, count = _stages(annotations, options)
    (scorer,) = annotations.scorers or ("",)
    content = {
        "values": stages,
        "n_stages": count,
        "freq": f"{options.epoch_seconds:.12g}s",
        "start": None if annotations.started is None else annotations.started.isoformat(),
        "scorer": scorer or None,
        "proba": None,
    }
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _write_table(several: Sequence[Annotations], options: Options) -> str:
    (annotations,) = several
    stages, _ = _stages(annotations, options)
    rows = [f"{number},{stage}" for number, stage in enumerate(stages)]
    return "\n".join(["Epoch,Stage", *rows]) + "\n"


def _stages(annotations: Annotations, options: Options) -> tuple[list[str], int]:
    """YASA's word for each epoch, and which of its sets of stages they are of.

    Raises:
        LabelError: a label is no stage of sleep, or they are of no one set.
    """
    if options.epoch_seconds is None:
        raise LabelError(
            f"{annotations.path}: a hypnogram needs the length of its epochs (--epoch-seconds)"
        )
    strangers = [label for label in annotations.labels if stage_word(label) is None]
    if strangers:
        raise LabelError(
            f"{annotations.path}: '{strangers[0]}' is no stage of sleep that YASA knows; "
            f'rename it (--rename "{strangers[0]}=wake") or leave it out (=unobserved)'
        )
    words = {str(stage_word(label)) for label in annotations.labels}
    count = next((n for n, known in VOCABULARIES.items() if words <= set(known)), None)
    if count is None:
        raise LabelError(
            f"{annotations.path} mixes stages that YASA keeps apart ({', '.join(sorted(words))}); "
            'make them one kind, for instance --rename "N2=NREM"'
        )
    codes = codes_of(annotations, 1 / options.epoch_seconds, NOT_SCORED)
    return [NOT_SCORED if code == NOT_SCORED else str(stage_word(code)) for code in codes], count


YASA = Format(
    title="hypnogram of YASA, JSON",
    suffixes=(".yasa.json",),
    read=_read_json,
    write=_write_json,
    keeps=frozenset({"holes", "started", "scorers"}),
    resolution="grid",
)
YASA_TABLE = Format(
    title="hypnogram of YASA, a table",
    suffixes=(".yasa.csv",),
    read=_read_table,
    write=_write_table,
    keeps=frozenset({"holes"}),
    resolution="grid",
)
