"""Every file that once broke a reader, or was made to, is read or refused in a sentence; and so are some thousand mutants."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutation import mutated
from tests.fuzz.readers import READERS, Reader, outcome

CORPUS = Path(__file__).parent / "corpus"
NAMED = {reader.name: reader for reader in READERS}
CASES = sorted(path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*") if path.is_file())
MUTANTS = 12
UNUSUAL = {
    "metadata_is_a_list",
    "version_is_true",
    "nested_quantifiers",
    "branches_repeated",
    "five_stars",
}


def test_every_reader_has_a_corpus() -> None:
    assert {case.split("/")[0] for case in CASES} == set(NAMED)


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_is_read_or_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    outcome(NAMED[case.split("/")[0]], (CORPUS / case).read_bytes(), tmp_path)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_good_file_is_read(reader: Reader, tmp_path: Path) -> None:
    outcomes = [outcome(reader, data, tmp_path) for data in reader.seeds()]
    assert "" in outcomes


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32))
def test_mutants_are_read_or_refused_in_a_sentence(reader: Reader, tmp_path: Path, seed: int) -> None:
    random, pool = Random(seed), reader.seeds()
    for _ in range(MUTANTS):
        outcome(reader, mutated(random, pool), tmp_path)


@pytest.mark.parametrize(
    "reader", [reader for reader in READERS if reader.name in ("header", "index", "recipe", "record")]
)
def test_the_corpus_of_a_strict_reader_is_refused(reader: Reader, tmp_path: Path) -> None:
    """All but what is only unusual."""
    files = sorted((CORPUS / reader.name).iterdir())
    assert {file.name for file in files if not outcome(reader, file.read_bytes(), tmp_path)} <= UNUSUAL
