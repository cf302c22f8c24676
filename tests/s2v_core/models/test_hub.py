"""Publishing a model set and fetching it again, against a stand-in of the Hub's HTTP API."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, ModelCard

import s2v_core
from s2v_core.__main__ import main
from s2v_core.errors import CheckpointError, UserError
from s2v_core.models import hub

MODEL = Path(__file__).parents[3] / "checkpoints" / "avatars"


@pytest.fixture
def api(hub_stand_in) -> HfApi:
    return HfApi(endpoint=hub_stand_in.url, token="hf_nobody")


def test_what_is_published_is_what_is_loaded_again(hub_stand_in, api) -> None:
    revision = hub.publish(MODEL, "someone/faces", api=api)
    assert revision == hub_stand_in.commit
    folder = hub.fetch("someone/faces", revision, api)
    ours, theirs = (s2v_core.load(model, "cpu").networks for model in (MODEL, folder))
    for name, network in ours.items():
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, theirs[name].state_dict()[key]), (name, key)
    for name in hub.files(MODEL):
        assert (folder / name).read_bytes() == (MODEL / name).read_bytes()


def test_the_card_is_one_and_names_every_network(hub_stand_in, api) -> None:
    hub.publish(MODEL, "someone/faces", private=True, api=api)
    assert hub_stand_in.created[0][
        "visibility" if "visibility" in hub_stand_in.created[0] else "private"
    ]
    card = ModelCard(hub_stand_in.repos["models/someone/faces"]["README.md"].decode())
    assert card.data.to_dict()["library_name"] == "speech2video"
    networks = {path.parent.name for path in MODEL.glob("*/model.safetensors")}
    assert all(f"| {name} |" in card.text for name in networks)
    assert 's2v_core.from_pretrained("someone/faces"' in card.text
    assert (MODEL / "README.md").read_text(encoding="utf-8") in card.text


def test_only_a_model_sets_own_files_go(tmp_path) -> None:
    for name in (
        "composer/config.json",
        "composer/model.safetensors",
        "secret.txt",
        "a/stats.jsonl",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert hub.files(tmp_path) == ["composer/config.json", "composer/model.safetensors"]


@pytest.mark.parametrize(("status", "words"), [(401, "hf auth login"), (403, "may not write")])
def test_refusals_are_put_in_words(hub_stand_in, api, status, words) -> None:
    hub_stand_in.refuse = status
    with pytest.raises(UserError, match=words):
        hub.publish(MODEL, "someone/faces", api=api)


@pytest.mark.parametrize(("repo", "revision"), [("no/body", "main"), ("someone/faces", "v9")])
def test_what_is_missing_is_put_in_words(hub_stand_in, api, repo, revision) -> None:
    hub_stand_in.repos["models/someone/faces"] = {}
    with pytest.raises(CheckpointError, match="no model on the Hub"):
        hub.fetch(repo, revision, api)


def test_without_a_network_it_says_so(api, hub_stand_in) -> None:
    unreachable = HfApi(endpoint="http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="nor can the Hub be reached"):
        hub.fetch("someone/faces", "main", unreachable)


def test_a_folder_stays_a_folder_and_a_revision_is_fetched(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(hub, "fetch", lambda repo, revision: Path(repo, revision))
    at = tmp_path / "a@b"
    at.mkdir()
    assert hub.located("checkpoints/avatars") == Path("checkpoints/avatars")
    assert hub.located(at) == at
    assert hub.located("someone/faces@v1") == Path("someone/faces/v1")


def test_a_dry_run_lists_and_asks_nobody(capsys, monkeypatch) -> None:
    monkeypatch.setattr(hub, "publish", None)
    assert main(["publish", "--repo", "someone/faces", "--model", str(MODEL), "--dry-run"]) == 0
    assert capsys.readouterr().out.split() == [*hub.files(MODEL), "README.md"]


def test_what_is_no_model_set_is_refused(tmp_path, capsys) -> None:
    assert main(["publish", "--repo", "someone/faces", "--model", str(tmp_path)]) == 2
    assert "is no model set" in capsys.readouterr().err
