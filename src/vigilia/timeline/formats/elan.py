"""ELAN `.eaf`: a tier a subject; the subset of the format that holds behaviour.

A tier's name is the subject. In files that we wrote the subject is the tier's participant, because
tiers whose bouts overlap are split. Annotations without times of their own get those of the
annotation they refer to, shared out evenly where several refer to it. Rows are the number of the
annotation in the file.
"""

from __future__ import annotations

import math
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.formats.boris_project import base_name
from vigilia.timeline.formats.format import Format, Options, in_milliseconds
from vigilia.timeline.tables import read_bytes

__all__ = ["ELAN", "read", "write"]

MARK = "vigilia:annotations"
"""A property that tells files which we wrote."""
NOTES = ("modifiers", "comment", "confidence")
"""Tiers below a tier, for what ELAN has no field for; their type has the same name."""
POINT = "point"
"""Type of a tier whose annotations are moments; ELAN wants them a millisecond long."""
UNKNOWN_DATE = "1970-01-01T00:00:00+00:00"

Span = tuple[float, float]


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads every tier.

    Raises:
        LabelError: the file is no .eaf, is half-written, or an annotation has no time.
    """
    try:
        root = ElementTree.fromstring(read_bytes(path))
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise LabelError(
            f"{path}, row {line}: not valid XML ({error.msg.split(':')[0]}); half-written?"
        ) from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise LabelError(f"{path} is no file of ELAN: it begins with <{root.tag}>")
    try:
        return (_annotations(root, path),)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise LabelError(
            f"{path} is a damaged file of ELAN ({type(error).__name__}: {error}); "
            "open it in ELAN and save it again"
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
    slots = {
        slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) / 1000
        for slot in root.iter("TIME_SLOT")
        if slot.get("TIME_VALUE") is not None
    }
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


def write(several: Sequence[Annotations], options: Options) -> str:
    """A file of ELAN: a tier a subject and scorer, more where bouts overlap.

    Tiers below them hold modifiers, comments and confidence.
    """
    (annotations,) = several
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "",
            "DATE": annotations.started.isoformat() if annotations.started else UNKNOWN_DATE,
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    for name in annotations.media[:1]:
        kind = "video/quicktime" if name.lower().endswith(".mov") else "video/mp4"
        ElementTree.SubElement(
            header,
            "MEDIA_DESCRIPTOR",
            MEDIA_URL=f"./{name}",
            MIME_TYPE=kind,
            RELATIVE_MEDIA_URL=f"./{name}",
        )
    _property(header, MARK, "1")
    if annotations.recording:
        _property(header, "vigilia:recording", annotations.recording)
    if annotations.duration_seconds is not None:
        _property(header, "vigilia:duration", repr(annotations.duration_seconds))
    order = ElementTree.SubElement(root, "TIME_ORDER")
    moments: list[tuple[int, str]] = []
    kinds: dict[str, None] = {"behaviour": None}
    taken: set[str] = set()
    count = 0
    for (subject, scorer, is_point, lane), events in _tiers(annotations):
        kind = POINT if is_point else "behaviour"
        kinds[kind] = None
        title = _free_name(taken, subject or "behaviour", scorer, is_point, lane)
        about = {"LINGUISTIC_TYPE_REF": kind, "PARTICIPANT": subject, "TIER_ID": title}
        tier = ElementTree.SubElement(root, "TIER", about)
        if scorer:
            tier.set("ANNOTATOR", scorer)
        said: dict[str, list[tuple[str, str]]] = {kind: [] for kind in NOTES}
        for start, end, event in events:
            count += 1
            name, slots = f"a{count}", (f"ts{len(moments) + 1}", f"ts{len(moments) + 2}")
            moments += [(start, slots[0]), (max(end, start + 1), slots[1])]
            holder = ElementTree.SubElement(tier, "ANNOTATION")
            one = ElementTree.SubElement(
                holder,
                "ALIGNABLE_ANNOTATION",
                ANNOTATION_ID=name,
                TIME_SLOT_REF1=slots[0],
                TIME_SLOT_REF2=slots[1],
            )
            ElementTree.SubElement(one, "ANNOTATION_VALUE").text = event.label
            confidence = "" if event.confidence is None else repr(event.confidence)
            texts = ("|".join(event.modifiers), event.comment, confidence)
            for note, text in zip(NOTES, texts, strict=True):
                if text:
                    said[note].append((name, text))
        for note, of_note in said.items():
            if of_note:
                kinds[note] = None
                count = _write_notes(root, title, note, of_note, count)
    for milliseconds, name in sorted(moments, key=lambda one: one[0]):
        ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=name, TIME_VALUE=str(milliseconds))
    _write_types(root, kinds, annotations.labels)
    _property(header, "lastUsedAnnotationId", str(count))
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _property(header: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(header, "PROPERTY", NAME=name).text = text


Bout = tuple[int, int, Event]


def _tiers(
    annotations: Annotations,
) -> list[tuple[tuple[str, str, bool, int], list[Bout]]]:
    """Events by tier: none overlaps another of its tier, which ELAN cannot hold."""
    tiers: dict[tuple[str, str, bool, int], list[Bout]] = {}
    reached: dict[tuple[str, str, bool, int], float] = {}
    for start, end, event in in_milliseconds(annotations.events):
        lane = 0
        while True:
            key = (event.subject, event.scorer, event.is_point, lane)
            if reached.get(key, -math.inf) <= start:
                break
            lane += 1
        reached[key] = max(end, start + 1)
        tiers.setdefault(key, []).append((start, end, event))
    return sorted(tiers.items()) or [(("", "", False, 0), [])]


def _free_name(taken: set[str], subject: str, scorer: str, is_point: bool, lane: int) -> str:
    name = subject + (f" by {scorer}" if scorer else "") + (" points" if is_point else "")
    name += f" ({lane + 1})" if lane else ""
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _write_notes(
    root: ElementTree.Element, title: str, kind: str, texts: list[tuple[str, str]], count: int
) -> int:
    tier = ElementTree.SubElement(
        root,
        "TIER",
        LINGUISTIC_TYPE_REF=kind,
        PARENT_REF=title,
        TIER_ID=f"{title}: {kind}",
    )
    for name, text in texts:
        count += 1
        holder = ElementTree.SubElement(tier, "ANNOTATION")
        one = ElementTree.SubElement(
            holder, "REF_ANNOTATION", ANNOTATION_ID=f"a{count}", ANNOTATION_REF=name
        )
        ElementTree.SubElement(one, "ANNOTATION_VALUE").text = text
    return count


def _write_types(root: ElementTree.Element, kinds: dict[str, None], labels: Sequence[str]) -> None:
    """The types of the tiers, and the labels as a vocabulary to choose from in ELAN."""
    for kind in kinds:
        about = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": kind}
        if kind in NOTES:
            about |= {"CONSTRAINTS": "Symbolic_Association", "TIME_ALIGNABLE": "false"}
        else:
            about |= {"CONTROLLED_VOCABULARY_REF": "behaviours", "TIME_ALIGNABLE": "true"}
        ElementTree.SubElement(root, "LINGUISTIC_TYPE", about)
    language = {"LANG_DEF": "http://cdb.iso.org/lg/CDB-00130975-001", "LANG_ID": "und"}
    ElementTree.SubElement(root, "LANGUAGE", language | {"LANG_LABEL": "undetermined (und)"})
    for stereotype, words in CONSTRAINTS.items():
        ElementTree.SubElement(root, "CONSTRAINT", DESCRIPTION=words, STEREOTYPE=stereotype)
    vocabulary = ElementTree.SubElement(root, "CONTROLLED_VOCABULARY", CV_ID="behaviours")
    ElementTree.SubElement(vocabulary, "DESCRIPTION", LANG_REF="und")
    for number, label in enumerate(labels):
        entry = ElementTree.SubElement(vocabulary, "CV_ENTRY_ML", CVE_ID=f"cveid{number}")
        ElementTree.SubElement(entry, "CVE_VALUE", LANG_REF="und").text = label


CONSTRAINTS = {
    "Time_Subdivision": "Time subdivision of parent annotation's time interval, no time gaps "
    "allowed within this interval",
    "Symbolic_Subdivision": "Symbolic subdivision of a parent annotation. Annotations referring "
    "to the same parent are ordered",
    "Symbolic_Association": "1-1 association with a parent annotation",
    "Included_In": "Time alignable annotations within the parent annotation's time interval, "
    "gaps are allowed",
}

ELAN = Format(
    title="ELAN",
    suffixes=(".eaf",),
    read=read,
    write=write,
    keeps=frozenset(
        {
            "subjects",
            "scorers",
            "modifiers",
            "comments",
            "confidence",
            "points",
            "classes",
            "started",
            "spaces",
            "unlabelled",
        }
    ),
    resolution="millisecond",
)
