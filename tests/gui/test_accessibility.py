"""Everybody can use the window: each part has a name, answers to the keyboard, and says by words or shapes what it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QAbstractItemModel, QAbstractListModel, QModelIndex, QPoint, Qt
from PySide6.QtGui import QAction, QColor, QImage, QPainter, QPalette
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QMenu,
    QMenuBar,
    QTabBar,
    QTabWidget,
    QWidget,
)
from pytestqt.qtbot import QtBot

from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.plots.base import Plot
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.steps import Step
from qtquant_app.gui.theme import ThemeName, apply_theme, colors, mixed
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.marks import paint_mark
from qtquant_app.ramps import magnitude_table, signed_table
from tests.gui.test_theme import contrast
from tests.gui.walking import focus_walk, interactive, label, leaves_a_mark, start, views, worked_by_others

LAYER = "model.layers.0.mlp.down_proj.weight"
ROLES = Qt.ItemDataRole
THEMES = [ThemeName.LIGHT, ThemeName.DARK]


@pytest.fixture
def window(qtbot: QtBot, qapp: QApplication, tmp_path: Path) -> Iterator[MainWindow]:
    """The real window on the sample model, a tensor looked at, everything it computes at hand."""
    apply_theme(qapp, ThemeName.LIGHT)
    found = MainWindow(Session(Verbs()), Settings(tmp_path / "settings.ini"))
    found.may_stop = lambda: True  # type: ignore[method-assign]
    qtbot.addWidget(found)
    found.resize(1280, 720)
    found.show()
    qtbot.waitExposed(found)
    found.session.open("sample")
    qtbot.waitUntil(lambda: found.session.plan is not None, timeout=20_000)
    found.go(Step.INSPECT)
    found.session.select(LAYER)
    qtbot.waitUntil(lambda: found.inspect_page.inspection.preview is not None, timeout=60_000)
    found.run_page.output_field.set_path(str(tmp_path / "out"))
    yield found
    apply_theme(qapp, ThemeName.LIGHT)


def test_every_interactive_widget_is_called_something(window: MainWindow) -> None:
    found = {
        f"{view}: {label(widget)}"
        for view, page in views(window)
        for widget in interactive(page)
        if not widget.accessibleName().strip()
        or widget.accessibleName() in (type(widget).__name__, widget.objectName())
    }
    assert found == set()


def test_no_two_stops_of_a_page_have_the_same_name(window: MainWindow) -> None:
    found = {}
    for view, _ in views(window):
        start(window)
        names = Counter(widget.accessibleName() for widget in focus_walk(window))
        found[view] = [name for name, count in names.items() if count > 1]
    assert {view: names for view, names in found.items() if names} == {}


@pytest.mark.parametrize("back", [False, True], ids=["Tab", "Shift+Tab"])
def test_every_interactive_widget_is_reached_by_keyboard(window: MainWindow, back: bool) -> None:
    missed = set()
    for view, page in views(window):
        start(window)
        reached = set(focus_walk(window, back))
        proxies = {widget.focusProxy() for widget in reached} | reached
        for widget in interactive(page):
            if widget not in proxies and not worked_by_others(widget) and widget.focusProxy() not in proxies:
                missed.add(f"{view}: {label(widget)}")
    assert missed == set()


def test_the_keyboard_leaves_a_mark_where_it_is(window: MainWindow) -> None:
    unseen = set()
    for view, _ in views(window):
        start(window)
        for widget in focus_walk(window):
            if not leaves_a_mark(widget):
                unseen.add(f"{view}: {label(widget)}")
    assert unseen == set()


def test_arrow_keys_walk_inside_lists_trees_and_tables(window: MainWindow) -> None:
    stuck = set()
    for view, page in views(window):
        for widget in page.findChildren(QAbstractItemView):
            model = widget.model()
            if not widget.isVisible() or widget.focusPolicy() == Qt.FocusPolicy.NoFocus or model.rowCount() < 2:
                continue
            widget.setFocus()
            widget.setCurrentIndex(model.index(0, 0))
            QTest.keyClick(widget, Qt.Key.Key_Down)
            if widget.currentIndex() == model.index(0, 0):
                stuck.add(f"{view}: {label(widget)}")
    assert stuck == set()


def test_arrow_keys_change_tabs_and_every_tab_is_named(window: MainWindow) -> None:
    for _, page in views(window):
        for bar in page.findChildren(QTabBar):
            assert all(bar.tabText(at).strip() for at in range(bar.count()))
            if bar.isVisible() and bar.count() > 1:
                bar.setCurrentIndex(0)
                bar.setFocus()
                QTest.keyClick(bar, Qt.Key.Key_Right)
                assert bar.currentIndex() != 0
                bar.setCurrentIndex(0)


def test_every_table_and_every_plot_has_a_menu_that_a_key_opens(window: MainWindow) -> None:
    without = set()
    for view, page in views(window):
        for widget in page.findChildren(QWidget):
            if widget.isVisible() and _holds_data(widget):
                widget.setFocus()
                QTest.keyClick(widget, Qt.Key.Key_F10, Qt.KeyboardModifier.ShiftModifier)
                menus = [
                    found for found in QApplication.topLevelWidgets() if isinstance(found, QMenu) and found.isVisible()
                ]
                if not any("Copy" in action.text().replace("&", "") for menu in menus for action in menu.actions()):
                    without.add(f"{view}: {label(widget)}")
                for menu in menus:
                    menu.close()
                QTest.keyClick(window, Qt.Key.Key_Shift)  # no modifier is held any more
    assert without == set()


def _holds_data(widget: QWidget) -> bool:
    listing = widget.objectName() in ("recentList",) or isinstance(widget.parentWidget(), QComboBox)
    return isinstance(widget, Plot) or (
        isinstance(widget, QAbstractItemView)
        and type(widget).__name__ not in ("QHeaderView", "QComboBoxListView")
        and widget.window().windowType() != Qt.WindowType.Popup
        and widget.focusPolicy() != Qt.FocusPolicy.NoFocus
        and not listing
    )


def test_every_action_says_what_it_does(window: MainWindow) -> None:
    silent = [
        action.objectName() or repr(action)
        for action in window.findChildren(QAction)
        if not action.isSeparator() and not (action.text() or action.toolTip()).strip() and not _made_by_qt(action)
    ]
    assert silent == []


def _made_by_qt(action: QAction) -> bool:
    """The button that empties a line, where the keyboard has Ctrl+A and Delete; what a narrow menu bar cannot show."""
    parent = action.parent()
    overflow = isinstance(parent, QMenu) and not parent.title() and isinstance(parent.parent(), QMenuBar)
    return action.objectName().startswith("_q_") or overflow


def test_no_menu_has_a_letter_twice(window: MainWindow) -> None:
    for menu in [window.menuBar(), *window.menuBar().findChildren(QMenu)]:
        letters = _letters(action.text() for action in menu.actions())
        assert sorted(letters) == sorted(set(letters))


def test_no_letter_is_twice_in_sight(window: MainWindow) -> None:
    clashes = {}
    bar = _letters(action.text() for action in window.menuBar().actions())
    for view, page in views(window):
        texts = [
            widget.text()
            for widget in page.findChildren(QWidget)
            if widget.isVisible()
            and (isinstance(widget, QAbstractButton) or (isinstance(widget, QLabel) and widget.buddy() is not None))
        ]
        texts += [
            tabs.tabText(at) for tabs in page.findChildren(QTabWidget) if tabs.isVisible() for at in range(tabs.count())
        ]
        twice = [letter for letter, count in Counter(bar + _letters(texts)).items() if count > 1]
        if twice:
            clashes[view] = [text for text in texts if set(_letters([text])) & set(twice)]
    assert clashes == {}


def _letters(texts: Iterator[str] | list[str]) -> list[str]:
    plain = (text.replace("&&", "") for text in texts)
    return [text[text.index("&") + 1].lower() for text in plain if "&" in text]


def test_what_is_coloured_or_drawn_in_a_table_also_has_words(window: MainWindow) -> None:
    silent = set()
    for view, page in views(window):
        for widget in page.findChildren(QAbstractItemView):
            model = widget.model()
            if model is not None and widget.isVisible():
                silent |= {f"{view}: {label(widget)} {place}" for place in _coloured_without_words(model)}
    assert silent == set()


def _coloured_without_words(model: QAbstractItemModel) -> Iterator[tuple[int, int]]:
    for index in _cells(model, QModelIndex()):
        marked = any(
            index.data(role) is not None for role in (ROLES.ForegroundRole, ROLES.BackgroundRole, ROLES.DecorationRole)
        )
        words = [index.data(role) for role in (ROLES.DisplayRole, ROLES.AccessibleTextRole)]
        if marked and not any(words):
            yield index.row(), index.column()


def _cells(model: QAbstractItemModel, parent: QModelIndex) -> Iterator[QModelIndex]:
    for row in range(min(model.rowCount(parent), 50)):
        for column in range(1 if isinstance(model, QAbstractListModel) else model.columnCount(parent)):
            yield model.index(row, column, parent)
        yield from _cells(model, model.index(row, 0, parent))


def test_each_tone_of_a_step_has_a_shape_of_its_own(qapp: QApplication) -> None:
    shapes = []
    for tone in ("good", "warn", "bad", "accent", "muted"):
        image = QImage(12, 12, QImage.Format.Format_Grayscale8)
        image.fill(Qt.GlobalColor.white)
        painter = QPainter(image)
        paint_mark(painter, QPoint(6, 6).toPointF(), tone, QColor("black"))
        painter.end()
        shapes.append(bytes(image.constBits()))
    assert len(set(shapes)) == len(shapes)


def test_the_states_of_the_steps_can_be_told_apart_without_colours(window: MainWindow) -> None:
    for button in window.rail.buttons.values():
        assert button.state.words
        assert button.state.words in button.accessibleName()


def luminance(table: np.ndarray) -> np.ndarray:
    bright = table / 255
    linear = np.where(bright <= 0.04045, bright / 12.92, ((bright + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("dark", [False, True])
def test_magnitudes_are_ordered_by_lightness_alone(dark: bool) -> None:
    steps = np.diff(luminance(magnitude_table(dark))) * (1 if dark else -1)
    assert steps.min() > -0.002


@pytest.mark.parametrize("dark", [False, True])
def test_signed_values_of_one_size_are_equally_light_on_both_sides_of_zero(dark: bool) -> None:
    light = luminance(signed_table(dark))
    assert np.abs(light - light[::-1]).max() < 0.04
    half = np.diff(light[128:]) * (1 if dark else -1)
    assert half.min() > -0.004


@pytest.mark.parametrize("theme", THEMES)
def test_words_can_be_read_on_every_ground_they_stand_on(qapp: QApplication, theme: ThemeName) -> None:
    apply_theme(qapp, theme)
    palette, tones = qapp.palette(), colors(qapp.palette())
    roles = QPalette.ColorRole
    window, base = palette.color(roles.Window), palette.color(roles.Base)
    for ground in (window, base, palette.color(roles.AlternateBase), tones.surface):
        for words in (tones.text, tones.muted, tones.good, tones.warn, tones.bad):
            assert contrast(words, ground) >= 4.5, (words.name(), ground.name())
    title, step = mixed(tones.surface, tones.text, 0.05), mixed(window, tones.accent, 0.16)
    assert contrast(tones.text, title) >= 4.5
    assert min(contrast(tones.text, step), contrast(tones.muted, step)) >= 4.5
    assert contrast(palette.color(roles.PlaceholderText), base) >= 4.5
    assert contrast(tones.on_accent, tones.accent) >= 4.5
    apply_theme(qapp, ThemeName.LIGHT)


@pytest.mark.parametrize("theme", THEMES)
def test_an_empty_check_box_has_a_frame_that_shows(qtbot: QtBot, qapp: QApplication, theme: ThemeName) -> None:
    apply_theme(qapp, theme)
    box = QCheckBox()
    qtbot.addWidget(box)
    box.show()
    image = box.grab().toImage()
    shades = [QColor(image.pixel(x, image.height() // 2)) for x in range(image.width() // 2)]
    ground = qapp.palette().color(QPalette.ColorRole.Window)
    assert max(contrast(shade, ground) for shade in shades) >= 3
    assert max(contrast(shade, qapp.palette().color(QPalette.ColorRole.Base)) for shade in shades) >= 3
    apply_theme(qapp, ThemeName.LIGHT)


@pytest.mark.parametrize("theme", THEMES)
def test_the_shapes_of_a_plot_stand_out_from_its_ground(qtbot: QtBot, qapp: QApplication, theme: ThemeName) -> None:
    apply_theme(qapp, theme)
    plot = Plot("plot", "A plot")
    qtbot.addWidget(plot)
    for shade in (plot.theme.bars, plot.theme.accent, plot.theme.text):
        assert contrast(shade, plot.theme.background) >= 3
    apply_theme(qapp, ThemeName.LIGHT)


def test_every_plot_says_in_words_what_it_is(window: MainWindow) -> None:
    for _, page in views(window):
        for plot in page.findChildren(Plot):
            assert plot.accessibleName()
            assert plot.caption.startswith(plot.accessibleName())
