from __future__ import annotations

import math

import pytest
import torch
from accelerate import Accelerator

from s2v_core.networks.cpc import CPCConfig
from tests.training.variant import variant
from training.cpc import CPCSettings, CPCTrainer, Predictive
from training.engine.config import Schedule

SETTINGS = CPCSettings(
    model=CPCConfig(channels=(6,) * 5, context=5),
    schedule=Schedule(steps=4, batch=3, learning_rate=3e-3, save_every=2),
    window=3200,
    ahead=3,
    rivals=7,
)


def trainer(clips, settings: CPCSettings = SETTINGS) -> CPCTrainer:
    torch.manual_seed(0)
    return CPCTrainer(settings, clips, Accelerator(cpu=True))


def test_a_batch_depends_on_the_step_alone(clips):
    first, again, other = (trainer(clips).batch(step) for step in (3, 3, 4))
    assert first.shape == (3, 3200)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.abs().max() <= 1


def test_speech_shorter_than_the_window_is_repeated(clips):
    batch = trainer(clips, variant(SETTINGS, window=40_000)).batch(0)
    assert batch.shape == (3, 40_000)
    assert batch[:, -8000:].abs().amax(1).min() > 0  # no silence at the end


def test_each_prediction_stands_for_the_latent_that_many_steps_later():
    torch.manual_seed(0)
    network = Predictive(SETTINGS.model, ahead=3).eval()
    audio = torch.randn(2, 1600)
    predictions, latents = network(audio)
    assert latents.shape == (2, 10, 6)
    assert [tuple(p.shape) for p in predictions] == [(2, 10 - k, 6) for k in (1, 2, 3)]
    _, context = network.cpc(audio)
    torch.testing.assert_close(predictions[2][:, 4], network.predictors[2](context[:, 4]))


def test_an_ignorant_start_costs_the_log_of_the_candidates(clips):
    cpc = trainer(clips)
    with torch.no_grad():
        for predictor in cpc.network.predictors:
            predictor.weight.zero_()
    loss = cpc.step(cpc.batch(0), 0)["info_nce"]
    assert loss == pytest.approx(math.log(20 + 7), rel=1e-4)


def test_every_parameter_learns_and_the_loss_falls(clips, changed):
    cpc = trainer(clips, variant(SETTINGS, schedule=variant(SETTINGS.schedule, steps=30)))
    batch, history = cpc.batch(0), []
    names = changed(
        cpc.network, lambda: history.extend(cpc.step(batch, step) for step in range(30))
    )
    assert set(names) == {name for name, _ in cpc.network.named_parameters()}
    assert history[-1]["info_nce"] < history[0]["info_nce"]
