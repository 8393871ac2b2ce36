"""The tables of the journal; `journal.py` says what is in them."""

from __future__ import annotations

__all__ = ["FORMAT", "TABLES"]

FORMAT = 1

TABLES = """
CREATE TABLE IF NOT EXISTS streams (
    name TEXT PRIMARY KEY,
    classes TEXT NOT NULL,
    identity TEXT NOT NULL,
    cell_seconds REAL NOT NULL,
    segmenter TEXT NOT NULL,
    seconds TEXT,
    until_seconds REAL,
    wall_start REAL,
    ended INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (
    stream TEXT NOT NULL,
    start_seconds REAL NOT NULL,
    end_seconds REAL NOT NULL,
    probabilities BLOB,
    PRIMARY KEY (stream, start_seconds)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segments (
    stream TEXT NOT NULL,
    start_seconds REAL NOT NULL,
    end_seconds REAL NOT NULL,
    label INTEGER,
    confidence REAL NOT NULL,
    PRIMARY KEY (stream, start_seconds)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    stream TEXT NOT NULL,
    name TEXT NOT NULL,
    offset_seconds REAL NOT NULL,
    PRIMARY KEY (stream, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    stream TEXT NOT NULL,
    start_seconds REAL NOT NULL,
    end_seconds REAL NOT NULL,
    label TEXT,
    by TEXT NOT NULL,
    written_at REAL NOT NULL,
    taken_back_at REAL
);
CREATE INDEX IF NOT EXISTS corrections_of ON corrections (stream, id);
CREATE TABLE IF NOT EXISTS declared (
    name TEXT PRIMARY KEY,
    options TEXT NOT NULL,
    running INTEGER NOT NULL
) WITHOUT ROWID;
"""
