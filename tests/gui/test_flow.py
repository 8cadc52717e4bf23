"""The main job in the real window on a real checkpoint, with the real engine: and none of it on the GUI thread."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place, View
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.pages.inspect import InspectPage
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.steps import Step
from qtquant_app.gui.verbs import Verbs
from tests.checkpoints import small_llama
from tests.gui.conftest import MakeWindow

LAYER, OTHER = "model.layers.0.mlp.down_proj.weight", "model.layers.1.mlp.up_proj.weight"
NETWORK = ("/huggingface_hub/", "/httpx/", "/httpcore/", "/requests/", "/urllib3/", "/socket.py", "/ssl.py")
FOREIGN = (
    "/qtquant_app/engine/",
    "/qtquant_app/formats/",
    "/qtquant_app/quant/",
    "/torch/",
    "/numba/",
    "/safetensors/",
    *NETWORK,
)
PURE = ("/qtquant_app/quant/method.py", "/qtquant_app/quant/methods.py", "<frozen")


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return small_llama(tmp_path / "llama", shards=2)


@pytest.fixture
def window(make_window: MakeWindow) -> MainWindow:
    return make_window(Verbs())


@pytest.fixture
def calls_on_gui_thread(llama: Path, window: MainWindow) -> Iterator[list[str]]:
    """Every Python function of engine, mathematics or torch that this thread, the GUI's, enters."""
    seen: list[str] = []

    def note(frame: FrameType, what: str, _: object) -> None:
        if what == "call":
            file = frame.f_code.co_filename
            if any(part in file for part in FOREIGN) and not any(part in file for part in PURE):
                seen.append(f"{file}:{frame.f_code.co_name}")

    sys.setprofile(note)  # for this thread alone
    yield seen
    sys.setprofile(None)


def click(qtbot: QtBot, button: object) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def open_folder(qtbot: QtBot, window: MainWindow, folder: Path) -> None:
    session = window.session
    planned = lambda outcome: outcome is not None  # noqa: E731
    with qtbot.waitSignal(session.plan_changed, timeout=60_000, check_params_cb=planned):
        session.open(str(folder))


def set_scheme(qtbot: QtBot, window: MainWindow) -> None:
    editor = window.recipe_page.scheme_editor
    for combo, value in ((editor.bits_combo, 4), (editor.group_combo, 32)):
        combo.setCurrentIndex(combo.findData(value))
    session = window.session
    qtbot.waitUntil(lambda: session.plan is not None and session.plan.recipe.default.group_size == 32, timeout=30_000)


def start(qtbot: QtBot, window: MainWindow, output: Path) -> None:
    page = window.run_page
    window.go(Step.RUN)
    page.output_field.set_path(str(output))
    qtbot.waitUntil(page.start_button.isEnabled)
    click(qtbot, page.start_button)


def test_the_whole_flow_from_source_to_proof(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, llama: Path, calls_on_gui_thread: list[str]
) -> None:
    session = window.session
    open_folder(qtbot, window, llama)
    assert window.source_page.summary_card.isVisible()
    window.go(Step.INSPECT)
    session.select(LAYER)
    picture = window.inspect_page.picture
    qtbot.waitUntil(lambda: picture.preview is not None and picture.preview.layer == LAYER, timeout=60_000)
    set_scheme(qtbot, window)
    start(qtbot, window, tmp_path / "out")
    qtbot.waitUntil(lambda: session.runner.state is RunState.DONE, timeout=120_000)
    assert window.run_page.job_model.finished == len(session.plan.quantized)  # type: ignore[union-attr]
    window.go(Step.PUBLISH)
    click(qtbot, window.publish_page.proof_card.again_button)
    qtbot.waitUntil(lambda: session.verifier.report is not None, timeout=60_000)
    assert session.verifier.report is not None
    assert session.verifier.report.ok
    record = json.loads((tmp_path / "out" / "qtquant.json").read_text())
    assert record["recipe"]["default"]["group_size"] == 32
    assert calls_on_gui_thread == []


