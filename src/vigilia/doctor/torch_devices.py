"""PyTorch: whether it works, on which devices, and whether bfloat16 is worth asking for."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from vigilia.doctor.findings import Finding

__all__ = ["bfloat16", "devices", "torch_itself"]


def torch_itself(folder: Path) -> Finding:
    """Whether torch and torchvision can be loaded, and fit each other."""
    try:
        import torch

        from vigilia.backbones._torchvision import import_torchvision
    except (ImportError, OSError) as error:
        text = f"torch cannot be loaded: {_line(error)}"
        return Finding("torch", "problem", text, "pip install --force-reinstall torch torchvision")
    try:
        import torchvision
    except ImportError as error:
        text = f"torchvision cannot be loaded: {_line(error)}"
        return Finding("torch", "problem", text, "pip install --force-reinstall torchvision")
    except RuntimeError:
        # Vigilia needs none of the operators that are missing then, and knows how to do without.
        text = f"torchvision {metadata.version('torchvision')} is built for another torch than"
        advice = "Vigilia can do without what is missing; other programs cannot: install a pair"
        import_torchvision()
        return Finding("torch", "note", f"{text} {torch.__version__}", advice)
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    found = f"{torch.__version__} {built}, torchvision {torchvision.__version__}"
    return Finding("torch", "ok", f"{found}, {torch.get_num_threads()} threads")


def devices(folder: Path) -> Iterator[Finding]:
    """The graphics cards that torch can use, and those that it could."""
    import torch

    for number in range(torch.cuda.device_count()):
        name = f"cuda:{number}"
        about = torch.cuda.get_device_properties(number)
        try:
            torch.ones(1, device=name).cpu()
        except RuntimeError as error:
            yield Finding(
                *(f"device {name}", "problem", f"{about.name}: {_line(error)}"),
                "update its driver, or install the PyTorch that fits it",
            )
            continue
        found = f"{about.name}, {about.total_memory / 1e9:.0f} GB; --device {name}"
        yield Finding(f"device {name}", "ok", found)
    if torch.backends.mps.is_available():
        yield Finding("device mps", "ok", "graphics of Apple; --device mps")
    if not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        yield Finding(
            *("device cuda", "note", f"an NVIDIA driver, but torch {_version()} cannot use it"),
            "install PyTorch for CUDA: its site, pytorch.org, shows the command",
        )
    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding("device cpu", "ok", f"{capability}; --device cpu")


def bfloat16(folder: Path) -> Finding:
    """Whether lower precision is faster here."""
    import torch

    from vigilia.running.model import fast_dtype

    names = ["cuda"] if torch.cuda.is_available() else []
    fast = [name for name in (*names, "cpu") if fast_dtype(torch.device(name)) is not None]
    if fast:
        return Finding("bfloat16", "ok", f"fast on {' and '.join(fast)}; --precision bfloat16")
    return Finding("bfloat16", "ok", "no instructions for it here; stay with float32")


def _version() -> str:
    return metadata.version("torch")


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n", 1)[0][:160]
