"""Makes .venv and installs plusx into it, stage by stage; the Makefile calls it. Needs nothing but Python 3.11.

    python3 scripts/setup.py STAGE… [--then STAGE…]     base: plusx without torch · train: torch · check, dev, bench: tools

What is missing is announced with its size (`--then`: stages that a later call will install, announced together); a
stage that is there already, with the same requirements, is skipped at once. All packages come through pip with the
user's own pip settings. TORCH and TORCH_INDEX_URL choose the build of torch (see Makefile); the choice is remembered
in .venv, so that a later `make test` does not replace a CPU build by a CUDA build.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAGES = ("base", "train", "check", "dev", "bench")
OLDEST_TORCH = (2, 10)
# Room on disk in MB, measured on Linux x86_64 with Python 3.11: torch 2.14.1 from the default index and 2.13.0+cpu.
BASE_MB, CPU_MB, CUDA_MB, CHECK_MB, TOOLS_MB = 130, 870, 5600, 450, 1050


def stop(line: str, code: int = 2) -> NoReturn:
    print(f"plusx: {line}", file=sys.stderr)
    sys.exit(code)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# ---- what is there already ----


def wish() -> dict[str, str]:
    """How torch was asked for: by the environment, else as it was last time, else pip's default."""
    asked = {"torch": os.environ.get("TORCH", "").strip(), "index": os.environ.get("TORCH_INDEX_URL", "").strip()}
    remembered = VENV / "plusx-torch.json"
    if not any(asked.values()) and remembered.is_file():
        return json.loads(remembered.read_text())
    return asked


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def extra(name: str) -> list[str]:
    """The requirements of plusx[name]; given to pip as such, since plusx itself stands there since the base stage."""
    return project()["optional-dependencies"][name]


def key(stage: str) -> str:
    """Changes when what a stage would install changes: requirements, interpreter, choice of torch."""
    parts = [stage, project(), sys.version, str(ROOT), wish() if stage != "base" else {}]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def stamp(stage: str) -> Path:
    return VENV / f"plusx-{stage}.stamp"


def done(stage: str) -> bool:
    return PYTHON.exists() and stamp(stage).is_file() and stamp(stage).read_text() == key(stage)


def works(code: str) -> bool:
    """Whether the environment's Python runs `code`."""
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", code], capture_output=True).returncode == 0


# ---- what it will cost ----


def default_is_cuda() -> bool:
    return platform.system() == "Linux" and platform.machine() in ("x86_64", "aarch64")


def torch_cost() -> tuple[str, int]:
    """What installing torch means in words, and the room it takes in MB."""
    asked = wish()
    if asked["torch"] == "cpu" or not default_is_cuda():
        return f"torch, CPU build: 0.2 GB to download, {CPU_MB / 1000:.2g} GB on disk", CPU_MB
    if asked["torch"] or asked["index"]:
        words = asked["torch"] or "torch from TORCH_INDEX_URL"
        return f"{words}: up to 3 GB to download and 6 GB on disk if it is a CUDA build", CPU_MB
    return (
        f"torch with CUDA, pip's default on Linux: 3 GB to download, {CUDA_MB / 1000:.2g} GB on disk "
        "(TORCH=cpu in front of make asks for the CPU build: 0.2 and 0.9 GB)"
    ), CUDA_MB


def announce(stages: list[str]) -> None:
    """Say what will be installed, where, and how large it is; stop if the disk has no room for it."""
    lines: list[tuple[str, int]] = []
    if "base" in stages:
        lines.append((f"plusx, numpy, pillow, simplejpeg, safetensors, rich: {BASE_MB} MB", BASE_MB))
    if "train" in stages and not works("import torch"):
        lines.append(torch_cost())
    if "check" in stages:
        lines.append((f"tools for check: {CHECK_MB} MB", CHECK_MB))
    if tools := [stage for stage in stages if stage in ("dev", "bench")]:
        lines.append((f"tools for {' and '.join(tools)}: {TOOLS_MB} MB", TOOLS_MB))
    if not lines:
        return
    say(f"plusx: setting up {VENV}; pip installs there, and nowhere else:")
    for line, _ in lines:
        say(f"  - {line}")
    free, need = shutil.disk_usage(ROOT).free // 1_000_000, sum(room for _, room in lines)
    if free < need:
        stop(f"{free} MB are free at {ROOT}, about {need} MB are needed; make room, or ask for TORCH=cpu", 3)


