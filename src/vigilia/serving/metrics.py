"""Prometheus metrics, in base units, read off the streams when somebody asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from vigilia.serving.supervisor import Supervisor

__all__ = ["Metrics"]

_STEP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
_OUTCOMES = ("stepped", "kept", "dropped")
STATUSES = ("running", "waiting", "reconnecting", "stopped", "ended", "failed")


class Metrics:
    """Everything that is measured.

    Attributes:
        listeners: says how many listen for events; set by the application.
        deliveries: says how many webhook calls ended how; likewise.
        mqtt: says whether the broker is there; None without one; likewise.
        pruned: says how many old rows were deleted; likewise.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._step = Histogram(
            "vigilia_step_duration_seconds",
            "Time of a batch of steps.",
            buckets=_STEP_BUCKETS,
            registry=self._registry,
        )
        self._rows = Histogram(
            "vigilia_step_batch_streams",
            "Streams in a batch.",
            buckets=_ROW_BUCKETS,
            registry=self._registry,
        )
        self.listeners: Callable[[], int] = lambda: 0
        self.deliveries: Callable[[], dict[str, int]] = dict
        self.mqtt: Callable[[], bool] | None = None
        self.pruned: Callable[[], int] = lambda: 0

    def on_step(self, seconds: float, rows: int) -> None:
        """Notes a batch."""
        self._step.observe(seconds)
        self._rows.observe(rows)

    def watch(self, supervisor: Supervisor) -> None:
        """Reads the streams of a supervisor from now on."""
        self._registry.register(_Streams(supervisor, self))

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self._registry)


class _Streams(Collector):
    def __init__(self, supervisor: Supervisor, metrics: Metrics) -> None:
        self._supervisor = supervisor
        self._metrics = metrics

    def describe(self) -> list[Metric]:
        """Nothing: names are known when they are asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric family, now."""
        yield from self._of_streams()
        yield from self._of_service()

    def _of_streams(self) -> Iterator[Metric]:
        def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"vigilia_stream_{name}", text, labels=["stream", *labels])

        def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
            return CounterMetricFamily(f"vigilia_stream_{name}", text, labels=["stream", *labels])

        up = gauge("up", "1 while frames come.")
        status = gauge("status", "1 for the status that the stream has.", "status")
        lag = gauge("lag_seconds", "From the last clip's last frame to its result.")
        position = gauge("position_seconds", "Up to where the stream is labelled.")
        age = gauge("snapshot_age_seconds", "Since the state was saved.")
        clips = counter("clips", "Clips by outcome.", "outcome")
        frames = counter("frames", "Frames by outcome.", "outcome")
        breaks = counter("reconnects", "Connections that broke.")
        spent = counter("state_seconds", "Labelled time by state; unobserved for holes.", "state")
        for watched in self._supervisor.streams:
            name = watched.name
            up.add_metric([name], watched.status == "running")
            for one in STATUSES:
                status.add_metric([name, one], watched.status == one)
            if watched.lag_seconds is not None:
                lag.add_metric([name], watched.lag_seconds)
            cursor = self._supervisor.journal.cursor(name)
            if cursor is not None and cursor.until_seconds is not None:
                position.add_metric([name], cursor.until_seconds)
            if watched.running:
                age.add_metric([name], time.monotonic() - watched.saved_at)
            for outcome in _OUTCOMES:
                clips.add_metric([name, outcome], watched.counts[outcome])
            for outcome, count in watched.frames.now().items():
                frames.add_metric([name, outcome], count)
            breaks.add_metric([name], watched.reconnects)
            for label, seconds in list(watched.label_seconds.items()):
                spent.add_metric([name, "unobserved" if label is None else label], seconds)
        yield from (up, status, lag, position, age, clips, frames, breaks, spent)

    def _of_service(self) -> Iterator[Metric]:
        supervisor, totals = self._supervisor, self._supervisor.host.totals()

        def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"vigilia_{name}", text, value=value)

        there = GaugeMetricFamily(
            "vigilia_machine_streams", "Streams by machine.", labels=["machine"]
        )
        streams: Counter[str] = Counter()
        for machine in supervisor.host.machines():
            streams[machine.host] += len(machine.streams)  # two may have the same name
        for host, count in streams.items():
            there.add_metric([host], count)
        yield there
        yield gauge("streams", "Streams there are.", len(supervisor.streams))
        yield gauge("streams_room", "Streams that could run beside those that do.", totals.room)
        yield gauge("state_bytes", "What all streams remember; never changes.", totals.state_nbytes)
        yield gauge("stream_state_bytes", "What one stream remembers.", totals.nbytes_per_stream)
        yield gauge("journal_commit_seconds", "The last write.", supervisor.commit_seconds)
        yield gauge("journal_bytes", "On the disk.", supervisor.journal.nbytes)
        yield CounterMetricFamily(
            "vigilia_journal_rows_pruned", "Old rows deleted.", value=self._metrics.pruned()
        )
        yield gauge("healthy", "0 while results cannot be written.", not supervisor.problem)
        if self._metrics.mqtt is not None:
            yield gauge("mqtt_connected", "1 while the broker is there.", self._metrics.mqtt())
        yield gauge("event_listeners", "Open event streams.", self._metrics.listeners())
        yield CounterMetricFamily(
            "vigilia_write_failures",
            "Writes of results or snapshots that failed.",
            value=supervisor.write_failures,
        )
        calls = CounterMetricFamily(
            "vigilia_webhook_deliveries", "Webhook calls by outcome.", labels=["outcome"]
        )
        for outcome, count in self._metrics.deliveries().items():
            calls.add_metric([outcome], count)
        yield calls
