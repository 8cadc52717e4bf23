"""Taking a plot or a table away: as PNG, as SVG with its lines and words kept, as numbers in CSV, on the clipboard."""

from __future__ import annotations

import atexit
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from numbers import Real
from typing import Protocol, runtime_checkable

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QMimeData, QPoint, QRect, QRectF, QSaveFile, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QGuiApplication, QImage, QPaintDevice, QPainter, QPalette
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QGraphicsView,
    QLabel,
    QLineEdit,
    QSplitterHandle,
    QWidget,
)

from qtquant_app.core.errors import WriteError
from qtquant_app.gui.svg_strokes import even_strokes
from qtquant_app.gui.theme import GRID

Numbers = tuple[Sequence[str], Iterable[Sequence[object]]]
"""Titles and rows. The rows may be a generator: they are made where they are written, in a worker."""

LEAST_RATIO = 2.0
"""Pixels of a picture for each of the window's: print and slides show more than the screen does."""
MARGIN = 2 * GRID
CSV = "text/csv"
OURS = "application/x-qtquant"
"""Tells what this process has put on the clipboard."""
CLIPBOARD_ROWS = 8_000
"""Longer tables go to a file: the clipboard is filled while the window waits."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A text that starts like this is a formula to a spreadsheet."""
KNOBS = (QAbstractButton, QComboBox, QLineEdit, QAbstractSpinBox, QAbstractSlider, QSplitterHandle)
SCREEN_ONLY = "screenOnly"
"""A widget with this property set is no part of a picture."""
_CHUNK = 1000


@runtime_checkable
class Framed(Protocol):
    """A widget that frames itself while it has the keyboard."""

    def show_focus(self, shown: bool) -> None:
        """Takes the frame away for a picture, and puts it back."""
        ...


def picture(widget: QWidget, caption: str = "", ratio: float = LEAST_RATIO) -> QImage:
    """`widget` under its caption, as it stands on the screen; `ratio` pixels, or the screen's if more, for one of Qt's."""
    ratio = max(ratio, widget.devicePixelRatioF())
    title = _title_height(widget, caption)
    size = _size(widget, title)
    image = QImage(size * ratio, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(ratio)
    _paint(image, widget, caption, title)
    return image


def svg(widget: QWidget, caption: str = "") -> bytes:
    """`widget` under its caption as an SVG document: lines as paths, words as text, maps as embedded images."""
    title = _title_height(widget, caption)
    size = _size(widget, title)
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator(QSvgGenerator.SvgVersion.Svg11)  # 1.2 Tiny has no clipping
    generator.setOutputDevice(buffer)
    generator.setResolution(widget.logicalDpiX())
    generator.setSize(size)
    generator.setViewBox(QRect(QPoint(0, 0), size))
    generator.setTitle(caption or widget.accessibleName())
    generator.setDescription("Made with QtQuant")
    _paint(generator, widget, caption, title)
    return even_strokes(bytes(buffer.data().data()).decode()).encode()


def png(image: QImage) -> bytes:
    """`image` as a PNG file. May run in any thread."""
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]  # the stubs know only of bytes
    return bytes(data.data())


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """CSV in UTF-8, in pieces of some thousand rows: numbers in full with a dot, nothing for None, formulas disarmed."""
    for lines in _chunks(header, rows):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in line] for line in lines)
        yield text.getvalue().encode()


def write_file(path: str, pieces: Iterable[bytes]) -> Iterator[int]:
    """Writes all or nothing, yielding the bytes of each piece; the end of the iteration puts the file in place.

    Raises WriteError. May run in any thread; abandoned before its end it leaves what was there before.
    """
    file = QSaveFile(path)
    if not file.open(QIODevice.OpenModeFlag.WriteOnly):
        raise _refusal(path, file.errorString())
    for piece in pieces:
        if file.write(piece) != len(piece):
            raise _refusal(path, file.errorString())
        yield len(piece)
    if not file.commit():
        raise _refusal(path, file.errorString())


def save_png(widget: QWidget, path: str, caption: str = "") -> None:
    """Writes the picture of `widget` to `path`. Raises WriteError."""
    _write(path, [png(picture(widget, caption))])


def save_svg(widget: QWidget, path: str, caption: str = "") -> None:
    """Writes `widget` as SVG to `path`. Raises WriteError."""
    _write(path, [svg(widget, caption)])


def save_csv(header: Sequence[str], rows: Iterable[Sequence[object]], path: str) -> None:
    """Writes titles and rows to `path`. Raises WriteError."""
    _write(path, csv_text(header, rows))


