"""A start while the disk is full or the journal locked: it waits, and says so."""

from __future__ import annotations

import json
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from serving.helpers import wait_for
from vigilia.errors import OutputError
from vigilia.serving.config import read_config
from vigilia.serving.journal import Journal
from vigilia.serving.journal_rows import NotNowError, may_pass
from vigilia.serving.server import open_service


def asked(port: int, path: str) -> tuple[int, Any]:
    """Status and answer; 0 if nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, None


def configured(folder: Path, model: Path, recording: Path, port: int) -> Path:
    config = folder / "serve.toml"
    config.write_text(
        f'bind = "127.0.0.1:{port}"\nmodel = "{model}"\n'
        f'[[streams]]\nname = "pen"\nsource = "{recording}"\n'
    )
    return config


@pytest.mark.long
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of other processes: Linux")
def test_on_a_full_disk_and_behind_a_lock_a_service_waits_and_is_not_ready(
    tmp_path: Path, model_files: dict[str, Path], recording: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = configured(tmp_path, model_files["fam"], recording, port)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, unlimited[1]))

    command = [sys.executable, "-m", "vigilia", "serve", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=no_room) as process:
        try:
            wait_for(lambda: asked(port, "/readyz")[0] == 503)
            assert "cannot be opened" in asked(port, "/readyz")[1]["problem"]
            assert asked(port, "/healthz") == (200, {"alive": True})
            status, told = asked(port, "/api/v1/streams")
            assert (status, list(told)) == (503, ["error"])
            journal = tmp_path / "vigilia-data" / "journal.sqlite"
            with closing(sqlite3.connect(journal, isolation_level=None)) as other:
                other.execute("BEGIN EXCLUSIVE")
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
                wait_for(lambda: "locked" in (asked(port, "/readyz")[1] or {}).get("problem", ""))
                other.execute("ROLLBACK")
            wait_for(lambda: asked(port, "/readyz")[0] == 200)
            wait_for(lambda: asked(port, "/api/v1/streams")[1][0]["status"] == "ended")
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 0
    assert said.count("the service cannot begin yet") == 2, "once for each reason"
    assert "Traceback" not in said


@pytest.mark.long
def test_a_service_that_waits_ends_when_it_is_told_to(
    tmp_path: Path, model_files: dict[str, Path], recording: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = configured(tmp_path, model_files["fam"], recording, port)
    (tmp_path / "vigilia-data").mkdir()
    Journal(tmp_path / "vigilia-data" / "journal.sqlite").close()
    journal = tmp_path / "vigilia-data" / "journal.sqlite"
    with closing(sqlite3.connect(journal, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        command = [sys.executable, "-m", "vigilia", "serve", str(config)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            wait_for(lambda: asked(port, "/readyz")[0] == 503)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0


def test_what_passes_is_waited_for_and_what_does_not_is_told_at_once(
    tmp_path: Path, model_files: dict[str, Path], recording: Path
) -> None:
    config = read_config(configured(tmp_path, model_files["fam"], recording, 0))
    path = config.data / "journal.sqlite"
    Journal(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotNowError, match="locked"), open_service(config):
            pass
        other.execute("ROLLBACK")
    with open_service(config) as (supervisor, _):
        assert supervisor.get("pen") is not None, "and begins when it is free"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(OutputError, match="not a database") as told:
        Journal(path)
    assert not isinstance(told.value, NotNowError)
    assert may_pass(OSError(28, "No space left on device"))
    assert not may_pass(PermissionError(13, "Permission denied"))


def test_a_journal_that_is_there_is_opened_without_writing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        Journal(path, busy_seconds=0.0).close()
        other.execute("ROLLBACK")
