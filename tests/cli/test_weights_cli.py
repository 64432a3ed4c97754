"""plusx weights identify."""

from __future__ import annotations

import pytest
import torch

import plusx
from plusx.cli.main import main


@pytest.mark.parametrize("words", ["resnet18 classes=7", "seresnet50 in_channels=1", "resnet50d classes=0", "wrn_40_4"])
def test_identify_names_the_network(tmp_path, capsys, words):
    torch.save({k: torch.zeros(t.shape) for k, t in plusx.lower(words).tensors()}, tmp_path / "unknown.pth")
    assert main(["weights", "identify", str(tmp_path / "unknown.pth")]) == 0
    out = capsys.readouterr().out
    assert f"network   {words}\n" in out
    assert f"{plusx.analyse(words).totals.params:,} parameters" in out


def test_identify_refuses_what_is_no_network(tmp_path, capsys):
    torch.save({"a": torch.zeros(3)}, tmp_path / "unknown.pth")
    assert main(["weights", "identify", str(tmp_path / "unknown.pth")]) == 2
    assert "no network of plusx has exactly its 1 tensors (a, …)" in capsys.readouterr().err
