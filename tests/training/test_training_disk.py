"""A training on a disk that fills up, under another clock and in another country: nothing is lost, the bits are the same."""

from __future__ import annotations

import locale
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from bundles.tmpfs import PAGE, fill, small_disk
from plusx.bundles import newest_checkpoint
from plusx.cli.main import main
from plusx.errors import RunError
from plusx.training import Checkpointed
from plusx.training import step as step_module
from training.tinyrun import digest, resumed, started, stopped_after
from waiting import HANG

pytestmark = pytest.mark.forks


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    list(started(run))
    return digest(run)


# ---- disk ----


@pytest.mark.parametrize("leave_pages", [0, 3, 9])
@pytest.mark.filterwarnings("ignore:MetricsFile failed")
def test_a_disk_that_fills_in_the_middle(leave_pages: int, undisturbed: dict[str, str], tmp_path: Path) -> None:
    """The training ends in one line that names the last complete checkpoint; with space again it is resumed and ends in the same bits."""
    with small_disk(tmp_path / "disk", 1 << 12) as disk:
        events = started(disk / "run", checkpoint_steps=2)
        with pytest.raises(RunError) as caught:
            for event in events:
                if isinstance(event, Checkpointed) and event.step == 4:
                    ballast = fill(disk, leave_pages)
        assert caught.value.exit_code == 3 and "\n" not in str(caught.value)
        assert "disk is full" in str(caught.value)
        assert f"last complete checkpoint is {disk / 'run/checkpoints/step-00000004'}" in str(caught.value)
        assert newest_checkpoint(disk / "run") == disk / "run/checkpoints/step-00000004"
        ballast.unlink()
        list(resumed(disk / "run"))
        assert digest(disk / "run") == undisturbed
        shutil.rmtree(disk / "run")


def test_too_little_disk_is_said_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a real small disk, through the command line; with room the same command trains (the negative control)."""
    monkeypatch.chdir(tmp_path)
    words = ["train", "resnet18", "depths=1,1", "widths=4,8", "stem=3x3", "stem_width=4", "--data", "digits"]
    words += ["--recipe", "digits epochs=1", "--threads", "1", "--workers", "0", "--device", "cpu", "--out"]
    with small_disk(tmp_path / "small", 256) as disk:  # 1 MiB
        assert main([*words, str(disk / "run")]) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("plusx: ")]
        assert (
            len(said) == 1
            and f"The disk of {disk / 'run'} has 1 MB free, but the checkpoints of this run need 4 MB." in said[0]
        )
        assert list(disk.iterdir()) == []
    with small_disk(tmp_path / "large", 4096) as disk:
        assert main([*words, str(disk / "run")]) == 0
        used = sum(path.stat().st_size for path in (disk / "run").rglob("*") if path.is_file())
        assert used < 256 * PAGE * 4


# ---- clock and country ----


def comma_locale(folder: Path) -> dict[str, str]:
    """Environment of a locale whose decimal point is a comma; made in `folder` where none is installed."""
    there = subprocess.run(["locale", "-a"], capture_output=True, text=True, timeout=HANG).stdout.split()
    installed = next((name for name in there if name.lower() in ("de_de.utf8", "fr_fr.utf8", "es_es.utf8")), None)
    if installed is not None:
        return {"LC_ALL": installed}
    words = ["localedef", "-i", "de_DE", "-f", "UTF-8", str(folder / "de_DE.UTF-8")]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=HANG)
    except OSError as error:
        pytest.skip(f"no locale with a decimal comma here ({error})")
    if done.returncode:
        pytest.skip(f"no locale with a decimal comma can be made here ({done.stderr.strip()[:80]})")
    return {"LC_ALL": "de_DE.UTF-8", "LOCPATH": str(folder)}


def abroad(work: Callable[[], object], environment: dict[str, str], clock: float = 0.0) -> int:
    """Exit status of a forked child that does `work` elsewhere: other variables, `clock` seconds later (or before)."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.environ.update(environment)
        time.tzset()
        locale.setlocale(locale.LC_ALL, "")
        for name in ("time", "monotonic", "perf_counter"):
            real = getattr(time, name)
            setattr(time, name, lambda real=real: real() + clock)
        work()
        code = 0
    finally:
        os._exit(code)


YEARS = 20 * 365 * 86400.0
PLANTS = {
    "clock": lambda: time.time() < 1.2e9,  # before 2008
    "locale": lambda: locale.localeconv()["decimal_point"] == ",",
    "zone": lambda: time.localtime(0).tm_min == 45 and datetime.fromtimestamp(0).hour == 5,
}


def go_on_abroad(run: Path, environment: dict[str, str], plant: Callable[[], bool] | None = None) -> int:
    """The rest of the training 20 years earlier, in Kathmandu, in German; with a defect that shows there, if planted."""

    def work() -> None:
        if plant is not None:
            rate = step_module.learning_rate
            step_module.learning_rate = lambda *words: rate(*words) * (1.001 if plant() else 1)
        list(resumed(run))

    return abroad(work, {**environment, "TZ": "XXX-05:45"}, -YEARS)


@pytest.fixture
def half(tmp_path: Path) -> Iterator[Path]:
    stopped_after(tmp_path / "run", 5)
    yield tmp_path / "run"


def test_clock_zone_and_locale_change_nothing(half: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    """Begun here and now, ended 20 years earlier by the clock (and by the monotonic one), in another zone and language."""
    assert go_on_abroad(half, comma_locale(tmp_path)) == 0
    assert digest(half) == undisturbed


@pytest.mark.parametrize("what", PLANTS)
def test_the_change_is_felt(what: str, half: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    """Negative control: a learning rate that hangs on clock, locale or zone gives other bits there, and not here."""
    assert not PLANTS[what]()
    assert go_on_abroad(half, comma_locale(tmp_path), PLANTS[what]) == 0
    assert digest(half) != undisturbed


def test_a_kill_before_run_json_stands_leaves_the_folder_free(undisturbed: dict[str, str], tmp_path: Path) -> None:
    """SIGKILL between writing run.json aside and renaming it; the same training then begins in that folder."""
    from plusx.bundles import atomic

    def work() -> None:
        atomic._rename = lambda *_: os.kill(os.getpid(), 9)
        list(started(tmp_path / "run"))

    assert abroad(work, {}) == -9
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {".run.json.new", ".plusx.lock", "checkpoints"}
    list(started(tmp_path / "run"))
    assert digest(tmp_path / "run") == undisturbed
