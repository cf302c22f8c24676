from __future__ import annotations

import torch

from s2v_core.models import checkpoint
from s2v_core.networks.students import Students, StudentsConfig, Voice, unit

TINY = StudentsConfig(omega=6, hidden=16, mu=5, nu=9)


def omega() -> torch.Tensor:
    """The context of four voices, one step each: their c_T."""
    return torch.randn(4, 1, 6, generator=torch.Generator().manual_seed(0))


def students() -> Students:
    torch.manual_seed(0)
    return Students(TINY)


def test_the_published_sizes():
    with torch.device("meta"):
        mu, nu, *_ = Students(StudentsConfig())(torch.zeros(3, 7, 256))
    assert mu.shape == (3, 2048)
    assert nu.shape == (3, 4096)


def test_both_vectors_have_unit_mean_square():
    mu, nu, *_ = students()(omega())
    torch.testing.assert_close(mu.square().mean(1), torch.ones(4))
    torch.testing.assert_close(nu.square().mean(1), torch.ones(4))


def test_unit_by_hand():
    # length 5, two entries: times sqrt 2 / 5
    torch.testing.assert_close(
        unit(torch.tensor([3.0, 4.0])), torch.tensor([3.0, 4.0]) * 2**0.5 / 5
    )


def test_unit_keeps_the_direction_and_forgets_the_length():
    x = omega()[:, 0]
    torch.testing.assert_close(unit(7 * x), unit(x))
    cosine = torch.cosine_similarity(unit(x), x)
    torch.testing.assert_close(cosine, torch.ones(4))


def test_the_students_do_not_depend_on_how_loud_the_summary_is():
    network = students().eval()
    loud, soft = network(50 * omega()), network(5 * omega())
    torch.testing.assert_close(loud[:2], soft[:2], atol=1e-3, rtol=0)


def test_the_students_are_apart():
    network = students()
    network(omega())[0].sum().backward()
    assert all(p.grad is None for p in network.s_id.parameters())
    assert any(p.grad is not None for p in network.s_emo.parameters())


def test_no_chance_once_trained():
    network = students().eval()
    torch.testing.assert_close(network(omega())[:2], network(omega())[:2])
    network.train()
    assert not torch.equal(network(omega())[1], network(omega())[1])  # dropout


def test_gradients_reach_every_parameter(without_gradient):
    network = students()
    assert without_gradient(network, *network(omega())[:2]) == []


def with_clips() -> tuple[Students, tuple[torch.Tensor, ...]]:
    """Students that store six clips, and what they store."""
    generator = torch.Generator().manual_seed(0)
    seen = [torch.rand(6, size, generator=generator) for size in (24, 32, 2)]
    students = Students(StudentsConfig(omega=4, hidden=8, mu=24, nu=32))
    students.store(*seen)
    return students, (unit(seen[0]), unit(seen[1]), seen[2])


def test_what_is_stored_is_retrieved_and_what_is_doubtful_drawn_to_the_nearest():
    students, (emotions, faces, poses) = with_clips()
    mu, nu = students.retrieve(Voice(emotions, faces, None))
    torch.testing.assert_close(mu, emotions, atol=0.05, rtol=0)
    torch.testing.assert_close(nu, faces, atol=1e-3, rtol=0)
    straight = torch.stack([torch.zeros(len(poses)), poses[:, 1]], dim=1)
    torch.testing.assert_close(students.rest(faces), straight, atol=1e-3, rtol=0)
    for vectors, place in ((emotions, 0), (faces, 1)):
        doubtful = unit(0.7 * vectors[:1] + 0.3 * vectors[1:2])
        given = [doubtful if i == place else v for i, v in enumerate((mu, nu))]
        drawn = students.retrieve(Voice(*given, None))
        assert (drawn[place][:1] - vectors[:1]).norm() < 0.5 * (doubtful - vectors[:1]).norm()


def test_who_decides_in_doubt_retrieves_one_face():
    students, (_, faces, _) = with_clips()
    doubtful = unit(0.55 * faces[:1] + 0.45 * faces[1:2])
    distances = []
    for decide in (1.0, 0.3):
        students.config = students.config.model_copy(update={"decide": decide})
        _, drawn = students.retrieve(Voice(torch.rand(1, 24), doubtful, None))
        distances.append((drawn - faces[:1]).norm().item())
    assert distances[1] < 0.5 * distances[0]


def test_between_two_faces_the_head_rests_between_their_poses():
    students, (_, faces, poses) = with_clips()
    turn, nod = students.rest(unit(faces[:1] + faces[1:2]))[0]
    nearest, farthest = poses[:2, 1].amin(), poses[:2, 1].amax()
    assert turn == 0
    assert nearest - 0.1 < nod < farthest + 0.1


def test_without_stored_clips_both_stay_as_they_are():
    students = Students(StudentsConfig(omega=4, hidden=8, mu=5, nu=32))
    mu, nu = torch.rand(3, 5), torch.rand(3, 32)
    assert all(map(torch.equal, students.retrieve(Voice(mu, nu, None)), (mu, nu)))
    assert torch.equal(students.rest(nu), torch.zeros(3, 2))


def test_the_stored_clips_travel_with_the_weights(tmp_path):
    students, _ = with_clips()
    checkpoint.save_network(tmp_path, students, students.config)
    again = checkpoint.load_network(tmp_path, Students, StudentsConfig)
    for name in ("emotions", "faces", "poses"):
        torch.testing.assert_close(getattr(again, name), getattr(students, name), atol=2e-3, rtol=0)


def test_by_voice_they_encode_the_speech_itself(without_gradient):
    students = Students(StudentsConfig(summary="voice", voice=2, hidden=8, mu=5, nu=7))
    assert students.config.source == "speech"
    speech = torch.randn(3, 16_000)
    mu, nu, *_ = students(speech)
    assert (mu.shape, nu.shape) == ((3, 5), (3, 7))
    assert without_gradient(students, mu, nu) == []
