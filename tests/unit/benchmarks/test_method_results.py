"""The table of methods is kept cell by cell and drawn from what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.method_race import DEEPER, NAMES, OURS, report
from benchmarks.method_results import MARK, Cell, add_cell, is_done, read_cells, table, with_table
from benchmarks.method_rows import chosen, ours, peers
from benchmarks.processes import REPOSITORY, Usage

TINY = 4.25


def _cell(name: str, bits: int, kl: float, **words: object) -> Cell:
    return Cell(name, bits, TINY, kl=kl, perplexity=30.0, top1=0.75, cpu=12.0, wall=8.0, peak_bytes=10**9, **words)  # type: ignore[arg-type]


def test_a_cell_is_there_again_after_a_stop_and_a_newer_one_takes_its_place(tmp_path: Path) -> None:
    file = tmp_path / "cells.json"
    assert read_cells(file) == {}
    first, second, newer = _cell("a", 4, 0.5), _cell("a", 3, 0.7), _cell("a", 4, 0.4)
    for cell in (first, second, newer):
        add_cell(file, cell)
    assert list(read_cells(file).values()) == [newer, second]
    assert [path.name for path in tmp_path.iterdir()] == ["cells.json"]


def test_only_what_succeeded_at_that_width_is_done(tmp_path: Path) -> None:
    file = tmp_path / "cells.json"
    add_cell(file, _cell("a", 4, 0.5))
    add_cell(file, _cell("a", 3, 0.0, error="out of memory"))
    cells = read_cells(file)
    assert is_done(cells, "a", 4)
    assert not is_done(cells, "a", 3)
    assert not is_done(cells, "a", 2)
    assert not is_done(cells, "b", 4)


def test_the_table_goes_from_many_bits_to_few_and_from_low_kl_to_high() -> None:
    cells = [_cell("QtQuant x", 3, 0.9), _cell("peer", 3, 0.8), _cell("QtQuant x", 4, 0.2), _cell("QtQuant y", 4, 0.1)]
    rows = [line.split(" | ") for line in table(cells, ["QtQuant x", "QtQuant y", "peer"]).splitlines()[2:]]
    assert [(row[0][2:], row[1]) for row in rows] == [
        ("4", "QtQuant y"),
        ("4", "QtQuant x"),
        ("3", "peer"),
        ("3", "QtQuant x"),
    ]


def test_the_best_of_ours_and_the_best_of_the_peers_are_bold_at_each_width() -> None:
    cells = [_cell("QtQuant x", 4, 0.3), _cell("QtQuant y", 4, 0.2), _cell("p", 4, 0.1), _cell("q", 4, 0.4)]
    bold = [line for line in table(cells, ["QtQuant x", "QtQuant y", "p", "q"]).splitlines() if "**" in line]
    assert [line.split(" | ")[1:3] for line in bold] == [["p", "**0.100**"], ["QtQuant y", "**0.200**"]]


def test_what_failed_and_what_is_no_longer_compared_stay_out_of_the_table() -> None:
    cells = [_cell("a", 4, 0.0, error="no"), _cell("gone", 4, 0.1), _cell("a", 3, 0.6)]
    assert [line.split(" | ")[1] for line in table(cells, ["a"]).splitlines()[2:]] == ["a"]


def test_the_table_goes_between_its_markers_and_nowhere_else() -> None:
    text = f"before\n<!-- {MARK} -->\nold\n<!-- /{MARK} -->\nafter\n"
    made = with_table(text, "| a\\1 |")
    assert made == f"before\n<!-- {MARK} -->\n| a\\1 |\n<!-- /{MARK} -->\nafter\n"
    assert with_table(made, "| a\\1 |") == made
    with pytest.raises(ValueError, match="markers"):
        with_table("no markers", "x")


def test_bits_per_weight_count_a_scale_and_the_zero_point_of_each_group() -> None:
    widths = {method.name: method.bits_per_weight(4) for method in (*ours(), *peers())}
    assert widths["QtQuant gptq sym"] == 4.25
    assert widths["QtQuant gptq asym"] == 4.3125
    assert widths["HQQ"] == widths["QtQuant hqq float"] == 4.5


def test_every_row_has_a_name_of_its_own_and_every_peer_its_script() -> None:
    rows = [*ours(), *peers()]
    assert len({method.name for method in rows}) == len(rows)
    assert all((REPOSITORY / "benchmarks" / "peers" / method.script).is_file() for method in peers())
    assert set(NAMES) <= {method.name for method in rows}


def test_methods_are_chosen_by_side_or_by_a_part_of_their_name() -> None:
    assert chosen("ours") == list(ours())
    assert chosen("peers") == list(peers())
    assert {method.name for method in chosen("autoround")} == {m.name for m in peers() if "AutoRound" in m.name}
    assert [method.name for method in chosen("hqq")] == ["HQQ"]
    with pytest.raises(ValueError, match="no method is called"):
        chosen("nobody")


def test_a_peer_runs_in_its_own_environment_and_ours_need_none(tmp_path: Path) -> None:
    words = [str(w) for w in next(peers()).command("MODEL", tmp_path / "t", tmp_path / "o", 3, tmp_path)]
    assert words[0] == str(tmp_path / "hqq" / "bin" / "python")
    assert words[words.index("--bits") + 1] == "3"
    with pytest.raises(ValueError, match="--venvs"):
        next(peers()).command("MODEL", tmp_path / "t", tmp_path / "o", 3, None)
    own = next(ours()).command("MODEL", tmp_path / "t", tmp_path / "o", 3, None)
    assert {"quantize", "--symmetric"} <= set(own)


def test_the_race_is_told_against_the_faster_peer_and_the_peak_against_depth() -> None:
    took = dict(zip(NAMES, (10.0, 40.0, 25.0), strict=True))
    found = {name: [Usage(wall, wall, 10**9)] for name, wall in took.items()}
    said = report({**found, DEEPER: [Usage(20.0, 20.0, 1_050_000_000)]})
    assert "2.50 times as fast" in said
    assert "1.050 of the peak" in said
    assert f"| {OURS} | 10.0 | 10.0 | 1.00 GB |" in said
