"""The API in process: what it answers, and whom it does not answer."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.helpers import wait_for
from vigilia.errors import OutputError
from vigilia.installation import install_command
from vigilia.serving import views
from vigilia.serving.attention import memory_attention
from vigilia.serving.config import ServeConfig, WebhookOptions, read_config
from vigilia.serving.hub import Hub
from vigilia.serving.server import open_service
from vigilia.serving.webhooks import Webhooks
from vigilia.timeline import Timeline, read_annotations

TOKEN = "a-token-that-is-long-enough"
PEN = "/api/v1/streams/pen"


@pytest.fixture(scope="module")
def config(
    tmp_path_factory: pytest.TempPathFactory, recording: Path, model_files: dict[str, Path]
) -> ServeConfig:
    folder = tmp_path_factory.mktemp("service")
    (folder / "videos").mkdir()
    (folder / "serve.toml").write_text(
        f'model = "{model_files["fam"]}"\nrecordings = ["videos"]\n'
        f'[[streams]]\nname = "pen"\nsource = "{recording}"\nwall_start = 2026-11-21T02:00:00Z\n'
    )
    return read_config(folder / "serve.toml")


@pytest.fixture(scope="module")
def client(config: ServeConfig) -> Iterator[TestClient]:
    with (
        open_service(config) as (supervisor, app),
        TestClient(app, base_url="http://localhost") as client,
    ):
        supervisor.get("pen").want_memory()
        wait_for(lambda: supervisor.get("pen").status == "ended")
        client.supervisor = supervisor
        yield client


def test_a_stream_says_how_it_is_doing(client: TestClient, offline: Timeline) -> None:
    (stream,) = client.get("/api/v1/streams").json()
    assert stream["status"] == "ended"
    assert stream["label"] == offline.segments[-1].label
    assert stream["position_seconds"] == offline.end_seconds
    assert stream["wall_start"] == 1795226400.0


def test_timeline_summary_and_exports_are_those_of_an_offline_run(
    client: TestClient, offline: Timeline, tmp_path: Path
) -> None:
    view = client.get(f"{PEN}/timeline").json()
    assert [(s["start_seconds"], s["label"]) for s in view["segments"]] == [
        (s.start_seconds, s.label) for s in offline.segments
    ]
    some = client.get(f"{PEN}/timeline?from=5&to=6").json()["segments"]
    assert [s["start_seconds"] for s in some] == [
        s.start_seconds for s in offline.segments if s.start_seconds < 6 and s.end_seconds > 5
    ]
    summary = client.get(f"{PEN}/summary").json()
    assert summary["unobserved_seconds"] == offline.summary().unobserved_seconds
    (tmp_path / "a.json").write_bytes(client.get(f"{PEN}/export?format=json").content)
    read = Timeline.read(tmp_path / "a.json")
    assert read.segments == offline.segments
    assert read.scores == offline.scores


def test_a_file_of_too_many_probabilities_is_refused_in_one_line(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MOST_EXPORTED_STEPS", 5)
    answer = client.get(f"{PEN}/export?format=json")
    assert answer.status_code == 400
    assert "more than 5 steps" in answer.json()["error"]
    assert len(answer.json()["error"].splitlines()) == 1
    assert client.get(f"{PEN}/export?format=json&from=0&to=3").status_code == 200
    assert client.get(f"{PEN}/export?format=csv").status_code == 200, "it holds none"


def test_every_format_can_be_downloaded_or_says_why_not(client: TestClient, tmp_path: Path) -> None:
    formats = {one["format"]: one for one in client.get("/api/v1/formats").json()}
    assert {"csv", "xlsx", "json", "boris", "elan", "edf", "nwb", "feral"} <= set(formats)
    # These hold sleep, and rest, walk and eat are none.
    refused = {"yasa": "no stage of sleep", "yasa-table": "no stage of sleep"}
    with_nwb = importlib.util.find_spec("pynwb") is not None
    if not with_nwb:
        refused["nwb"] = install_command("nwb")
    for name, one in formats.items():
        answer = client.get(f"{PEN}/export?format={name}&epoch_seconds=10")
        if name in refused:
            assert answer.status_code == 400
            assert refused[name] in answer.json()["error"]
            continue
        assert answer.status_code == 200, answer.text
        assert f"pen{one['suffix']}" in answer.headers["content-disposition"]
    seen = [s for s in client.get(f"{PEN}/timeline").json()["segments"] if s["label"]]
    for name in ("xlsx", "boris", *["nwb"] * with_nwb):
        file = tmp_path / f"pen{formats[name]['suffix']}"
        file.write_bytes(client.get(f"{PEN}/export?format={name}").content)
        (read,) = read_annotations(file)
        assert [event.label for event in read.events] == [one["label"] for one in seen]
        if name != "xlsx":
            assert read.started.timestamp() == 1795226400.0, "the wall's clock is in it"


def test_a_summary_counts_bouts_and_transitions(client: TestClient, offline: Timeline) -> None:
    summary = client.get(f"{PEN}/summary").json()
    by_label = {one["label"]: one for one in summary["classes"]}
    rest = [s for s in offline.segments if s.label == "rest"]
    assert by_label["rest"]["bouts"] == len(rest)
    assert by_label["rest"]["latency_seconds"] == (rest[0].start_seconds if rest else None)
    labels, counts = summary["transitions"]["labels"], summary["transitions"]["counts"]
    pairs = [(a.label, b.label) for a, b in itertools.pairwise(offline.segments)]
    for row, before in enumerate(labels):
        for column, after in enumerate(labels):
            assert counts[row][column] == pairs.count((before, after))
    assert summary["sleep"] is None
    part = client.get(f"{PEN}/summary?from=5&to=6").json()
    assert part["observed_seconds"] + part["unobserved_seconds"] == pytest.approx(1.0)


def test_seconds_come_on_a_grid_with_holes_and_coarse_where_there_are_many(
    client: TestClient, offline: Timeline
) -> None:
    view = client.get(f"{PEN}/seconds").json()
    rows = view["probabilities"]
    assert len(rows) == 30 / view["step_seconds"]
    assert rows[0] == pytest.approx(offline.scores.probabilities[0].tolist(), abs=1e-4)
    assert None in rows
    coarse = client.get(f"{PEN}/seconds?points=10").json()
    assert len(coarse["probabilities"]) <= 11
    assert coarse["step_seconds"] > view["step_seconds"]


def test_corrections_are_kept_taken_back_and_exported(client: TestClient) -> None:
    body = {"start_seconds": 1.0, "end_seconds": 3.0, "label": "walk", "by": "eve"}
    made = client.post(f"{PEN}/corrections", json=body)
    assert made.status_code == 201
    second = client.post(f"{PEN}/corrections", json={**body, "label": "eat"}).json()
    table = client.get(f"{PEN}/export?format=csv&corrected=true").text
    assert "1.000,3.000,eat,1.0000" in table
    assert client.delete(f"{PEN}/corrections?id={second['id']}").status_code == 204
    assert client.delete(f"{PEN}/corrections?id={second['id']}").status_code == 404
    table = client.get(f"{PEN}/export?format=csv&corrected=true").text
    assert "1.000,3.000,walk,1.0000" in table
    for wrong in ({"label": "fly"}, {"end_seconds": 1.0}, {"end_seconds": 1e9}, {"by": "x" * 200}):
        answer = client.post(f"{PEN}/corrections", json={**body, **wrong})
        assert answer.status_code == 400, wrong
        assert len(answer.json()["error"].splitlines()) == 1


def test_pictures_and_video_of_a_recording(client: TestClient, recording: Path) -> None:
    assert client.get(f"{PEN}/frame.jpg").content[:2] == b"\xff\xd8"
    assert client.get(f"{PEN}/frame.jpg?seconds=4").content[:2] == b"\xff\xd8"
    part = client.get(f"{PEN}/video", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.content == recording.read_bytes()[10:20]
    assert client.get(f"{PEN}/video?part=1").status_code == 404
    assert client.get(f"{PEN}/parts").json()[0]["offset_seconds"] == 0.0


def test_a_service_on_one_machine_says_so_and_cannot_be_drained(client: TestClient) -> None:
    (machine,) = client.get("/api/v1/machines").json()
    assert machine["room"] == 16
    assert machine["streams"] == []
    assert not machine["drained"]
    answer = client.post(f"/api/v1/machines/{machine['id']}/drain")
    assert answer.status_code == 409
    assert "runs on one machine" in answer.json()["error"]
    assert client.post("/api/v1/machines/other/drain").status_code == 404


def test_health_and_metrics(client: TestClient) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json() == {"ready": True, "problem": ""}
    text = client.get("/metrics").text
    assert 'vigilia_stream_up{stream="pen"} 0.0' in text
    assert 'vigilia_stream_state_seconds_total{state="unobserved",stream="pen"}' in text
    assert "vigilia_step_duration_seconds_bucket" in text


def test_the_documentation_names_every_route_metric_and_key(client: TestClient) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text()
    for path in client.get("/api/v1/openapi.json").json()["paths"]:
        short = path.removeprefix("/api/v1").replace("{name}", "NAME").replace("{id}", "ID")
        assert f"`{short}`" in page or f"`/{path.rpartition('/')[2]}`" in page, path
    for metric in re.findall(r"^# TYPE vigilia_(\w+)", client.get("/metrics").text, re.MULTILINE):
        if not metric.endswith("_created"):
            assert re.search(rf"`{metric}(\{{\w+\}})?`", page), metric
    for field in fields(ServeConfig):
        if field.name != "path":
            assert field.name in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/streams/none/timeline", 404),
        ("/api/v1/streams/..%2f..%2fetc/video", 404),
        (f"{PEN}/export?format=exe", 400),
        (f"{PEN}/timeline?from=nan", 400),
        (f"{PEN}/seconds?points=1000000", 400),
        ("/..%2f..%2fapp.py", 404),
    ],
)
def test_what_cannot_be_is_one_line(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert len(answer.json()["error"].splitlines()) == 1


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ({"name": "x", "source": "/etc/passwd"}, "recordings"),
        ({"name": "x", "source": "videos/../../secret.mp4"}, "absolute"),
        ({"name": "../x", "source": "rtsp://cam/1"}, "letters"),
        ({"name": "x", "source": "concat://a|b"}, "address begins with"),
        ({"name": "x", "source": "rtsp://cam/1", "colour": 1}, "no such key"),
        ({"name": "x", "source": "rtsp://cam/1", "gate": "yes"}, "true or false"),
        ({"source": "rtsp://cam/1"}, "name"),
    ],
)
def test_streams_that_may_not_be_added(client: TestClient, table: dict, rule: str) -> None:
    answer = client.post("/api/v1/streams", json=table)
    assert answer.status_code == 400
    assert rule in answer.json()["error"]


def test_a_stream_is_added_stopped_and_removed_over_http_and_no_password_shows(
    client: TestClient,
) -> None:
    body = {"name": "cam", "source": "rtsp://eve:s3cret@127.0.0.1:9/1"}
    added = client.post("/api/v1/streams", json=body)
    assert added.status_code == 201
    assert client.post("/api/v1/streams", json=body).status_code == 409
    wait_for(lambda: client.get("/api/v1/streams").json()[1]["status"] == "reconnecting")
    told = client.get("/api/v1/streams").text + client.get("/metrics").text
    assert "s3cret" not in told
    assert "rtsp://127.0.0.1:9/1" in told
    assert client.post("/api/v1/streams/cam/stop").json()["status"] == "stopped"
    assert client.delete("/api/v1/streams/cam?forget=true").status_code == 204
    assert len(client.get("/api/v1/streams").json()) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_other_sites_pages_change_nothing(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    body = json.dumps({"start_seconds": 5.0, "end_seconds": 6.0, "label": "walk"})
    sent = {"Content-Type": "application/json", **headers}
    assert client.post(f"{PEN}/corrections", content=body, headers=sent).status_code == status


def test_bodies_that_are_too_large_are_refused(client: TestClient) -> None:
    large = b'{"by": "' + b"x" * 70_000 + b'"}'
    sent = {"Content-Type": "application/json"}
    assert client.post(f"{PEN}/corrections", content=large, headers=sent).status_code == 413
    chunks = iter([large[:40_000], large[40_000:]])  # no length is said
    assert client.post(f"{PEN}/corrections", content=chunks, headers=sent).status_code == 413


def test_what_is_remembered_adds_up_to_all_attention(client: TestClient) -> None:
    supervisor = client.supervisor
    state = supervisor.model.init_state(1)
    pre = supervisor.model.preprocessing
    import numpy as np
    import torch

    random = np.random.default_rng(0)
    shape = (pre.clip_frames, pre.height, pre.width, 3)
    clip = random.integers(0, 256, shape, np.uint8)
    frames = pre.to_clip(torch.from_numpy(clip)[None])
    with torch.inference_mode():
        for number in range(2):
            seconds = torch.tensor([float(number + 1)], dtype=torch.float64)
            _, state = supervisor.model.step(frames, state, seconds=seconds)
    stages = memory_attention(supervisor.model, state, clip, end_seconds=3.0)
    assert [one.stage for one in stages] == [3, 4]
    for one in stages:
        assert sum(one.slots) + one.feedback + one.nothing == pytest.approx(1, abs=1e-5)
        assert one.age_seconds == (2.0, 1.0)
        assert min(one.slots) > 0


def test_a_token_is_needed_and_a_cookie_stands_for_it(config: ServeConfig, tmp_path: Path) -> None:
    from dataclasses import replace

    private = replace(config, token=TOKEN, data=tmp_path, streams=())
    with open_service(private) as (_, app):
        client = TestClient(app, base_url="http://localhost")
        assert client.get("/api/v1/streams").status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/healthz").status_code == 200
        shown = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/v1/streams", headers=shown).json() == []
        wrong = {"Authorization": f"Bearer {TOKEN}x"}
        assert client.get("/api/v1/streams", headers=wrong).status_code == 401
        assert client.get("/api/v1/session").json() == {"token_needed": True, "allowed": False}
        assert client.post("/api/v1/session", json={"token": "no"}).status_code == 401
        assert client.post("/api/v1/session", json={"token": TOKEN}).json()["allowed"]
        assert TOKEN not in str(client.cookies)
        assert client.get("/api/v1/streams").status_code == 200
        with pytest.raises(OutputError, match="another service"), open_service(private):
            pass


def test_listeners_that_fall_behind_are_told_and_cost_nothing() -> None:
    hub = Hub(size=4)
    place = hub.place()
    for number in range(10):
        hub.publish("label", {"n": number})
    events, place, missed = hub.since(place)
    assert missed
    assert [event.data["n"] for event in events] == [6, 7, 8, 9]
    assert hub.since(place) == ([], 10, False)
    assert hub.place(f"{hub.era}-7") == 8
    assert hub.place("another-7") is None


def test_webhooks_are_told_of_changes_until_they_have_heard() -> None:
    hub, calls, answers = Hub(), [], [500, 0, 204, 204]

    def post(url: str, body: bytes, headers) -> int:
        calls.append((json.loads(body)["label"], headers))
        status = answers.pop(0)
        if not status:
            raise OSError("nobody answers")
        return status

    hooks = Webhooks([WebhookOptions("http://x/", secret="k")], hub, post=post, first_seconds=0.001)
    for label, changed in (("rest", True), ("rest", False), ("walk", True)):
        hub.publish("label", {"stream": "pen", "label": label, "changed": changed})
    wait_for(lambda: hooks.counts["delivered"] == 2)
    hooks.close()
    assert [label for label, _ in calls] == ["rest", "rest", "rest", "walk"]
    assert len({headers["Idempotency-Key"] for _, headers in calls}) == 2
    assert calls[0][1]["X-Vigilia-Signature"].startswith("sha256=")
    assert hooks.counts["retried"] == 2
