"""Every planted mistake is found at its place, and nothing else is said; the unedited networks have nothing to be said of.

docs/check.md has the table of these mistakes, with what is said of each.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from planted import NETS, PLANTED
from reading_here import check_file

from plusx.i18n import translate

DOCS = Path(__file__).resolve().parents[2] / "docs"
SPECS = {
    "basic": "resnet18 widths=8,16,32,64 stem_width=8 classes=10",
    "bottleneck": "resnet18 widths=8,16,32,64 block=bottleneck stem_width=8 classes=10",
    "preact": "wrn_28_10 depths=2,2,2 widths=8,16,32 stem_width=8",
    "cifar": "resnet20 widths=8,16,32 stem_width=8 shortcut_align=centre",
    "residual": "resnet20 depths=1,1,1 widths=8,16,32 stem_width=8",
    "unnormalised": "wrn_28_10 depths=3 widths=8 stem_width=8 norm=none",
}


@pytest.mark.parametrize("net", SPECS)
def test_the_networks_themselves_are_right(net):
    found = check_file(NETS / f"{net}.py", "ResNet8" if net == "residual" else "Net")
    assert (str(found.spec), found.findings, found.passed) == (SPECS[net], (), True)


def test_there_are_enough_and_their_names_differ():
    assert len(PLANTED) >= 25
    assert len({each.name for each in PLANTED}) == len(PLANTED)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.name)
def test_the_mistake_is_found_and_nothing_else(planted, tmp_path):
    file = tmp_path / "net.py"
    file.write_text(planted.source, encoding="utf-8")
    found = check_file(file, planted.made)
    assert [(each.code, each.level) for each in found.findings] == [(planted.code, planted.level)]
    (finding,) = found.findings
    assert finding.places[0].startswith(planted.place)
    assert found.passed == planted.note
    assert all(finding.said)
    row = f"| {planted.name} | {planted.net} | {finding.said.what} |"
    assert row.replace("\n", " ") in (DOCS / "check.md").read_text(encoding="utf-8")
    said = translate(finding.said.what, "zh")
    assert said != finding.said.what
    assert said in (DOCS / "check.zh.md").read_text(encoding="utf-8")