def test_the_inspector_asks_the_engine_in_workers_alone(
    qtbot: QtBot, window: MainWindow, llama: Path, calls_on_gui_thread: list[str]
) -> None:
    open_folder(qtbot, window, llama)
    window.go(Step.INSPECT)
    page = window.inspect_page
    for layer in (OTHER, LAYER):
        window.session.select(layer)
        qtbot.waitUntil(lambda name=layer: exact(page, name), timeout=60_000)  # type: ignore[misc]
    errors = page.picture.errors
    for view in View:
        errors.choices.set_view(view)
        qtbot.waitUntil(lambda wanted=view: exact(page, LAYER, wanted), timeout=60_000)  # type: ignore[misc]
    errors.sort_rows.click()
    errors.sort_columns.click()
    qtbot.waitUntil(lambda: errors.map.orders.rows is not None and errors.map.orders.columns is not None)
    page.inspection.set_place(Place((5, 6), (7, 8)))
    for at in range(page.below.count()):
        page.below.setCurrentIndex(at)
    qtbot.waitUntil(lambda: page.explanation.explanation is not None, timeout=60_000)
    page.below.setCurrentIndex(2)
    qtbot.waitUntil(lambda: not page.remedies.stale and bool(page.remedies.remedies), timeout=60_000)
    compare, glance = page.compare, page.glance
    page.middle.setCurrentWidget(compare)
    compare.add(Scheme(group_size=32), Scheme(bits=3, group_size=32))
    for at in range(compare.tabs.count()):
        compare.tabs.setCurrentIndex(at)
    qtbot.waitUntil(lambda: compare.complete and compare.pair.pair is not None, timeout=60_000)
    page.middle.setCurrentWidget(glance)
    with qtbot.waitSignal(glance.scanner.finished, timeout=60_000):
        glance.bar.scan_button.click()
    assert page.inspection.scan is not None
    assert calls_on_gui_thread == []


def exact(page: InspectPage, layer: str, view: View = View.ABSOLUTE) -> bool:
    found = page.inspection.preview
    return found is not None and (found.layer, found.picture.window.view) == (layer, view)


def test_what_the_preview_showed_is_what_the_run_reports(
    qtbot: QtBot, window: MainWindow, tmp_path: Path, llama: Path
) -> None:
    session = window.session
    open_folder(qtbot, window, llama)
    set_scheme(qtbot, window)
    session.select(LAYER)
    picture = window.inspect_page.picture

    def shown() -> bool:
        preview = picture.preview
        return preview is not None and preview.scheme == session.recipe.default

    qtbot.waitUntil(shown, timeout=60_000)
    start(qtbot, window, tmp_path / "out")
    qtbot.waitUntil(lambda: session.report is not None, timeout=120_000)
    assert session.report is not None
    reported = next(tensor for tensor in session.report.tensors if tensor.name == LAYER)
    assert picture.preview is not None
    assert reported.errors == picture.preview.errors


def test_a_cancelled_run_is_gone_on_with_to_the_same_bytes(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    session, runner = window.session, window.session.runner
    open_folder(qtbot, window, small_llama(tmp_path / "llama", blocks=8))
    set_scheme(qtbot, window)
    start(qtbot, window, tmp_path / "whole")
    qtbot.waitUntil(lambda: runner.state is RunState.DONE, timeout=120_000)
    start(qtbot, window, tmp_path / "broken")
    runner.cancel()
    qtbot.waitUntil(lambda: not runner.state.active, timeout=5_000)
    if runner.state is RunState.CANCELLED:
        assert not (tmp_path / "broken").exists()
        start(qtbot, window, tmp_path / "broken")
        qtbot.waitUntil(lambda: not runner.state.active, timeout=120_000)
    assert runner.error is None
    for file in sorted(path.name for path in (tmp_path / "whole").iterdir()):
        assert (tmp_path / "broken" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert session.report is not None
    assert session.report.verified


def test_a_refusal_of_the_engine_reaches_the_page(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with qtbot.waitSignal(window.session.open_failed, timeout=30_000):
        window.session.open(str(tmp_path / "empty"))
    assert "holds no weights" in window.source_page.error_panel.text()


def test_formats_and_devices_are_read_from_the_engine(qtbot: QtBot, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: window.recipe_page.format_choice.combo.count() >= 2, timeout=30_000)
    combo = window.recipe_page.format_choice.combo
    assert {"compressed-tensors", "qtquant"} <= {combo.itemData(row) for row in range(combo.count())}
