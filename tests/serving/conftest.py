"""Streams to serve: a model, a recording, and what `vigilia.run` says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.helpers import Service
from vigilia.checkpoint import load_model
from vigilia.stream import StreamClassifier
from vigilia.timeline import Timeline


@pytest.fixture(scope="session")
def model(model_files: dict[str, Path]) -> StreamClassifier:
    return load_model(model_files["fam"])


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """About 30 seconds with a hole of five."""
    times = [125 * k for k in range(100)] + [17_500 + 125 * k for k in range(100)]
    return make_video(tmp_path_factory.mktemp("recording") / "pen.mp4", times=times)


@pytest.fixture(scope="session")
def offline(recording: Path, model: StreamClassifier) -> Timeline:
    """What `vigilia.run` says of it."""
    import vigilia

    return vigilia.run(recording, model=model)


@pytest.fixture
def serve(model: StreamClassifier) -> Iterator[Callable[..., Service]]:
    """A function that starts a service over a folder; all are closed at the end."""
    started: list[Service] = []

    def start(data: Path, **options) -> Service:
        service = Service(options.pop("model", model), data, **options)
        started.append(service)
        return service

    yield start
    for service in started:
        service.close()
