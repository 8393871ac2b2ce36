"""What comes from outside is refused in one line, is kept from no secret, and stops nothing."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.helpers import Service, wait_for
from vigilia.errors import OptionError
from vigilia.serving.config import Bind, ServeConfig
from vigilia.serving.fields import Fields
from vigilia.serving.server import open_service
from vigilia.serving.stream_options import stream_options

STREAMS = "/api/v1/streams"
TOKEN = "a-token-that-is-long-enough"
JSON = {"Content-Type": "application/json"}

HOSTILE = {
    "an open bracket": "rtsp://[x/y",
    "a port of letters": "rtsp://cam:port/1",
    "a port too high": "rtsp://cam:70000/1",
    "no host": "rtsp://eve:s3cret@/1",
    "a surrogate": "rtsp://127.0.0.1:1/\ud800",
    "a NUL": "/videos/\0.mp4",
    "a bell": "rtsp://127.0.0.1:1/\a",
    "a user who is not there": "~nosuchuser/x.mp4",
    "a long name": "/" + "a" * 5000,
    "a variable": "rtsp://127.0.0.1:1/${CAM_PW}",
    "a variable that is not set": "rtsp://127.0.0.1:1/${NOBODY_SET_IT}",
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, model_files: dict[str, Path]) -> ServeConfig:
    folder = tmp_path_factory.mktemp("service")
    return ServeConfig(folder / "serve.toml", model=str(model_files["fam"]), data=folder / "data")


@pytest.fixture(scope="module")
def client(config: ServeConfig) -> Iterator[TestClient]:
    with (
        open_service(config) as (_, app),
        TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client,
    ):
        yield client


def post(client: TestClient, table: object):
    return client.post(STREAMS, content=json.dumps(table), headers=JSON)


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_source_that_cannot_be_is_refused_and_leaves_nothing(
    client: TestClient, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAM_PW", "s3cret")
    answer = post(client, {"name": "bad", "source": source})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(("the stream: source: ", "source: "))
    assert "s3cret" not in answer.text
    assert client.get(STREAMS).json() == []


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"name": "x", "source": "rtsp://cam/1", "hysteresis": 10**400}),
        json.dumps({"name": "x", "source": "rtsp://cam/1", "wall_start": 10**400}),
        '{"name": "x", "source": "rtsp://cam/1", "hysteresis": ' + "9" * 5000 + "}",
        json.dumps({"name": "x", "source": "rtsp://cam/1", "wall_start": "0001-01-01T00:00+14:00"}),
        json.dumps({"name": "x", "source": "rtsp://cam/1", "\ud800": 1}),
        json.dumps({"name": "x", "source": "rtsp://cam/1", "two\nlines": 1}),
        json.dumps({"name": "\ud800", "source": "rtsp://cam/1"}),
        "[" * 30_000,
        "[]",
        '"\ud800"',
        "{}",
    ],
)
def test_a_body_that_cannot_be_is_refused_in_one_line(client: TestClient, body: str) -> None:
    answer = client.post(STREAMS, content=body.encode("utf-8", "surrogatepass"), headers=JSON)
    assert answer.status_code == 400
    assert len(answer.json()["error"].splitlines()) == 1


@pytest.mark.parametrize("origin", ["http://[", "http://]", "[", "null", "http://a:b:c"])
def test_an_origin_that_cannot_be_read_is_another_sites(client: TestClient, origin: str) -> None:
    answer = client.get(STREAMS, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "other sites" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/%00", "/api/v1/streams/%00/timeline", "/%ff", "/" + "a" * 5000])
def test_a_path_that_cannot_be_is_not_found(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert len(answer.json()["error"].splitlines()) == 1


def test_a_mistake_of_the_service_is_told_in_one_line_and_keeps_no_password(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("s3cret")

    monkeypatch.setattr(client.app.state.room.reader, "corrections", fail)
    monkeypatch.setattr(client.app.state.room.supervisor, "get", lambda name: name)
    answer = client.get(f"{STREAMS}/pen/corrections")
    assert answer.status_code == 500
    assert "LookupError" in answer.json()["error"]
    assert "s3cret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://cam/1",
        "rtsp://eve:p%5Bw%5D@[::1]:554/1?channel=1",
        "rtsp://eve:s3@cret@cam:554/1",
        "udp://@239.0.0.1:5000",
        "udp://@:5000",
        "srt://:9000?mode=listener",
        "http://k\u00e4fig.example/\u732a",
        "webcam:0",
    ],
)
def test_what_cameras_are_called_is_taken(source: str) -> None:
    assert stream_options(Fields("x", {"name": "x", "source": source})).source == source


def test_nothing_of_the_environment_is_had_over_http(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAM_PW", "s3cret")
    for key in ("name", "source", "truth"):
        table = {"name": "x", "source": "rtsp://127.0.0.1:1/1", key: "rtsp://a/${CAM_PW}"}
        answer = post(client, table)
        assert answer.status_code == 400
        assert "s3cret" not in answer.text
        assert "configuration file only" in answer.json()["error"]


def test_what_the_environment_holds_must_be_text_on_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CAM_PW", "a\x1bb")
    with pytest.raises(OptionError, match="x: a: must be text on one line"):
        Fields("x", {"a": "${CAM_PW}"}).text("a")


CAMERA = {"name": "cam", "source": "rtsp://eve:s3cret@127.0.0.1:1/1"}


def test_streams_added_over_http_come_back_after_a_restart_and_stopped_ones_stay_so(
    config: ServeConfig, tmp_path: Path
) -> None:
    config = replace(config, data=tmp_path)
    with open_service(config) as (_, app):
        client = TestClient(app, base_url="http://localhost")
        for name in ("runs", "stopped", "removed"):
            assert post(client, {**CAMERA, "name": name, "hysteresis": 0.1}).status_code == 201
        assert client.post(f"{STREAMS}/stopped/stop").status_code == 200
        assert client.delete(f"{STREAMS}/removed").status_code == 204
    with open_service(config) as (supervisor, app):
        client = TestClient(app, base_url="http://localhost")
        streams = {one["name"]: one for one in client.get(STREAMS).json()}
        assert set(streams) == {"runs", "stopped"}
        assert streams["stopped"]["status"] == "stopped"
        wait_for(lambda: supervisor.get("runs").status == "reconnecting")
        assert supervisor.get("runs").options.source == CAMERA["source"]
        assert supervisor.get("runs").options.segmenter.hysteresis == 0.1


@pytest.mark.parametrize(
    "row",
    [
        json.dumps({"name": "bad", "source": "rtsp://eve:s3cret@[x/y"}),
        json.dumps({"name": "bad", "source": "rtsp://127.0.0.1:1/\ud800"}),
        json.dumps({"name": "bad", "source": "rtsp://127.0.0.1:1/${HOME}"}),
        json.dumps({"name": "bad", "source": 3}),
        json.dumps([]),
        "no JSON",
    ],
)
def test_a_declared_stream_that_cannot_be_had_is_left_out_and_the_others_are_watched(
    serve: Callable[..., Service], tmp_path: Path, row: str, caplog: pytest.LogCaptureFixture
) -> None:
    serve(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as database:
        for name, text in (("bad", row), ("good", json.dumps({**CAMERA, "name": "good"}))):
            database.execute("INSERT INTO declared VALUES (?, ?, ?)", (name, text, False))
        database.commit()
    service = serve(tmp_path)
    with caplog.at_level(logging.WARNING, "vigilia.serving"):
        service.supervisor.add_declared()
    assert [one.name for one in service.supervisor.streams] == ["good"]
    (said,) = [one for one in caplog.records if "left out" in one.message]
    assert said.stream == "bad"
    assert "s3cret" not in said.why


def test_a_stream_whose_results_cannot_be_opened_is_not_there_now_nor_after_a_restart(
    serve: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(tmp_path)
    options = stream_options(Fields("x", CAMERA))

    def locked(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(service.journal, "open_stream", locked)
        with pytest.raises(sqlite3.OperationalError):
            service.supervisor.add(options, table=CAMERA)
    assert service.supervisor.streams == []
    assert service.journal.notes.declared() == []
    service.supervisor.add(options, table=CAMERA, running=False)
    assert len(service.journal.notes.declared()) == 1


@pytest.mark.parametrize(
    ("bind", "host", "status"),
    [
        ("0.0.0.0", "10.1.2.3:8400", 200),
        ("0.0.0.0", "[2001:db8::1]:8400", 200),
        ("0.0.0.0", "barn.example:8400", 200),
        ("0.0.0.0", "BARN.example", 200),
        ("0.0.0.0", "evil.example", 421),
        ("0.0.0.0", "barn.example.evil.example", 421),
        ("0.0.0.0", "[", 421),
        ("127.0.0.1", "10.1.2.3:8400", 421),
        ("127.0.0.1", "barn.example", 200),
        ("127.0.0.1", "127.0.0.1:8400", 200),
    ],
)
def test_who_listens_for_others_is_known_by_number_and_by_the_names_it_was_given(
    config: ServeConfig, tmp_path: Path, bind: str, host: str, status: int
) -> None:
    config = replace(
        config,
        data=tmp_path,
        bind=Bind(bind, 8400),
        token=TOKEN,
        allowed_hosts=("barn.example",),
    )
    with open_service(config) as (_, app):
        client = TestClient(app, base_url="http://localhost")
        shown = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get(STREAMS, headers={"Host": host, **shown}).status_code == status
        if status == 200:
            assert client.get(STREAMS, headers={"Host": host}).status_code == 401
            assert client.get("/metrics", headers={"Host": host}).status_code == 401
            own = {"Host": host, "Origin": f"http://{host}", **shown}
            assert client.get(STREAMS, headers=own).status_code == 200


@pytest.fixture(scope="module")
def described(client: TestClient) -> dict[str, Any]:
    return client.get("/api/v1/openapi.json").json()


def test_the_description_says_what_a_new_stream_may_be(described: dict[str, Any]) -> None:
    body = described["paths"]["/api/v1/streams"]["post"]["requestBody"]
    assert body["required"]
    schema = body["content"]["application/json"]["schema"]
    assert schema["type"] == "object"
    assert schema["required"] == ["name", "source"]
    assert schema["additionalProperties"] is False
    known = Fields("x", {"name": "x", "source": "webcam:0"})
    stream_options(known)
    assert set(schema["properties"]) == known._known - {"truth"}, "which is for the file only"


@pytest.mark.parametrize(
    "table",
    [
        {"name": "x", "source": "rtsp://eve:pw@[::1]:554/1?channel=1"},
        {"name": "a.b-c_9", "source": "udp://@:5000", "gate": True, "hysteresis": 0.5},
        {"name": "x", "source": "/videos/a b.mp4", "wall_start": "2026-11-21T02:00:00+01:00"},
        {"name": "x", "source": "webcam:0", "max_gap_seconds": 3, "smooth_seconds": 1.5},
        {"name": "x", "source": "/videos", "realtime": True, "wall_start": 1e9},
    ],
)
def test_what_the_description_allows_is_taken_and_what_it_does_not_is_refused(
    described: dict[str, Any], table: dict[str, Any]
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    operation = described["paths"]["/api/v1/streams"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    stream_options(Fields("x", table, expand=False))
    jsonschema.validate(table, schema)
    for key, value in (
        ("name", "x."),
        ("name", "../x"),
        ("source", "file:///etc/passwd"),
        ("source", "concat:a|b"),
        ("source", "videos/a.mp4"),
        ("hysteresis", 2),
        ("max_gap_seconds", 0),
        ("gate", "yes"),
        ("colour", 1),
    ):
        wrong = {**table, key: value}
        with pytest.raises(OptionError):
            stream_options(Fields("x", wrong, expand=False))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_every_route_says_which_errors_it_answers(described: dict[str, Any]) -> None:
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            told = set(operation["responses"])
            assert "422" not in told, "a wrong value is told with 400"
            assert "421" in told
            if not path.startswith("/api/"):
                continue
            assert told >= {"400", "401", "403", "500", "503"}
            assert ("404" in told) == ("{" in path)
            assert ("413" in told) == (method != "get")
            for status, answer in operation["responses"].items():
                if status >= "400":
                    (schema,) = [one["schema"] for one in answer["content"].values()]
                    assert schema == {"$ref": "#/components/schemas/ErrorView"}
    schemas = described["components"]["schemas"]
    assert schemas["ErrorView"]["required"] == ["error"]
    assert "HTTPValidationError" not in schemas
    picture = described["paths"]["/api/v1/streams/{name}/frame.jpg"]["get"]["responses"]["200"]
    assert set(picture["content"]) == {"image/jpeg"}
    assert "409" in described["paths"]["/api/v1/streams"]["post"]["responses"]
