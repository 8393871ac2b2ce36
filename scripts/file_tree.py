"""Prints the file tree of the package, one line per file, as the README shows it.

python scripts/file_tree.py            print it
python scripts/file_tree.py --write    put it into README.md
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
    *("video", "layers", "backbones", "memory"),
    *("preprocessing.py", "stream", "checkpoint.py", "models.py"),
    *("timeline", "running", "evaluation", "training"),
    *("simulate", "demonstration.py", "cli"),
)


def tree() -> str:
    """One line per file: its place and the first sentence of its docstring."""
    package = ROOT / "src" / "vigilia"
    lines = ["src/vigilia/"]
    for name in ORDER:
        path = package / name
        if path.is_file():
            lines.append(line(path, indent=1))
            continue
        lines.append(f"  {name}/".ljust(23) + first_sentence(path / "__init__.py"))
        lines += [line(file, 2) for file in sorted(path.glob("*.py")) if file.name[0] != "_"]
    return "\n".join(lines) + "\n"


def line(path: Path, indent: int) -> str:
    return ("  " * indent + path.name).ljust(23) + first_sentence(path)


def first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.splitlines()[0].rstrip(".")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    if not parser.parse_args().write:
        print(tree(), end="")
        return
    readme = ROOT / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(START)
    after = rest.split(END, 1)[1]
    readme.write_text(before + START + tree() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
