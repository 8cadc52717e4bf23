"""What waits between blocks is in memory or in a file, and always the same numbers."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

from qtquant_app.engine.walk.shelf import Shelf


def test_what_has_room_stays_as_it_is_and_what_has_none_comes_back_from_a_file(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room=1000)
    first, second = torch.randn(10, 20), torch.randn(10, 20)
    assert shelf.put(first) is first
    filed = shelf.put((second, None))[0]
    assert filed is not second
    assert shelf.in_files == 800
    shelf.rest()
    torch.testing.assert_close(filed, second, rtol=0, atol=0)


def test_room_comes_back_when_a_tensor_goes_and_so_does_its_file(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room=1000)
    kept = [shelf.put(torch.ones(10, 20)), shelf.put(torch.ones(10, 20))]
    assert shelf.in_files == 800
    kept.clear()
    gc.collect()
    assert shelf.in_files == 0
    again = torch.ones(10, 20)
    assert shelf.put(again) is again
    assert not list(tmp_path.iterdir()), "files have no names, so that none is left behind"


def test_other_things_than_tensors_pass(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, room=0)
    assert shelf.put((None, 3)) == (None, 3)
    empty = torch.empty(0)
    assert shelf.put(empty) is empty
