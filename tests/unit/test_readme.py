"""The README says what the program knows."""

from __future__ import annotations

from tools.tables import README, with_tables


def test_the_tables_are_those_of_the_registries() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run: python tools/tables.py"


def test_every_picture_and_page_it_names_is_there() -> None:
    import re

    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert "://" in target or (README.parent / target).exists(), target
