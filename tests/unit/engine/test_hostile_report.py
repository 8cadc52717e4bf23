"""The report of a hostile checkpoint: every name is text, no element and no attribute comes from one."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from qtquant_app.engine.report import report
from qtquant_app.engine.source import open_checkpoint
from tests.driving import result
from tests.hostile import hostile_checkpoint


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: set[str] = set()
        self.words: list[str] = []
        self._code = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources |= {value or "" for name, value in attrs if name in ("src", "href")}
        self._code = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self._code = ""

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.words.append(data)


def test_no_element_and_no_attribute_comes_from_a_name(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    result(report(open_checkpoint(hostile_checkpoint(tmp_path)), file, cache=False))
    page = _Page()
    page.feed(file.read_text(encoding="utf-8"))
    page.close()
    assert "b" not in page.tags and "onerror" not in page.attributes
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    shown = "".join(page.words)
    assert "<img src=x onerror=alert(1)>" in shown
    assert "\x1b" not in shown and "\u202e" not in shown
