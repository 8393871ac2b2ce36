"""What the benchmarks of the service share: a small model, films, and the service as a process."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import sys
import time
import urllib.request
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import nn

from vigilia.checkpoint import save_model
from vigilia.stream import create_model

os.environ.setdefault("OMP_NUM_THREADS", "1")

__all__ = ["ServiceProcess", "film", "quantile", "small_model"]


def small_model(path: Path) -> None:
    """A model whose memory matters, of a few milliseconds a step."""
    torch.manual_seed(0)
    model = create_model(
        "swin3d_nano",
        classes=("rest", "walk", "eat"),
        memory="fam",
        slots=3,
        summary_tokens=4,
        feedback_tokens=4,
        write_every=1,
        clip_frames=8,
        stride_frames=4,
        height=32,
        width=32,
    )
    with torch.no_grad():
        for parameter in model.memory.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        nn.init.normal_(model.head.weight)
    model.card = {"trained_on": "noise"}
    save_model(model.eval(), path)


def film(
    path: Path, seconds: int, seed: int = 0, *, hole_seconds: int = 0, ticks_a_second: int = 1000
) -> Path:
    """Noise whose brightness jumps, 8 small frames a second, with a hole in the middle if asked.

    With 8 ticks a second FFmpeg knows at once how fast a camera is, with more it looks for seconds.
    """
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, ticks_a_second)
        for number in range(8 * seconds):
            level = np.random.default_rng(seed + number // 11).integers(0, 200)
            picture = (random.integers(0, 56, (48, 64, 3)) + level).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            hole = ticks_a_second * hole_seconds if number > 4 * seconds else 0
            frame.pts = ticks_a_second * number // 8 + hole
            frame.time_base = Fraction(1, ticks_a_second)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class ServiceProcess:
    """`vigilia serve` as a process that can be killed and started again.

    Args:
        folder: for its configuration and data.
        config: its TOML, without `bind`.
    """

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        self.address = ""
        self.log = folder / "log.txt"
        self._file = folder / "serve.toml"
        self._file.write_text('bind = "127.0.0.1:0"\n' + config)
        self._lives = 0
        # Many lives should not load torch many times.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["vigilia.cli.serve", "vigilia.serving.server"])
        self._process: Any = None

    def start(self, within_seconds: float = 300.0) -> float:
        """Starts it; how many seconds it took until it answered."""
        began = time.monotonic()
        self._lives += 1
        self.log = self.folder / f"log-{self._lives}.txt"
        self._process = self._context.Process(target=_serve, args=(self._file, self.log))
        self._process.start()
        while time.monotonic() < began + within_seconds and self._process.is_alive():
            text = self.log.read_text() if self.log.exists() else ""
            if found := re.search(r"open (http\S+)", text):
                self.address = found[1]
                return time.monotonic() - began
            time.sleep(0.02)
        said = self.log.read_text() if self.log.exists() else "it has not come to say anything"
        raise SystemExit(f"the service did not begin:\n{said[-2000:]}")

    @property
    def running(self) -> bool:
        """Whether it does."""
        return self._process is not None and self._process.is_alive()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.join()

    def end(self) -> tuple[float, int]:
        """SIGTERM; seconds until it ended, and its exit status."""
        assert self._process is not None
        began = time.monotonic()
        self._process.terminate()
        self._process.join(120)
        status = self._process.exitcode
        return time.monotonic() - began, -1 if status is None else status

    def resident_bytes(self) -> int:
        """What it holds of the machine's memory."""
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        """What it has taken of the processors since it was started."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, path: str, body: Any = None, *, method: str = "GET") -> Any:
        """The JSON that it answers.

        Raises:
            OSError: it does not answer, or with an error.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.address}/api/v1/{path}",
            data,
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def _serve(file: Path, log: Path) -> None:
    """What the process does: the command `vigilia serve`."""
    from vigilia.cli.serve import serve

    with open(log, "w", buffering=1) as said:
        sys.stderr = said
        serve(file)


def quantile(values: list[float], share: float) -> float:
    """A quantile; NaN of nothing."""
    return float(np.quantile(values, share)) if values else float("nan")