# ---- doing it ----


def make_venv() -> None:
    """An environment with pip: the one that is there, if its Python runs and is new enough, else a new one."""
    try:
        import ensurepip  # noqa: F401  (Debian splits it off, and venv then fails with a page of text)
    except ImportError:
        stop("this Python cannot make environments; on Debian: apt install python3-venv")
    if not works("import sys; sys.exit(sys.version_info < (3, 11))"):
        venv.create(VENV, clear=VENV.exists(), with_pip=True, symlinks=os.name != "nt")
    elif not works("import pip"):  # made by uv, say
        subprocess.run([PYTHON, "-m", "ensurepip"], stdout=subprocess.DEVNULL, check=True)


def pip(*arguments: str) -> None:
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", *quiet, *arguments]
    if subprocess.run(command, cwd=ROOT, stdout=sys.stderr).returncode:
        stop(f"pip could not install {' '.join(arguments)}; its reason stands above", 3)


def newest_cpu(package: str) -> str | None:
    """The newest version of `package` with the local label +cpu that pip sees under the user's settings, or None."""
    command = [str(PYTHON), "-m", "pip", "index", "versions", package]
    listing = subprocess.run(command, capture_output=True, text=True).stdout
    found = re.findall(r"\b(\d+(?:\.\d+)+\+cpu)\b", listing)
    return max(found, key=lambda version: [int(n) for n in version.split("+")[0].split(".")], default=None)


def cpu_requirements() -> list[str]:
    """Requirements that can only be met by CPU builds. torchvision goes first: its wheels pin the torch they fit."""
    if not default_is_cuda():
        return ["torch", "torchvision"]
    if vision := newest_cpu("torchvision"):
        return [f"torchvision=={vision}", "torch>=2.10"]
    torch = newest_cpu("torch")
    if torch is None or tuple(int(n) for n in torch.split(".")[:2]) < OLDEST_TORCH:
        stop(
            "TORCH=cpu: pip sees no CPU build of torch; set TORCH_INDEX_URL to PyTorch's package index for CPUs "
            "(its 'Get Started' page prints the address), or PIP_FIND_LINKS to a folder with the wheels"
        )
    return [f"torch=={torch}"]


def install_torch() -> None:
    asked = wish()
    (VENV / "plusx-torch.json").write_text(json.dumps(asked))
    source = ["--index-url", asked["index"]] if asked["index"] else []
    if asked["torch"] == "cpu" and not source:
        pip(*cpu_requirements())
    elif source or asked["torch"]:
        words = shlex.split(asked["torch"]) if asked["torch"] != "cpu" else ["torch"]
        pip(*source, *words, *([] if any("torchvision" in word for word in words) else ["torchvision"]))
    else:
        pip(*extra("train"))
    check_torch()


def check_torch() -> None:
    """torch must load; a torchvision of another build must not stay, since everything that imports it would fail."""
    if not works("import torch; torch.zeros(1)"):
        stop(f"torch was installed and does not load; {PYTHON} -c 'import torch' says why", 3)
    if works("import torchvision"):
        return
    if works("import importlib.metadata as m; m.version('torchvision')"):
        subprocess.run([PYTHON, "-m", "pip", "uninstall", "--quiet", "--yes", "torchvision"])
    say("plusx: no torchvision fits this build of torch, left out: training works, comparisons with it are skipped")


def install(stage: str) -> None:
    if stage == "base":
        make_venv()
        pip("--editable", ".")
    elif stage == "train":
        install_torch()
    else:  # without torchvision, timm would bring one of another build
        fitting = works("import torchvision")
        pip(*(word for word in extra(stage) if fitting or not word.startswith("timm")))
    stamp(stage).write_text(key(stage))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", choices=STAGES, metavar="STAGE")
    parser.add_argument("--then", nargs="+", choices=STAGES, default=[], metavar="STAGE")
    asked = parser.parse_args()
    missing = [stage for stage in STAGES if stage in (*asked.stages, *asked.then) and not done(stage)]
    if missing:
        announce(missing)
    for stage in missing:
        if stage in asked.stages:
            install(stage)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("interrupted; the same command goes on from here", 130)
