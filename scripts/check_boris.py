"""Opens projects that `vigilia labels convert` wrote in BORIS itself, and compares.

python scripts/check_boris.py                      # in a folder that is deleted again
python scripts/check_boris.py --folder boris       # keeps the environment, 1.1 GB

BORIS is not imported by Vigilia: it is GPL and needs PySide6 and Python 3.12. It gets a virtual
environment of its own, in which its main window opens each project without a screen (Qt's
`offscreen`), its integrity check reads it, and its own pairing of starts and stops tells the bouts.
One line a check; the exit code is 1 if one fails. Under Debian and Ubuntu Qt wants
`apt-get install libgl1 libegl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0 libpulse0`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

VERSION = "9.15.0"
"""Of BORIS."""
DIFFERENT = 3
"""Exit code inside BORIS's environment if a check fails; 1 is what a broken Python ends with."""

BARN = """\
start_seconds,end_seconds,label,subject,modifiers,scorer,comment
0.04,1.52,rest,sow 12,left|slow,anna,behind the wall
1.52,3.001,walk,sow 12,,anna,
2.5,2.5,sneeze,,,anna,
0.1,2.9,rest,boar,right,ben,
"""
LEFT, RIGHT = "left|slow", "right|None"
BARN_OBSERVATIONS = {
    "barn.mp4 by anna": [
        ["sow 12", "rest", "STATE", LEFT, 0.04, 1.52, "behind the wall"],
        ["sow 12", "walk", "STATE", "", 1.52, 3.001, ""],
        ["No focal subject", "sneeze", "POINT", "", 2.5, 2.5, ""],
    ],
    "barn.mp4 by ben": [["boar", "rest", "STATE", RIGHT, 0.1, 2.9, ""]],
}
PENS_OBSERVATIONS = {
    "pen.mp4 (1)": [["No focal subject", "rest", "STATE", "", 0.0, 2.0, ""]],
    "pen.mp4 (2)": [["No focal subject", "eat", "STATE", "", 1.0, 2.0, ""]],
}


def main() -> int:
    """Writes projects, has them opened, and says how it went."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="of the virtual environment; else a new one")
    parser.add_argument("--python", help="3.12 or later, for the environment [default: on PATH]")
    parser.add_argument("--verbose", action="store_true", help="show what BORIS and Qt say, too")
    parser.add_argument("--inside", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return 0 if _compare(*options.inside) else DIFFERENT
    with tempfile.TemporaryDirectory() as folder:
        python = _environment(options.folder or Path(folder) / "venv", options.python)
        # BORIS keeps its settings at home, and would find those of whoever calls this.
        calm = {"QT_QPA_PLATFORM": "offscreen", "HOME": folder, "PYTHONPATH": ""}
        codes = [
            subprocess.run(
                [python, __file__, "--inside", project, expected],
                env=os.environ | calm,
                stderr=None if options.verbose else subprocess.DEVNULL,
                timeout=300,
                check=False,
            ).returncode
            for project, expected in _projects(Path(folder))
        ]
    for code in codes:
        if code not in (0, DIFFERENT):
            print(f"FAILED  BORIS ended with exit code {code}; --verbose says why")
    return int(any(codes))


def _environment(folder: Path, told: str | None) -> Path:
    """The Python of an environment with BORIS, made if it is not there."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        names = ["python3.12", "python3.13", "python3.14"]
        own = sys.executable if sys.version_info >= (3, 12) else None
        base = told or own or next(filter(None, map(shutil.which, names)), None)
        if base is None:
            sys.exit("BORIS needs Python 3.12 or later; name one with --python")
        subprocess.run([base, "-m", "venv", folder], check=True)
    release = f"boris-behav-obs=={VERSION}"
    install = [str(python), "-m", "pip", "install", "--quiet", release]
    subprocess.run(install, check=True)
    return python


