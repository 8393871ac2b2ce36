"""What `vigilia models` says: complete, counted right, near to what was published, readable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from vigilia.backbones import BACKBONES, NANO
from vigilia.catalogue import ENTRIES, FAMILIES, counts
from vigilia.catalogue.counting import count_model
from vigilia.catalogue.page import markdown
from vigilia.cli import main
from vigilia.memory import MEMORIES
from vigilia.models import describe
from vigilia.spiking import SPIKING_MEMORIES, SPIKING_SIZES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"
LARGE = [name for name in BACKBONES if name not in NANO]


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["models", *words]) == 0
    return capsys.readouterr().out


def test_every_model_is_in_the_catalogue_and_counted() -> None:
    assert set(ENTRIES) == set(BACKBONES) | set(SPIKING_SIZES)
    assert list(counts()) == list(ENTRIES)
    for name, row in counts().items():
        spiking = name in SPIKING_SIZES
        assert set(row["memories"]) == set(SPIKING_MEMORIES if spiking else MEMORIES), name
        entry = ENTRIES[name]
        assert (row["clip_gmac"] is not None) == (entry.published is not None), name
    for family in FAMILIES.values():
        assert family.source
        assert family.pick


@pytest.mark.parametrize("name", ["conv3d_nano", "memvit_nano", "c3d_nano_incremental"])
def test_a_model_that_is_counted_anew_has_the_counts_on_file(name: str) -> None:
    assert count_model(ENTRIES[name]) == counts()[name]


@pytest.mark.parametrize("memory", MEMORIES)
def test_counting_in_parts_is_counting_the_step(memory: str) -> None:
    facts = describe("conv3d_nano", memory, size=64)
    row = counts()["conv3d_nano"]["memories"][memory]
    assert row["gmac"] == pytest.approx(facts.gflop_per_step / 2, rel=1e-4)
    assert row["parameters"] == facts.parameters
    assert row["state_bytes"] == facts.state_bytes
    assert row["state_bytes_bfloat16"] == facts.state_bytes_bfloat16
    assert row["memory_seconds"] == facts.memory_seconds


def test_a_spiking_model_is_counted_likewise() -> None:
    assert count_model(ENTRIES["neuro_svt_nano"]) == counts()["neuro_svt_nano"]


@pytest.mark.parametrize("name", LARGE)
def test_large_models_have_the_parameters_on_file(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name]()
    head = (backbone.embedding_dim + 1) * 400
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    assert counts()[name]["memories"]["none"]["parameters"] == parameters + head


PUBLISHED = [entry for entry in ENTRIES.values() if entry.published]


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_counts_are_the_published_ones_or_the_difference_is_explained(entry: Any) -> None:
    told, row = entry.published, counts()[entry.name]
    assert told.source
    near = True
    if told.parameters is not None:
        millions = row["memories"]["none"]["parameters"] / 1e6
        near &= abs(millions / told.parameters - 1) < 0.004
    if told.gmac is not None:
        near &= abs(row["clip_gmac"] / told.gmac - 1) < 0.004
    assert near or told.difference
    if told.gmac is not None:
        assert row["clip_gmac"] == pytest.approx(told.gmac, rel=0.15)


def test_the_page_is_what_the_command_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown() == said(capsys, "--markdown")


def test_the_list_fits_a_terminal_and_names_every_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = said(capsys).splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split() for line in lines if line.split()[:1]}
    assert set(ENTRIES) <= set(rows)
    assert rows["swin3d_t"] == ["swin3d_t", "28.2", "87.8", "106.8", "29.8", "BSD-3"]
    assert rows["neuro_svt_ti"][-1] == "-"
    gru = {
        line.split()[0]: line.split()
        for line in said(capsys, "--memory", "gru").splitlines()
        if line
    }
    assert gru["swin3d_t"][3:5] == ["87.8", "0.01"]


def test_a_name_shows_every_memory_and_where_it_comes_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = said(capsys, "mvit_v2_s")
    assert all(memory in text for memory in MEMORIES)
    assert "MViTv2" in text
    assert "80.8 % on Kinetics-400" in text
    assert "64.2 GMAC" in text
    assert "all frames so far" in said(capsys, "state_space_b")
    assert "event" in said(capsys, "neuro_svt_ti")


def test_json_has_a_row_for_every_model_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(said(capsys, "--json"))
    assert [(row["name"], row["memory"]) for row in rows] == [
        (name, memory) for name, row in counts().items() for memory in row["memories"]
    ]
    (one,) = [row for row in rows if row["name"] == "swin3d_t" and row["memory"] == "none"]
    assert one["parameters"] == 28_158_070
    assert one["gmac"] == pytest.approx(87.76, abs=0.01)
    assert one["weights"] == "BSD-3"
    assert one["size"] == 224


def test_another_size_is_counted_anew(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(said(capsys, "conv3d_nano", "--size", "32", "--json"))
    assert {row["size"] for row in rows} == {32}
    (one,) = [row for row in rows if row["memory"] == "none"]
    small = describe("conv3d_nano", "none", size=32)
    assert one["gmac"] == pytest.approx(small.gflop_per_step / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["swin3dt"], "no model named 'swin3dt'; did you mean swin3d_t"),
        (["--memory", "elephant"], "no memory named 'elephant'; there are fam, pilot, gru, none"),
        (["--size", "32"], "name it: vigilia models NAME --size N"),
    ],
)
def test_what_there_is_not_is_said_in_a_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_list_loads_no_torch() -> None:
    code = (
        "import sys; from vigilia.cli import main; main(['models']); "
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
