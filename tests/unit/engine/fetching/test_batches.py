"""What of a source is worked on together, and in what order its files are needed."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.packed import Packed
from qtquant_app.engine.fetching.batches import batches, files_in_order, files_of
from qtquant_app.engine.fetching.room import limit_of


def tensor(number: int, file: str) -> TensorInfo:
    return TensorInfo(f"layer{number}.weight", "BF16", (4, 4), file, 0, 32)


@given(st.lists(st.sampled_from("abcde"), max_size=20), st.integers(0, 3))
def test_every_tensor_is_worked_on_once_in_its_order_while_all_it_needs_is_here(files: list[str], reach: int) -> None:
    """Each tensor is looked at with as many of those after it as `reach` says, as the parts of a fused layer are."""
    tensors = [tensor(number, file) for number, file in enumerate(files)]

    def mates(wanted: TensorInfo) -> Sequence[TensorInfo]:
        at = tensors.index(wanted)
        return tensors[at : at + reach + 1]

    parts = batches(tensors, mates)
    assert [one for part in parts for one in part.tensors] == tensors
    here: set[str] = set()
    gone: set[str] = set()
    for part in parts:
        here |= set(part.files)
        for one in part.tensors:
            needed = {file for mate in mates(one) for file in files_of(mate)}
            assert needed <= here and not needed & gone
        gone |= set(part.last)
    assert gone == here == set(files) and sorted(files_in_order(parts)) == sorted(set(files))


def test_a_quantized_weight_is_read_from_the_files_of_all_its_parts() -> None:
    parts = {"codes": tensor(0, "a"), "scale": tensor(1, "b")}
    packed = Packed("gptq", "gptq", tuple(parts.items()), bits=4)
    assert files_of(TensorInfo("w", "F16", (4, 4), "a", 0, 32, packed=packed)) == {"a", "b"}


@given(st.lists(st.integers(1, 10**12), min_size=1))
def test_what_is_held_is_more_than_the_largest_file_and_less_than_two(sizes: list[int]) -> None:
    assert max(sizes) <= limit_of(sizes) <= 2 * max(sizes)
    assert max(sizes) < 8 or limit_of(sizes) < 2 * max(sizes)
