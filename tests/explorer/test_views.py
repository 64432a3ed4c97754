"""What the page shows of a network is what plusx says elsewhere; wrong, hostile and huge questions get a bounded answer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plusx
from plusx.analysis.diff import diff
from plusx.errors import PlusxError
from plusx.explorer.export import python_zip
from plusx.explorer.snippets import snippets
from plusx.explorer.switches import changed_spec, switches
from plusx.explorer.tour import STEPS
from plusx.explorer.views import MOST_BLOCKS, WrongFieldError, answer, svg_file
from plusx.explorer.words import WORDS, texts
from plusx.graph import lower
from plusx.i18n import translate
from plusx.specs import PRESETS, ResNetSpec, from_toml
from plusx.svg.render import draw
from plusx.text.diff_table import changed_lines, weights_text
from randomspecs import Count, wishes
from waiting import HANG

SVG = "{http://www.w3.org/2000/svg}"


def shown(net: str, **more: str) -> dict:
    found = answer({"net": net, **more})
    assert "error" not in found, found
    return found


# ---- the numbers of published networks ----


@pytest.mark.parametrize(
    ("net", "params", "macs", "depth", "rf"),
    [
        # torchvision's metadata (num_params, _ops); fields: Araujo et al. 2019, table of networks
        ("resnet18", 11_689_512, 1_814_073_344, "18 = 1 + 2·(2+2+2+2) + 1 (fc)", 435),
        ("resnet50", 25_557_032, 4_089_184_256, "50 = 1 + 3·(3+4+6+3) + 1 (fc)", 427),
        ("resnet152", 60_192_808, 11_513_626_624, "152 = 1 + 3·(3+8+36+3) + 1 (fc)", 1451),
    ],
)
def test_numbers_are_the_published_ones(net, params, macs, depth, rf):
    found = shown(net)
    assert (found["totals"]["params"], found["totals"]["macs"], found["depth"]["sum"]) == (params, macs, depth)
    assert len(found["depth"]["ops"]) == found["depth"]["counted"]
    assert sum(part["params"] for part in found["parts"]) == params
    assert sum(part["macs"] for part in found["parts"]) == macs
    layer4 = next(part for part in found["parts"] if part["name"] == "layer4")
    if net != "resnet152":
        assert layer4["rf"] == rf


def test_a_place_has_the_names_of_other_ecosystems():
    place = shown("resnet101")["places"]["layer3.1.conv2"]
    assert place["names"]["Caffe"] == "res4b1_branch2b"  # KaimingHe/deep-residual-networks, ResNet-101 prototxt
    assert place["names"]["Keras"] == "conv4_block2_2_conv"  # keras applications/resnet.py
    assert (place["out"], place["jump"], place["repeat"]) == ([256, 14, 14], 16, 22)


@pytest.mark.parametrize("detail", ["stages", "blocks", "ops"])
def test_the_drawing_is_plusx_draws(detail):
    """The same shapes and texts as `plusx draw`; only the style sheet is left to the page, and groups have names."""
    found = shown("resnet50 output_stride=8", detail=detail)
    named = re.sub(r' data-name="[^"]*"', "", found["svg"])
    own = re.sub(r"<style>.*?</style>\n", "", draw("resnet50 output_stride=8", detail=detail))
    assert named == own
    assert svg_file({"net": "resnet18", "theme": "dark", "lang": "zh"}) == draw("resnet18", theme="dark", lang="zh")


@pytest.mark.parametrize(
    "net", ["resnet50", "resnet50 gate=cbam until=layer3.4", "preresnet110", "plain18", "resnet18 drop_path=0.1"]
)
@pytest.mark.parametrize("detail", ["blocks", "ops"])
def test_every_drawn_op_has_its_numbers(net, detail):
    found = shown(net, detail=detail)
    drawn = set(re.findall(r'data-name="([^"/]+)"', found["svg"]))
    parts = {part["name"] for part in found["parts"]}
    assert drawn - parts <= found["places"].keys()
    hidden = {name for name, place in found["places"].items() if name not in drawn}
    assert not hidden or detail == "ops" or all("." in name or name in ("relu", "bn1", "norm") for name in hidden)


def test_a_comparison_says_what_plusx_diff_says():
    for lang in ("en", "zh"):
        found = shown("resnet50_caffe", pin="resnet50", lang=lang)
        wanted = diff("resnet50", "resnet50_caffe")
        assert found["diff"]["changes"] == changed_lines(wanted, lambda text, lang=lang: translate(text, lang))
        assert found["diff"]["weights"] == translate(weights_text(wanted.weights), lang)
        assert 'data-name="panel/2"' in found["svg"]
        assert 'class="mark"' in found["svg"]
    assert found["pinned"]["text"] == "resnet50"
    assert shown("resnet50", pin="resnet50")["diff"]["equal"]


def test_both_networks_of_a_comparison_have_one_input_size():
    found = shown("resnet50_siamrpn", pin="resnet50")
    assert found["size"] == found["pinned"]["size"] == [255, 255]


# ---- switches ----


@settings(max_examples=30, deadline=None)
@given(wishes())
def test_the_switches_know_exactly_what_plusx_accepts(keys):
    """Each possible choice gives a network, and each impossible one is refused for the reason that the switch states."""
    spec = Count().spec(keys)
    if spec is None or reason(spec) is not None:
        return
    for switch in switches(spec, str):
        for choice in switch.get("choices", ()):
            word = f"{switch['key']}={choice['value']}"
            assert reason(spec, word) == choice["why"], word


def reason(spec: ResNetSpec, word: str = "") -> str | None:
    """Why plusx refuses a network, or one with a word more; the graph decides."""
    try:
        lower(changed_spec(spec, word) if word else spec)
    except PlusxError as error:
        return str(error)
    return None


def test_a_switch_changes_the_line_and_the_whole_network_comes_back():
    assert shown("resnet50", set="output_stride=8")["text"] == "resnet50 output_stride=8"
    assert shown("resnet50 classes=10", set="until=layer3")["text"] == "resnet50 until=layer3"
    assert shown("resnet50 until=layer3", set="until=")["text"] == "resnet50"
    assert shown("resnet50 until=layer3", set="preset=plain34")["text"] == "plain34"
    assert str(changed_spec(plusx.spec("resnet50_siamrpn"), "until=").until) == "None"


def test_a_refused_switch_is_told_from_a_wrong_line():
    assert answer({"net": "resnet50", "set": "norm=group48"})["of"] == "set"
    assert answer({"net": "resnet5O"})["of"] == "net"
    assert answer({"net": "resnet50", "pin": "x"})["of"] == "pin"
    assert answer({"net": "resnet50", "size": "0"})["of"] == "size"
    assert "骨" not in answer({"net": "resnet5O", "lang": "zh"})["error"]
    assert answer({"net": "resnet5O", "lang": "zh"})["error"] != answer({"net": "resnet5O"})["error"]


# ---- code ----


@pytest.mark.parametrize("net", [*PRESETS, "resnet50 stem=deep output_stride=8 drop_path=0.1 zero_init=yes"])
def test_toml_and_python_give_the_network_back(net):
    spec = plusx.spec(net)
    code = snippets(spec)
    assert from_toml(code["toml"]) == spec
    text = re.fullmatch(r"import plusx\n\nnet = plusx\.build\((\".*\")\)", code["python"])
    assert text
    assert plusx.spec(json.loads(text[1])) == spec


@pytest.mark.parametrize(
    ("net", "torchvision", "timm"),
    [
        ("resnet50", "torchvision.models.resnet50()", 'timm.create_model("resnet50")'),
        ("resnet18 in_channels=1", None, 'timm.create_model("resnet18", in_chans=1)'),
        (
            "resnet50 output_stride=8 dilate=previous",
            "torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])",
            'timm.create_model("resnet50", output_stride=8)',
        ),
        ("resnet50 output_stride=8", None, None),  # exact dilation is plusx's own
        ("resnet50 classes=0", None, 'timm.create_model("resnet50", num_classes=0)'),
        ("resnet50_caffe", None, None),
        ("resnet50 until=layer3", None, None),
        ("resnet50d", None, 'timm.create_model("resnet50d")'),
        ("plain18", None, None),
    ],
)
def test_calls_of_other_libraries(net, torchvision, timm):
    code = snippets(plusx.spec(net))
    assert (code.get("torchvision"), code.get("timm")) == (torchvision, timm)


# ---- bounded and safe ----


def test_a_huge_network_is_refused_at_once():
    begin = time.process_time()
    found = answer({"net": "resnet50 depths=9999,9999,9999,9999"})
    assert "39996 blocks" in found["error"]
    assert str(MOST_BLOCKS) in found["error"]
    assert time.process_time() - begin < 1  # analysing it would take 15 s
    assert "39996 blocks" in answer({"net": "resnet50", "set": "depths=9999,9999,9999,9999"})["error"]
    assert "39996 blocks" in answer({"net": "resnet50", "pin": "resnet50 depths=9999,9999,9999,9999"})["error"]
    assert "1000" in answer({"net": "resnet50 " + "x" * 1000})["error"]
    assert "16384" in answer({"net": "resnet50", "size": "99999"})["error"]


def test_every_preset_is_small_enough():
    assert all("error" not in answer({"net": name}) for name in PRESETS)


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "]]>",
    "&#x3c;",
    "\0",
    "\ud800",
    "\u202e",
    "{0.__class__}",
    "'",
    "%s",
)
WORDS_OF_LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [*PRESETS, *HOSTILE, "stem=deep", "groups=", "until=layer3.4", "depths=1,2", "norm=group8", "=", "a=b"]
        ),
        st.text(max_size=12),
        st.builds("{}={}".format, st.sampled_from(["stem", "depths", "until", "classes", "zz"]), st.text(max_size=12)),
    ),
    max_size=5,
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {"net": WORDS_OF_LINES},
        optional={
            "set": WORDS_OF_LINES, "size": st.one_of(st.text(max_size=8), st.sampled_from(["1", "32", "7x900"])), "pin": WORDS_OF_LINES,
            "detail": st.sampled_from(["stages", "blocks", "ops", "<b>"]), "lang": st.sampled_from(["en", "zh", "<b>"]),
            "theme": st.sampled_from(["light", "dark", "<b>"]), "unknown": st.text(max_size=3),
        },
    )
)  # fmt: skip
def test_no_text_becomes_markup_and_nothing_fails(query):
    found = answer(query)
    if "error" in found:
        assert isinstance(found["error"], str)
        return
    check_svg(found["svg"])
    check_svg(svg_file({**query, "theme": "light"}))


def check_svg(text: str) -> None:
    root = ElementTree.fromstring(text)
    allowed = {f"{SVG}{tag}" for tag in ("svg", "title", "style", "rect", "g", "path", "circle", "text")}
    for element in root.iter():
        assert element.tag in allowed
        assert not any(name.startswith("on") or "href" in name or name == "style" for name in element.attrib)


def test_the_check_of_drawings_sees_planted_markup():
    """Negative control."""
    for planted in (
        '<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>',
        '<svg xmlns="http://www.w3.org/2000/svg"><g onclick="x"/></svg>',
    ):
        with pytest.raises(AssertionError):
            check_svg(planted)


def test_a_wrong_look_is_refused():
    with pytest.raises(WrongFieldError, match="theme"):
        svg_file({"net": "resnet18", "theme": "pink"})
    assert answer({"net": "resnet18", "detail": "atoms"})["of"] == "detail"


# ---- the tour and the words ----


@pytest.mark.parametrize("step", STEPS, ids=lambda step: str(step.title))
def test_each_step_of_the_tour_shows_its_place(step):
    found = shown(step.net, detail=step.detail, pin=step.pin)
    assert step.place in found["places"]
    assert f'data-name="{step.place}"' in found["svg"]


def test_the_sums_that_the_tour_says_are_plusxs():
    said = " ".join(f"{step.title} {step.text}" for step in STEPS)
    for net, total in (("resnet18", "18 = 1 + 2·(2+2+2+2) + 1"), ("resnet50", "50 = 1 + 3·(3+4+6+3) + 1")):
        assert total in said
        assert shown(net)["depth"]["sum"].startswith(total)
    assert len(STEPS) == 8


def test_both_languages_have_the_same_words_and_holes():
    english, chinese = texts("en")["words"], texts("zh")["words"]
    assert english.keys() == chinese.keys()
    for key in WORDS:
        assert sorted(re.findall(r"\{\w+\}", english[key])) == sorted(re.findall(r"\{\w+\}", chinese[key]))


# ---- in Pyodide ----


def test_the_zip_for_the_browser_needs_the_standard_library_alone(tmp_path):
    """A fresh interpreter without site-packages that has only the zip's files answers as this one does."""
    (tmp_path / "plusx.zip").write_bytes(python_zip())
    code = (
        "import sys, zipfile, json; zipfile.ZipFile('plusx.zip').extractall('here'); sys.path.insert(0, 'here');"
        "from plusx.explorer.views import answer, svg_file;"
        "print(json.dumps([answer({'net': 'resnet50_caffe', 'pin': 'resnet50', 'lang': 'zh'}), svg_file({'net': 'plain18'}),"
        " answer({'net': 'resnet50 stem=depe', 'lang': 'zh'})]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    wanted = [
        answer({"net": "resnet50_caffe", "pin": "resnet50", "lang": "zh"}),
        svg_file({"net": "plain18"}),
        answer({"net": "resnet50 stem=depe", "lang": "zh"}),
    ]
    assert json.loads(done.stdout) == json.loads(json.dumps(wanted))


def test_the_zip_is_the_same_every_time():
    assert python_zip() == python_zip()
