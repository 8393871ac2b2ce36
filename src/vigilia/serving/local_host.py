"""Streams on one device of this machine: an engine, a thread a stream, one that steps and writes.

How a stream gets into the engine and out of it again is in `running_streams.py`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

from vigilia.engine import EngineStats, StepEngine
from vigilia.errors import OptionError
from vigilia.serving.attention import memory_attention
from vigilia.serving.feeding import Feeding
from vigilia.serving.host import Machine, MemoryRead
from vigilia.serving.hub import Hub
from vigilia.serving.latest_pictures import LatestPictures
from vigilia.serving.ledger import Ledger, SnapshotStore, Writer
from vigilia.serving.results import ResultTaker
from vigilia.serving.running_streams import Running
from vigilia.serving.snapshot_pace import snapshot_pace
from vigilia.serving.stepping import HANGS_SECONDS, StepThread, StepTimes
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.watched import Watched
from vigilia.stream import StreamClassifier

__all__ = ["LocalHost"]

_CPU_BATCH, _GPU_BATCH = 1, 16


class LocalHost:
    """See `vigilia.serving.host.Host`.

    Args:
        model: in evaluation mode.
        ledger: says how far streams are labelled.
        writer: of their results.
        snapshots: of the streams.
        hub: told of their status.
        room: for how many streams the memory is taken.
        batch: streams stepped together; None for 1 on a CPU and 16 elsewhere.
        snapshot_seconds: how often a stream's state is saved; None for `snapshot_pace`.
        on_step: told of every batch.

    Attributes:
        others: streams elsewhere whose snapshots go to the same disk.
    """

    def __init__(
        self,
        model: StreamClassifier,
        ledger: Ledger,
        writer: Writer,
        snapshots: SnapshotStore,
        hub: Hub,
        *,
        room: int,
        batch: int | None = None,
        snapshot_seconds: float | None,
        on_step: StepTimes = lambda seconds, rows: None,
    ) -> None:
        on_cpu = model.init_state(1).logits.device.type == "cpu"
        self.model = model
        self.room = room
        self.others = 0
        self._writer = writer
        self._engine = StepEngine(
            model,
            streams=room,
            batch=batch or (_CPU_BATCH if on_cpu else _GPU_BATCH),
            drop_oldest=True,
        )
        self._feeding = Feeding(self._engine, model, ledger=ledger, snapshots=snapshots)
        self._taker = ResultTaker(
            self._engine,
            ledger,
            writer,
            snapshots,
            snapshot_seconds=self._pace if snapshot_seconds is None else lambda: snapshot_seconds,
        )
        self._running = Running(self._engine, self._taker, self._feeding, ledger, hub)
        self._steps = StepThread(
            self._engine,
            self._taker,
            find=self._running.find,
            on_end=self._running.end,
            on_step=on_step,
        )
        self._running.between_steps = self._steps.call
        self._looking = threading.Lock()
        self._pictures = LatestPictures()

    @property
    def problem(self) -> str:
        """See `Host`."""
        if self._steps.broken is not None:
            return f"stepping has ended: {self._steps.broken}"
        if self._steps.hangs:
            return f"a step has taken longer than {HANGS_SECONDS:.0f} s"
        return self._writer.problem or next(iter(list(self._feeding.waiting.values())), "")

    @property
    def broken(self) -> Exception | None:
        """See `Host`."""
        return self._steps.broken

    @property
    def alive(self) -> bool:
        """See `Host`."""
        return self._steps.alive

    @property
    def snapshot_failures(self) -> int:
        """Snapshots that could not be written."""
        return self._taker.failures

    def check_added(self, options: StreamOptions, there: int) -> None:
        """See `Host`."""
        if there >= self.room:
            raise OptionError(
                f"there is room for {there} streams; remove one, or set `most_streams` higher"
            )

    def _pace(self) -> float:
        totals, pre = self._engine.totals(), self.model.preprocessing
        frames = pre.clip_frames * pre.height * pre.width * 3
        return snapshot_pace(totals.streams + self.others, totals.nbytes_per_stream + frames)

    def start(self, watched: Watched, *, again: bool = False) -> None:
        """See `Host`."""
        self._running.start(watched, again=again)

    def stop(self, streams: Sequence[Watched]) -> bool:
        """See `Host`."""
        return self._running.stop(streams)

    def close(self) -> None:
        """See `Host`."""
        self._steps.close()

    def totals(self) -> EngineStats:
        """See `Host`."""
        return self._engine.totals()

    def picture(self, watched: Watched, width: int) -> bytes | None:
        """See `Host`."""
        return self._pictures.jpeg(watched, width)

    def memory(self, watched: Watched) -> MemoryRead | None:
        """See `Host`; one at a time, since it costs a step."""
        watched.want_memory()
        read = watched.read
        if read is None:
            return None
        with self._looking:
            stages = memory_attention(
                self.model, read.state, read.frames, end_seconds=read.end_seconds
            )
        return MemoryRead(read.end_seconds, stages)

    def machines(self) -> list[Machine]:
        """See `Host`."""
        return [Machine("local", socket.gethostname(), self._running.names, self.room)]

    def drain(self, machine: str, drained: bool) -> None:
        """See `Host`."""
        raise OptionError("this service runs on one machine; `--ray` takes several")
