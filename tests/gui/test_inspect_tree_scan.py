"""The tree of tensors beside a scan: what is found shows as it comes."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scan import DEFAULT_SCHEMES
from qtquant_app.gui.models.scan_collector import Collector, digest_of
from qtquant_app.gui.models.tensor_tree import TensorTree
from tests.gui.inspect_samples import plan_for
from tests.gui.scan_samples import FORMAT, WORST, checkpoint, dense, report_of, scan_of

W4 = DEFAULT_SCHEMES[1]


@pytest.fixture
def tree(qtbot: QtBot) -> TensorTree:
    found = TensorTree()
    found.set_tensors(dense())
    return found


def test_a_scan_answers_for_each_of_its_schemes(tree: TensorTree) -> None:
    report = report_of()
    tree.set_scan(digest_of(report))
    for scheme in DEFAULT_SCHEMES:
        wanted = next(tensor for tensor in report.tensors if tensor.name == WORST).report(scheme)
        assert wanted is not None
        assert tree.errors(WORST, scheme) == wanted.errors
    tree.set_scan(None)
    assert tree.errors(WORST, W4) is None


def test_a_later_state_says_what_has_come_since() -> None:
    found = checkpoint()
    collector = Collector.of_checkpoint(found, DEFAULT_SCHEMES, FORMAT)
    for tensor in found.tensors[:5]:
        collector.add(scan_of(tensor), False)
    first = collector.digest()
    for tensor in found.tensors[5:8]:
        collector.add(scan_of(tensor), False)
    second = collector.digest()
    assert second.since(first) == [tensor.name for tensor in found.tensors[5:8]]
    assert first.since(None) == [tensor.name for tensor in found.tensors[:5]]
    assert not first.whole


def test_a_block_comes_to_the_sum_of_its_tensors(tree: TensorTree) -> None:
    found = checkpoint()
    plan = plan_for(found)
    tree.set_plan(plan)
    tree.set_scan(digest_of(report_of(schemes=(plan.quantized[0].scheme or W4,))))
    names = [t.name for t in found.tensors if t.name.startswith("model.layers.3.")]
    parts = [errors for name in names if (errors := tree._findings.errors_of(name)) is not None]
    assert len(parts) == 7
    assert tree._findings.together(names)[1] == ErrorSums.added(parts)
