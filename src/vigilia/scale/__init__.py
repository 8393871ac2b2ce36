"""More machines: recordings, or live streams, spread over a Ray cluster.

archive.py    which recordings an archive holds
queue.py      which of them wait, and which are given up
attempts.py   a folder of results that several machines may write to
parcel.py     a model on its way to other machines
cluster.py    joining a cluster
crew.py       workers hired, asked for news, replaced
worker.py     what runs recordings on one device
staff.py      the crew of a job
job.py        run_on_ray

live_worker.py   what watches streams on one device
outbox.py        what it has to say, kept until it is written
live_news.py     the words that it and the service exchange
placing.py       which worker a stream goes to
moves.py         from one to another: draining, levelling
live_book.py     who has which stream
live_taking.py   what workers say is written
live_loop.py     the thread that does all that
live_host.py     of which the service sees this
live.py          serve_on_ray, which needs the extra `serve`, too

Ray is the extra `scale`; importing this package does not need it.
"""

from __future__ import annotations

from vigilia.scale.archive import recordings_in
from vigilia.scale.job import run_on_ray
from vigilia.scale.parcel import Parcel

__all__ = ["Parcel", "recordings_in", "run_on_ray"]
