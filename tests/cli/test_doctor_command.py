"""`vigilia doctor`: two forms of one report, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vigilia.doctor
from vigilia.cli import main
from vigilia.doctor import Finding, Report


def test_this_machine_passes_in_json_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["doctor", "--json", "--out", str(tmp_path)])
    said = json.loads(capsys.readouterr().out)
    problems = [one for one in said["findings"] if one["status"] == "problem"]
    assert (code, said["ok"], problems) == (0, True, [])
    (test,) = [one for one in said["findings"] if one["name"] == "self-test"]
    assert "8 s of video decoded and classified" in test["found"]
    assert list(tmp_path.iterdir()) == []


def test_a_problem_says_what_to_do_and_the_exit_code_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report(
        (
            Finding("Python", "ok", "3.12"),
            Finding("extra x", "note", "no y", "pip install 'here[x]'"),
            Finding("disk", "problem", "full", "make room"),
        )
    )
    monkeypatch.setattr(vigilia.doctor, "examine", lambda folder, on_check: report)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ok       Python   3.12",
        "note     extra x  no y",
        "                  -> pip install 'here[x]'",
        "PROBLEM  disk     full",
        "                  -> make room",
        "1 problem; the arrows say what to do",
    ]
    report = Report(report.findings[:2])
    assert main(["doctor"]) == 0
    assert "Everything that is needed works." in capsys.readouterr().out
