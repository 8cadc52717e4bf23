"""Quantized checkpoints side by side, wherever they lie."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.cli.main import main
from qtquant_app.core.evaluated import Evaluated
from qtquant_app.core.results import ResultRow, ResultTable, table
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.evaluation.recording import with_evaluation
from qtquant_app.engine.results import collect
from tests.checkpoints import small_llama
from tests.driving import quantize, result


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float checkpoint, two results of it, somebody else's in a Hub cache, and a folder that is none."""
    folder = tmp_path_factory.mktemp("shelf")
    base = small_llama(folder / "base")
    quantize(base, folder / "made" / "four", parse_label("W4 g32 sym mse"))
    quantize(base, folder / "made" / "eight", parse_label("W8 ch sym"), format="qtquant")
    cached = folder / "hub" / "models--some--model" / "snapshots" / "0123456789abcdef"
    quantize(base, cached, parse_label("W4 g32 asym"))
    (cached / "qtquant.json").unlink()
    broken = folder / "broken"
    shutil.copytree(folder / "made" / "four", broken)
    (broken / "qtquant.json").write_text("{")
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("nothing")
    for name, kl in (("four", 0.25), ("eight", 0.01)):
        file = folder / "made" / name / "qtquant.json"
        measured = {"text": "t", "tokens": 10, "kl": kl, "quantized": {"perplexity": 9.5}, "base": {"perplexity": 9.0}}
        file.write_bytes(with_evaluation(file.read_bytes(), measured))
    return folder


def collected(*paths: object) -> ResultTable:
    return result(collect([str(path) for path in paths]))


def test_a_folder_gives_every_quantized_checkpoint_within_the_smallest_first(shelf: Path) -> None:
    found = collected(shelf)
    assert [row.name for row in found.rows] == ["four", "some/model@01234567", "eight"]
    four, theirs, eight = found.rows
    assert [row.bytes for row in found.rows] == sorted(row.bytes for row in found.rows)
    assert (four.format, four.scheme, four.methods, four.ours) == (
        "compressed-tensors",
        "W4 g32 sym mse",
        ("mse",),
        True,
    )
    assert (theirs.ours, theirs.format, theirs.evaluations) == (False, "compressed-tensors", ())
    assert (four.kl, eight.kl, theirs.kl) == (0.25, 0.01, None)
    assert (four.best, eight.best, theirs.best) == (True, True, False)
    assert eight.relative_error is not None and four.relative_error is not None
    assert 0 < eight.relative_error < four.relative_error < 1
    assert four.bits_per_weight == pytest.approx(4.5, abs=0.05)
    assert theirs.bits_per_weight == pytest.approx(4.75, abs=0.3)
    assert [Path(one.path).name for one in found.skipped] == ["broken"]


def test_what_is_named_itself_and_is_not_quantized_is_told(shelf: Path) -> None:
    found = collected(shelf / "base", shelf / "nowhere", shelf / "made" / "four", shelf / "made")
    assert [row.name for row in found.rows] == ["four", "eight"], "each once"
    assert {Path(one.path).name for one in found.skipped} == {"base", "nowhere"}


def test_links_that_lead_in_circles_end(shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert collected(tmp_path) == ResultTable((), collected(tmp_path).skipped)


def test_the_command_prints_a_table_and_saves_one(
    shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", str(shelf / "made"), "--csv", str(tmp_path / "t.csv")]) == 0
    shown = capsys.readouterr().out
    assert "eight" in shown and "W4 g32 sym mse" in shown and "*" in shown
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["four", "eight"]
    assert [float(row["kl"]) for row in rows] == [0.25, 0.01]
    assert main(["results", str(shelf), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["best"] for row in document["results"]] == [True, False, True]
    assert main(["results", str(tmp_path / "t.csv")]) == 0
    assert "no quantized checkpoint" in capsys.readouterr().out


def row(bytes: int, kl: float | None, base: str = "b", text: str = "t") -> ResultRow:
    found = Evaluated(text, 10, 1.0, 1.0, kl, 0.0, 1.0)
    return ResultRow(f"{bytes} {kl}", "n", base, "f", "s", ("rtn",), True, bytes, 4.0, evaluations=(found,))


@given(st.lists(st.tuples(st.integers(1, 6), st.none() | st.integers(0, 6)), max_size=8))
def test_the_best_are_those_that_none_beats_in_both(points: list[tuple[int, int | None]]) -> None:
    found = table(row(size, None if kl is None else kl / 8) for size, kl in points)
    for one in found.rows:
        beaten = any(
            other.kl is not None
            and one.kl is not None
            and other.bytes <= one.bytes
            and other.kl <= one.kl
            and (other.bytes, other.kl) != (one.bytes, one.kl)
            for other in found.rows
        )
        assert one.best == (one.kl is not None and not beaten)


def test_rows_of_other_models_or_other_texts_are_not_held_against_each_other() -> None:
    worse = row(5, 0.5)
    assert not table([row(4, 0.4), worse]).rows[1].best
    assert table([row(4, 0.4, base="other"), worse]).rows[1].best
    assert table([row(4, 0.4, text="other"), worse]).rows[1].best
    assert table([replace(row(4, 0.4), evaluations=()), worse]).rows[1].best
