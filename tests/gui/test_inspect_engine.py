"""The Inspect page over the real engine: what it shows is what the engine says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pytestqt.qtbot import QtBot

from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import preview as engine
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.models.tensor_tree import Column
from qtquant_app.gui.pages.inspect import InspectPage
from qtquant_app.gui.session import Session
from qtquant_app.jobs.job import stop_all
from tests.checkpoints import small_llama, write_checkpoint
from tests.driving import result

LAYER = "model.layers.1.mlp.down_proj.weight"
COMPILE_MS = 60_000
"""The first preview on a machine compiles the kernels."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_llama(tmp_path / "llama")


@pytest.fixture
def page(qtbot: QtBot, folder: Path) -> Iterator[InspectPage]:
    session = Session()
    session.set_default_scheme(Scheme(group_size=32))
    found = InspectPage(session)
    qtbot.addWidget(found)
    found.resize(1200, 640)
    found.show()
    with qtbot.waitSignal(session.plan_changed, timeout=COMPILE_MS, check_params_cb=lambda plan: plan is not None):
        session.open(str(folder))
    yield found
    stop_all()


def chosen(qtbot: QtBot, page: InspectPage, scheme: Scheme) -> engine.Preview:
    page.layers.tree.setCurrentIndex(page.layers.model.index_of(LAYER))
    page.panel.editor.set_scheme(scheme)
    page.panel.editor.scheme_changed.emit(scheme)
    qtbot.waitUntil(
        lambda: page.picture.preview is not None and page.picture.preview.scheme == scheme, timeout=COMPILE_MS
    )
    assert page.picture.preview is not None
    return page.picture.preview


@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(group_size=32),
        Scheme(bits=3, group_size=64, symmetric=False),
        Scheme(bits=8, strategy="channel", group_size=None, activations="int8"),
        Scheme(bits=5, strategy="tensor", group_size=None),
    ],
)
def test_the_picture_is_the_engines(qtbot: QtBot, page: InspectPage, folder: Path, scheme: Scheme) -> None:
    shown = chosen(qtbot, page, scheme)
    expected = result(engine.preview(open_checkpoint(folder), LAYER, scheme))
    assert shown.errors == expected.errors
    grid = page.picture.errors.map.grid
    assert grid is not None
    assert np.array_equal(grid.values, expected.picture.extreme)
    assert np.array_equal(page.picture.histogram.levels, expected.levels)
    assert page.figures.metrics.values["SQNR"] == f"{expected.errors.sqnr_db:.2f} dB"
    assert len(page.picture.errors.channels.values) == 64


def test_the_tree_shows_the_error_of_a_preview_under_the_planned_scheme(qtbot: QtBot, page: InspectPage) -> None:
    shown = chosen(qtbot, page, Scheme(group_size=32))
    cell = page.layers.model.index_of(LAYER).siblingAtColumn(Column.SQNR)
    assert cell.data() == f"{shown.errors.sqnr_db:.2f} dB"


def test_the_weights_are_read_outside_the_gui_thread(
    qtbot: QtBot, page: InspectPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    real = engine.preview

    def watched(*arguments: object, **named: object) -> object:
        threads.append(threading.get_ident())
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "preview", watched)
    chosen(qtbot, page, Scheme(bits=6, group_size=32))
    assert threads
    assert threading.get_ident() not in threads


def test_a_scheme_that_the_formats_refuse_is_explained(qtbot: QtBot, page: InspectPage) -> None:
    chosen(qtbot, page, Scheme(group_size=32))
    scheme = Scheme(group_size=32, method="mse")
    chosen(qtbot, page, scheme)
    page.panel.editor.set_scheme(Scheme(strategy="tensor", group_size=None, method="mse"))
    page.panel.editor.scheme_changed.emit(page.panel.scheme)
    qtbot.waitUntil(page.picture.note.isVisible)
    assert "does not work per tensor" in page.picture.note.text()
    assert page.picture.preview is not None
    assert page.picture.preview.scheme == scheme


def test_no_figures_of_a_sample_stay_where_a_row_that_it_passed_over_is_not_finite(
    qtbot: QtBot, page: InspectPage, tmp_path: Path
) -> None:
    weight = torch.randn(3000, 1024).bfloat16()
    weight[2, 5] = torch.nan  # a sample looks at every third row from the second on
    source = write_checkpoint(tmp_path / "nan", {LAYER: weight}, {})
    page._session._take(open_checkpoint(source))
    with qtbot.waitSignal(page.previewer.failed, timeout=COMPILE_MS), qtbot.waitSignal(page.previewer.sampled):
        page._session.select(LAYER)
    assert "nan at row 2, column 5" in page.picture.empty.sentence.text()
    assert page.picture.empty.isVisible() and page.picture.preview is None
    assert page.inspection.preview is None
    assert not any(character.isdigit() for character in page.figures.metrics.values["SQNR"])
