from __future__ import annotations

import torch

from s2v_core import checkpoint
from s2v_core.students import Students, StudentsConfig, unit

TINY = StudentsConfig(omega=6, hidden=16, mu=5, nu=9)


def omega() -> torch.Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def students() -> Students:
    torch.manual_seed(0)
    return Students(TINY)


def test_the_published_sizes():
    with torch.device("meta"):
        mu, nu = Students(StudentsConfig())(torch.zeros(3, 256))
    assert mu.shape == (3, 2048)
    assert nu.shape == (3, 4096)


def test_both_vectors_have_unit_mean_square():
    mu, nu = students()(omega())
    torch.testing.assert_close(mu.square().mean(1), torch.ones(4))
    torch.testing.assert_close(nu.square().mean(1), torch.ones(4))


def test_unit_by_hand():
    # length 5, two entries: times sqrt 2 / 5
    torch.testing.assert_close(
        unit(torch.tensor([3.0, 4.0])), torch.tensor([3.0, 4.0]) * 2**0.5 / 5
    )


def test_unit_keeps_the_direction_and_forgets_the_length():
    x = omega()
    torch.testing.assert_close(unit(7 * x), unit(x))
    cosine = torch.cosine_similarity(unit(x), x)
    torch.testing.assert_close(cosine, torch.ones(4))


def test_the_students_do_not_hear_how_loud_the_summary_is():
    network = students().eval()
    torch.testing.assert_close(network(50 * omega()), network(5 * omega()), atol=1e-3, rtol=0)


def test_the_students_are_apart():
    network = students()
    network(omega())[0].sum().backward()
    assert all(p.grad is None for p in network.s_id.parameters())
    assert any(p.grad is not None for p in network.s_emo.parameters())


def test_no_chance_once_trained():
    network = students().eval()
    torch.testing.assert_close(network(omega()), network(omega()))
    network.train()
    assert not torch.equal(network(omega())[1], network(omega())[1])  # dropout


def test_gradients_reach_every_parameter(without_gradient):
    network = students()
    assert without_gradient(network, *network(omega())) == []


def test_a_remembered_face_is_recollected_and_a_doubtful_one_drawn_to_the_nearest():
    torch.manual_seed(0)
    students = Students(StudentsConfig(omega=4, hidden=8, mu=5, nu=32))
    faces = torch.rand(6, 32)
    students.remember(faces, torch.zeros(len(faces), 2))
    torch.testing.assert_close(students.recollect(unit(faces)), unit(faces), atol=1e-3, rtol=0)
    doubtful = unit(0.7 * faces[:1] + 0.3 * faces[1:2])
    drawn = students.recollect(doubtful)
    assert (drawn - unit(faces[:1])).norm() < 0.2 * (doubtful - unit(faces[:1])).norm()


def test_a_remembered_face_rests_in_its_pose_and_a_doubtful_one_between():
    students = Students(StudentsConfig(omega=4, mu=3, nu=32))
    faces = torch.rand(3, 32, generator=torch.Generator().manual_seed(0))
    poses = torch.tensor([[0.0, 3.0], [-4.0, 0.0], [2.0, 2.0]])
    assert torch.equal(students.rest(faces), torch.zeros(3, 2))
    students.remember(faces, poses)
    torch.testing.assert_close(students.rest(unit(faces)), poses, atol=1e-2, rtol=0)
    doubtful = students.rest(unit(unit(faces[:1]) + unit(faces[1:2])))
    torch.testing.assert_close(doubtful, poses[:2].mean(0, keepdim=True), atol=1, rtol=0)


def test_without_a_memory_nu_stays_as_it_is_heard():
    nu = unit(torch.rand(3, 32))
    students = Students(StudentsConfig(omega=4, hidden=8, mu=5, nu=32))
    assert torch.equal(students.recollect(nu), nu)


def test_the_memory_travels_with_the_weights(tmp_path):
    students = Students(StudentsConfig(omega=4, hidden=8, mu=5, nu=32))
    students.remember(torch.rand(6, 32), torch.rand(6, 2))
    checkpoint.save_network(tmp_path, students, students.config)
    again = checkpoint.load_network(tmp_path, Students, StudentsConfig)
    torch.testing.assert_close(again.faces, students.faces, atol=2e-3, rtol=0)
    torch.testing.assert_close(again.poses, students.poses, atol=2e-3, rtol=0)
