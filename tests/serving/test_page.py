"""The page in a real browser: what a person sees, clicks, types, and hears."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vigilia.serving.view_corrections import CorrectionFile
from vigilia.serving.view_recording import ViewedRecording
from vigilia.timeline import Interval, Labels, Scores, Segment, Timeline, read_labels_of

from .page_fixtures import (
    Answers,
    FakeService,
    memory,
    open_browser,
    segments,
    served,
    stream,
    wait_until,
)

CLASSES = ("wake", "NREM", "REM")
SEGMENTS = (
    Segment(0.0, 4.0, "wake", 0.9),
    Segment(4.0, 6.0, "NREM", 0.45),
    Segment(6.0, 7.0, None, 0.0),
    Segment(7.0, 10.0, "REM", 0.7),
)


def timeline_of(source: str) -> Timeline:
    rows = np.array([k for k in range(10) if k != 6], float)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), len(rows))
    return Timeline(CLASSES, SEGMENTS, Scores(rows, rows + 1, probabilities), source)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("page")
    make_video(folder / "pen.mp4", 80, codec="h264")
    make_video(folder / "pen.avi", 80)
    return folder


@pytest.fixture(scope="module")
def addresses(folder: Path) -> Iterator[dict[str, str]]:
    """Two recordings: one that the browser plays and one that it does not."""
    truth = Labels((Interval(0.0, 5.0, "wake"), Interval(5.0, 10.0, "NREM")), Path("truth.csv"))
    recordings = {}
    for name in ("pen.mp4", "pen.avi"):
        timeline = timeline_of(name)
        file = CorrectionFile(folder / f"{name}.corrections.csv", timeline)
        recordings[name] = ViewedRecording(folder / name, timeline, file, truth)
    with served(recordings["pen.mp4"]) as mp4, served(recordings["pen.avi"]) as avi:
        yield {"pen.mp4": mp4, "pen.avi": avi}


@pytest.fixture(scope="module")
def desktop(browser: Any) -> Any:
    return browser.new_context(viewport={"width": 1300, "height": 850})


@pytest.fixture
def open_page(browser: Any, desktop: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address in a page of its own; errors of its scripts fail the test."""
    pages, contexts, problems = [], [], []

    def open_one(address: str, answers: Answers | None = None, **options: Any) -> Any:
        context = desktop
        if options:
            context = browser.new_context(**options)
            contexts.append(context)
        page = context.new_page()
        pages.append(page)
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda one: _refuse_foreign(one.url, address, problems))
        if answers is not None:
            page.service = FakeService(answers)
            page.route("**/api/v1/**", page.service)
        page.goto(address)
        return page

    yield open_one
    for one in (*pages, *contexts):
        one.close()
    assert problems == []


def _refuse_foreign(url: str, address: str, problems: list[str]) -> None:
    if not url.startswith((address.split("#")[0], "blob:", "data:")):
        problems.append(f"the page asked {url}")


def colours_of(page: Any, selector: str) -> set[str]:
    """The colours that fill more than 1 % of a canvas."""
    return set(
        page.evaluate(
            """(selector) => {
              const canvas = document.querySelector(selector);
              const { data } = canvas.getContext("2d")
                .getImageData(0, 0, canvas.width, canvas.height);
              const counts = new Map();
              for (let i = 0; i < data.length; i += 4) {
                if (data[i + 3] !== 255) continue;
                const name = `${data[i]},${data[i + 1]},${data[i + 2]}`;
                counts.set(name, (counts.get(name) ?? 0) + 1);
              }
              return [...counts].filter(([, count]) => count > data.length / 400)
                .map(([name]) => name);
            }""",
            selector,
        )
    )


