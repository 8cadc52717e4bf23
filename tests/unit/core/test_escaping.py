"""Foreign words where they are shown: nothing in them means anything there, and JSON reads them back as they were."""

from __future__ import annotations

import json
from html import unescape
from html.parser import HTMLParser

from hypothesis import example, given
from hypothesis import strategies as st

from qtquant_app.core.escaping import html, json_text, markdown, shortened, spreadsheet, terminal, visible_lines
from tests.hostile import EVIL

WORDS = st.text() | st.text(alphabet="<>&\"'`*_[]()#-+.!|~\\\x1b\x9b\x7f\x00\u202e\u2066\u2028\n\r\t =@1a")


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[object] = []
        self.data = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.data += data


def parsed(text: str) -> Elements:
    found = Elements()
    found.feed(text)
    found.close()
    return found


@given(WORDS)
@example(EVIL)
def test_a_terminal_gets_one_line_of_what_can_be_seen(text: str) -> None:
    assert terminal(text).isprintable() and len(terminal(text)) == len(text)
    assert terminal(text) == text or not text.isprintable()


@given(WORDS)
def test_our_own_lines_stay(text: str) -> None:
    assert visible_lines(text).count("\n") == text.count("\n")
    assert visible_lines(text).replace("\n", "").isprintable()


@given(WORDS)
@example(EVIL)
def test_html_holds_no_element_and_no_end_of_an_attribute(text: str) -> None:
    assert parsed(html(text)).tags == [] and unescape(html(text)) == terminal(text)
    (tag,) = parsed(f'<p title="{html(text)}">').tags
    assert tag == ("p", [("title", terminal(text))])


@given(WORDS)
@example(EVIL)
@example("http://x.y www.x.y a@b.c")
@example("    code")
@example("1. one")
@example("--- | ===")
def test_markdown_reads_as_its_text_and_means_nothing(text: str) -> None:
    made = markdown(text)
    assert unescape(made) == terminal(text)
    left = made.replace("&#", "").replace(";", "")
    assert not set(left) & set("<>[]()`*_|\\!~$@:/{}")
    assert not made.startswith((" ", "-", "+", "=", "#"))


@given(WORDS)
@example("\U000e0001\ud800\x7f")
def test_json_is_ascii_art_free_and_reads_back_exactly(text: str) -> None:
    document = json.dumps({"name": text, "n": [1, None]}, indent=2, ensure_ascii=False)
    shown = json_text(document)
    assert json.loads(shown)["name"] == text
    assert shown.replace("\n", "").isprintable()


@given(WORDS, st.integers(2, 50))
def test_what_is_shortened_keeps_both_ends(text: str, most: int) -> None:
    found = shortened(text, most)
    assert len(found) <= most
    assert found == text or (found[-1] == text[-1] and "\N{HORIZONTAL ELLIPSIS}" in found)


@given(WORDS)
@example(" =1+1")
def test_a_spreadsheet_gets_no_formula(text: str) -> None:
    assert spreadsheet(text).lstrip()[:1] not in ("=", "+", "-", "@")
