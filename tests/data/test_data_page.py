"""docs/data.md: its commands run on a small set of every format, both languages have the same, every finding is explained."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from making import cifar10, image, png, samples, tar

from plusx.cli.main import main
from plusx.data.check import KINDS
from plusx.probing.checking import FOUND_BY_VECTORS
from test_readme import ROOT, Block, blocks, commands, idx, shrunk

PAGES = ("docs/data.md", "docs/data.zh.md")


def page(name: str) -> list[Block]:
    return list(blocks((ROOT / name).read_text(encoding="utf-8")))


def write_every_format(root: Path) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    for i in range(16):
        image(root / "photos" / ("cat", "dog")[i % 2] / f"{i}.png", i)
        image(root / "list/images" / f"{i}.png", i)
    for part, n in (("train", 16), ("t10k", 8)):
        (root / "mnist").mkdir(exist_ok=True)
        idx(root / f"mnist/{part}-images-idx3-ubyte.gz", np.random.default_rng(0).integers(0, 256, (n, 8, 8), np.uint8))
        idx(root / f"mnist/{part}-labels-idx1-ubyte.gz", np.arange(n, dtype=np.uint8) % 2)
    cifar10(root / "cifar-10-batches-py", n=10)
    about = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    (root / "hf/data").mkdir(parents=True)
    for k, name in enumerate(("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001")):
        rows = [{"bytes": png(10 * k + i), "path": f"{i}.png"} for i in range(8)]
        table = pa.table({"image": rows, "label": [i % 2 for i in range(8)]})
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": about}})})
        pq.write_table(table, root / f"hf/data/{name}.parquet")
    tar(root / "shards/train-000000.tar", samples(8))
    tar(root / "shards/train-000001.tar", samples(8, first=100, kind="json"))
    for name, rows in (("train", range(12)), ("val", range(12, 16))):
        lines = "".join(f"images/{i}.png,{('cat', 'dog')[i % 2]}\n" for i in rows)
        (root / f"list/{name}.csv").write_text("path,label\n" + lines)
    for i in range(12):
        image(root / f"dogs/train/{i}.png", i)
    (root / "dogs/labels.csv").write_text(
        "id,breed\n" + "".join(f"{i},{('beagle', 'pug')[i % 2]}\n" for i in range(12))
    )


def test_both_languages_have_the_same_blocks():
    english, chinese = (page(name) for name in PAGES)
    assert [(block.language, block.code) for block in english] == [(block.language, block.code) for block in chinese]


@pytest.mark.parametrize("name", PAGES)
def test_every_finding_is_explained(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    check, _heading, weights = text.partition("## plusx data check")[2].partition("\n### ")
    for part, kinds in ((check, KINDS), (weights, FOUND_BY_VECTORS)):
        rows = [line.split("|")[1].strip() for line in part.splitlines() if line.startswith("|")]
        assert rows[2:] == list(kinds)


def test_the_commands_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("pyarrow")
    pytest.importorskip("sklearn")
    from shipping import photo_bundle

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLUSX_CACHE", str(tmp_path / "cache"))
    write_every_format(tmp_path)
    network = str(photo_bundle(tmp_path))
    run = [line for block in page(PAGES[0]) if block.language == "sh" for line in commands(block)]
    assert len(run) >= 12
    for line in run:
        words = shlex.split(
            shrunk(line).replace("resnet18", "'resnet20 depths=1,1,1'").replace("resnet50.pth", network)
        )
        assert main(words[1:]) == 0, (line, capsys.readouterr().err)
    assert json.loads(Path("report.json").read_text())["kind"] == "tar"