def test_a_recording_opens_with_video_timeline_and_summary(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"])
    wait_until(page, "document.querySelector('video')?.readyState >= 2")
    page.wait_for_selector("#summary table")
    assert page.title() == "pen.mp4, Vigilia"
    assert page.inner_text("#now .label").strip() == "wake"
    # Blue, orange and green of Okabe and Ito, for the three classes.
    assert {"0,114,178", "230,159,0", "0,158,115"} <= colours_of(page, ".paper")
    assert "9 s observed" in page.inner_text("#summary")
    assert "finished timeline" in page.inner_text("#memory")


def test_a_click_on_the_timeline_takes_the_video_there(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"])
    wait_until(page, "document.querySelector('video')?.readyState >= 2")
    box = page.locator("#chart").bounding_box()
    gutter = 84
    page.mouse.click(box["x"] + gutter + 0.8 * (box["width"] - gutter), box["y"] + 12)
    wait_until(page, "Math.abs(document.querySelector('video').currentTime - 8) < 0.1")
    assert page.inner_text("#now .label").strip() == "REM"
    assert "REM" in page.get_attribute("#chart", "aria-valuetext")


def test_doubt_is_corrected_by_keyboard_and_undone(
    open_page: Callable[..., Any], addresses: dict[str, str], folder: Path
) -> None:
    page = open_page(addresses["pen.mp4"])
    page.wait_for_selector("#corrections .empty")
    page.fill("#by", "Anna")
    page.press("#by", "Tab")
    page.keyboard.press("n")
    wait_until(page, "document.querySelector('#review-note').textContent.includes('1 of 3')")
    assert "NREM, 0:00:04 to 0:00:06" in page.inner_text("#review-note")
    page.keyboard.press("3")
    page.wait_for_selector("#corrections table")
    # The next doubt comes by itself.
    wait_until(page, "document.querySelector('#review-note').textContent.includes('2 of 3: REM')")
    table = folder / "pen.mp4.corrections.csv"
    (row,) = csv.DictReader(table.open())
    assert (row["start_seconds"], row["end_seconds"]) == ("4", "6")
    assert (row["label"], row["comment"]) == ("REM", "Anna")
    page.keyboard.press("z")
    page.wait_for_selector("#corrections .empty")
    assert not table.exists()


def test_arrows_go_from_bout_to_bout_and_letters_in_a_field_do_nothing(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"])
    page.wait_for_selector("#corrections .empty")
    seen = []
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        seen.append(page.inner_text("#now .label").strip())
    assert seen == ["NREM", "unobserved", "REM"]
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#now .label").strip() == "unobserved"
    page.fill("#by", "")
    page.keyboard.type("n1z")
    assert page.inner_text("#review-note") == ""
    assert page.input_value("#by") == "n1z"


def drag_with_shift(page: Any, *seconds: float) -> None:
    """Drags over the timeline of ten seconds, from one moment to others."""
    box = page.locator("#chart").bounding_box()
    gutter = 84
    places = [box["x"] + gutter + one / 10 * (box["width"] - gutter) for one in seconds]
    page.keyboard.down("Shift")
    page.mouse.move(places[0], box["y"] + 12)
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(place, box["y"] + 12)
    page.mouse.up()
    page.keyboard.up("Shift")


def corrections_in(table: Path) -> list[tuple[float, float, str]]:
    return [
        (round(float(row["start_seconds"]), 1), round(float(row["end_seconds"]), 1), row["label"])
        for row in csv.DictReader(table.open())
    ]


def test_what_is_right_in_a_selection_is_said_bout_by_bout_and_undone_together(
    open_page: Callable[..., Any], addresses: dict[str, str], folder: Path
) -> None:
    page = open_page(addresses["pen.avi"])
    page.wait_for_selector("#corrections .empty")
    page.wait_for_selector("img.picture:not([hidden])")  # it moves the timeline down
    drag_with_shift(page, 3.0, 5.0, 9.0)
    assert page.inner_text("#target") == "selection 0:00:03 to 0:00:09"
    page.keyboard.press("Enter")
    note = "document.querySelector('#review-note').textContent"
    wait_until(page, f"{note} === '0:00:03 to 0:00:09 is right, 3 bouts.'")
    table = folder / "pen.avi.corrections.csv"
    # The hole from 6 to 7 has no label that could be right.
    assert corrections_in(table) == [(3.0, 4.0, "wake"), (4.0, 6.0, "NREM"), (7.0, 9.0, "REM")]
    page.keyboard.press("z")
    wait_until(page, f"{note} === 'Undone: 0:00:03 to 0:00:09.'")
    assert page.locator("#corrections .empty").count() == 1
    assert not table.exists()


def test_brackets_choose_what_a_key_labels_and_escape_drops_it(
    open_page: Callable[..., Any], addresses: dict[str, str], folder: Path
) -> None:
    page = open_page(addresses["pen.avi"])
    page.wait_for_selector("#corrections .empty")
    page.keyboard.press(".")
    page.keyboard.press("[")
    assert page.inner_text("#target") == "selection 0:00:01 to 0:00:04"
    for _ in range(4):
        page.keyboard.press(".")
    page.keyboard.press("]")
    assert page.inner_text("#target") == "selection 0:00:01 to 0:00:05"
    page.keyboard.press("Escape")
    assert page.inner_text("#target") == "bout 0:00:04 to 0:00:06"
    page.keyboard.press("]")
    page.keyboard.press("3")
    page.wait_for_selector("#corrections table")
    assert corrections_in(folder / "pen.avi.corrections.csv") == [(4.0, 5.0, "REM")]
    page.keyboard.press("z")
    page.wait_for_selector("#corrections .empty")


def test_where_nothing_is_labelled_nothing_can_be_right(
    open_page: Callable[..., Any], addresses: dict[str, str], folder: Path
) -> None:
    page = open_page(addresses["pen.avi"])
    page.wait_for_selector("#corrections .empty")
    page.wait_for_selector("img.picture:not([hidden])")  # it moves the timeline down
    drag_with_shift(page, 6.2, 6.8)
    page.keyboard.press("Enter")
    wait_until(page, "document.querySelector('#review-note').textContent.includes('no label here')")
    assert not (folder / "pen.avi.corrections.csv").exists()


def saved_for_training(page: Any) -> list[str]:
    """The lines of the table that the button saves."""
    with page.expect_download() as waiting:
        page.click("#corrections button:has-text('Save for training')")
    return Path(waiting.value.path()).read_text().splitlines()


def test_what_two_people_said_of_two_recordings_is_saved_for_training(
    open_page: Callable[..., Any], addresses: dict[str, str], tmp_path: Path
) -> None:
    tables = []
    for name in ("pen.mp4", "pen.avi"):
        page = open_page(addresses[name])
        page.wait_for_selector("#corrections .empty")
        page.keyboard.press("n")
        wait_until(page, "document.querySelector('#target').textContent.startsWith('sel')")
        for doubt, person, key in ((2, "Anna, Dr", "3"), (3, "Ben", "1")):
            page.fill("#by", person)
            page.press("#by", "Tab")
            page.keyboard.press(key)
            page.wait_for_selector(f"#corrections td:has-text('{person}')")
            wait_until(
                page, f"document.querySelector('#review-note').textContent.includes('{doubt} of 3')"
            )
        tables.append(saved_for_training(page))
        for _ in range(2):
            before = page.locator("#corrections tbody tr").count()
            page.keyboard.press("z")
            wait_until(
                page, f"document.querySelectorAll('#corrections tbody tr').length < {before}"
            )
    both = tmp_path / "both.csv"
    both.write_text("\n".join([*tables[0], *tables[1][1:], ""]))
    expected = (Interval(4.0, 6.0, "REM"), Interval(7.0, 10.0, "wake"))
    found = read_labels_of(both, ["/barn/pen.mp4", "/barn/pen.avi"])
    assert [labels.intervals for labels in found] == [expected, expected]


def test_a_video_that_browsers_cannot_play_is_shown_in_single_pictures(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.avi"])
    picture = page.wait_for_selector("img.picture:not([hidden])")
    assert picture.evaluate("one => one.naturalWidth") > 0
    before = picture.get_attribute("src")
    page.keyboard.press("ArrowRight")
    wait_until(page, f"document.querySelector('img.picture').src !== '{before}'")
    assert page.inner_text(".stills .number") == "0:00:04"


def test_a_download_has_the_corrections_if_asked(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.avi"])
    page.wait_for_selector("#downloads .buttons")
    page.keyboard.press("2")
    page.wait_for_selector("#corrections table")
    for corrected, name in ((True, "pen.corrected.csv"), (False, "pen.csv")):
        page.set_checked("#corrected", corrected)
        with page.expect_download() as waiting:
            page.click("#downloads .buttons button:has-text('CSV')")
        assert waiting.value.suggested_filename == name
    page.keyboard.press("Escape")
    page.click("#undo")
    page.wait_for_selector("#corrections .empty")


def test_a_phone_shows_everything_without_scrolling_sideways(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"], viewport={"width": 360, "height": 740}, has_touch=True)
    page.wait_for_selector("#summary table")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        """[...document.querySelectorAll("button")].filter((one) => one.offsetParent !== null
          && one.getBoundingClientRect().height < 32).map((one) => one.textContent)"""
    )
    assert small == []


def test_everything_that_can_be_pressed_has_a_name_and_can_be_reached(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"], color_scheme="dark", reduced_motion="reduce")
    page.wait_for_selector("#summary table")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, a, canvas[role=img], [role=slider]")]
          .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label")
            || one.labels?.length)).map((one) => one.outerHTML)"""
    )
    assert nameless == []
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(one => one.id || one.className)(document.activeElement)"))
    assert reached[0] == "skip"
    assert reached.index("theme") < reached.index("next-doubt")
    assert page.evaluate("document.getAnimations().length") == 0


def test_the_skip_link_moves_the_focus_and_nothing_else(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.avi"])
    page.wait_for_selector("#corrections .empty")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#now .number") == "0:00:04"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.inner_text("#now .number") == "0:00:04"
    assert page.url == addresses["pen.avi"]


LIVE: Answers = {
    "session": {"token_needed": False, "allowed": True},
    "formats": [],
    "streams": [
        stream("pen-1", machine="barn-2"),
        stream("<b>x</b>", status="reconnecting", problem="<i>no</i>"),
    ],
    "streams/pen-1/timeline": segments((0.0, 3000.0, "wake", 0.9), (3000.0, 3600.0, "REM", 0.8)),
    "streams/pen-1/memory": memory(),
    "streams/pen-1/corrections": [],
}


def test_cameras_are_tiles_that_events_keep_current_and_markup_stays_text(
    open_page: Callable[..., Any], addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = (
        'event: label\ndata: {"stream": "pen-1", "label": "wake", "confidence": 0.5, '
        '"since_seconds": 4, "start_seconds": 3602, "position_seconds": 3604, '
        '"lag_seconds": 2.5, "changed": true}\n\n'
    )
    monkeypatch.setattr(FakeService, "__init__", _with_events(told))
    page = open_page(addresses["pen.mp4"], LIVE)
    page.wait_for_selector(".tile")
    first, second = page.locator(".tile").all()
    assert first.locator("h2 span").first.inner_text() == "<b>x</b>"
    assert first.locator(".problem").inner_text() == "<i>no</i>"
    wait_until(page, "document.body.textContent.includes('lag 2.5 s')")
    assert second.locator(".state-line").inner_text().strip() == "wake"
    assert "last change 1:00:02" in second.locator(".facts").inner_text()
    assert "on barn-2" in second.locator(".facts").inner_text()
    assert page.inner_text(".toolbar").replace("\n", " ").split() == (
        ["Streams", "2:", "1", "running,", "1", "reconnecting"]
    )


def test_a_lost_connection_is_said_and_what_is_old_looks_old(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"], LIVE)
    page.wait_for_selector(".tile")
    page.service.events = None
    page.reload()
    page.wait_for_selector(".tile")
    wait_until(page, "document.body.classList.contains('stale')")
    assert "what you see is old" in page.inner_text("#connection")


def test_an_event_stream_that_was_refused_is_opened_again(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"], LIVE)
    page.wait_for_selector(".tile")
    page.service.events = 503
    page.reload()
    page.wait_for_selector(".tile")
    wait_until(page, "document.body.classList.contains('stale')")
    page.service.events = (
        'retry: 100000\n\nevent: label\ndata: {"stream": "pen-1", "label": "wake", '
        '"lag_seconds": 7.5}\n\n'
    )
    wait_until(page, "document.body.textContent.includes('lag 7.5 s')")


def test_a_service_that_no_longer_knows_the_page_is_given_its_token(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", LIVE)
    page.wait_for_selector("#summary")
    page.service.events = 401
    page.reload()
    page.wait_for_selector("#summary")
    page.service.answers = {**LIVE, "session": {"token_needed": True, "allowed": False}}
    page.wait_for_selector("[aria-label=Token]")
    assert page.inner_text("#connection") == ""
    page.service.events = "retry: 100000\n\n"
    page.service.answers = {
        **LIVE,
        "POST session": (401, {"error": "that is not the token"}),
    }
    page.fill("[aria-label=Token]", "guess")
    page.keyboard.press("Enter")
    wait_until(page, "document.body.textContent.includes('not the right one')")
    page.service.answers = {**LIVE, "POST session": {"token_needed": True, "allowed": True}}
    page.fill("[aria-label=Token]", "the token")
    page.keyboard.press("Enter")
    page.wait_for_selector("#summary")
    assert ("POST", "session", '{"token":"the token"}') in page.service.asked


def test_the_page_of_a_stream_says_how_it_is_doing(
    open_page: Callable[..., Any], addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = (
        'event: status\ndata: {"stream": "pen-1", "status": "reconnecting", "problem": "away"}\n\n'
    )
    monkeypatch.setattr(FakeService, "__init__", _with_events(told))
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", LIVE)
    wait_until(page, "document.querySelector('#condition')?.textContent.includes('away')")
    assert page.inner_text("#condition .badge") == "reconnecting"
    assert page.inner_text("#title") == "pen-1"


def _with_events(text: str) -> Callable[..., None]:
    def make(self: FakeService, answers: Answers) -> None:
        self.answers, self.asked = answers, []
        self.events = "retry: 100000\n\n" + text

    return make


def test_the_memory_of_a_camera_is_drawn_and_told(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", LIVE)
    page.wait_for_selector(".memory-stage canvas")
    assert page.locator(".memory-stage").count() == 2
    for canvas in page.locator(".memory-stage canvas").all():
        drawn, shown = canvas.evaluate("node => [node.width / devicePixelRatio, node.clientWidth]")
        assert abs(drawn - shown) <= 1, "it was drawn for another width"
    assert "1 min 56 s ago (31 %, REM then)" in page.inner_text(".memory-stage")
    page.click(".memory-stage details summary")
    row = page.locator(".memory-stage tbody tr").first
    assert "REM" in row.inner_text()
    row.locator("button").click()
    assert page.inner_text("#now .number") == "0:58:04"


def test_empty_and_broken_states_say_what_to_do(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"], {**LIVE, "streams": []})
    wait_until(page, "document.querySelector('#main').textContent.includes('No streams yet')")
    states: list[tuple[Answers, str, str]] = [
        ({"streams": (503, {"error": "the disk is full"})}, "#/", "the disk is full"),
        ({}, "#/stream/nothing", "There is no such stream"),
        ({"streams/pen-1/timeline": segments()}, "#/stream/pen-1", "Nothing is labelled yet"),
        (
            {
                "streams": [stream("pen-1", status="failed", problem="no such file")],
                "streams/pen-1/timeline": segments(),
            },
            "#/stream/pen-1",
            "It has failedno such file",
        ),
        ({"session": {"token_needed": True, "allowed": False}}, "#/", "asks for its token"),
    ]
    for changes, place, words in states:
        page.service.answers = {**LIVE, **changes}
        page.goto(addresses["pen.mp4"] + place)
        page.reload()
        wait_until(page, f"document.querySelector('#main').textContent.includes('{words}')")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("running", "no slots that could be shown"),
        ("stopped", "The stream is stopped"),
        ("ended", "finished timeline"),
    ],
)
def test_without_a_memory_to_show_the_page_says_why(
    open_page: Callable[..., Any], addresses: dict[str, str], status: str, words: str
) -> None:
    file = stream("pen-1", kind="file", source="/barn/pen.mp4", live=False, status=status)
    answers = {**LIVE, "streams": [file], "streams/pen-1/memory": {"seconds": 9.0, "stages": []}}
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", answers)
    page.wait_for_selector("#memory .empty")
    assert words in page.inner_text("#memory .empty")


def test_the_legend_names_what_comes_later(
    open_page: Callable[..., Any], addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stream of events ends and is opened again, so the page asks for what it missed.
    monkeypatch.setattr(FakeService, "__init__", _with_events("retry: 300\n\n"))
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", LIVE)
    page.wait_for_selector("#legend li")
    assert page.locator("#legend li").all_inner_texts() == ["wake", "REM"]
    page.service.answers = {
        **LIVE,
        "streams/pen-1/timeline": segments(
            (3000.0, 3600.0, "REM", 0.8), (3600.0, 3700.0, "NREM", 0.8), (3700.0, 3701.0, None, 0.0)
        ),
    }
    wait_until(page, "document.querySelectorAll('#legend li').length > 2")
    assert page.locator("#legend li").all_inner_texts() == ["wake", "NREM", "REM", "unobserved"]


def test_a_doubt_that_comes_later_is_not_passed_over(
    open_page: Callable[..., Any], addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeService, "__init__", _with_events("retry: 300\n\n"))
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", LIVE)
    page.wait_for_selector("#corrections .empty")
    said = "document.querySelector('#review-note').textContent"
    page.keyboard.press("n")
    wait_until(page, f"{said}.startsWith('Doubt 1 of 2: REM')")
    page.service.answers = {
        **LIVE,
        "streams/pen-1/timeline": segments(
            (3000.0, 3600.0, "REM", 0.8), (3600.0, 3620.0, "NREM", 0.4)
        ),
    }
    wait_until(page, "document.querySelector('#chart').getAttribute('aria-valuemax') === '3620.0'")
    page.keyboard.press("n")
    wait_until(page, f"{said}.startsWith('Doubt 1 of 3: NREM')")
    page.keyboard.press("n")
    wait_until(page, f"{said}.startsWith('Doubt 3 of 3: wake')")
    page.keyboard.press("p")
    wait_until(page, f"{said}.startsWith('Doubt 1 of 3: NREM')")
    page.keyboard.press("p")
    wait_until(page, f"{said}.startsWith('Doubt 2 of 3: REM')")


def test_half_a_minute_of_doubt_in_a_sure_bout_comes_first(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    sure, unsure, later = [0.97, 0.02, 0.01], [0.35, 0.33, 0.32], [0.1, 0.1, 0.8]
    answers = {
        **LIVE,
        "streams/pen-1/timeline": segments(
            (0.0, 1200.0, "wake", 0.95), (1200.0, 1800.0, "REM", 0.8)
        ),
        "streams/pen-1/seconds": {
            "start_seconds": 0.0,
            "step_seconds": 1.0,
            "probabilities": [sure] * 600 + [unsure] * 30 + [sure] * 570 + [later] * 600,
        },
    }
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", answers)
    page.wait_for_selector("#corrections .empty")
    for told in (
        "Doubt 1 of 4: wake, 0:10:00 to 0:10:30, confidence 0.35.",
        "Doubt 2 of 4: REM, 0:20:00 to 0:30:00, confidence 0.80.",
        "Doubt 3 of 4: wake, 0:00:00 to 0:10:00, confidence 0.97.",
    ):
        page.keyboard.press("n")
        wait_until(page, f"document.querySelector('#review-note').textContent === '{told}'")


def said(id: int, start: float, end: float, label: str | None, by: str = "") -> dict[str, Any]:
    return {
        "id": id,
        "start_seconds": start,
        "end_seconds": end,
        "label": label,
        "by": by,
        "written_at": 0.0,
    }


def test_the_table_of_a_camera_has_its_name_and_the_time_on_the_wall(
    open_page: Callable[..., Any], addresses: dict[str, str], tmp_path: Path
) -> None:
    answers = {
        **LIVE,
        "streams/pen-1/timeline": {
            **segments((0.0, 3600.0, "wake", 0.9)),
            "wall_start": 1_795_302_000.0,
        },
        "streams/pen-1/corrections": [said(1, 60.0, 70.5, "REM", "Anna"), said(2, 80, 90, None)],
    }
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", answers)
    page.wait_for_selector("#corrections table")
    lines = saved_for_training(page)
    assert lines == [
        "recording,start_seconds,end_seconds,label,comment,wall_start",
        "pen-1,60,70.5,REM,Anna,2026-11-21T23:01:00.000Z",
        "pen-1,80,90,unobserved,,2026-11-21T23:01:20.000Z",
    ]
    table = tmp_path / "pen-1.csv"
    table.write_text("\n".join([*lines, ""]))
    (labels,) = read_labels_of(table, ["pen-1"])
    assert labels.intervals == (Interval(60.0, 70.5, "REM"),)


def test_the_table_of_a_folder_counts_in_each_file(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    chunks = [
        {"part": k, "name": f"cam2_{k}.mp4", "offset_seconds": offset}
        for k, offset in enumerate((0.0, 600.0, None))
    ]
    answers = {
        **LIVE,
        "streams": [stream("night", kind="folder", source="/srv/cam2", live=False)],
        "streams/night/timeline": segments((0.0, 1200.0, "wake", 0.9)),
        "streams/night/corrections": [said(1, 590.0, 610.0, "REM"), said(2, 700.0, 701.0, "wake")],
        "streams/night/parts": chunks,
    }
    page = open_page(addresses["pen.mp4"] + "#/stream/night", answers)
    page.wait_for_selector("#corrections table")
    assert saved_for_training(page)[1:] == [
        "cam2_0.mp4,590,600,REM,",
        "cam2_1.mp4,0,10,REM,",
        "cam2_1.mp4,100,101,wake,",
    ]


def test_more_bouts_than_anybody_has_looked_at_are_not_right_at_once(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    bouts = [(10.0 * k, 10.0 * (k + 1), ("wake", "REM")[k % 2], 0.9) for k in range(300)]
    answers = {**LIVE, "streams/pen-1/timeline": segments(*bouts)}
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", answers)
    page.wait_for_selector("#corrections .empty")
    drag_with_shift(page, 0.0, 5.0, 10.0)
    page.keyboard.press("Enter")
    note = "document.querySelector('#review-note').textContent"
    wait_until(page, f"{note} === 'These are 300 bouts; confirm 200 at most at once.'")
    assert not [one for one in page.service.asked if one[0] == "POST"]


def test_of_several_bouts_those_that_are_saved_stay_and_can_be_undone(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    replies = iter([(201, said(7, 0.0, 3000.0, "wake")), (503, {"error": "the disk is full"})])
    answers = {
        **LIVE,
        "streams/pen-1/corrections": [],
        "POST streams/pen-1/corrections": lambda path: next(replies),
        "DELETE streams/pen-1/corrections": (204, None),
    }
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", answers)
    page.wait_for_selector("#corrections .empty")
    drag_with_shift(page, 0.0, 5.0, 10.0)
    page.keyboard.press("Enter")
    page.wait_for_selector("#corrections table")
    assert page.inner_text("#review-note") == "1 of 2 are saved: the disk is full"
    page.keyboard.press("z")
    page.wait_for_selector("#corrections .empty")
    assert ("DELETE", "streams/pen-1/corrections?id=7", "") in page.service.asked


def test_a_correction_that_cannot_be_saved_is_said_and_nothing_changes(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    answers = {**LIVE, "POST streams/pen-1/corrections": (503, {"error": "the disk is full"})}
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", answers)
    page.wait_for_selector("#corrections .empty")
    page.keyboard.press("1")
    wait_until(
        page, "document.querySelector('#review-note').textContent === 'Not saved: the disk is full'"
    )
    assert page.inner_text("#now .label").strip() == "REM"
    assert page.inner_text("#announcer") == "Not saved: the disk is full"


def test_a_million_seconds_scroll_smoothly(
    open_page: Callable[..., Any], addresses: dict[str, str]
) -> None:
    page = open_page(addresses["pen.mp4"] + "#/stream/pen-1", LIVE)
    page.wait_for_selector("#corrections .empty")
    # 200,000 bouts over 1,000,000 seconds, through the page's own modules.
    found = page.evaluate(
        """async () => {
          const { Segments } = await import("./segments.js");
          const { View } = await import("./view.js");
          const { layout, paint } = await import("./paint.js");
          const n = 200_000;
          const starts = Float64Array.from({ length: n }, (_, i) => 5 * i);
          const shown = new Segments(starts, starts.map((one) => one + 5),
            Int16Array.from({ length: n }, (_, i) => (i * 7919) % 4 - 1),
            Float32Array.from({ length: n }, (_, i) => ((i * 31) % 100) / 100));
          const model = { shown, truth: null, names: ["a", "b", "c"], groups: [0, 1, 2],
            order: [0, 1, 2], colours: [0, 1, 2], density: null, wallStart: null };
          const view = new View(0, 1e6);
          const rows = layout(model, false);
          const canvas = document.createElement("canvas");
          canvas.width = 1300; canvas.height = 300;
          const options = { width: 1300, gutter: 84, ratio: 1, ink: "#000", faint: "#555",
            line: "#ccc", hatch: "#bbb" };
          const times = [];
          for (let frame = 0; frame < 40; frame += 1) {
            const before = performance.now();
            paint(canvas.getContext("2d"), model, view, rows, options);
            times.push(performance.now() - before);
            view.zoom(0.8, 4e5);
            view.pan(view.span / 50);
          }
          // The sums over the coarse grid are those of the segments.
          const exact = shown.totals(3);
          const { shares } = shown.columns(0, 1e6, 500, model.groups, 3);
          const sums = [0, 1, 2].map((group) => 2000 * Array.from(shares)
            .filter((_, at) => at % 4 === group).reduce((a, b) => a + b, 0));
          return { times: times.sort((a, b) => a - b), exact: [...exact], sums };
        }"""
    )
    np.testing.assert_allclose(found["sums"], found["exact"], rtol=1e-3)
    assert found["times"][20] < 50, "half of the frames take longer than 50 ms"


def test_a_player_counts_from_the_zero_of_the_container(
    open_page: Callable[..., Any], tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    video = make_video(
        tmp_path / "late.mkv", times=[3000 + 125 * k for k in range(80)], codec="h264"
    )
    timeline = Timeline(("a", "b"), (Segment(3.0, 8.0, "a", 0.9), Segment(8.0, 13.0, "b", 0.9)))
    file = CorrectionFile(tmp_path / "c.csv", timeline)
    with served(ViewedRecording(video, timeline, file)) as address:
        page = open_page(address)
        wait_until(page, "document.querySelector('video')?.readyState >= 2")
        assert abs(page.evaluate("document.querySelector('video').duration") - 13) < 0.5
        page.keyboard.press("ArrowRight")
        wait_until(page, "Math.abs(document.querySelector('video').currentTime - 8) < 0.1")
        assert page.inner_text("#now .label").strip() == "b"
