"""A file shown again and again as a camera shows itself: for trials, tests and soaks.

python -m vigilia.serving.looped_camera barn.mp4 --port 8554

Matroska over HTTP at the pace of the file's own timestamps; nothing is encoded anew. Where the file
ends it begins again while time goes on, so a client sees a camera without an end.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import av

from vigilia.errors import VideoError

__all__ = ["LoopedCameras"]


class LoopedCameras:
    """Cameras on a port of this machine; used as a context.

    Args:
        films: a camera's name to its file.
        port: 0 takes a free one.

    Attributes:
        frozen: names of cameras that keep their connections and send nothing.
        away: names of cameras that answer nobody, and hang up on who is connected.
    """

    def __init__(self, films: Mapping[str, Path], *, port: int = 0) -> None:
        self.films = dict(films)
        self.frozen: set[str] = set()
        self.away: set[str] = set()
        self._ended = threading.Event()
        cameras = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                cameras._answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True

    def address(self, name: str) -> str:
        """Where a camera can be watched."""
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def __enter__(self) -> LoopedCameras:
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.strip("/")
        if name not in self.films or name in self.away:
            request.send_error(503 if name in self.films else 404)
            return
        request.send_response(200)
        request.send_header("Content-Type", "video/x-matroska")
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        try:
            _show(self.films[name], request.wfile, self._pace(name))
        except (OSError, av.FFmpegError):
            return  # the client has hung up

    def _pace(self, name: str) -> Callable[[float], bool]:
        """A function that waits for a second of a connection; False if it is to be hung up."""
        began = time.monotonic()

        def wait(seconds: float) -> bool:
            while not self._ended.is_set() and name not in self.away:
                early = seconds - (time.monotonic() - began)
                if early <= 0 and name not in self.frozen:
                    return True
                self._ended.wait(min(0.1, max(0.001, early)))
            return False

        return wait


def _show(film: Path, wire: BufferedIOBase, wait: Callable[[float], bool]) -> None:
    """Sends the packets of a film, over and over, each at its time, until it is to hang up."""
    with av.open(_Wire(wire), "w", format="matroska", options=_LIVE) as shown:
        stream: Any = None
        behind = 0.0
        while True:
            with av.open(str(film)) as container:
                source = container.streams.video[0]
                if stream is None:
                    stream = shown.add_stream_from_template(source)
                end = 0.0
                for packet in container.demux(source):
                    if packet.dts is None or packet.pts is None or packet.time_base is None:
                        continue
                    base = float(packet.time_base)
                    end = max(end, (packet.pts + (packet.duration or 0)) * base)
                    due = behind + packet.dts * base
                    packet.pts += round(behind / base)
                    packet.dts += round(behind / base)
                    if not wait(due):
                        return
                    packet.stream = stream
                    shown.mux(packet)
            if end <= 0:
                raise VideoError(f"{film}: has no packets with times; name another film")
            behind += end


_LIVE = {"live": "1", "cluster_time_limit": "50", "flush_packets": "1"}


class _Wire:
    """What PyAV writes to: no seeking."""

    def __init__(self, wire: BufferedIOBase) -> None:
        self._wire = wire

    def write(self, data: bytes) -> int:
        self._wire.write(data)
        return len(data)


def main() -> None:
    """Shows files until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", nargs="+", type=Path)
    parser.add_argument("--port", type=int, default=8554)
    options = parser.parse_args()
    with LoopedCameras({one.stem: one for one in options.films}, port=options.port) as cameras:
        for name in cameras.films:
            parser._print_message(f"{cameras.address(name)}\n")
        threading.Event().wait()


if __name__ == "__main__":
    main()
