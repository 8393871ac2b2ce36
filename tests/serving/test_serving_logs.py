"""What the process says: a JSON object a line, and never a password."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from serving.helpers import wait_for
from vigilia.serving.hub import Hub
from vigilia.serving.logs import set_up_logs
from vigilia.serving.status import set_status
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.watched import Watched

TOKEN = "a-token-that-is-s3cret"
CONFIG = """\
model = "{model}"
bind = "127.0.0.1:0"
token = "{token}"

[[streams]]
name = "user"
source = "http://eve:s3cret1@127.0.0.1:{port}/1"

[[streams]]
name = "query"
source = "rtsp://127.0.0.1:{port}/1?user=eve&pwd=s3cret2"

[[streams]]
name = "path"
source = "rtsp://127.0.0.1:{port}/user=eve&password=s3cret3&channel=1.sdp"

[[streams]]
name = "variable"
source = "tcp://${{CAM}}@127.0.0.1:{port}"

[[webhooks]]
url = "http://127.0.0.1:{port}/s3cret6"
secret = "s3cret7"
"""
ADDED = {"name": "added", "source": "rtsp://eve:s3cret5@127.0.0.1:1/token=s3cret8"}
REFUSED = {"name": "refused", "source": "rtsp://eve:s3cret9@[127.0.0.1:1/"}


class Process:
    """`vigilia serve`, and everything that it says."""

    def __init__(self, config: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vigilia", "serve", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "CAM": "eve:s3cret4"},
        )
        self.lines: list[str] = []
        threading.Thread(target=self._hear, daemon=True).start()
        self.address = ""
        wait_for(lambda: self._opened() or self.process.poll() is not None)
        assert self.address, self.lines

    def ask(self, path: str, body: object = None) -> tuple[int, str]:
        request = urllib.request.Request(
            f"{self.address}/api/v1{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0
        assert self.process.stdout is not None
        wait_for(lambda: self.process.stdout.closed)

    def _hear(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            self.lines.extend(iter(stdout.readline, ""))

    def _opened(self) -> bool:
        found = re.search(r"open (http://\S+)", " ".join(self.lines))
        self.address = found[1] if found else ""
        return bool(found)


@pytest.mark.long
def test_a_process_says_json_lines_and_no_password(
    tmp_path: Path, model_files: dict[str, Path]
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(CONFIG.format(model=model_files["fam"], token=TOKEN, port=1))
    names = {"user", "query", "path", "variable", "added"}
    answers = []
    for _ in range(2):  # the second time, what was added comes from the journal
        process = Process(config)
        answers += [process.ask("/streams", REFUSED), process.ask("/streams", ADDED)]

        def away(process: Process = process) -> bool:
            said = json.loads(process.ask("/streams")[1])
            return {one["name"] for one in said if one["status"] == "reconnecting"} == names

        wait_for(away)
        answers.append(process.ask("/streams"))
        process.end()
        told = [line for line in process.lines if line.startswith("{")]
        assert [line for line in process.lines if line not in told] == [
            line for line in process.lines if line.startswith("open http://")
        ]
        records = [json.loads(line) for line in told]
        assert all({"time", "level", "logger", "message"} <= set(one) for one in records)
        assert {one["stream"] for one in records if one["level"] == "warning"} >= names
        assert "s3cret" not in "".join(process.lines)
    assert [status for status, _ in answers] == [400, 201, 200, 400, 409, 200]
    assert "s3cret" not in "".join(text for _, text in answers)


def test_a_status_is_told_to_nobody_with_a_password(caplog: pytest.LogCaptureFixture) -> None:
    source = "rtsp://eve:s3cret@cam/1"
    watched, hub, events = Watched(StreamOptions("barn", source, "address")), Hub(), []
    hub.add_sink(events.append)
    with caplog.at_level(logging.INFO, "vigilia.serving"):
        set_status(hub, watched, "reconnecting", f"{source}:\n401 for s3cret")
    assert watched.problem == "rtsp://cam/1: 401 for ***"
    assert [one.data["problem"] for one in events] == [watched.problem]
    assert [one.why for one in caplog.records] == [watched.problem]


def test_a_log_line_is_one_object_whatever_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    loggers = [logging.getLogger(name) for name in ("vigilia", "uvicorn", "uvicorn.error", "libav")]
    before = [(one.handlers, one.level, one.propagate) for one in loggers]
    try:
        set_up_logs(text=False)
        log = logging.getLogger("vigilia.serving")
        log.warning("a\nb %s", "c", extra={"stream": "pen", "why": "it\nrains"})
        try:
            raise LookupError("no")
        except LookupError:
            log.exception("failed")
        log.debug("not said")
        set_up_logs(text=True)
        log.warning("stream away", extra={"stream": "pen", "why": "it rains"})
    finally:
        for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)
    first, second, third = capsys.readouterr().err.splitlines()
    said = json.loads(first)
    assert (said["level"], said["logger"]) == ("warning", "vigilia.serving")
    assert (said["message"], said["stream"], said["why"]) == ("a\nb c", "pen", "it\nrains")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["time"])
    assert "LookupError: no" in json.loads(second)["traceback"]
    assert third == "warning pen stream away: it rains"
