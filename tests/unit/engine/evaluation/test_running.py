"""Two models run side by side: with one block of each in memory, no outputs kept, and nothing left behind."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.evaluate import evaluate
from qtquant_app.engine.evaluation.running import Said, Streamed, whole
from qtquant_app.engine.evaluation.sides import pair_with_foreign, pair_with_result
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.verify import result_plan
from qtquant_app.engine.walk.net import Net
from tests.driving import quantize, result
from tests.end2end import tiny_models

BLOCKS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("running")
    tiny_models.llama(num_hidden_layers=BLOCKS, tie_word_embeddings=True).save_pretrained(folder / "base")
    quantize(folder / "base", folder / "out", parse_label("W4 g32 sym"), format="compressed-tensors")
    return folder


def batches() -> list[dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(1)
    return [{"input_ids": torch.randint(3, 100, (2, 10), generator=random)} for _ in range(3)]


def filled(net: Net) -> list[str]:
    """Blocks that have weights in memory."""
    return [name for name in net.blocks if any(not value.is_meta for _, value in net.values(name))]


def test_no_more_than_one_block_of_each_is_in_memory_and_no_outputs_are_kept(folder: Path) -> None:
    checkpoint, plan = open_checkpoint(folder / "base"), result_plan(folder / "out")
    said: list[Said] = []
    shares = []
    with pair_with_result(checkpoint, plan, folder / "out", "cpu") as pair:
        for share, one in Streamed(pair).both(batches()):
            shares.append(share)
            assert [len(filled(side.net)) for side in (pair.base, pair.own)] == [1, 1]
            said += [one] if one is not None else []
        assert all(value.is_meta for side in (pair.base, pair.own) for value in side.net.model.parameters())
        with whole(pair) as runs:
            assert [len(filled(side.net)) for side in (pair.base, pair.own)] == [BLOCKS, BLOCKS]
            others = [one for _, one in runs.both(batches()) if one is not None]
        assert all(value.is_meta for side in (pair.base, pair.own) for value in side.net.model.parameters())
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert len(said) == len(others) == 3
    for mine, theirs in zip(said, others, strict=True):
        assert torch.equal(mine.inputs["input_ids"], theirs.inputs["input_ids"])
        torch.testing.assert_close(mine.base["logits"], theirs.base["logits"])
        torch.testing.assert_close(mine.own["logits"], theirs.own["logits"])
        assert not torch.allclose(mine.base["logits"], mine.own["logits"])


def test_one_that_is_left_in_the_middle_leaves_no_thread(folder: Path) -> None:
    before = threading.active_count()
    words = {"text": "random", "windows": 2, "seqlen": 16, "device": "cpu", "streamed": True}
    work = evaluate(folder / "out", folder / "base", **words)  # type: ignore[arg-type]
    for _ in range(5):
        next(work)
    assert threading.active_count() > before
    work.close()
    assert threading.active_count() == before


def test_somebody_elses_checkpoint_is_the_same_as_the_result_that_it_was(folder: Path, tmp_path: Path) -> None:
    import shutil

    theirs = tmp_path / "theirs"
    shutil.copytree(folder / "out", theirs)
    (theirs / "qtquant.json").unlink()
    words = {"text": "random", "windows": 2, "seqlen": 16, "device": "cpu"}
    own = result(evaluate(folder / "out", folder / "base", record=False, **words))  # type: ignore[arg-type]
    for streamed in (False, True):
        other = result(evaluate(theirs, folder / "base", streamed=streamed, **words))  # type: ignore[arg-type]
        assert other.kl == pytest.approx(own.kl, rel=1e-2)  # its scales decode to bfloat16
    assert not (theirs / "qtquant.json").exists()
    with pair_with_foreign(open_checkpoint(folder / "base"), open_checkpoint(theirs), "cpu") as pair:
        assert pair.own.net.blocks.keys() == pair.base.net.blocks.keys()


def test_a_model_that_transformers_does_not_know_is_refused(folder: Path, tmp_path: Path) -> None:
    import json
    import shutil

    base = tmp_path / "base"
    shutil.copytree(folder / "base", base)
    config = json.loads((base / "config.json").read_text()) | {"model_type": "unheard_of", "architectures": ["Unheard"]}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(EvaluateError):
        result(evaluate(folder / "out", base, text="random", device="cpu"))
