"""Reports out of a cache: the same as if they had been made at once."""

from __future__ import annotations

import pickle

import pytest

from qtquant_app.core.report import ErrorSums, TensorReport
from qtquant_app.core.scan_reports import RECORD, RecalledReports, Size
from qtquant_app.core.scheme import Scheme

SCHEMES = Scheme(), Scheme(bits=3), Scheme(bits=8, strategy="channel", group_size=None)
SIZES = tuple(Size(scheme, bytes([at]) * 8, 100 + at) for at, scheme in enumerate(SCHEMES[:2]))
SUMS = (0.5, 20.0, 19.0, 0.25), (2.0, 20.0, 18.0, 0.5)
RECORDS = b"".join(RECORD.pack(size.key, *sums) for size, sums in zip(SIZES, SUMS, strict=True))
PLAIN = tuple(
    TensorReport("a.weight", size.scheme, size.bytes, ErrorSums(64, *sums))
    for size, sums in zip(SIZES, SUMS, strict=True)
)


@pytest.fixture
def recalled() -> RecalledReports:
    return RecalledReports("a.weight", 64, SIZES, RECORDS)


def test_recalled_reports_are_those_that_were_kept(recalled: RecalledReports) -> None:
    assert recalled == PLAIN
    assert hash(recalled) == hash(PLAIN)
    assert tuple(recalled) == PLAIN
    assert recalled[-1] == PLAIN[1]
    assert recalled[:1] == PLAIN[:1]
    assert len(recalled) == 2
    assert [errors for _, errors in recalled.errors()] == [report.errors for report in PLAIN]


def test_a_scheme_is_found_and_another_is_not(recalled: RecalledReports) -> None:
    assert recalled.under(Scheme(bits=3)) == PLAIN[1]
    assert recalled.under(SCHEMES[2]) is None
    with pytest.raises(IndexError):
        recalled[2]


def test_recalled_reports_go_to_another_process(recalled: RecalledReports) -> None:
    assert pickle.loads(pickle.dumps(recalled)) == PLAIN
