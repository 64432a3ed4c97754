"""Receptive field, stride and first centre against TorchLens, which reads them off a real forward pass; and against gradients."""

from __future__ import annotations

import pytest

import plusx
from plusx.analysis import analyse
from plusx.errors import GeometryError, SpecError
from plusx.specs import ResNetSpec

torch = pytest.importorskip("torch")

# not among them: D shortcuts, whose paths are misaligned by half a cell; TorchLens gives no geometry there (see GRADIENT)
VARIANTS = [
    "resnet50 stride_in=1x1", "resnet50 output_stride=8", "resnet50 output_stride=16 dilate=full", "resnet50 stem=deep", "resnet34 stem=deep2",
    "resnet50 stem_pool=caffe", "resnet50_siamrpn", "resnet20", "preresnet110 depths=2,2,2", "resnet18 output_stride=8",
    "resnet34 strides=1,2,1,2", "plain18",
]  # fmt: skip


class Pooled(torch.nn.Module):
    """A cut network must not end with the map that is asked for: TorchLens would know it under two names."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        out = self.net(x)
        return out.mean((2, 3)) if out.ndim == 4 else out


def shrunk(words: str) -> str:
    """The same geometry with few channels: TorchLens runs the network."""
    spec = plusx.spec(words)
    stages = len(spec.depths)
    narrow = {"widths": tuple(4 * 2**i for i in range(stages)), "stem_width": 8}
    if spec.shortcut == "A" or spec.block == "basic":
        narrow["stem_width"] = 4
    if spec.until is None:
        narrow["classes"] = 3
    return str(spec.replace(**narrow))


@pytest.mark.parity
@pytest.mark.parametrize("words", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", *VARIANTS])
def test_fields_equal_torchlens(words):
    torchlens = pytest.importorskip("torchlens")
    torch.set_num_threads(1)
    narrow = shrunk(words)
    found = analyse(narrow, 65)
    trace = torchlens.trace(Pooled(plusx.build(narrow)).eval(), torch.zeros(1, found.graph.spec.in_channels, 65, 65))
    for part in found.stages:
        if not part.name.startswith("layer"):
            continue
        theirs = trace[f"net.{part.name}"].receptive_field
        assert tuple(theirs.size) == (part.rf, part.rf), part.name
        assert tuple(theirs.jump) == (part.jump, part.jump), part.name
        assert tuple(float(c) + 0.5 for c in theirs.center0) == (part.start, part.start), part.name


GRADIENT = [
    "resnet18",
    "resnet50 stride_in=1x1",
    "resnet18d",
    "resnet50d",
    "resnet50d output_stride=8",
    "resnet34 shortcut=D output_stride=16",
]


@pytest.mark.parity
@pytest.mark.parametrize("words", GRADIENT)
def test_fields_equal_the_gradients_extent(words):
    """With positive weights nothing cancels, and with averages for maxima every path counts: the mask is the whole field."""
    torch.set_num_threads(1)
    graph = plusx.lower(shrunk(words))
    size = next(row.rf for row in analyse(graph).stages if row.name == "layer3") + 65
    found = analyse(graph, size)
    net = plusx.build(graph).eval()
    net.maxpool = torch.nn.AvgPool2d(3, 2, 1)
    with torch.no_grad():
        for value in net.parameters():
            value.abs_().add_(0.01)
    x = torch.ones(1, 3, size, size, requires_grad=True)
    out = net.layer3(net.layer2(net.layer1(net.forward_stem(x))))
    middle = out.shape[2] // 2
    out[0, 0, middle, middle].backward()
    touched = torch.nonzero(x.grad.abs().sum((0, 1, 2))).flatten()
    part = next(row for row in found.stages if row.name == "layer3")
    assert touched.max().item() + 1 - touched.min().item() == part.rf
    assert (touched.max().item() + 1 + touched.min().item()) / 2 == part.start + middle * part.jump


@pytest.mark.parity
def test_the_box_contains_the_gradient_mask():
    """For random networks without gates and group norm: where a cell's gradient is not zero lies inside its field."""
    from hypothesis import HealthCheck, assume, given, settings

    from living import enliven
    from randomspecs import wishes

    checked = []

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(wishes())
    def check(keys):
        local = {
            **keys,
            "gate": "none",
            "until": f"layer{len(keys['depths'])}",
            "norm": "batch",
            "join": "add",
            "drop_path": 0.0,
        }
        for name in ("classes", "gate_ratio", "head_dropout", "zero_init", "stem_bias"):
            local.pop(name, None)
        try:
            found = analyse(ResNetSpec().replace(**local), 81)
        except (SpecError, GeometryError):
            assume(False)
            return
        net = enliven(plusx.build(found.graph))
        x = torch.randn(1, found.graph.spec.in_channels, *found.size_px, requires_grad=True)
        out = net(x)
        i, j = out.shape[2] // 2, out.shape[3] // 3
        out[0, :, i, j].sum().backward()
        rows, columns = torch.nonzero(x.grad.abs().sum((0, 1)), as_tuple=True)
        part = found.stages[-1]
        for cell, touched in ((i, rows), (j, columns)):
            if len(touched):
                low = part.start - part.rf / 2 + cell * part.jump
                assert low <= touched.min().item() and touched.max().item() + 1 <= low + part.rf
                checked.append(part.rf)

    check()
    assert len(checked) > 20
