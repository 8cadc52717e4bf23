"""AWQ's words: the four-bit codes of eight output channels at one column, even channels first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.source import flat, span

EACH = 8
"""Channels to a word."""

_TILE = 64
"""Bytes of a row worked on at once: the words that come of them stay in the first-level cache."""


def turn(packed: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Four-bit rows uint8 [rows, columns / 2], the lower nibble first, as words uint32 [columns, rows / 8].

    Nibble j of a word, from the lowest, is channel 0, 2, 4, 6, 1, 3, 5, 7 of its eight. `rows` is a multiple of 8.
    """
    rows, width = packed.shape
    words = np.empty((2 * width, rows // EACH), np.uint32)
    _turn(flat(packed), width, words.reshape(-1), rows // EACH)
    return words


def turn_back(words: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The inverse of `turn`: words uint32 [columns, rows / 8], columns even, as rows uint8 [rows, columns / 2]."""
    columns, blocks = words.shape
    packed = np.empty((blocks * EACH, columns // 2), np.uint8)
    _turn_back(flat(words), blocks, packed.reshape(-1), columns // 2)
    return packed


@compiled
def _turn(packed: Any, width: int, words: Any, blocks: int) -> None:
    low = np.uint32(15)
    for start in range(0, width, _TILE):
        count = min(_TILE, width - start)
        for block in range(blocks):
            base = block * 8 * width + start
            for i in span(0, count):
                even, odd = np.uint32(0), np.uint32(0)
                for channel in range(8):
                    byte = np.uint32(packed[np.uint64(base + channel * width) + i])
                    place = np.uint32(4 * (channel // 2 + 4 * (channel % 2)))
                    even |= (byte & low) << place
                    odd |= (byte >> np.uint32(4)) << place
                at = np.uint64(2) * (np.uint64(start) + i) * np.uint64(blocks) + np.uint64(block)
                words[at], words[at + np.uint64(blocks)] = even, odd


@compiled
def _turn_back(words: Any, blocks: int, packed: Any, width: int) -> None:
    low = np.uint32(15)
    for start in range(0, width, _TILE):
        count = min(_TILE, width - start)
        for block in range(blocks):
            base = block * 8 * width + start
            for i in span(0, count):
                at = np.uint64(2) * (np.uint64(start) + i) * np.uint64(blocks) + np.uint64(block)
                even, odd = words[at], words[at + np.uint64(blocks)]
                for channel in range(8):
                    place = np.uint32(4 * (channel // 2 + 4 * (channel % 2)))
                    byte = ((even >> place) & low) | (((odd >> place) & low) << np.uint32(4))
                    packed[np.uint64(base + channel * width) + i] = np.uint8(byte)
