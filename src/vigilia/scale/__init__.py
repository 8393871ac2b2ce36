"""More machines: recordings spread over a Ray cluster.

archive.py    which recordings an archive holds
queue.py      which of them wait, and which are given up
attempts.py   a folder of results that several machines may write to
parcel.py     a model on its way to other machines
cluster.py    joining a cluster
worker.py     what runs on one device
staff.py      workers hired, asked for news, replaced
job.py        run_on_ray

Ray is the extra `scale`; importing this package does not need it.
"""

from __future__ import annotations

from vigilia.scale.archive import recordings_in
from vigilia.scale.job import run_on_ray
from vigilia.scale.parcel import Parcel

__all__ = ["Parcel", "recordings_in", "run_on_ray"]
