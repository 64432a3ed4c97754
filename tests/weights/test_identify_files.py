"""Files on disk, as torch, safetensors and ONNX write them: read, identified and loaded without torch, equal in outputs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from storing import net, outputs, pre
from torch import nn

import plusx
from living import enliven, relative
from plusx.errors import WeightsError
from plusx.weights.conversion.translate import load_file
from plusx.weights.file_bundles import bundle_of
from plusx.weights.identification.identify import identify
from plusx.weights.identification.printing import lines, to_dict

WAYS = {
    "zip": lambda n, path: torch.save(n.state_dict(), path),
    "legacy": lambda n, path: torch.save(n.state_dict(), path, _use_new_zipfile_serialization=False),
    "parameters": lambda n, path: torch.save(dict(n.named_parameters()) | dict(n.named_buffers()), path),
    "safetensors": lambda n, path: save_file(n.state_dict(), path),
    "whole": lambda n, path: torch.save(n, path),
    "data parallel": lambda n, path: torch.save(nn.DataParallel(n), path),
    "whole in a dict": lambda n, path: torch.save({"model": n, "epoch": 3}, path),
    "traced": lambda n, path: torch.jit.trace(n, torch.randn(1, 3, 64, 64)).save(path),
    "scripted": lambda n, path: torch.jit.script(n).save(path),
}  # fmt: skip
WHOLE = {"whole", "data parallel", "whole in a dict", "traced", "scripted"}


@pytest.mark.parametrize("way", WAYS)
def test_what_torch_writes(way, tmp_path):
    theirs, path = net(num_classes=5), tmp_path / "file.pt"
    WAYS[way](theirs, str(path))
    x = torch.randn(2, 3, 64, 96)
    found = identify(path)
    assert str(found.spec) == "resnet18 classes=5"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with torch.inference_mode():
        assert relative(outputs(load_file(path), x), theirs(x)) <= 1e-6
    assert found.fields["stem_pool"].how == found.fields["act"].how == ("known" if way in WHOLE else "convention")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_halves(kind, tmp_path):
    theirs = net(num_classes=5).to(kind).float()
    torch.save(
        {key: value.to(kind) if value.is_floating_point() else value for key, value in theirs.state_dict().items()},
        tmp_path / "a.pth",
    )
    x = torch.randn(2, 3, 64, 96)
    made = load_file(tmp_path / "a.pth")
    with torch.inference_mode():
        assert relative(outputs(made, x), theirs(x)) <= 1e-6
    assert any(str(kind).removeprefix("torch.") in note for note in made.notes)


def test_whole_models_tell_stride_and_pool(tmp_path):
    theirs = enliven(plusx.build("resnet50 stride_in=1x1 stem_pool=caffe classes=5"))
    torch.save(theirs, tmp_path / "own.pt")
    found = identify(tmp_path / "own.pt")
    assert found.spec == theirs.spec
    assert found.fields["stride_in"].how == found.fields["stem_pool"].how == "known"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00"])
def test_broken_files_are_one_line(content, tmp_path):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError) as error:
        identify(tmp_path / "a.pth")
    assert "\n" not in str(error.value) and "a.pth" in str(error.value)


def test_the_report_names_what_is_not_known(tmp_path):
    state = pre(net("resnet50", num_classes=3).state_dict(), "module.") | {"queue": torch.zeros(3, 4)}
    torch.save({"state_dict": state, "class_names": ["a", "b", "c"]}, tmp_path / "a.pth")
    found = identify(tmp_path / "a.pth")
    text = "\n".join(lines(found))
    for part in ("resnet50 classes=3", "stride_in=3x3: its bottlenecks stride", "colour=RGB", "MoCo's queue (1: state_dict.queue)",
                 "3 classes (a, b, c", "names begin with 'module.'"):  # fmt: skip
        assert part in text
    again = json.loads(json.dumps(to_dict(found)))
    assert again["fields"]["stride_in"] == {"value": "3x3", "how": "convention", "why": found.fields["stride_in"].why}


def test_neither_identify_nor_bundles_import_torch(tmp_path):
    torch.save({"state_dict": net().state_dict()}, tmp_path / "a.pth")
    code = (
        "import sys; from plusx.weights.identification.identify import identify; from plusx.weights.file_bundles import bundle_of;"
        "from plusx.weights.identification.printing import lines; path = sys.argv[1]; list(lines(identify(path))); bundle_of(path);"
        "print(sorted({'torch', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.pth")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.filterwarnings("ignore")
def test_onnx_is_known_from_its_graph(tmp_path):
    pytest.importorskip("onnx")
    theirs, path = net("resnet50", num_classes=5), tmp_path / "a.onnx"
    torch.onnx.export(theirs, (torch.randn(1, 3, 64, 96),), str(path), dynamo=False)
    found = identify(path)
    assert (found.family, found.spec.depths, found.spec.stride_in) == ("ONNX", (3, 4, 6, 3), "3x3")
    assert {verdict.how for verdict in found.fields.values()} == {"known"} and found.colour.how == "unknown"
    x = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        assert relative(outputs(load_file(path), x), theirs(x)) <= 1e-5
    with pytest.raises(WeightsError, match="--preprocessing"):
        bundle_of(path)
    assert bundle_of(path, preprocessing="imagenet").preprocessing.mean == (0.485, 0.456, 0.406)


def test_identifying_takes_at_most_one_and_a_half_times_the_file(tmp_path):
    """Peak memory of a fresh process, less that of one that has imported the same."""
    from onnx_files import exported

    made = net("resnet18")
    torch.save(made.state_dict(), tmp_path / "net.pth")
    exported(made, tmp_path / "net.onnx")
    code = (
        "import sys; from plusx.weights.identification import identify, onnx_file\n"
        "import plusx.weights.containers.torch_zip\n"
        "def peak(): return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) * 1024\n"
        "begin = peak(); assert str(identify.identify(sys.argv[1]).spec).startswith('resnet18'); print(peak() - begin)"
    )
    for path in sorted(tmp_path.iterdir()):
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < 1.5 * path.stat().st_size, path.name
