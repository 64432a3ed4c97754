"""The commands of docs/serve.md, and the client of docs/ship.md and of the layouts' READMEs, against a server; the Chinese pages have the same ones."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plusx.bundles import open_bundle
from plusx.cli.main import make_parser
from plusx.deploy.config import ExportConfig
from plusx.deploy.layouts import laid_out
from plusx.deploy.reference import Reference
from plusx.images import decode, resize_crop
from serverside import Running, running
from shipping import copy_bare

pytest.importorskip("openvino")
pytest.importorskip("uvicorn")
pytest_plugins = ["shipped"]
DOCS = Path(__file__).resolve().parent.parent / "docs"
FENCE = re.compile(r"^```(\w[\w ]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def bare(code: str) -> str:
    return re.sub(r"#.*", "", code).replace(" ", "")


@pytest.mark.parametrize("page", ["serve", "ship"])
def test_both_pages_have_the_same_examples(page: str) -> None:
    both = [FENCE.findall((DOCS / name).read_text(encoding="utf-8")) for name in (f"{page}.md", f"{page}.zh.md")]
    english, chinese = [[(kind, bare(code)) for kind, code in found if kind != "text"] for found in both]
    assert english == chinese


@pytest.fixture
def server(run: Path, digits: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """What the page assumes: runs/photos is served, and a.jpg and b.png are here."""
    monkeypatch.chdir(tmp_path)
    Image.open(digits[0]).save("a.jpg", quality=100)
    Image.open(digits[1]).save("b.png")
    copy_bare(run, tmp_path / "runs" / "photos")
    with running("photos=runs/photos") as found:
        yield found


def test_the_page_runs(server: Running, digits: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """`plusx serve` does not end, so its lines are read by its parser; KServe's client runs in tests/serving (slow)."""
    pytest.importorskip("tritonclient.http")
    labels = [path.stem[-1] for path in digits[:2]]
    parsed, asked = 0, []
    for kind, code in FENCE.findall((DOCS / "serve.md").read_text(encoding="utf-8")):
        code = code.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        if kind == "python":
            exec(code, {})
            rows = [
                row.split(b":")[2].decode()
                for row in eval(re.sub(r"\]\s+\[", "], [", capsys.readouterr().out))
                for row in row
            ]
            assert rows == labels
        elif kind == "sh":
            for line in code.splitlines():
                if line.startswith("plusx serve "):
                    make_parser("serve").read(shlex.split(line)[2:])
                    parsed += 1
                elif "curl" in line and shutil.which("curl"):
                    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
                    asked.append(done.stdout)
    assert parsed == 3 and len(asked) in (0, 3)
    if asked:
        assert f'"class": "{labels[0]}"' in asked[0] and '"path": "b.png"' in asked[1] and '"probabilities"' in asked[2]


def logits_of(bundle: Path, image: str) -> np.ndarray:
    opened = open_bundle(bundle)
    pre = opened.preprocessing
    return Reference(opened)(resize_crop(decode(Path(image), pre.mode, at_least_px=pre.decode_px), pre)[None])


def test_the_client_of_ship(server: Running) -> None:
    pytest.importorskip("tritonclient.http")
    (code,) = [
        code for kind, code in FENCE.findall((DOCS / "ship.md").read_text(encoding="utf-8")) if kind == "python client"
    ]
    names: dict[str, object] = {}
    exec(code.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"), names)
    assert np.allclose(np.asarray(names["logits"]), logits_of(Path("runs/photos"), "a.jpg"), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layout", ["triton", "ovms", "kserve"])
def test_the_readme_of_a_layout(layout: str, server: Running) -> None:
    """Its Python and its curl, against a server that speaks as the layout's does."""
    pytest.importorskip("tritonclient.http")
    bundle = open_bundle("runs/photos")
    pre = bundle.preprocessing
    about = {
        "spec": str(bundle.spec), "precision": "fp32", "classes": list(bundle.classes), "output": {"name": "logits"},
        "preprocessing_before": {"resize_px": pre.resize_px, "crop_px": pre.crop_px, "interpolation": pre.interpolation, "mode": pre.mode},
        "preprocessing_inside": {"scale": pre.scale, "mean": list(pre.mean), "std": list(pre.std)},
    }  # fmt: skip
    text = laid_out(layout, "photos", ExportConfig("openvino", layout=layout), about, {})["README.md"].decode()
    assert {"triton": "tritonserver --model-repository", "ovms": "--config_path", "kserve": "kubectl apply"}[
        layout
    ] in text
    names: dict[str, np.ndarray] = {}
    for kind, code in FENCE.findall(text):
        code = code.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        if kind == "python":
            exec(code, names)
            names["image"].tofile("a.raw")
        elif shutil.which("curl"):
            done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
            assert done.stdout.startswith('{"model_name": "photos"')
    assert np.allclose(names["logits"], logits_of(Path("runs/photos"), "a.jpg"), rtol=1e-3, atol=1e-4)


def test_the_extra_holds_no_torch() -> None:
    extras = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    assert [word.split(">")[0] for word in extras["serve"]] == ["starlette", "uvicorn"]
