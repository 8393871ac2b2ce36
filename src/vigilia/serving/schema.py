"""What the API says: one TypedDict an answer, the page's and every client's reference.

Conventions
- Times are seconds on the stream's own clock, half-open. A recording's are its container's; a
  camera's count from `wall_start`. `wall_start + seconds` is the time on the wall, if it is known.
- A label is one of the stream's `classes`; `null` is a hole: nothing was observed.
- `{name}` is a stream's name: letters, digits, `-`, `_` and `.`, at most 64.
- Errors are `{"error": "one line"}` with status 400 (bad value), 401 (no token), 403 (another
  site's page), 404 (no such stream), 408 (too slow), 409 (not in this state), 413 (too large),
  415 (not JSON), 421 (not known under that name), 500 (a mistake of the service), 503 (results
  cannot be read or written now). `openapi.py` says which of them a route may answer.
- Where the service has a token, send `Authorization: Bearer TOKEN`. A page cannot do that for
  `<video>` and `EventSource`: it posts `{"token": ...}` to `/api/v1/session` once and gets a cookie
  (HttpOnly, SameSite=Strict). `GET /api/v1/session` says whether a token is needed and given.
- Bodies are JSON with `Content-Type: application/json`.

GET    /api/v1/session                          Session
POST   /api/v1/session                          {"token": str} -> Session, sets the cookie
GET    /api/v1/streams                          list[Stream]
POST   /api/v1/streams                          NewStream -> Stream (201)
DELETE /api/v1/streams/{name}                   ?forget=true deletes its results, too -> 204
POST   /api/v1/streams/{name}/start | /stop     Stream
GET    /api/v1/streams/{name}/timeline          ?from=&to= -> TimelineView
GET    /api/v1/streams/{name}/seconds           ?from=&to=&points=4000 -> SecondsView
GET    /api/v1/streams/{name}/memory            MemoryView
GET    /api/v1/streams/{name}/frame.jpg         ?seconds= of a recording; else the latest frame
GET    /api/v1/streams/{name}/parts             list[Part], recordings only
GET    /api/v1/streams/{name}/video             ?part=0, with range requests; recordings only
GET    /api/v1/streams/{name}/corrections       list[Correction]
POST   /api/v1/streams/{name}/corrections       NewCorrection -> Correction (201)
DELETE /api/v1/streams/{name}/corrections       ?id= -> 204
GET    /api/v1/streams/{name}/export            ?format=&corrected=&from=&to=&epoch_seconds= -> file
GET    /api/v1/streams/{name}/summary           ?corrected=&from=&to= -> SummaryView
GET    /api/v1/machines                         list[MachineView]
POST   /api/v1/machines/{id}/drain | /use       MachineView: no streams there from now on, or again
GET    /api/v1/formats                          list[ExportFormat]
GET    /api/v1/events                           server-sent events, see schema_events.py
GET    /healthz, /readyz, /metrics
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

# Pydantic, which checks the answers, takes these from there only, up to Python 3.11.
from typing_extensions import TypedDict

__all__ = [
    "ClassSummaryView",
    "Correction",
    "ErrorView",
    "ExportFormat",
    "Kind",
    "MachineView",
    "MemorySlot",
    "MemoryStage",
    "MemoryView",
    "NewCorrection",
    "NewStream",
    "Part",
    "SecondsView",
    "SegmentView",
    "Session",
    "Status",
    "Stream",
    "SummaryView",
    "TimelineView",
    "TransitionsView",
]

Kind = Literal["file", "folder", "device", "address"]

Status = Literal["running", "waiting", "reconnecting", "stopped", "ended", "failed"]
"""running: frames come. waiting: it was started and no frame has come yet, or a followed folder
has nothing new. reconnecting: a camera is away. stopped: by a person. ended: a recording is read
through. failed: `problem` says why."""


class ErrorView(TypedDict):
    """Why not, in one line."""

    error: str


class Session(TypedDict):
    """Whether this client may use the API."""

    token_needed: bool
    allowed: bool


class Stream(TypedDict):
    """One stream, now.

    label: the state now; None in a hole and before the first result.
    confidence: the model's probability of `label` in the last result, 0 to 1.
    since_seconds: for how long `label` has held.
    last_change_seconds: when on the stream's clock it began.
    position_seconds: up to where everything is labelled; None before the first result.
    start_seconds: where its timeline begins; None before the first result.
    duration_seconds: of a recording, as its header says; None if it does not, and for cameras.
    lag_seconds: from the last clip's last frame to its result.
    wall_start: Unix time at 0 seconds; None where it is not known.
    problem: one line, empty if there is none; never holds a password.
    live: a camera: it has no end.
    reconnects: connections that broke since the service was started.
    dropped: clips lost since then because stepping was too slow; they are holes.
    machine: of a cluster, that watches it; None where there is none.
    """

    name: str
    kind: Kind
    source: str
    live: bool
    status: Status
    problem: str
    classes: list[str]
    label: str | None
    confidence: float | None
    since_seconds: float | None
    last_change_seconds: float | None
    position_seconds: float | None
    start_seconds: float | None
    duration_seconds: float | None
    lag_seconds: float | None
    wall_start: float | None
    reconnects: int
    dropped: int
    machine: str | None


class NewStream(TypedDict):
    """A stream to add; the keys are those of `[[streams]]` in the configuration."""

    name: str
    source: str
    wall_start: NotRequired[str | float]
    follow: NotRequired[bool]
    realtime: NotRequired[bool]
    gate: NotRequired[bool]
    smooth_seconds: NotRequired[float]
    hysteresis: NotRequired[float]
    minimum_bout_seconds: NotRequired[float]
    max_gap_seconds: NotRequired[float]


class SegmentView(TypedDict):
    """A stretch of one label; None where nothing was observed. `confidence` is its mean."""

    start_seconds: float
    end_seconds: float
    label: str | None
    confidence: float


class TimelineView(TypedDict):
    """What happened in [from, to): the segments that touch it, uncut, the last one still running.

    until_seconds: up to where everything is labelled.
    truth: hand labels, where the configuration names a file of them.
    truncated: there are more than 20,000 segments; ask for less time.
    """

    classes: list[str]
    segments: list[SegmentView]
    until_seconds: float | None
    wall_start: float | None
    truth: list[SegmentView] | None
    truncated: bool


class SecondsView(TypedDict):
    """Probabilities on a regular grid from `start_seconds`, one row (K,) a step.

    A row of None is a hole. Where [from, to) has more cells than `points`, cells are averaged in
    groups and `step_seconds` grows accordingly.
    """

    start_seconds: float
    step_seconds: float
    probabilities: list[list[float] | None]


class MemorySlot(TypedDict):
    """One remembered stretch.

    age_seconds: since the clip (the mean clip, if several were merged) ended.
    span_clips: written clips it stands for.
    attention: its share of what the last clip read in this stage, 0 to 1.
    """

    age_seconds: float
    span_clips: int
    attention: float


class MemoryStage(TypedDict):
    """One stage of the backbone; slots oldest first. All attention of a stage adds up to 1."""

    stage: int
    slots: list[MemorySlot]
    feedback_attention: float
    nothing_attention: float


class MemoryView(TypedDict):
    """What the last clip read from memory. No stages: this memory has no slots, or nothing yet.

    seconds: when that clip ended; a slot's moment is `seconds - age_seconds`.
    """

    seconds: float | None
    stages: list[MemoryStage]


class Part(TypedDict):
    """A file of a recording. Its own time t is `t + offset_seconds` on the stream's clock."""

    part: int
    name: str
    offset_seconds: float | None


