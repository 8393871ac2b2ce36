"""Writes ELAN `.eaf`; elan.py says what the files look like."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.formats.format import Options, in_milliseconds

__all__ = ["MARK", "NOTES", "POINT", "UNKNOWN_DATE", "write"]

MARK = "vigilia:annotations"
"""A property that tells files which we wrote."""
NOTES = ("modifiers", "comment", "confidence")
"""Tiers below a tier, for what ELAN has no field for; their type has the same name."""
POINT = "point"
"""Type of a tier whose annotations are moments; ELAN wants them a millisecond long."""
UNKNOWN_DATE = "1970-01-01T00:00:00+00:00"


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
