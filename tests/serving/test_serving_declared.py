"""What is declared: streams over HTTP that come back after a restart, real time, a gate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.helpers import Service, file_options, same, tiles, wait_for
from vigilia.relevance import GateOptions
from vigilia.serving.config import ServeConfig, read_config
from vigilia.serving.server import open_service
from vigilia.timeline import Timeline

STREAMS = "/api/v1/streams"


@pytest.fixture
def config(tmp_path: Path, model_files: dict[str, Path], recording: Path) -> ServeConfig:
    (tmp_path / "serve.toml").write_text(
        f'model = "{model_files["fam"]}"\nrecordings = ["{recording.parent}"]\n'
    )
    return read_config(tmp_path / "serve.toml")


@contextmanager
def client_of(config: ServeConfig) -> Iterator[TestClient]:
    with (
        open_service(config) as (_, app),
        TestClient(app, base_url="http://localhost") as client,
    ):
        yield client


def status_of(client: TestClient) -> dict[str, str]:
    return {one["name"]: one["status"] for one in client.get(STREAMS).json()}


def test_streams_that_were_added_come_back_and_stopped_ones_stay_stopped(
    config: ServeConfig, recording: Path
) -> None:
    with client_of(config) as client:
        for name in ("runs", "stopped", "removed"):
            body = {"name": name, "source": str(recording), "minimum_bout_seconds": 2}
            assert client.post(STREAMS, json=body).status_code == 201
        assert client.post(f"{STREAMS}/stopped/stop").status_code == 200
        assert client.delete(f"{STREAMS}/removed").status_code == 204
        wait_for(lambda: status_of(client)["runs"] == "ended")
        before = client.get(f"{STREAMS}/runs/timeline").json()["segments"]
    with client_of(config) as client:
        assert status_of(client)["stopped"] == "stopped"
        assert set(status_of(client)) == {"runs", "stopped"}
        wait_for(lambda: status_of(client)["runs"] == "ended")
        assert client.get(f"{STREAMS}/runs/timeline").json()["segments"] == before
        assert client.post(f"{STREAMS}/stopped/start").status_code == 200
    with client_of(config) as client:
        wait_for(lambda: status_of(client)["stopped"] == "ended")
        after = client.get(f"{STREAMS}/stopped/timeline").json()["segments"]
        assert after == before, "started again, it has run since, smoothed as it was declared"


def test_a_stream_of_the_file_that_was_stopped_is_what_the_file_says(
    config: ServeConfig, recording: Path
) -> None:
    with config.path.open("a") as file:
        file.write(f'[[streams]]\nname = "pen"\nsource = "{recording}"\n')
    declared = read_config(config.path)
    with client_of(declared) as client:
        assert client.post(f"{STREAMS}/pen/stop").status_code == 200
    with client_of(declared) as client:
        wait_for(lambda: status_of(client)["pen"] == "ended")


def test_a_recording_in_real_time_takes_its_time(
    serve: Callable[..., Service], tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    film = make_video(tmp_path / "pen.mp4", 40)  # five seconds
    service = serve(tmp_path / "data")
    began = time.monotonic()
    service.supervisor.add(file_options(film, "slow", realtime=True))
    service.supervisor.add(file_options(film, "fast"))
    wait_for(lambda: service.status("fast") == "ended")
    assert service.status("slow") == "running"
    wait_for(lambda: service.status("slow") == "ended")
    assert time.monotonic() - began > 4.0
    assert service.timeline("slow") == service.timeline("fast")


def test_where_nothing_moves_steps_are_skipped_and_the_labels_are_those_of_a_run_with_a_gate(
    serve: Callable[..., Service], tmp_path: Path, make_video: Callable[..., Path], model
) -> None:
    import vigilia

    # Four seconds that move, and a long stretch in which the picture stands still.
    film = make_video(tmp_path / "pen.mp4", times=[125 * k for k in range(32)] + [15_000])
    service = serve(tmp_path / "data")
    watched = service.supervisor.add(file_options(film, gate=True, max_gap_seconds=60.0))
    wait_for(lambda: service.status("pen") == "ended")
    assert watched.counts["kept"] > 3, "still clips are not stepped"
    assert watched.counts["stepped"] > 1
    offline: Timeline = vigilia.run(film, model=model, gate=GateOptions(), max_gap_seconds=60.0)
    same(service, offline)
    tiles(list(service.reader.rows("pen")))