def copy_image(widget: QWidget, caption: str = "", numbers: Numbers | None = None) -> None:
    """Puts the picture of `widget` on the clipboard, and its numbers as CSV where there are not too many."""
    data = QMimeData()
    data.setImageData(picture(widget, caption))
    data.setData(OURS, QByteArray(b"1"))
    if numbers is not None:
        header, rows = numbers
        held = list(islice(rows, CLIPBOARD_ROWS + 1))
        if len(held) <= CLIPBOARD_ROWS:
            data.setData(CSV, QByteArray(b"".join(csv_text(header, held))))
    QGuiApplication.clipboard().setMimeData(data)
    atexit.unregister(_let_go)
    atexit.register(_let_go)  # the last registered is the first called: Qt is still there


def _let_go() -> None:
    """Leaves a plain picture on the clipboard: data made in Python that outlives Python ends the process with a crash."""
    if QGuiApplication.instance() is not None:
        clipboard = QGuiApplication.clipboard()
        if clipboard.mimeData().hasFormat(OURS):
            clipboard.setImage(clipboard.image())


def file_name(caption: str, ending: str) -> str:
    """A name for a file that holds what `caption` says: `Error map model.layers.0.mlp.up_proj.weight W4 g128.png`."""
    plain = re.sub(r"[^\w.\[\] -]+", " ", caption)
    return f"{' '.join(plain.split())[:120].strip(' .') or 'QtQuant'}.{ending}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) and not isinstance(value, Real) else text


def _chunks(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[list[Sequence[object]]]:
    left = iter(rows)
    yield [header]
    while chunk := list(islice(left, _CHUNK)):
        yield chunk


def _write(path: str, pieces: Iterable[bytes]) -> None:
    for _ in write_file(path, pieces):
        pass


def _refusal(path: str, reason: str) -> WriteError:
    why = f": {reason[:1].lower()}{reason[1:]}" if reason else ""
    return WriteError(f"{path} could not be written{why}", hint="choose another folder", code="export")


def _paint(device: QPaintDevice, widget: QWidget, caption: str, title: int) -> None:
    """The ground, the caption in a line of `title` pixels, and `widget` below it."""
    painter = QPainter(device)
    try:  # a painter that outlives its device ends the process
        painter.fillRect(QRect(QPoint(0, 0), _size(widget, title)), widget.palette().color(QPalette.ColorRole.Window))
        _paint_title(painter, widget, caption, title)
        painter.translate(MARGIN, MARGIN + title)
        with _at_rest(widget):
            _draw(painter, widget)
    finally:
        painter.end()


def _draw(painter: QPainter, widget: QWidget) -> None:
    """Draws `widget` and what lies in it, each with its own transform: rendered as one, Qt's SVG clips at wrong places."""
    if isinstance(widget, QGraphicsView):
        widget.render(painter, QRectF(widget.rect()), widget.viewport().rect())
        return
    if not _part_of_picture(widget):
        return
    widget.render(painter, QPoint(0, 0), renderFlags=QWidget.RenderFlag.DrawWindowBackground)
    for child in widget.children():
        if isinstance(child, QWidget) and not child.isWindow() and child.isVisibleTo(widget):
            painter.save()
            painter.translate(child.pos())
            _draw(painter, child)
            painter.restore()


def _part_of_picture(widget: QWidget) -> bool:
    """Knobs and their labels, and words about how to use the window, stay on the screen."""
    if isinstance(widget, QLabel) and widget.buddy() is not None:
        return False
    return not isinstance(widget, KNOBS) and not widget.property(SCREEN_ONLY)


@contextmanager
def _at_rest(widget: QWidget) -> Iterator[None]:
    """The frames that say where the keyboard is are no part of a picture."""
    framed = [part for part in (widget, *widget.findChildren(QWidget)) if isinstance(part, Framed)]
    for part in framed:
        part.show_focus(False)
    try:
        yield
    finally:
        for part in framed:
            part.show_focus(True)


def _size(widget: QWidget, title: int) -> QSize:
    return widget.size() + QSize(2 * MARGIN, 2 * MARGIN + title)


_WRAPPED = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWrapAnywhere


def _title_font(widget: QWidget) -> QFont:
    font = QFont(widget.font())
    font.setWeight(QFont.Weight.DemiBold)
    return font


def _title_height(widget: QWidget, caption: str) -> int:
    if not caption:
        return 0
    metrics = QFontMetrics(_title_font(widget))
    return metrics.boundingRect(QRect(0, 0, widget.width(), 10_000), _WRAPPED, caption).height() + GRID


def _paint_title(painter: QPainter, widget: QWidget, caption: str, height: int) -> None:
    if caption:
        painter.setFont(_title_font(widget))
        painter.setPen(widget.palette().color(QPalette.ColorRole.WindowText))
        painter.drawText(QRect(MARGIN, MARGIN, widget.width(), height), _WRAPPED, caption)
