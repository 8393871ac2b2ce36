"""ELAN `.eaf`: a tier a subject; the subset of the format that holds behaviour.

A tier's name is the subject. In files that we wrote the subject is the tier's participant, because
tiers whose bouts overlap are split. Annotations without times of their own get those of the
annotation they refer to, shared out evenly where several refer to it. Rows are the number of the
annotation in the file.
"""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event, Span
from vigilia.timeline.formats.boris_project import base_name
from vigilia.timeline.formats.elan_writing import MARK, NOTES, POINT, UNKNOWN_DATE, write
from vigilia.timeline.formats.format import TOLD, Format, Options
from vigilia.timeline.texts import read_bytes, read_text

__all__ = ["ELAN", "read"]


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads every tier.

    Raises:
        LabelError: the file is no .eaf, is half-written, or an annotation has no time.
    """
    root = _root(path)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise LabelError(f"{path} is no file of ELAN: it begins with <{root.tag}>")
    try:
        return (_annotations(root, path),)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise LabelError(
            f"{path} is a damaged file of ELAN ({type(error).__name__}: {error}); "
            "open it in ELAN and save it again"
        ) from error


def _root(path: Path) -> ElementTree.Element:
    """The document in the encoding that it declares, or else in the one it has."""
    data = read_bytes(path)
    if b"<!DOCTYPE" in data.replace(b"\0", b""):  # in UTF-16, too
        raise LabelError(
            f"{path} defines entities of its own, which no file of ELAN does and a trap may; "
            "open it in ELAN and save it again"
        )
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        try:
            return ElementTree.fromstring(read_text(path))
        except ElementTree.ParseError as again:
            raise LabelError(
                f"{path}, row {again.position[0]}: not valid XML ({again.msg.split(':')[0]}); "
                "half-written?"
            ) from error


def _annotations(root: ElementTree.Element, path: Path) -> Annotations:
    header = root.find("HEADER")
    head = header if header is not None else ElementTree.Element("HEADER")
    unit = {"milliseconds": 1e-3, None: 1e-3}.get(head.get("TIME_UNITS"))
    if unit is None:
        raise LabelError(f"{path}: times are in {head.get('TIME_UNITS')}, expected milliseconds")
    facts = {one.get("NAME", ""): one.text or "" for one in head.iter("PROPERTY")}
    ours = MARK in facts
    media = [base_name(one.get("MEDIA_URL", "")) for one in head.iter("MEDIA_DESCRIPTOR")]
    if media and int(next(head.iter("MEDIA_DESCRIPTOR")).get("TIME_ORIGIN") or 0):
        warnings.warn(
            f"{path}: the time origin of {media[0]} is not applied; times count from the start of "
            "ELAN's own axis",
            stacklevel=4,
        )
    date = root.get("DATE", UNKNOWN_DATE)
    return Annotations(
        events=tuple(_events(root, path, ours)),
        classes=tuple(
            dict.fromkeys(
                value.text or ""
                for vocabulary in root.iter("CONTROLLED_VOCABULARY")
                if vocabulary.get("CV_ID") == "behaviours"
                for value in vocabulary.iter("CVE_VALUE")
            )
        ),
        recording=facts.get("vigilia:recording", media[0] if media else ""),
        media=tuple(filter(None, media[:1])),
        duration_seconds=float(facts["vigilia:duration"]) if "vigilia:duration" in facts else None,
        started=datetime.fromisoformat(date) if ours and date != UNKNOWN_DATE else None,
        path=path,
    )


def _events(root: ElementTree.Element, path: Path, ours: bool) -> Iterator[Event]:
    spans = _spans(root, path)
    numbers = {one.get("ANNOTATION_ID"): n for n, one in enumerate(_each(root), start=1)}
    notes: dict[str, dict[str, str]] = {kind: {} for kind in NOTES}
    tiers = []
    for tier in root.iter("TIER"):
        kind = tier.get("LINGUISTIC_TYPE_REF", "")
        if ours and kind in NOTES:
            for one in tier.iter("REF_ANNOTATION"):
                notes[kind][one.attrib["ANNOTATION_REF"]] = one.findtext("ANNOTATION_VALUE") or ""
        else:
            tiers.append(tier)
    for tier in tiers:
        subject = tier.get("TIER_ID", "")
        if ours and tier.get("PARTICIPANT") is not None:
            subject = tier.get("PARTICIPANT", "")
        for one in _each(tier):
            name = one.attrib["ANNOTATION_ID"]
            start, end = spans[name]
            modifiers = notes["modifiers"].get(name)
            confidence = notes["confidence"].get(name)
            yield Event(
                start,
                start if ours and tier.get("LINGUISTIC_TYPE_REF") == POINT else end,
                one.findtext("ANNOTATION_VALUE") or "",
                subject,
                tuple(modifiers.split("|")) if modifiers else (),
                tier.get("ANNOTATOR", ""),
                notes["comment"].get(name, ""),
                float(confidence) if confidence else None,
                numbers[name],
            )


def _each(element: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for holder in element.iter("ANNOTATION"):
        yield from (one for one in holder if one.tag in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION"))


def _spans(root: ElementTree.Element, path: Path) -> dict[str, Span]:
    """From when to when every annotation lasts, by its identity."""
    slots: dict[str, float] = {}
    for slot in root.iter("TIME_SLOT"):
        name, value = slot.attrib["TIME_SLOT_ID"], slot.get("TIME_VALUE")
        if value is None:
            continue
        if not value.strip().removeprefix("-").isdecimal():
            raise LabelError(
                f"{path}: the time slot '{name}' says '{value}', expected whole milliseconds"
            )
        slots[name] = int(value) / 1000
    spans: dict[str, Span] = {}
    for tier in root.iter("TIER"):
        pieces = list(tier.iter("ALIGNABLE_ANNOTATION"))
        _fill_chain(pieces, slots, path)
        for one in pieces:
            spans[one.attrib["ANNOTATION_ID"]] = (
                slots[one.attrib["TIME_SLOT_REF1"]],
                slots[one.attrib["TIME_SLOT_REF2"]],
            )
    of_parent: dict[tuple[str, str], list[str]] = {}
    for tier in root.iter("TIER"):
        for one in tier.iter("REF_ANNOTATION"):
            key = (tier.get("TIER_ID", ""), one.attrib["ANNOTATION_REF"])
            of_parent.setdefault(key, []).append(one.attrib["ANNOTATION_ID"])
    # A tier may hang below another that comes later in the file.
    waiting = dict(of_parent)
    while waiting:
        ready = [key for key in waiting if key[1] in spans]
        if not ready:
            missing = next(iter(waiting))[1]
            raise LabelError(f"{path}: an annotation refers to '{missing}', which does not exist")
        for key in ready:
            start, end = spans[key[1]]
            children = waiting.pop(key)
            step = (end - start) / len(children)
            for number, child in enumerate(children):
                last = number + 1 == len(children)
                until = end if last else start + (number + 1) * step
                spans[child] = (start + number * step, until)
    return spans


def _fill_chain(pieces: Sequence[ElementTree.Element], slots: dict[str, float], path: Path) -> None:
    """Gives slots without a time one between their neighbours in the tier, evenly."""
    waiting: list[str] = []
    aligned: str | None = None
    last: str | None = None
    for one in pieces:
        for slot in (one.attrib["TIME_SLOT_REF1"], one.attrib["TIME_SLOT_REF2"]):
            if slot not in slots and slot != last:
                waiting.append(slot)
            elif slot in slots:
                if waiting and aligned is not None:
                    start = slots[aligned]
                    step = (slots[slot] - start) / (len(waiting) + 1)
                    for number, name in enumerate(waiting, start=1):
                        slots[name] = start + number * step
                    waiting = []
                aligned = slot
            last = slot
    if waiting:
        raise LabelError(f"{path}: the time slot '{waiting[0]}' has no time; align it in ELAN")


ELAN = Format(
    title="ELAN",
    suffixes=(".eaf",),
    read=read,
    write=write,
    keeps=TOLD | {"scorers", "classes", "spaces", "unlabelled"},
    resolution="millisecond",
)
