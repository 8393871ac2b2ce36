"""`vigilia serve --ray` on several nodes: one dies, the service dies, one is drained.

Nothing is lost, nothing is twice, the labels are those of a single process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_nodes import ENVIRONMENT, add_node, cluster

import vigilia
from vigilia.serving.journal import Journal
from vigilia.serving.looped_camera import LoopedCameras
from vigilia.serving.reading import Reader

__all__ = ["cluster"]  # a fixture

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="nodes are killed as Linux processes"),
]

STEPS = 120  # of each recording
SECONDS = float(STEPS)


class Service:
    """`vigilia serve --ray` as a process."""

    def __init__(self, config: Path, address: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vigilia", "serve", str(config), "--ray", address],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )
        assert self.process.stderr is not None
        self.said: list[str] = []
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"open (http\S+)", line):
                self.address = found[1]
                return
        pytest.fail("the service did not begin:\n" + "".join(self.said))

    def ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"{self.address}/api/v1/{path}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def streams(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self.ask("streams")}

    def streams_on(self, id: str) -> list[str]:
        return next(one["streams"] for one in self.ask("machines") if one["id"] == id)

    def wait(self, condition: Callable[[dict[str, dict[str, Any]]], object]) -> Any:
        """Waits until something holds of the streams."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            streams = self.streams()
            failed = [one["problem"] for one in streams.values() if one["status"] == "failed"]
            assert not failed, failed
            if condition(streams):
                return streams
            time.sleep(0.02)
        pytest.fail(f"waited in vain: {self.streams()}, {self.ask('machines')}")

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@contextlib.contextmanager
def serving(config: Path, address: str) -> Iterator[Service]:
    service = Service(config, address)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait()


def all_at(seconds: float) -> Callable[[dict[str, dict[str, Any]]], bool]:
    return lambda streams: all(
        (one["position_seconds"] or 0) >= seconds for one in streams.values()
    )


def ended(streams: dict[str, dict[str, Any]]) -> bool:
    return all(one["status"] == "ended" for one in streams.values())


def rows_of(data: Path, name: str) -> list[tuple[float, float, bytes | None]]:
    """What the journal has of a stream, which must tile its time."""
    rows = list(Reader(data / "journal.sqlite").rows(name))
    for (_, end, _), (start, _, _) in itertools.pairwise(rows):
        assert abs(end - start) < 1e-6, "a second is missing or there twice"
    return rows


def is_of_one_process(data: Path, name: str, video: Path, model: Path) -> None:
    rows_of(data, name)
    alone = vigilia.run(video, model=str(model))
    journal = Journal(data / "journal.sqlite")
    cursor, reader = journal.reopen(name), Reader(journal.path)
    assert tuple(reader.segments(cursor, -1e18, 1e18, most=10**6)) == alone.segments
    assert reader.scores(cursor, -1e18, 1e18) == alone.scores
    journal.close()


def test_a_node_dies_then_the_service_and_all_labels_are_those_of_a_single_process(
    cluster: Any, make_video: Callable[..., Path], model_files: dict[str, Path], tmp_path: Path
) -> None:
    videos = [make_video(tmp_path / f"{name}.mkv", 8 * STEPS, seed=name) for name in range(4)]
    config = tmp_path / "serve.toml"
    config.write_text(
        f'bind = "127.0.0.1:0"\nmodel = "{model_files["fam"]}"\nsnapshot_seconds = 0.2\n'
        + "".join(f'[[streams]]\nname = "{one.stem}"\nsource = "{one}"\n' for one in videos)
    )
    with serving(config, cluster.address) as service:
        service.wait(all_at(0.1 * SECONDS))
        machines = [len(one["streams"]) for one in service.ask("machines")]
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        service.wait(all_at(0.5 * SECONDS))
        service.process.kill()
        service.process.wait()
    assert machines == [2, 2]
    positions = {one.stem: rows_of(tmp_path / "vigilia-data", one.stem)[-1][1] for one in videos}
    assert min(positions.values()) < SECONDS, "it was killed in the middle"
    with serving(config, cluster.address) as service:
        service.wait(ended)
        counts = re.findall(
            r'vigilia_stream_clips_total\{outcome="stepped",stream="(\d)"\} (\S+)',
            urllib.request.urlopen(f"{service.address}/metrics", timeout=30).read().decode(),
        )
        assert service.end() == 0
    for name, stepped in counts:
        assert float(stepped) < STEPS, f"{name} went on from its snapshot"
    for video in videos:
        is_of_one_process(tmp_path / "vigilia-data", video.stem, video, model_files["fam"])


@pytest.mark.cluster
def test_a_node_is_drained_and_no_second_is_lost_or_labelled_twice(
    cluster: Any, make_video: Callable[..., Path], model_files: dict[str, Path], tmp_path: Path
) -> None:
    video = make_video(tmp_path / "night.mkv", 8 * 30, seed=3)
    film = make_video(tmp_path / "film.mp4", 80)
    with LoopedCameras({"pen": film, "yard": film}) as cameras:
        config = tmp_path / "serve.toml"
        config.write_text(
            f'bind = "127.0.0.1:0"\nmodel = "{model_files["fam"]}"\nsnapshot_seconds = 3600\n'
            f'[[streams]]\nname = "night"\nsource = "{video}"\nrealtime = true\n'
            + "".join(
                f'[[streams]]\nname = "{name}"\nsource = "{cameras.address(name)}"\n'
                for name in cameras.films
            )
        )
        with serving(config, cluster.address) as service:
            before = service.wait(all_at(3))
            id = next(one["id"] for one in service.ask("machines") if "pen" in one["streams"])
            service.ask(f"machines/{id}/drain", "POST")
            at = {name: one["position_seconds"] for name, one in before.items()}
            service.wait(lambda _: not service.streams_on(id))
            moved = service.streams()["pen"]["position_seconds"]
            add_node(cluster, processors=1)
            service.wait(lambda streams: streams["pen"]["position_seconds"] > moved + 5)
            service.wait(lambda streams: streams["night"]["status"] == "ended")
            assert service.end() == 0
    is_of_one_process(tmp_path / "vigilia-data", "night", video, model_files["fam"])
    for name in cameras.films:
        rows = rows_of(tmp_path / "vigilia-data", name)
        unseen = [row for row in rows if row[2] is None and row[1] > at[name]]
        assert unseen == [], f"{name} was not watched for a while"
