"""Publishing by the Hub's own client, on a Hub of the test's own: what stands there afterwards, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtquant_app.core.errors import PublishError, QtQuantError, VerifyError
from qtquant_app.core.events import ChunkDone, Event, FileTransferred, RunStarted, StageChanged
from qtquant_app.core.publication import Destination, Published, PublishOptions
from qtquant_app.engine.commit import sha256_of
from qtquant_app.engine.publish.publish import publish
from qtquant_app.engine.publish.state import unfinished
from qtquant_app.engine.recipes import read_recipe
from tests.hub.repos import Account
from tests.hub.server import HubServer
from tests.hub.writing import store_of
from tests.unit.engine.publish.results import REPO, TOKEN, driven

QUICK = PublishOptions()


def published(output: Path, destination: Destination, options: PublishOptions = QUICK) -> Published:
    done: Published = driven(publish(output, destination, options))
    return done


def refused(output: Path, destination: Destination, options: PublishOptions = QUICK) -> QtQuantError:
    with pytest.raises(QtQuantError) as found:
        driven(publish(output, destination, options))
    assert "\n" not in found.value.message and found.value.hint
    assert "http" not in found.value.message.replace(str(output), "")
    if isinstance(found.value, PublishError):
        assert found.value.__cause__ is None
    return found.value


def wrote_nothing(hub: HubServer) -> bool:
    """Whether no repository was made or changed, and no content sent."""
    return not store_of(hub).puts and not any(repo.log for repo in hub.repos.values())


def test_a_result_stands_on_the_hub_as_it_is_here_with_its_card(hub: HubServer, output: Path, base: Path) -> None:
    told: list[Event] = []
    done = driven(publish(output, Destination(REPO), PublishOptions(base=str(base))), told)
    there = hub.repos[REPO].revisions["main"]
    here = {path.name: path.read_bytes() for path in output.iterdir()}
    assert {name: there[name] for name in here} == here
    card = there["README.md"]
    assert isinstance(card, bytes) and b"from_pretrained" in card and REPO.encode() in card
    assert b"(error-map.png)" in card and there["error-map.png"][:4] == b"\x89PNG"  # type: ignore[index]
    assert done.url == f"{hub.url}/{REPO}" and done.commit == hub.repos[REPO].commit("main") and not done.private
    assert len(hub.repos[REPO].log) == 1, "one commit shows everything"
    assert {file.name: file.sha256 for file in done.files}["config.json"] == sha256_of(output / "config.json")
    assert unfinished() == ()
    names = {file.name for file in done.files}
    assert {event.file for event in told if isinstance(event, FileTransferred)} == names
    started = [event for event in told if isinstance(event, RunStarted)][-1]
    after = told[told.index(started) :]
    assert started.bytes_total == sum(event.bytes for event in after if isinstance(event, ChunkDone))
    assert started.tensors == len(names) and StageChanged("upload") in after


def test_a_name_alone_is_one_of_your_own_and_private_stays_private(hub: HubServer, output: Path) -> None:
    done = published(output, Destination("small-w4", private=True))
    assert done.repo == REPO and done.private and hub.repos[REPO].private


def test_an_organisation_takes_it_too(hub: HubServer, output: Path) -> None:
    assert published(output, Destination("org/small")).repo == "org/small" and hub.repos["org/small"].log


def test_a_branch_is_made_and_the_main_one_left_alone(hub: HubServer, output: Path) -> None:
    repo = hub.add(REPO, {"README.md": b"# mine\n"})
    done = published(output, Destination(REPO, branch="w4/group"))
    assert done.branch == "w4/group" and "config.json" in repo.revisions["w4/group"]
    assert repo.revisions["main"] == {"README.md": b"# mine\n"}


def test_a_pull_request_to_somebody_elses_repository(hub: HubServer, output: Path) -> None:
    repo = hub.add("other/small", {"README.md": b"# theirs\n"})
    done = published(output, Destination("other/small", pull_request=True), PublishOptions(message="A smaller one"))
    assert done.pull_request == f"{hub.url}/other/small/discussions/1"
    assert store_of(hub).proposed == [{"repo": "other/small", "branch": "main", "title": "A smaller one"}]
    assert list(repo.revisions["main"]) == ["README.md"] and "config.json" in repo.revisions["refs/pr/1"]


def test_a_pull_request_needs_somebody_to_take_it(hub: HubServer, output: Path) -> None:
    assert refused(output, Destination("other/none", pull_request=True)).code == "hub-not-found"
    hub.add("other/small", {})
    assert refused(output, Destination("other/small", "dev", pull_request=True)).code == "hub-revision"


def test_the_recipe_of_what_was_published_can_be_applied_again(hub: HubServer, output: Path) -> None:
    published(output, Destination(REPO))
    record = json.loads((output / "qtquant.json").read_text())
    assert read_recipe(REPO).to_json() == record["recipe"]


def test_publishing_the_same_again_sends_no_weights(hub: HubServer, output: Path) -> None:
    published(output, Destination(REPO))
    store_of(hub).puts.clear()
    again = published(output, Destination(REPO))
    assert not store_of(hub).puts and not any(file.sent for file in again.files if file.name.endswith(".safetensors"))


def test_a_repository_with_other_weights_is_left_alone_unless_told(hub: HubServer, output: Path) -> None:
    repo = hub.add(
        REPO, {"model.safetensors": b"others", "onnx/model.onnx": b"too", "training_args.bin": b"no weights"}
    )
    error = refused(output, Destination(REPO))
    assert error.code == "hub-exists" and "model.safetensors" in error.message and wrote_nothing(hub)
    done = published(output, Destination(REPO), PublishOptions(overwrite=True))
    left = repo.revisions["main"]
    assert done.removed == ("model.safetensors",), "a reader would load it in place of our shards"
    assert "model.safetensors" not in left and {"onnx/model.onnx", "training_args.bin"} < set(left)
    assert len(repo.log) == 1


def test_weights_of_the_same_name_and_another_content_are_others(hub: HubServer, output: Path) -> None:
    hub.add(REPO, {"model-00001-of-00002.safetensors": b"others"})
    assert refused(output, Destination(REPO)).code == "hub-exists"


def test_what_should_be_private_is_never_put_where_everybody_sees_it(hub: HubServer, output: Path) -> None:
    hub.add(REPO, {})
    assert refused(output, Destination(REPO, private=True)).code == "hub-public" and wrote_nothing(hub)


def test_what_was_made_public_in_the_meantime_takes_nothing_private(hub: HubServer, output: Path) -> None:
    events = publish(output, Destination(REPO, private=True))
    with pytest.raises(PublishError) as found:
        for event in events:
            if isinstance(event, RunStarted):
                hub.add(REPO, {})
    assert found.value.code == "hub-public" and wrote_nothing(hub)


def test_nothing_is_published_that_is_not_as_it_was_verified(hub: HubServer, output: Path) -> None:
    weights = output / "model-00002-of-00002.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    error = refused(output, Destination(REPO))
    assert isinstance(error, VerifyError) and weights.name in error.message and not hub.repos


def test_what_no_run_verified_is_held_against_its_original_first(hub: HubServer, output: Path, base: Path) -> None:
    record = json.loads((output / "qtquant.json").read_text())
    (output / "qtquant.json").write_text(json.dumps({**record, "verified": "none"}))
    assert refused(output, Destination(REPO)).code == "unproven" and not hub.repos
    assert refused(output, Destination(REPO), PublishOptions(verify="full")).code == "no-base"
    published(output, Destination(REPO), PublishOptions(verify="full", base=str(base)))
    assert "config.json" in hub.repos[REPO].revisions["main"]


def test_a_folder_that_is_no_result_is_refused_before_the_hub_is_asked(hub: HubServer, base: Path) -> None:
    assert refused(base, Destination(REPO)).code == "no-record" and not hub.asked


def test_the_users_own_card_goes_in_place_of_one_that_is_made(hub: HubServer, output: Path) -> None:
    (output / "README.md").write_text("---\nlicense: mit\n---\n# My own words\n")
    published(output, Destination(REPO))
    assert hub.repos[REPO].revisions["main"]["README.md"] == (output / "README.md").read_bytes()
    published(output, Destination("org/other"), PublishOptions(card="# Given\n"))
    assert hub.repos["org/other"].revisions["main"]["README.md"] == b"# Given\n"


def test_a_card_whose_head_is_no_yaml_is_told_as_that(hub: HubServer, output: Path) -> None:
    error = refused(output, Destination(REPO), PublishOptions(card="---\nlicense: [mit\n---\n# x\n"))
    assert error.code == "card" and not hub.repos
    late = refused(output, Destination(REPO), PublishOptions(card="---\nlicense: !unheard-of mit\n---\n# x\n"))
    assert late.code == "card" and not hub.repos[REPO].log


@pytest.mark.parametrize("part_bytes", [0, 10_000])
def test_large_files_go_in_one_piece_or_in_parts(hub: HubServer, output: Path, part_bytes: int) -> None:
    store_of(hub).part_bytes = part_bytes
    published(output, Destination(REPO))
    weights = output / "model-00001-of-00002.safetensors"
    assert hub.repos[REPO].revisions["main"][weights.name] == weights.read_bytes()
    assert (len(store_of(hub).puts) > 4) == bool(part_bytes)


def test_the_token_goes_to_the_hub_and_to_nobody_else(hub: HubServer, output: Path) -> None:
    published(output, Destination(REPO))
    shown = {path: token for (_, path), token in zip(hub.asked, hub.tokens, strict=True)}
    assert all(not token for path, token in shown.items() if path.startswith("/put/"))
    assert any(token == f"Bearer {TOKEN}" for token in shown.values())


@pytest.mark.parametrize("repo", ["a/b/c", "../x", "org/", "org/na--me", "o rg/x", "org/x.git"])
def test_what_is_no_name_on_the_hub_is_refused(hub: HubServer, output: Path, repo: str) -> None:
    error = refused(output, Destination(repo))
    assert isinstance(error, PublishError) and error.code == "hub-name" and wrote_nothing(hub)


def test_who_may_only_read_is_told_before_anything_is_sent(hub: HubServer, output: Path) -> None:
    hub.accounts[TOKEN] = Account("someone", role="read")
    assert refused(output, Destination(REPO)).code == "hub-read-only" and wrote_nothing(hub)
