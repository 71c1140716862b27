"""What is refused before anything is asked of the desk."""

from __future__ import annotations

from pathlib import Path

import pytest

from kanad_server.engines.desk import Desk
from kanad_server.errors import Impossible
from kanad_server.intake import Intake
from kanad_server.testing import spec
from kanad_solvers.spec import Probe


async def test_the_probe_method_is_refused_unless_it_was_enabled(tmp_path: Path) -> None:
    intake = Intake(Desk(tmp_path), enable_probe=False)
    with pytest.raises(Impossible, match="--enable-probe") as caught:
        await intake.prepare(spec(method=Probe()))
    assert [error.path for error in caught.value.errors] == ["$.method.name"]