class NewCorrection(TypedDict):
    """What a person says about [start_seconds, end_seconds); label None: cannot be seen."""

    start_seconds: float
    end_seconds: float
    label: str | None
    by: NotRequired[str]


class Correction(TypedDict):
    """A correction that is kept; where two overlap the later one counts.

    written_at: Unix time.
    """

    id: int
    start_seconds: float
    end_seconds: float
    label: str | None
    by: str
    written_at: float


class ClassSummaryView(TypedDict):
    """How one class filled the time; shares are of the observed time."""

    label: str
    seconds: float
    share: float
    bouts: int
    mean_bout_seconds: float
    median_bout_seconds: float
    latency_seconds: float | None


class TransitionsView(TypedDict):
    """Which state followed which at once: rows from, columns to, of the labels that occur."""

    labels: list[str]
    counts: list[list[int]]


class SummaryView(TypedDict):
    """How the classes filled the time.

    sleep: the fields of `vigilia.evaluation.SleepFigures`; None where the classes are not those of
        sleep.
    """

    classes: list[ClassSummaryView]
    observed_seconds: float
    unobserved_seconds: float
    start_seconds: float
    end_seconds: float
    transitions: TransitionsView
    sleep: dict[str, Any] | None


class MachineView(TypedDict):
    """Where streams are stepped.

    streams: those that it has.
    room: how many it can have.
    drained: it is to have none; once `streams` is empty it can be taken away.
    """

    id: str
    host: str
    streams: list[str]
    room: int
    drained: bool


class ExportFormat(TypedDict):
    """A download. `format` goes into the address; `suffix` is the file's ending."""

    format: str
    title: str
    suffix: str
