"""Where lips must be closed."""

from __future__ import annotations

import pytest

from s2v_core.errors import UserError
from training.data.phones import closures


def test_the_middle_of_every_bilabial(tmp_path):
    rows = ["start,end,phone", "0,0.2,.", "0.20,0.28,m", "0.28,0.5,a", "0.5,0.52,!p", "0.60,0.80,P"]
    (tmp_path / "clip.csv").write_text("\n".join(rows))
    assert closures(tmp_path, "clip", fps=25) == [6, 17]  # 0.24 s and 0.70 s
    assert closures(tmp_path, "clip", fps=100) == [24, 70]


@pytest.mark.parametrize("text", [None, "a,b\n1,2", "start,end,phone\nx,0.1,m"])
def test_a_file_without_phones_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "clip.csv").write_text(text)
    with pytest.raises(UserError, match=r"clip\.csv"):
        closures(tmp_path, "clip", fps=25)
