"""What benchmarks/inference.py measures: corpus, networks that mean something, and the same networks for the peers.

No pretrained weights are needed: a network with random convolutions gets its batch-norm statistics from photographs and
its head fitted to "which of the photographs is this crop from"; training and evaluation crops come from disjoint parts.

    python benchmarks/_inference_setup.py OUT resnet50 400
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import plusx
from plusx.bundles import open_bundle, save_bundle
from plusx.deploy import ExportConfig, export
from plusx.images import Preprocessing, normalise, resize_crop
from plusx.runtime.quiet import openvino, silence

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import make_corpus  # pyright: ignore[reportMissingImports]

CROPS, CROP_PX, TRAIN_SHARE = 24, 150, 0.6
BRANCH = 0.25
PRE = Preprocessing("RGB", 256, 224)


def main() -> None:
    out, network, n = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    out.mkdir(parents=True, exist_ok=True)
    corpus, labelled = out / "corpus", out / "labelled"
    if not corpus.exists():
        subprocess.run(
            [sys.executable, str(Path(__file__).parent / "peers/make_corpus.py"), str(corpus), n],
            check=True,
            stdout=sys.stderr,
        )
    if not labelled.exists():
        write_labelled(labelled)
    bundle = out / network
    if not bundle.exists():
        fit(network, labelled, bundle)
    proofs = {p: proven(bundle, p, labelled) for p in ("fp32", "bf16", "int8")}
    if not (out / f"{network}-int8.xml").exists():
        peers(network, bundle, labelled, out)
    print(json.dumps({"bundle": str(bundle), "corpus": str(corpus), "proofs": proofs}))


def proven(bundle: Path, precision: str, labelled: Path) -> dict[str, object]:
    """The proof of an export, made unless it lies in the bundle already."""
    kept = bundle / "engines" / f"openvino-{precision}" / "engine.json"
    if kept.exists():
        return json.loads(kept.read_bytes())["proof"]
    # this stand-in for a trained network loses four of 240 crops in int8; NNCF would leave layers in float, which is
    # another network than the peers'
    return export(bundle, ExportConfig("openvino", precision, data=str(labelled), accept_drop=0.05)).proof.to_dict()


def write_labelled(root: Path) -> None:
    """root/train and root/val, a folder a photograph: crops from its left 60 %, and from what is right of them."""
    draw = np.random.default_rng(1)
    photos = [photo for photo in make_corpus.sources() if min(photo.shape[:2]) >= 280]
    for number, photo in enumerate(photos):
        edge = int(photo.shape[1] * TRAIN_SHARE)
        for part, low, high in (("train", 0, edge), ("val", edge, photo.shape[1])):
            folder = root / part / f"photo {number}"
            folder.mkdir(parents=True)
            side = min(CROP_PX, high - low)
            for i in range(CROPS):
                x, y = low + int(draw.integers(high - low - side + 1)), int(draw.integers(photo.shape[0] - side + 1))
                Image.fromarray(photo[y : y + side, x : x + side]).save(folder / f"{i:02d}.jpg", quality=92)


def fit(network: str, labelled: Path, to: Path) -> None:
    """Statistics from two passes over training crops, then a linear head by L-BFGS on pooled features."""
    classes = tuple(sorted(p.name for p in (labelled / "train").iterdir()))
    torch.manual_seed(0)
    net = plusx.build(f"{network} classes={len(classes)}")
    quieten(net)
    x, y = crops(labelled / "train", classes)
    recalibrate(net, x)
    body = net.eval()
    with torch.inference_mode():
        pooled = torch.cat([body.forward_features(part).mean((2, 3)) for part in x.split(16)])
    features = pooled.clone()
    mean, std = features.mean(0), features.std(0) + 1e-5
    head = torch.nn.Linear(features.shape[1], len(classes))
    solver = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        value = torch.nn.functional.cross_entropy(head((features - mean) / std), y) + 1e-2 * head.weight.square().sum()
        value.backward()
        return value

    solver.step(loss)
    with torch.no_grad():
        fc = dict(net.named_parameters())
        fc["fc.weight"].copy_(head.weight / std)
        fc["fc.bias"].copy_(head.bias - (head.weight / std) @ mean)
    save_bundle(to, net.spec, classes, PRE, {k: v.numpy() for k, v in net.state_dict().items()})


def crops(root: Path, classes: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    paths = [(path, i) for i, name in enumerate(classes) for path in sorted((root / name).iterdir())]
    pixels = np.stack([resize_crop(np.asarray(Image.open(path)), PRE) for path, _ in paths])
    return torch.from_numpy(normalise(pixels, PRE)), torch.tensor([i for _, i in paths])


def quieten(net: torch.nn.Module) -> None:
    """Branches add a quarter of what they would: in trained networks, too, the identity carries most (zero-init, Goyal 2017).

    At full strength random branches make chaos: rounding to bf16 turned the answers to a tenth of the images.
    """
    last = "bn3.weight" if "layer1.0.bn3.weight" in net.state_dict() else "bn2.weight"
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if name.startswith("layer") and name.endswith(last):
                tensor.mul_(BRANCH)


def recalibrate(net: torch.nn.Module, x: torch.Tensor) -> None:
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
    net.train()
    with torch.no_grad():
        for part in x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))].split(24):
            net(part)
    for norm in norms:
        norm.momentum = 0.1


def peers(network: str, bundle: Path, labelled: Path, out: Path) -> None:
    """The same tensors for torchvision's script, and its network converted and quantised as OpenVINO's guides show."""
    import torchvision

    weights = {k: torch.from_numpy(np.array(v)) for k, v in open_bundle(bundle).weights().items()}
    weights["fc.weight"] = torch.cat(
        [weights["fc.weight"], torch.zeros(1000 - len(weights["fc.weight"]), weights["fc.weight"].shape[1])]
    )
    weights["fc.bias"] = torch.cat([weights["fc.bias"], torch.full((1000 - len(weights["fc.bias"]),), -100.0)])
    torch.save(weights, out / f"{network}.pth")
    net = getattr(torchvision.models, network)()
    net.load_state_dict(weights)
    ov = openvino()
    model = ov.convert_model(net.eval(), example_input=torch.zeros(1, 3, 224, 224))
    ov.save_model(model, str(out / f"{network}.xml"))
    silence()
    import nncf

    x, _ = crops(labelled / "train", tuple(sorted(p.name for p in (labelled / "train").iterdir())))
    data = nncf.Dataset([part.numpy()[None] for part in x])
    ov.save_model(nncf.quantize(model, data, subset_size=len(x)), str(out / f"{network}-int8.xml"))


if __name__ == "__main__":
    main()
