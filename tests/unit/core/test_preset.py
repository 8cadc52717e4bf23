"""Presets as values: read back as they were written, and refused with the key at fault."""

from __future__ import annotations

from typing import Any

import pytest

from qtquant_app.core.errors import UsageError
from qtquant_app.core.preset import Preset, name_for
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme

PRESET = Preset("a-1", "A", "for me", ("vllm",), "much", 4.5, Recipe(Scheme(4), (Rule("{first}.*", "keep"),)))
GOOD = PRESET.to_json()


def test_a_preset_reads_back_as_it_was_written() -> None:
    assert Preset.loads(PRESET.dumps()) == PRESET
    assert PRESET.needs_checkpoint and not Preset.loads('{"name": "b", "title": "B", "recipe": {}}').needs_checkpoint


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "../evil"}, "'../evil' cannot be a preset's name"),
        ({"name": "-a"}, "'-a' cannot be"),
        ({"name": 4}, "name must be a text, not 4"),
        ({"title": "  "}, "title must be a text"),
        ({"for": ["x"]}, "for must be a text"),
        ({"runtimes": "vllm"}, "runtimes must be a list of names, not 'vllm'"),
        ({"runtimes": [1]}, "runtimes must be a list of names"),
        ({"bits_per_weight": "4"}, "bits_per_weight must be a number of bits, not '4'"),
        ({"bits_per_weight": True}, "bits_per_weight must be a number"),
        ({"bits_per_weight": float("nan")}, "bits_per_weight must be a number"),
        ({"colour": "red"}, "a preset has no key 'colour'"),
        ({"recipe": {"default": {"bits": 9}}}, "9 bits are outside"),
    ],
)
def test_a_malformed_preset_is_refused_with_the_key_at_fault(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        Preset.from_json({**GOOD, **change})
    assert sentence in caught.value.message and caught.value.hint


def test_what_is_no_preset_at_all_is_refused() -> None:
    for text in ("[]", "{", "[" * 100_000, '{"name": "a", "title": "A"}'):
        with pytest.raises(UsageError):
            Preset.loads(text)


def test_a_name_is_made_from_a_title() -> None:
    assert name_for("My  Server, 4 bits!") == "my-server-4-bits"
    assert name_for("CON") == "con"
    assert len(name_for("x" * 500)) == 60
    with pytest.raises(UsageError):
        name_for("日本")
