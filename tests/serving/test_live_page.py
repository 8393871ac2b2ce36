"""The page in a real browser over a real service that watches a real camera."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vigilia.serving.config import read_config
from vigilia.serving.looped_camera import LoopedCameras
from vigilia.serving.server import make_server, open_service
from vigilia.serving.view_guard import loopback_socket
from vigilia.timeline import Timeline

from .helpers import wait_for
from .page_fixtures import open_browser, wait_until

SCREENSHOTS = os.environ.get("VIGILIA_SCREENSHOTS", "")
"""A folder: each test leaves there what it saw last, to be looked at."""


class Live(NamedTuple):
    address: str
    cameras: LoopedCameras
    supervisor: Any


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as found:
        yield found


@contextmanager
def running(app: Any, port: int = 0) -> Iterator[str]:
    """Serves in a thread; gives the address."""
    listening = loopback_socket(port)
    server = make_server(app)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def live(
    browser: Any,
    tmp_path_factory: pytest.TempPathFactory,
    make_video: Callable[..., Path],
    model_files: dict[str, Path],
) -> Iterator[Live]:
    """One camera, watched; its address has a password."""
    folder = tmp_path_factory.mktemp("live")
    film = make_video(folder / "pen.mp4", 120)
    with LoopedCameras({"pen": film}) as cameras:
        source = cameras.address("pen").replace("http://", "http://eve:s3cret@")
        (folder / "serve.toml").write_text(
            f'model = "{model_files["fam"]}"\n[[streams]]\nname = "pen"\nsource = "{source}"\n'
        )
        with (
            open_service(read_config(folder / "serve.toml")) as (supervisor, app),
            running(app) as address,
        ):
            wait_for(lambda: supervisor.journal.cursor("pen").until_seconds is not None)
            yield Live(address, cameras, supervisor)


@pytest.fixture
def open_page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Opens an address; errors of its scripts fail the test."""
    problems: list[str] = []
    contexts = []

    def open_one(address: str, width: int = 1300) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 850})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        return page

    yield open_one
    for one in contexts:
        if SCREENSHOTS:
            for page in one.pages:
                page.screenshot(path=f"{SCREENSHOTS}/{request.node.name}.png", full_page=True)
        one.close()
    assert problems == []


def test_a_camera_is_watched_corrected_and_downloaded_while_it_runs(
    open_page: Callable[..., Any], live: Live, tmp_path: Path
) -> None:
    page = open_page(live.address)
    page.wait_for_selector(".tile .badge.good")
    wait_until(page, "document.querySelector('.tile img')?.naturalWidth > 0")
    wait_until(page, "document.querySelector('.tile .facts').textContent.includes('lag')")
    assert "s3cret" not in page.content()

    page.click(".tile a")
    page.wait_for_selector("#summary table")
    wait_until(page, "document.querySelector('img.picture').naturalWidth > 0")
    assert page.get_attribute("#follow", "aria-pressed") == "true"
    before = float(page.get_attribute("#chart", "aria-valuemax"))
    wait_until(
        page, f"Number(document.querySelector('#chart').getAttribute('aria-valuemax')) > {before}"
    )
    wait_until(page, "document.querySelector('.memory-stage canvas')")
    assert page.locator("#summary select option").count() == 4
    page.select_option("#summary select", label="last hour")
    page.wait_for_selector("#summary table")

    page.keyboard.press("2")
    page.wait_for_selector("#corrections table")
    page.click("#downloads summary")
    with page.expect_download() as waiting:
        page.click("#downloads .buttons button:has-text('JSON, everything')")
    saved = tmp_path / "pen.json"
    waiting.value.save_as(saved)
    assert waiting.value.suggested_filename == "pen.corrected.json"
    assert "walk" in {segment.label for segment in Timeline.read(saved).segments}


def test_a_phone_shows_a_camera_without_scrolling_sideways(
    open_page: Callable[..., Any], live: Live
) -> None:
    page = open_page(live.address + "#/stream/pen", width=360)
    page.wait_for_selector("#summary table")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_camera_that_goes_away_is_said_and_comes_back(
    open_page: Callable[..., Any], live: Live
) -> None:
    page = open_page(live.address)
    page.wait_for_selector(".tile .badge.good")
    live.cameras.away.add("pen")
    page.wait_for_selector(".tile .badge.bad")
    assert page.inner_text(".tile .problem")
    assert "s3cret" not in page.content()
    live.cameras.away.clear()
    page.wait_for_selector(".tile .badge.good")
    assert page.locator(".tile .problem").is_hidden()


def test_a_token_opens_the_page_and_is_asked_for_again_after_a_restart(
    open_page: Callable[..., Any],
    tmp_path: Path,
    make_video: Callable[..., Path],
    model_files: dict[str, Path],
) -> None:
    film = make_video(tmp_path / "pen.mp4", 800)
    (tmp_path / "serve.toml").write_text(
        f'model = "{model_files["gru"]}"\ntoken = "sixteen characters"\n'
        f'[[streams]]\nname = "pen"\nsource = "{film}"\nrealtime = true\n'
    )
    config = read_config(tmp_path / "serve.toml")

    def give(token: str) -> None:
        page.fill("[aria-label=Token]", token)
        page.keyboard.press("Enter")

    with open_service(config) as (_, app), running(app) as address:
        page = open_page(address + "#/stream/pen")
        give("sixteen letters??")
        wait_until(page, "document.body.textContent.includes('not the right one')")
        give("sixteen characters")
        page.wait_for_selector("#summary table")
        assert page.locator("[aria-label=Token]").count() == 0
        # A recording that still runs, with a memory without slots.
        page.wait_for_selector("#memory .empty")
        assert "no slots" in page.inner_text("#memory .empty")
        assert page.inner_text("#condition .badge") == "running"
    with open_service(config) as (_, app), running(app, int(address.rsplit(":")[-1].strip("/"))):
        page.wait_for_selector("[aria-label=Token]")
        assert "started anew" in page.inner_text("main")
        give("sixteen characters")
        page.wait_for_selector("#summary table")
        assert page.inner_text("#connection") == ""
