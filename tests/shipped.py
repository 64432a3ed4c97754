"""Fixtures for modules that say `pytest_plugins = ["shipped"]`: networks and images, made once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipping import digits_run, photo_bundle, write_digits, write_jpegs


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_bundle(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_digits(tmp_path_factory.getbasetemp() / "digit-files", 40)


@pytest.fixture(scope="session")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_jpegs(tmp_path_factory.getbasetemp() / "jpeg-files", 12)


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this session alone, and two workers wherever the tests run."""
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("PLUSX_THREADS", "2")
