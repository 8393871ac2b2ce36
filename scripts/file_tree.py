"""Prints the rooms of the package, one line each, as the README shows them.

python scripts/file_tree.py            print them
python scripts/file_tree.py --all      with every file
python scripts/file_tree.py --write    put the rooms into README.md
"""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START, END = "<!-- tree -->\n```\n", "```\n<!-- /tree -->"
# The data's way, then what stands beside it.
ORDER = (
    *("errors.py", "files.py", "state.py"),
    *("video", "events", "layers", "backbones", "memory", "spiking", "relevance"),
    "beyond",
    *("preprocessing.py", "stream", "checkpoint.py", "catalogue", "models.py"),
    *("timeline", "engine", "running", "training", "pretraining", "adaptation"),
    "evaluation",
    *("serving", "export", "simulate", "bench", "demonstration.py", "doctor", "cli"),
)


def tree(*, files: bool = False) -> str:
    """One line per room, or per file: its place and the first sentence of its docstring."""
    package = ROOT / "src" / "vigilia"
    lines = ["src/vigilia/"]
    for name in ORDER:
        path = package / name
        if path.is_file():
            lines.append(line(path, indent=1))
            continue
        lines.append(f"  {name}/".ljust(23) + first_sentence(path / "__init__.py"))
        inside = sorted(path.rglob("*.py")) if files else ()
        lines += [
            line(file, len(file.relative_to(package).parts))
            for file in inside
            if file.name[0] != "_"
        ]
    return "\n".join(lines) + "\n"


def line(path: Path, indent: int) -> str:
    return ("  " * indent + path.name).ljust(23) + first_sentence(path)


def first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.splitlines()[0].rstrip(".")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every file")
    parser.add_argument("--write", action="store_true", help="put the rooms into README.md")
    arguments = parser.parse_args()
    if not arguments.write:
        print(tree(files=arguments.all), end="")
        return
    readme = ROOT / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(START)
    after = rest.split(END, 1)[1]
    readme.write_text(before + START + tree() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
