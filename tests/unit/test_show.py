"""What commands print: a table that goes to a pipe is whole, however wide."""

from __future__ import annotations

import pytest

from vigilia.cli.show import print_table


def test_a_table_in_a_pipe_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [f"column {number} with a long head" for number in range(12)]
    cells = [f"{number} of many words" for number in range(12)]
    print_table("a title", columns, [cells])
    said = capsys.readouterr().out
    assert all(text in said for text in [*columns, *cells])
    assert "…" not in said
