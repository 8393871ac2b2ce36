"""The pages of the site that are written by the code itself: commands, Python, model cards.

`mkdocs build` calls this as a hook (mkdocs.yml), so these pages are never older than the code.

python scripts/docs_pages.py OUT/    writes them as Markdown
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MODULES = (
    *("vigilia", "vigilia.video", "vigilia.stream", "vigilia.memory", "vigilia.backbones"),
    *("vigilia.timeline", "vigilia.running", "vigilia.engine", "vigilia.training"),
    *("vigilia.evaluation", "vigilia.relevance", "vigilia.events", "vigilia.spiking"),
    *("vigilia.export", "vigilia.scale", "vigilia.simulate", "vigilia.errors"),
)
SECTIONS = ("Args", "Returns", "Yields", "Raises", "Attributes")

COMMANDS = """# Commands

What `--help` says. Exit codes: 0 done; 1 `labels check` or `doctor` found something; 2 the input or
the options cannot be used, and one line says why; 130 interrupted. `vigilia --install-completion`
teaches them to your shell.

"""
PYTHON = """# Python

Every name that a package says is public. Times are seconds; shapes come first in a description, in
the letters of its file.
"""
CARDS = """# Model cards

A model file carries its card: what it was trained on, how it was tested, its weakest class.
`vigilia train` writes one beside every model, as `MODEL.safetensors.card.md`;
`vigilia.load_model(path).card` is the same as a dict.

These are the cards of the models that come with the package. There are no weights for real animals
among them.
"""


# Commands.


def commands_page() -> str:
    """Every command with its arguments and options."""
    import typer

    from vigilia.cli import app

    group: Any = typer.main.get_command(app)
    return COMMANDS + "\n".join(_commands(group, "vigilia")) + "\n"


def _commands(group: Any, path: str) -> Iterator[str]:
    for name in sorted(group.commands):
        command = group.commands[name]
        full = f"{path} {name}"
        yield from (f"## {full}", "", _prose(command.help or ""), "")
        if hasattr(command, "commands"):
            yield from (line.replace("## ", "### ", 1) for line in _commands(command, full))
            continue
        rows = [_parameter(one) for one in command.params if one.name != "help"]
        yield from ("| argument or option | |", "| --- | --- |", *rows, "")


def _parameter(one: Any) -> str:
    names = ", ".join(f"`{name}`" for name in one.opts) if one.opts[0][0] == "-" else ""
    shown = names or f"`{one.metavar or one.name.upper()}`"
    words = " ".join((getattr(one, "help", None) or "").split())
    default = one.default
    if not callable(default) and default not in (None, False, ()) and "[default" not in words:
        words += f" [default: {default}]"
    return f"| {shown} | {_cell(words)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _prose(text: str) -> str:
    """Help of a command: examples become code."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        "    " + one.strip() if one.startswith("    ") else one for one in paragraphs
    )


# Python.


def python_page() -> str:
    """Every public name, with its signature and docstring."""
    lines = [PYTHON]
    for name in MODULES:
        module = importlib.import_module(name)
        lines += [f"## {name}", "", *_docstring(_first_paragraph(module)), ""]
        for public in module.__all__:
            thing = getattr(module, public)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                lines += _thing(public, thing)
    return "\n".join(lines) + "\n"


def _first_paragraph(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0]


def _thing(name: str, thing: Any) -> Iterator[str]:
    try:
        signature = str(inspect.signature(thing))
    except (TypeError, ValueError):
        signature = "()"
    # Values that print where they lie in memory would change from build to build.
    signature = re.sub(r"<[^<>]* at 0x[0-9a-f]+>", "...", signature)
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)  # annotations are strings
    keyword = "class" if inspect.isclass(thing) else "def"
    text = f"{keyword} {name}{signature}"
    if len(text) > 96:
        text = _wrapped(text)
    yield from (f"### {name}", "", "```python", text, "```", "")
    yield from _docstring(inspect.getdoc(thing) or "")
    yield ""


