"""The page of a scan: whole, self-contained, and safe to open whatever the tensors are called."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from qtquant_app.core.errors import PlanError, UsageError, WriteError
from qtquant_app.core.scan import DEFAULT_SCHEMES
from qtquant_app.engine.report import report, tables
from qtquant_app.engine.report.html import VOID, element, text
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint
from tests.driving import result
from tests.unit.engine.scans import SCHEMES, linear, scanned

EVIL = '<script>alert("x")</script>&\'\u202e\x07'


class Page(HTMLParser):
    """Tags with their attributes, and all text; fails where an end does not meet its start."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def count(self, tag: str, **attributes: str) -> int:
        return sum(t == tag and attributes.items() <= a.items() for t, a in self.tags)


def _page(source: Path, output: Path, **options: object) -> Page:
    work = report(open_checkpoint(source), output, SCHEMES, device="cpu", cache=False, **options)  # type: ignore[arg-type]
    assert result(work) == output
    return Page(output.read_text(encoding="utf-8"))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "report.html"


def test_the_page_is_whole_and_fetches_nothing(tmp_path: Path, output: Path) -> None:
    page = _page(small_llama(tmp_path / "m"), output, worst=3)
    html = output.read_text(encoding="utf-8")
    assert "http:" not in html and "https:" not in html and "url(" not in html and "@import" not in html
    sources = [a["src"] for _, a in page.tags if "src" in a]
    assert len(sources) == 3 and all(src and src.startswith("data:image/png;base64,") for src in sources)
    assert not [a for _, a in page.tags if "href" in a or "action" in a]
    assert page.count("details") == len(SCHEMES) and page.count("svg", role="img") == len(SCHEMES) + 4
    assert "prefers-color-scheme: dark" in html
    assert any((a.get("content") or "").startswith("default-src 'none'; img-src data:;") for _, a in page.tags)
    assert [path.name for path in output.parent.iterdir() if "part" in path.name] == []


def test_the_numbers_are_those_of_the_scan(tmp_path: Path, output: Path) -> None:
    source = small_llama(tmp_path / "m")
    page, found = _page(source, output), scanned(source)
    for total in found.totals:
        assert total.scheme.label in page.words and total.worst in page.words
        assert f"{total.errors.sqnr_db:.2f} dB" in page.words and f"{total.bits_per_weight:.3f}" in page.words
    assert all(tensor.name in page.words for tensor in found.tensors)
    assert "LlamaForCausalLM" in page.words


def test_names_from_files_are_only_ever_text(tmp_path: Path, output: Path) -> None:
    tensors = {f"model.layers.0.{EVIL}.q_proj.weight": linear(), f"model.layers.1.{EVIL}.q_proj.weight": linear(seed=1)}
    page = _page(write_checkpoint(tmp_path / "m", tensors, {"architectures": [EVIL]}), output)
    assert page.count("script") == 1 and '<script>alert("x")</script>' in page.words
    assert "\u202e" not in output.read_text(encoding="utf-8") and "\x07" not in page.words


def test_flagged_tensors_are_named_and_ringed(tmp_path: Path, output: Path) -> None:
    tensors = llama_tensors()
    tensors["model.layers.1.mlp.up_proj.weight"][5] = 0
    tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = float("nan")
    page = _page(write_checkpoint(tmp_path / "m", tensors), output)
    assert "dead channels" in page.words and "NaN or infinite" in page.words
    assert page.count("rect", **{"class": "mark"}) >= len(SCHEMES)


@pytest.mark.parametrize("name", ["model.norm.weight", "x"])
def test_a_checkpoint_without_anything_to_quantize_still_makes_a_page(tmp_path: Path, output: Path, name: str) -> None:
    page = _page(write_checkpoint(tmp_path / "m", {name: torch.ones(8)}), output)
    assert "could be quantized" in page.words and "No tensor was quantized" in page.words


def test_a_long_table_ends_and_names_the_csv(tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST", 5)
    source = small_llama(tmp_path / "m")
    page = _page(source, output, worst=0)
    more = len(open_checkpoint(source).tensors) - 5
    assert f"And {more} more tensors" in page.words and "qtquant scan MODEL --csv FILE" in page.words


def test_a_page_of_ours_is_replaced_and_nothing_else(tmp_path: Path, output: Path) -> None:
    source = small_llama(tmp_path / "m")
    _page(source, output, worst=0)
    _page(source, output, worst=0)
    output.write_text("precious")
    with pytest.raises(PlanError, match="is no report of QtQuant"):
        _page(source, output)
    assert output.read_text() == "precious"
    _page(source, output, worst=0, overwrite=True)
    with pytest.raises(PlanError, match="is a folder"):
        _page(source, tmp_path, overwrite=True)
    with pytest.raises(PlanError, match="is no folder"):
        _page(source, tmp_path / "nowhere/report.html")
    with pytest.raises(UsageError, match="-1 tensors"):
        _page(source, output, worst=-1)


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = small_llama(tmp_path / "m")
    _page(source, output, worst=0)
    before = output.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match="No space left"):
        _page(source, output, worst=1)
    assert output.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_closing_writes_nothing(tmp_path: Path, output: Path) -> None:
    work = report(open_checkpoint(small_llama(tmp_path / "m")), output, DEFAULT_SCHEMES, device="cpu", cache=False)
    next(work)
    next(work)
    work.close()
    assert not output.exists()


def test_markup_is_kept_and_everything_else_escaped() -> None:
    assert element("p", "a < b", element("b", '"&"'), class_="x", data_key='"', title=None) == (
        '<p class="x" data-key="&quot;">a &lt; b<b>&quot;&amp;&quot;</b></p>'
    )
    assert re.fullmatch("a\ufffdb", text("a\nb")) and element("br") == "<br>"
