from __future__ import annotations

from pathlib import Path

import pytest

from plusx.data import Splits, open_data
from training.tinyrun import write_photos


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Splits:
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    return open_data(write_photos(tmp_path / "photos"))
