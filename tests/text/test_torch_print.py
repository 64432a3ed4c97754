"""`show --format torch` against the real print of the real network."""

from __future__ import annotations

import pytest

from plusx import presets
from plusx.text.torch_print import torch_print

LONG = {"preresnet1001", "resnet1202", "resnet200", "resnet200_paddle", "preresnet164"}

VARIANTS = [
    "resnet50 stem=deep gate=cbam shortcut=D act=leaky_relu",
    "depths=2,1 order=pre gate=eca stem=3x3 classes=0 drop_path=0.1",
    "depths=2,1 order=pre norm=none block=basic until=layer2.0",
    "depths=1,1,1,1 norm=group gate=se output_stride=8 dilate=previous act=silu",
    "depths=1,1 norm=frozen gate=cbam block=basic shortcut=A until=layer2 act=gelu",
    "depths=1,1,1,1 norm=none shortcut=D block_dropout=0.3 act=hardswish stem_pool=caffe head_dropout=0.2 gate=cbam",
    "resnet50 shortcut=D output_stride=8",
    "resnet50 shortcut=D output_stride=8 dilate=previous",
    "resnet50 output_stride=8 dilate=grid",
    "resnet18 shortcut=A shortcut_align=centre",
    "resnet34 join=modulate drop_path=0.2",
    "resnet50 norm=none stem=deep2 in_channels=1 classes=10",
    "resnext50_32x4d stem=tiered gate=se gate_ratio=1/4",
    "resnet18 until=stem",
    "resnet50_siammask norm=group16",
    "wrn_40_4 block_dropout=0.3 act=silu",
]


@pytest.mark.parametrize("words", [*(name for name in presets if name not in LONG), *VARIANTS])
def test_equals_the_print_of_the_built_network(words: str) -> None:
    torch = pytest.importorskip("torch")
    from plusx import lower
    from plusx.nn.resnet import ResNet

    with torch.device("meta"):  # shapes only: nothing is initialised
        net = ResNet(lower(words))
    assert torch_print(words) == str(net)


def test_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys; from plusx.text.torch_print import torch_print; torch_print('resnet50'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
