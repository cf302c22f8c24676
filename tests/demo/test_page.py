"""What the page offers around a model."""

from __future__ import annotations

from demo import page


def test_a_model_without_speakers_offers_only_comparing(fake_model):
    api = page.build(fake_model).get_api_info()
    assert list(api["named_endpoints"]) == ["/generate", "/verify"]
    inputs = api["named_endpoints"]["/generate"]["parameters"]
    needed = {field["parameter_name"]: not field["parameter_has_default"] for field in inputs}
    assert needed == {"speech": False, "reference": False, "film": False, "faces": False}
