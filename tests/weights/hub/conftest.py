"""A hub on this machine, a cache in a temporary folder, and no setting of the machine that runs the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import Server, serving

from plusx.weights.hub import downloading, requesting

FOREIGN = ("HF_", "HUGGING", "TRANSFORMERS_", "TORCH_HOME", "KERAS_HOME", "MODELSCOPE", "XDG_CACHE")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("PLUSX_OFFLINE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloading, "WAIT_S", 0.0)
    monkeypatch.setattr(requesting, "TIMEOUT", 5.0)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server in the place of huggingface.co itself: with its token, and free to redirect."""
    from plusx.weights.hub import remote

    monkeypatch.setattr(remote, "HUB", server.url)
    return server
