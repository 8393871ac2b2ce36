"""The service as a process: from a configuration to streams, application and an orderly end."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from vigilia.errors import MissingExtraError, OutputError
from vigilia.installation import install_command
from vigilia.running.model import chosen_model
from vigilia.serving.app import create_app
from vigilia.serving.config import ServeConfig
from vigilia.serving.ending import Ending
from vigilia.serving.heap import few_heaps
from vigilia.serving.hub import Hub
from vigilia.serving.journal import Journal
from vigilia.serving.journal_rows import NotNowError, may_pass
from vigilia.serving.logs import set_up_logs
from vigilia.serving.metrics import Metrics
from vigilia.serving.mqtt import Mqtt
from vigilia.serving.protocol import patient_settings
from vigilia.serving.retention import Pruner
from vigilia.serving.single import only_one
from vigilia.serving.supervisor import MakeHost, Supervisor
from vigilia.serving.waiting import Waiting
from vigilia.serving.webhooks import Webhooks

try:
    import uvicorn
    from fastapi import FastAPI
except ImportError as error:
    raise MissingExtraError(
        f"serving needs fastapi and uvicorn: {install_command('serve')}"
    ) from error

__all__ = ["make_server", "open_service", "serve"]

MOST_CONNECTIONS = 256
REQUEST_SECONDS = 3
"""For requests that are still answered when the service is told to end."""


@contextmanager
def open_service(
    config: ServeConfig, *, make_host: MakeHost | None = None
) -> Iterator[tuple[Supervisor, FastAPI]]:
    """Streams and application; at the end every stream's state is saved.

    Args:
        config: what to serve.
        make_host: who steps the streams; by default a device of this machine.

    Raises:
        VigiliaError: the model, the data folder or a label file cannot be used. A `NotNowError`
            if the journal cannot be, but may later.
    """
    model = chosen_model(
        config.model,
        device=config.device,
        fps=config.fps,
        clip_frames=config.clip_frames,
        stride_frames=config.stride_frames,
    )
    with ExitStack() as stack:
        try:
            config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{config.data}: cannot be made ({error.strerror})") from error
        stack.enter_context(only_one(config.data))
        journal = stack.enter_context(contextlib.closing(Journal(config.data / "journal.sqlite")))
        hub, metrics = Hub(), Metrics()
        supervisor = Supervisor(
            model,
            journal,
            config.data / "snapshots",
            most_streams=config.most_streams,
            batch=config.batch,
            snapshot_seconds=config.snapshot_seconds,
            hub=hub,
            on_step=metrics.on_step,
            make_host=make_host,
        )
        stack.callback(supervisor.close)
        app = create_app(config, supervisor, metrics)
        webhooks = Webhooks(config.webhooks, hub)
        stack.callback(webhooks.close)
        metrics.deliveries = lambda: dict(webhooks.counts)
        if config.mqtt is not None:
            mqtt = Mqtt(config.mqtt, hub, lambda: supervisor.streams)
            stack.callback(mqtt.close)
            metrics.mqtt = lambda: mqtt.connected
        with _perhaps_later():
            for options in config.streams:
                supervisor.add(options)
            supervisor.add_declared()
        pruner = Pruner(journal, lambda: supervisor.streams, config.retention_days)
        stack.callback(pruner.close)
        metrics.pruned = lambda: pruner.pruned
        yield supervisor, app


@contextmanager
def _perhaps_later() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if may_pass(error):
            raise NotNowError(f"the journal cannot be used ({error})") from error
        raise


def serve(
    config: ServeConfig,
    *,
    make_host: MakeHost | None = None,
    on_ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serves until it is told to end (SIGTERM, Ctrl-C); then ends within `ending.MOST_SECONDS`.

    While the disk is full or the journal locked, it waits, and /readyz says why.

    Args:
        config: what to serve.
        make_host: see `open_service`.
        on_ready: told the address when it can be opened.

    Raises:
        VigiliaError: it cannot begin.
    """
    few_heaps()
    set_up_logs(text=config.text_logs)
    listening = _listen(config)
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host

    ending = None
    try:
        with (
            contextlib.closing(listening),
            _opened(config, listening, make_host) as (supervisor, app),
        ):
            ending = Ending(supervisor)
            ending.watch()
            make_server(
                app,
                on_ready=lambda: on_ready(f"http://{shown}:{port}"),
                on_signal=ending.begin,
                on_end=ending.save,
            ).run(sockets=[listening])
    except KeyboardInterrupt:  # what a signal becomes
        if ending is not None:
            ending.finish()
        raise


@contextmanager
def _opened(
    config: ServeConfig, listening: socket.socket, make_host: MakeHost | None
) -> Iterator[tuple[Supervisor, FastAPI]]:
    """`open_service`, as soon as that works."""
    with ExitStack() as stack:
        with ExitStack() as until_then:
            waiting = None
            while True:
                try:
                    service = stack.enter_context(open_service(config, make_host=make_host))
                    break
                except NotNowError as error:
                    if waiting is None:
                        waiting = until_then.enter_context(Waiting(listening))
                    waiting.wait(str(error))
        yield service


def make_server(
    app: FastAPI,
    *,
    on_ready: Callable[[], None] = lambda: None,
    on_signal: Callable[[], None] = lambda: None,
    on_end: Callable[[], None] = lambda: None,
) -> uvicorn.Server:
    """A server whose `run(sockets=...)` ends on a signal, or when `should_exit` is set.

    Args:
        app: of `create_app`.
        on_ready: called when the page can be opened.
        on_signal: called when a signal tells it to end; must be quick.
        on_end: called when it begins to end, before it waits for requests; must be quick.
    """

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            on_end()
            # Open event streams would keep it waiting.
            app.state.room.listeners.close()
            await super().shutdown(sockets)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            super().handle_exit(sig, frame)
            on_signal()

    return Server(
        patient_settings(app, connections=MOST_CONNECTIONS, ending_seconds=REQUEST_SECONDS)
    )


def _listen(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.bind.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform != "win32":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.bind.host, config.bind.port))
    except OSError as error:
        listening.close()
        raise OutputError(
            f"{config.path}: bind: {config.bind.host}:{config.bind.port} cannot be used "
            f"({error.strerror}); is a service running there already?"
        ) from error
    return listening
