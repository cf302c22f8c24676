"""Putting the demo on a Space, against a stand-in of the Hub's HTTP API."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi, SpaceCard

from demo import deploy
from s2v_core.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def api(hub_stand_in) -> HfApi:
    return HfApi(endpoint=hub_stand_in.url, token="hf_nobody")


def listed(text: str) -> list[str]:
    return [line.split()[1] for line in text.splitlines()[:-1]]


def test_a_dry_run_lists_exactly_what_a_deployment_uploads(hub_stand_in, api, capsys) -> None:
    assert deploy.main(["--space", "someone/demo", "--dry-run"]) == 0
    names = listed(capsys.readouterr().out)
    deploy.deploy("someone/demo", deploy.files(), api=api)
    space = hub_stand_in.repos["spaces/someone/demo"]
    assert sorted(space) == sorted(names)
    assert all(content == (ROOT / name).read_bytes() for name, content in space.items())
    assert hub_stand_in.created[0]["sdk"] == "gradio"


def test_tests_training_and_leftovers_stay_at_home() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in deploy.files()}
    assert {"app.py", "demo/page.css", "demo/examples/LICENCE.md", "requirements.txt"} <= names
    assert {"LICENSE", "NOTICE", "demo/tabs/live.js"} <= names
    assert not [
        n for n in names if n.startswith(("tests", "training", "data", "runs", ".", "study"))
    ]
    assert not [n for n in names if n.endswith(".pyc")]


def test_weights_can_come_from_a_model_repository(hub_stand_in, api) -> None:
    chosen = deploy.files(with_weights=False)
    deploy.deploy("someone/demo", chosen, "zero-a10g", "someone/faces@abc", api=api)
    assert not [n for n in hub_stand_in.repos["spaces/someone/demo"] if n.startswith("checkpoints")]
    assert hub_stand_in.variables == [{"key": "S2V_MODEL", "value": "someone/faces@abc"}]
    assert hub_stand_in.created[0]["hardware"] == "zero-a10g"


def test_a_refusal_is_put_into_words(hub_stand_in, api) -> None:
    hub_stand_in.refuse = 403
    with pytest.raises(UserError, match="may not write"):
        deploy.deploy("someone/demo", deploy.files(), api=api)


def test_the_front_matter_is_what_a_space_needs() -> None:
    """The Space's SDK is the gradio of requirements.txt, and its Python one that the code needs."""
    card = SpaceCard.load(ROOT / "README.md").data
    assert card.sdk == "gradio" and (ROOT / card.app_file).is_file()
    assert f"gradio=={card.sdk_version}" in (ROOT / "requirements.txt").read_text()
    assert tuple(map(int, card.python_version.split("."))) >= (3, 11)
    assert len(card.short_description) <= 60