def _wrapped(text: str) -> str:
    """A signature, a parameter a line."""
    head, _, rest = text.partition("(")
    depth, parts, part = 0, [], ""
    inside, _, tail = rest.rpartition(")")
    for letter in inside:
        depth += (letter in "[({") - (letter in "])}")
        if letter == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += letter
    parts.append(part.strip())
    return f"{head}(\n" + "".join(f"    {one},\n" for one in parts if one) + f"){tail}"


def _docstring(text: str) -> Iterator[str]:
    """A Google docstring as Markdown."""
    for block in re.split(rf"(?m)^(?=(?:{'|'.join(SECTIONS)}):\s*$)", text):
        head, _, rest = block.partition("\n")
        if head.rstrip(":").strip() not in SECTIONS or not head.rstrip().endswith(":"):
            yield _escaped(block.strip())
            yield ""
            continue
        yield f"**{head.rstrip(':').strip()}**"
        yield ""
        for item in re.split(r"(?m)^(?=\S)", textwrap.dedent(rest).strip()):
            words = " ".join(item.split())
            name, colon, what = words.partition(": ")
            if colon and re.fullmatch(r"[\w*, .]+", name):
                yield f"- `{name}`: {_escaped(what)}"
            elif words:
                yield f"- {_escaped(words)}"
        yield ""


def _escaped(text: str) -> str:
    return re.sub(r"<(?=\w)", "&lt;", text)


# Model cards.


def cards_page() -> str:
    """What the bundled models say about themselves."""
    from vigilia.models import BUNDLED, resolve_model

    lines = [CARDS]
    for name, knows in BUNDLED.items():
        lines += _card(name, knows, resolve_model(name))
    return "\n".join(lines) + "\n"


def _card(name: str, knows: str, model: Any) -> Iterator[str]:
    card, test, pre = model.card, model.card["test"], model.preprocessing
    parameters = sum(one.numel() for one in model.parameters())
    low, high = test["kappa_95_percent_interval_over_recordings"]
    weakest = min(test["f1"], key=test["f1"].get)
    rows = {
        "what it is for": f"{knows}. Nothing else: it has seen no real animal.",
        "architecture": f"`{model.spec.name}`, memory `{model.spec.memory}`, "
        f"{parameters / 1e6:.2f} M parameters, {model.init_state(1).nbytes / 1e6:.2f} MB of state",
        "looks at": f"{pre.width} x {pre.height} pixels, {pre.clip_frames} frames at {pre.fps:g} a "
        f"second, a label every {pre.stride_seconds:g} s",
        "trained on": f"{card['trained_on']}; {len(card['recordings'])} recordings",
        "tested on": f"{len(test['recordings'])} recordings of the same simulation that neither "
        "training nor validation saw",
        "kappa": f"{test['kappa']:.2f} (95 % interval over recordings {low:.2f} to {high:.2f}); "
        f"from {min(test['kappa_per_recording']):.2f} to {max(test['kappa_per_recording']):.2f}",
        "accuracy, balanced": f"{test['accuracy']:.3f}, {test['balanced_accuracy']:.3f}",
        "F1": ", ".join(f"{label} {value:.2f}" for label, value in test["f1"].items()),
        "weakest class": weakest,
        "do not trust it": "on anything but recordings of `vigilia simulate`",
        "licence": "Apache-2.0; the statistics of sleep it rests on are CC-BY, named in "
        "`simulate/hypnogram.json`",
        "made by": f"`python {card['recipe']}`",
    }
    yield from (f"## {name}", "", "| | |", "| --- | --- |")
    yield from (f"| {key} | {_cell(value)} |" for key, value in rows.items())
    yield ""


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "python.md": python_page,
    "model-cards.md": cards_page,
}


def on_files(files: Any, config: Any) -> Any:
    """The hook of mkdocs."""
    from mkdocs.structure.files import File

    sys.path.insert(0, str(ROOT / "src"))  # the code beside these pages, not one that is installed
    for name, write in PAGES.items():
        files.append(File.generated(config, name, content=write()))
    return files


def main() -> None:
    """Writes the pages into a folder."""
    (folder,) = map(Path, sys.argv[1:])
    sys.path.insert(0, str(ROOT / "src"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in PAGES.items():
        (folder / name).write_text(write(), encoding="utf-8")


if __name__ == "__main__":
    main()