def _projects(folder: Path) -> list[tuple[Path, Path]]:
    """Projects, and what BORIS should find in each."""
    (folder / "barn.csv").write_text(BARN)
    _film(folder / "barn.mp4")
    regions = [("rest", 1, 50), ("eat", 26, 50)]
    values = [
        {"ranges": [{"start": first, "end": last}], "timelinelabels": [label]}
        for label, first, last in regions
    ]
    tasks = [
        {"data": {"video": "pen.mp4", "fps": 25}, "annotations": [{"result": [{"value": value}]}]}
        for value in values
    ]
    (folder / "pens.json").write_text(json.dumps(tasks))
    made = []
    for source, told, expected in (
        ("barn.csv", ["--video", "barn.mp4"], {"MEDIA": BARN_OBSERVATIONS}),
        ("pens.json", [], {"LIVE": PENS_OBSERVATIONS}),
    ):
        project = folder / Path(source).with_suffix(".boris")
        command = [sys.executable, "-m", "vigilia", "labels", "convert", source, project.name]
        subprocess.run([*command, *told], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (folder / f"{source}.expected").write_text(json.dumps(expected))
        made.append((project, folder / f"{source}.expected"))
    return made


def _film(path: Path) -> None:
    """Four seconds of nothing."""
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(100):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _compare(path: Path, expected: Path) -> bool:
    """Runs in BORIS's environment: what it makes of a project; whether all is as it should be."""
    sys.argv = ["boris", "--nosplashscreen", "--ipc"]  # which it reads when it is imported
    from boris import core, db_functions, project_functions  # type: ignore[import-not-found]
    from PySide6.QtWidgets import QApplication  # type: ignore[import-not-found]

    application = QApplication([])
    core.MainWindow.no_first_launch_dialog = True
    window = core.MainWindow("ffmpeg")
    ((kind, observations),) = json.loads(expected.read_text()).items()
    name, changed, project, message = project_functions.open_project_json(str(path))
    results = [_check(path, "opens", project.get("error") or message or "", "")]
    results.append(_check(path, "is not changed on opening", changed, False))
    window.load_project(name, changed, project)
    application.processEvents()
    events = [event for of_one in observations.values() for event in of_one]
    subjects = sorted({event[0] for event in events} - {"No focal subject"})
    kinds = {event[1]: event[2] for event in events}
    found = {one["code"]: one["type"].split()[0].upper() for one in _values(project, "behaviors")}
    table, people = window.twEthogram, window.twSubjects
    shown = {table.item(row, 1).text() for row in range(table.rowCount())}
    named = {people.item(row, 1).text() for row in range(people.rowCount())}
    results += [
        _check(path, "kinds of behaviours", found, kinds),
        _check(path, "behaviours in the window", shown, set(kinds)),
        _check(
            path, "subjects", sorted(one["name"] for one in _values(project, "subjects")), subjects
        ),
        _check(path, "subjects in the window", named - {"No focal subject", ""}, set(subjects)),
        _check(
            path,
            "kind of the observations",
            {key: one["type"] for key, one in project["observations"].items()},
            dict.fromkeys(observations, kind),
        ),
        _check(
            path,
            "integrity check",
            project_functions.check_project_integrity(
                project, "S", name, media_file_available=True
            ),
            "",
        ),
    ]
    _, why, database = db_functions.load_aggregated_events_in_db(project, [], [], [])
    results.append(_check(path, "starts and stops pair", why, ""))
    columns = "subject, behavior, type, modifiers, start, stop, comment"
    for title, of_one in observations.items():
        query = f"SELECT {columns} FROM aggregated_events WHERE observation = ? ORDER BY start"
        rows = [list(row) for row in database.execute(query, (title,))] if database else []
        what = f"subjects, modifiers, times and comments of '{title}'"
        results.append(_check(path, what, rows, sorted(of_one, key=lambda event: event[4])))
    return all(results)


def _values(project: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return list(project[f"{what}_conf"].values())


def _check(path: Path, what: str, found: Any, expected: Any) -> bool:
    good = found == expected
    told = "" if good else f": found {found}, expected {expected}"
    print(f"{'ok    ' if good else 'FAILED'}  {path.name}: {what}{told}", flush=True)
    return bool(good)


if __name__ == "__main__":
    sys.exit(main())
