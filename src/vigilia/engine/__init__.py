"""Many streams on one device: batches of steps, bounded everywhere, results as if each ran alone.

pieces.py     samples -> clips to step, still clips, holes
queues.py     what waits, and what is dropped when too much does
batching.py   which streams are stepped together, and when
pool.py       the states of all streams, allocated once
stepping.py   one batch
members.py    what is kept of a stream beside its state
engine.py     all of it behind add, offer, poll, remove
lag.py, results.py   how far behind, and what comes out
threads.py    a thread a stream that decodes, one that steps

engine = StepEngine(model, streams=2, batch=2)
for name, video in videos.items():
    engine.add(name)
    Feeder(engine, name, lambda video=video: pieces(video.samples(4.0), place))
for batch in results(engine, until=...):
    ...
"""

from __future__ import annotations

from vigilia.engine.engine import StepEngine
from vigilia.engine.pieces import Piece, Place, pieces
from vigilia.engine.pool import StatePool
from vigilia.engine.results import EngineStats, Result, StreamStats
from vigilia.engine.threads import Feeder, results

__all__ = [
    "EngineStats",
    "Feeder",
    "Piece",
    "Place",
    "Result",
    "StatePool",
    "StepEngine",
    "StreamStats",
    "pieces",
    "results",
]
