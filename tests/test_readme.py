"""The commands and the Python of README.md and of the pages that follow its convention run, at toy size; their Chinese
twins have the same ones in the same order.

The convention, all that a README's author must know: every fenced block names its language.
  ```sh, ```python   are run, top to bottom, in one folder that holds TOY_FILES, so a later block may use what an
                     earlier one made. A line that begins with something in NOT_RUN is read over; one in SLOW waits for
                     make test-slow.
  ```text, ```json   are for reading: what comes out.
A command is run as it stands there but for `shrunk`: training is cut to an epoch of a few images. Python and plain plusx
commands run in this process, because a new one would import torch each time; whatever needs a shell gets one.
A ```text block right behind a ```sh block is what its last command prints: every line of it must come out as it stands.
A figure in a comment (15.5 pixels, 3x3) is one that the command prints, or the script of the comment's line: its digits
are looked for in what really comes out. Signs, and figures in names (ResNet-50, layer4), do not count.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import plusx
from plusx.cli.main import main
from waiting import HANG

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "README.zh-CN.md",
    "docs/train.md": "docs/train.zh.md",
    "docs/finetune.md": "docs/finetune.zh.md",
}
RUN, READ = ("sh", "python"), ("text", "json")

TOY_FILES = "photos/{cat,dog}/*.jpg (16 images), new/*.jpg (3), image.jpg, fashion-mnist/ (four IDX files), pretrained.safetensors"
TOY_RECIPE = "epochs=1 batch=4"
TOY_PROBE = "probe size=64"
PRETRAINED = "pretrained.safetensors"
"""Stands in for weights of a hub: a small network with random weights."""
NOT_RUN = {
    "make ": "runs these tests, or sets up what they run in",
    "git clone": "needs a network",
    "cd ": "the clone's folder",
    "pip install": "needs a network",
    "plusx check my_net.py:Net": "needs a network of one's own (tests/cli/test_check_cli.py)",
    "plusx explore": "a server, does not end (make test-browser)",
    "plusx serve": "a server, does not end (tests/serving)",
    "plusx train --resume": "needs an interrupted run (tests/training)",
}
SLOW = {
    "torchrun --nproc-per-node 2": "tests/training/test_training_distributed.py trains and counts with two processes",
}
"""Each torchrun imports torch three times."""


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int

    @property
    def code(self) -> str:
        """Without comments, which a translation translates, and without the space before them."""
        return "\n".join(line for raw in self.text.splitlines() if (line := COMMENT.sub("", raw).rstrip()))

    def comment(self, step: str) -> str:
        """What is said beside a command (or, of a script, beside all its lines)."""
        if self.language == "python":
            return " ".join(found[0] for raw in self.text.splitlines() if (found := COMMENT.search(raw)))
        joined = self.text.replace("\\\n", " ").splitlines()
        return " ".join(raw[len(COMMENT.sub("", raw)) :] for raw in joined if COMMENT.sub("", raw).rstrip() == step)


COMMENT = re.compile(r"(^|\s)#(?![0-9a-f]{3}).*")
FIGURE = re.compile(r"(?<![A-Za-z0-9_.])(?<![A-Za-z]-)(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:x\d+)*(?![A-Za-z\d])")


def figures(text: str) -> list[str]:
    """The figures of a text, without signs, and without commas between thousands.

    >>> figures("ResNet-50: -3.5 px, 25,557,032 parameters, 15,3x3, layer4, 4.09 to 5.")
    ['3.5', '25557032', '15', '3x3', '4.09', '5']
    """
    return [found.replace(",", "") for found in FIGURE.findall(text)]


def shown(figure: str, printed: list[str]) -> bool:
    """Whether a figure is among the printed ones, which may have more digits behind the point, or be a side of a map.

    >>> shown("4.09", ["4.0895"]), shown("3.5", ["35"]), shown("50", ["50.2"]), shown("15", ["15x15"])
    (True, False, False, True)
    """
    if figure in printed or any(figure in other.split("x") for other in printed):
        return True
    if "x" in figure or "." not in figure:
        return False
    places = len(figure.partition(".")[2])
    return any(f"{float(other):.{places}f}" == figure for other in printed if "x" not in other)


def blocks(markdown: str) -> Iterator[Block]:
    """Fenced code, in order. Refuses a fence without a language, or with one that is neither run nor read."""
    for found in re.finditer(r"^( *)```(\S*)\n(.*?)^\1```$", markdown, re.MULTILINE | re.DOTALL):
        line = markdown.count("\n", 0, found.start()) + 1
        language = found[2]
        assert language in (*RUN, *READ), (
            f"line {line}: fence of language {language!r}; allowed: {', '.join((*RUN, *READ))}"
        )
        yield Block(language, re.sub(f"^{found[1]}", "", found[3], flags=re.MULTILINE), line)


def commands(block: Block, slow: bool = True) -> list[str]:
    """The lines of a shell block that are run; a line that ends in \\ goes on."""
    lines = block.code.replace("\\\n", " ").splitlines()
    read_over = (*NOT_RUN, *(() if slow else SLOW))
    return [line for line in lines if not line.lstrip().startswith(read_over)]


def toy_recipe(option: re.Match[str]) -> str:
    words = (option[2] or option[3]).split()
    if words[0] == "probe":
        return f"--recipe '{TOY_PROBE}'"
    kept = [word for word in words if not word.startswith(("epochs=", "batch=", "views="))]
    few = ["size=64", "views=1"] if words[0] == "layer4" else ["size=64"] if words[0] == "full" else []
    return f"--recipe '{' '.join([*kept, *few])} {TOY_RECIPE}'"


def shrunk(command: str) -> str:
    """A command at toy size: the recipe gets TOY_RECIPE, in place of --epochs and --batch as well; Fashion-MNIST is the toy folder.

    >>> shrunk("plusx train resnet18 --data photos/")
    "plusx train --recipe 'default epochs=1 batch=4' resnet18 --data photos/"
    """
    if "plusx train" not in command:
        return command
    command = command.replace("--data fashion-mnist", "--data fashion-mnist/")
    command = command.replace("resnet50 --weights imagenet", f"--weights {PRETRAINED}")
    command = re.sub(r" --(epochs|batch) \S+", "", command)  # else said twice
    command, said = re.subn(r"--recipe (?:([\"'])(.*?)\1|(\S+))", toy_recipe, command)
    recipe = f"digits {TOY_RECIPE}" if "--data digits" in command else f"default {TOY_RECIPE}"
    recipe = TOY_PROBE if PRETRAINED in command else recipe
    return command if said else command.replace("plusx train", f"plusx train --recipe '{recipe}'", 1)


# ---- the toy folder ----


def write_toys(folder: Path) -> None:
    """Images of two classes that differ in colour, and Fashion-MNIST's four files with forty images."""
    rng = np.random.default_rng(0)

    def image(path: Path, red: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 120, (72, 96, 3), dtype=np.uint8)
        pixels[..., 0 if red else 2] += 120
        Image.fromarray(pixels).save(path)

    for red, name in enumerate(("cat", "dog")):
        for number in range(8):
            image(folder / "photos" / name / f"{number}.jpg", red)
    for number in range(3):
        image(folder / "new" / f"{number}.jpg", number % 2)
    image(folder / "image.jpg", 1)
    torch.manual_seed(0)
    network = plusx.build("resnet18 widths=8,16,32,64 stem_width=8")
    save_file(network.state_dict(), folder / PRETRAINED)
    (folder / "fashion-mnist").mkdir()
    for part, n in (("train", 40), ("t10k", 20)):
        idx(folder / f"fashion-mnist/{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        idx(folder / f"fashion-mnist/{part}-labels-idx1-ubyte.gz", np.arange(n, dtype=np.uint8) % 10)


def idx(path: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    told: str


def run(step: str, folder: Path, script: bool = False) -> Done:
    """What a command, or a script in Python, does in a folder that is its home too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in os.environ:
            if name.startswith(("PLUSX_", "PYTEST_")):
                patch.delenv(name)
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "home/cache"))
        patch.setenv("PLUSX_OFFLINE", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("TMPDIR", str(folder))  # where torchrun leaves an empty folder
        if script:
            return in_process(lambda: exec(compile(step, "README", "exec"), {"__name__": "__main__"}))
        if step.startswith("plusx ") and not set(step) & set("|&;<>*?$`(){}~\\"):
            return in_process(lambda: main(shlex.split(step)[1:]))
        words = ["bash", "-euo", "pipefail", "-c", step]
        done = subprocess.run(words, capture_output=True, text=True, timeout=HANG, stdin=subprocess.DEVNULL)
        return Done(done.returncode, done.stdout, done.stdout + done.stderr)


def in_process(work: Callable[[], int | None]) -> Done:
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = work() or 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        except Exception:
            traceback.print_exc()
            code = 1
    out.flush()
    printed = out.buffer.getvalue().decode()
    return Done(code, printed, printed + err.getvalue())


def failures(markdown: str, folder: Path, twin: str | None = None, slow: bool = True) -> list[str]:
    """Run everything that is to be run; one entry for each command or script that did not end well, or that does not
    print a figure of its comment, here or in the `twin` of the other language."""
    found: list[str] = []
    printed, end = list[str](), 0
    for block, other in zip(blocks(markdown), blocks(markdown if twin is None else twin), strict=True):
        if block.language == "text" and block.line == end + 2:
            lines = block.text.splitlines()
            found.extend(f"line {block.line}: {line}\n  is not printed" for line in lines if line not in printed)
        if block.language == "python":
            steps = {block.code: block.text}
        elif block.language == "sh":
            steps = {line: shrunk(line) for line in commands(block, slow)}
        else:
            continue
        for step, runs in steps.items():
            done = run(runs, folder, script=block.language == "python")
            if done.code:
                found.append(f"line {block.line}: {step}\n  run as: {runs}\n  exit {done.code}\n{done.told[-1500:]}")
            elif shrunk(step) == step:  # a training at toy size has other results
                came_out = figures(done.out)
                said = dict.fromkeys(figures(block.comment(step)) + figures(other.comment(step)))
                lacking = [figure for figure in said if not shown(figure, came_out)]
                if lacking:
                    found.append(f"line {block.line}: {step}\n  its comment says {', '.join(lacking)}, it prints none")
                if block.language == "sh":
                    printed, end = done.out.splitlines(), block.line + block.text.count("\n") + 1
    return found


# ---- the tests ----


@pytest.mark.parametrize(
    ("page", "slow"), [*((page, False) for page in PAGES), pytest.param("docs/train.md", True, marks=pytest.mark.slow)]
)
def test_page_runs(page, slow, tmp_path):
    write_toys(tmp_path)
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in (page, PAGES[page]))
    found = failures(english, tmp_path, chinese, slow)
    assert not found, "\n\n".join(found)


def test_only_the_page_that_is_run_slowly_too_has_slow_lines():
    lines = {page: [*blocks((ROOT / page).read_text(encoding="utf-8"))] for page in PAGES}
    assert [page for page in PAGES if any(commands(b) != commands(b, slow=False) for b in lines[page])] == [
        "docs/train.md"
    ]


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_blocks(page):
    english, chinese = ([*blocks((ROOT / name).read_text(encoding="utf-8"))] for name in (page, PAGES[page]))
    assert [block.language for block in english] == [block.language for block in chinese]
    run_in = [[block.code for block in each if block.language in RUN] for each in (english, chinese)]
    assert run_in[0] == run_in[1]
    assert any(commands(block) for block in english if block.language == "sh"), "no command of the README is run"


@pytest.mark.parametrize("name", [*PAGES, *PAGES.values()])
def test_local_links_lead_somewhere(name):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / name).read_text(encoding="utf-8"))
    missing = [
        target for target in targets if "://" not in target and not (ROOT / name).parent.joinpath(target).exists()
    ]
    assert not missing


# ---- the machinery, on samples ----

SAMPLE = """
```sh
make demo                 # not run
ls photos/cat | wc -l     # run
ls new/*.jpg \\
   > listing.txt
```

- in a list

  ```python
  print(open("listing.txt").read())
  ```

```text
what came out
```
"""


def test_blocks_and_commands_are_found():
    shell, python, text = blocks(SAMPLE)
    assert commands(shell) == ["ls photos/cat | wc -l", "ls new/*.jpg     > listing.txt"]
    assert (python.text, python.line) == ('print(open("listing.txt").read())\n', 11)
    assert text.language == "text"


def test_a_sample_runs_in_order(tmp_path):
    write_toys(tmp_path)
    assert failures(SAMPLE, tmp_path) == []
    assert (tmp_path / "listing.txt").read_text().split() == ["new/0.jpg", "new/1.jpg", "new/2.jpg"]


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("```sh\nls nothing/of/this/name\n```\n", "line 1: ls nothing/of/this/name"),
        ("```python\nimport plusx\n\nplusx.spec('resnet5O')\n```\n", "resnet5O"),
        ("```sh\nplusx shwo resnet50\n```\n", "Did you mean 'show'"),
        ("```sh\nplusx geometry resnet50 output_stride=8  # what is 15.5 pixels off\n```\n", "its comment says 15.5,"),
        ("```sh\necho 127 \\\n  7x7   # 127, 3x3, ResNet-50 and layer4\n```\n", "its comment says 3x3,"),
        ("```sh\necho 50\n```\n\n```text\n51\n```\n", "line 5: 51\n  is not printed"),
        ("```python\nprint(1)  # 1\nprint(427)   # 428 pixels\n```\n", "its comment says 428,"),
    ],
)
def test_what_does_not_run_is_told(broken, told, tmp_path):
    (only,) = failures(broken, tmp_path)
    assert told in only


def test_a_fence_without_a_known_language_is_refused():
    with pytest.raises(AssertionError, match="line 2: fence of language ''"):
        list(blocks("\n```\nplusx show resnet50\n```\n"))


@pytest.mark.parametrize(
    ("command", "toy"),
    [
        ("plusx show resnet50", "plusx show resnet50"),
        ("plusx train r --epochs 3 --lr 1", "plusx train --recipe 'default epochs=1 batch=4' r --lr 1"),
        ("plusx train resnet20 --data digits", "plusx train --recipe 'digits epochs=1 batch=4' resnet20 --data digits"),
        (
            'plusx train --recipe "default lr=0.2 epochs=20" r',
            "plusx train --recipe 'default lr=0.2 epochs=1 batch=4' r",
        ),
    ],
)
def test_training_is_shrunk(command, toy):
    assert shrunk(command) == toy
