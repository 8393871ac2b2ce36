"""A browser, and a service that says what a test wants, for the tests of the page."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vigilia.serving.view import create_view_app, view_server
from vigilia.serving.view_guard import loopback_socket
from vigilia.serving.view_recording import ViewedRecording

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@contextmanager
def served(recording: ViewedRecording) -> Iterator[str]:
    """Serves a recording in a thread; gives its address."""
    listening = loopback_socket()
    server = view_server(create_view_app(recording))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def open_browser() -> Iterator[Any]:
    """Debian's Chromium; skips where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the page is tested with playwright, which is not installed"
    )
    if CHROMIUM is None:
        pytest.skip("the page is tested in Chromium, which is not installed (apt-get install)")
    with playwright.sync_playwright() as running:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = running.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def wait_until(page: Any, expression: str, seconds: float = 60.0) -> None:
    """Waits until an expression holds in a page; its own `wait_for_function` needs `eval`, which
    the page forbids.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(f"Boolean({expression})"):
        assert time.monotonic() < end, f"{expression} did not come true"
        page.wait_for_timeout(50)


class FakeService:
    """Answers of the interface from a dict of paths; what it is asked is kept."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, str]] = []
        self.events: str | int | None = "retry: 100000\n\n"

    def __call__(self, route: Any) -> None:
        request = route.request
        path = request.url.split("/api/v1/", 1)[1]
        plain = path.split("?")[0]
        self.asked.append((request.method, path, request.post_data or ""))
        if plain == "events" and self.events is None:
            route.abort()
            return
        if plain == "events" and isinstance(self.events, int):
            route.fulfill(status=self.events)
            return
        if plain == "events":
            route.fulfill(content_type="text/event-stream", body=self.events)
            return
        key = f"{request.method} {plain}" if f"{request.method} {plain}" in self.answers else plain
        answer = self.answers.get(key, (404, {"error": f"there is no {plain}"}))
        if callable(answer):
            answer = answer(path)
        if isinstance(answer, Path):
            route.fulfill(path=answer)
            return
        status, value = answer if isinstance(answer, tuple) else (200, answer)
        route.fulfill(status=status, content_type="application/json", body=json.dumps(value))


def stream(name: str = "pen-1", **changes: Any) -> dict[str, Any]:
    """A live camera, as the service tells of it."""
    return {
        "name": name,
        "kind": "address",
        "source": "rtsp://camera.local/stream",
        "live": True,
        "status": "running",
        "problem": "",
        "classes": ["wake", "NREM", "REM"],
        "label": "REM",
        "confidence": 0.83,
        "since_seconds": 42.0,
        "last_change_seconds": 3558.0,
        "position_seconds": 3600.0,
        "start_seconds": 0.0,
        "duration_seconds": None,
        "lag_seconds": 1.7,
        "wall_start": None,
        "reconnects": 0,
        "dropped": 0,
        "machine": None,
        **changes,
    }


def segments(*rows: tuple[float, float, str | None, float]) -> dict[str, Any]:
    """A timeline of rows."""
    names = ("start_seconds", "end_seconds", "label", "confidence")
    return {
        "classes": ["wake", "NREM", "REM"],
        "segments": [dict(zip(names, row, strict=True)) for row in rows],
        "until_seconds": rows[-1][1] if rows else None,
        "wall_start": None,
        "truth": None,
        "truncated": False,
    }


def memory(seconds: float = 3600.0) -> dict[str, Any]:
    """Twenty slots in two stages; one moment gets most."""
    weights = [0.01 + 0.3 * (k == 6) + 0.08 * (k == 15) for k in range(20)]
    slots = [
        {"age_seconds": 8.0 * (20 - k) + 4, "span_clips": 1, "attention": weights[k]}
        for k in range(20)
    ]
    old = [{**one, "age_seconds": one["age_seconds"] ** 1.3} for one in slots]
    rest = 1 - sum(weights)
    return {
        "seconds": seconds,
        "stages": [
            {
                "stage": stage,
                "slots": chosen,
                "feedback_attention": rest * 0.8,
                "nothing_attention": rest * 0.2,
            }
            for stage, chosen in ((3, slots), (4, old))
        ],
    }


Answers = dict[str, Any]
OpenPage = Callable[..., Any]
