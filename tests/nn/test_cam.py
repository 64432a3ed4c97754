"""Heat maps sit where they should: a planted square is found where it is, and naive upsampling is off as predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import plusx
from living import enliven
from plusx.errors import GeometryError, SpecError
from plusx.images import InputPlace, Preprocessing, input_place, normalise, resize_crop
from plusx.nn.cam import grad_cam
from plusx.nn.cam_image import cam_image, cam_png

PX = 224
SMALL = "resnet18 widths=8,16,24,32 stem_width=8 classes=5"


@torch.no_grad()
def brightness_net(words="resnet18 widths=4,4,4,4 stem_width=4 classes=2"):
    """A net whose class 1 speaks for brightness: convolutions average their window, statistics are neutral.

    Averages see both sides of their centre alike, so the heat of a square that is centred on a cell is symmetric around it.
    """
    net = plusx.build(words).eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.fill_(1 / module.weight[0].numel())
    net.fc.weight.zero_()
    net.fc.weight[1] = 1
    net.fc.bias.zero_()
    return net


def square(centre_y, centre_x, side=33):
    """A dark image with a bright square whose centre is at (y, x) px, 0.5 being the centre of pixel 0."""
    x = torch.zeros(1, 3, PX, PX)
    top, left = (round(centre - side / 2) for centre in (centre_y, centre_x))
    x[..., top : top + side, left : left + side] = 1
    return x


def centroid(heat):
    """Heat-weighted mean place (y, x) in px of what is at least half as hot as the hottest."""
    hot = np.where(heat >= 0.5 * heat.max(), heat, 0).astype(np.float64)
    places = np.arange(PX) + 0.5
    return float(hot.sum(1) @ places / hot.sum()), float(hot.sum(0) @ places / hot.sum())


def naive(heat):
    """What other tools do: stretch the cells evenly over the image."""
    return F.interpolate(torch.from_numpy(heat)[None, None], size=(PX, PX), mode="bilinear")[0, 0].numpy()


@pytest.mark.parametrize(("at", "cell"), [("layer4", (3, 4)), ("layer4", (2, 2)), ("layer3", (5, 8))])
def test_a_planted_square_is_found_where_it_is(at, cell):
    """Squares centred on a cell; what the naive way misses is start + i·stride against (i + 1/2)·224/n, 15.5 px at layer4."""
    info = plusx.cut(brightness_net(), at).info
    where = [info.start + i * info.stride for i in cell]
    cam = grad_cam(brightness_net(), square(*where), at, class_index=1)
    assert cam.peak() == cell
    assert centroid(cam.placed()) == pytest.approx(where, abs=0.1)
    shift = info.stride / 2 - info.start
    assert shift == {"layer4": 15.5, "layer3": 7.5}[at]
    assert centroid(naive(cam.heat)) == pytest.approx([w + shift for w in where], abs=0.1)


def test_negative_control_a_wrong_start_is_seen(monkeypatch):
    """Were the geometry's start half a stride off, as the naive way has it, the test above would fail."""
    import plusx.nn.cam as module

    honest = module.feature_info
    monkeypatch.setattr(module, "feature_info", lambda spec, at: honest(spec, at)._replace(start=16.0))
    cam = grad_cam(brightness_net(), square(96.5, 96.5), class_index=1)
    assert centroid(cam.placed())[0] == pytest.approx(96.5 + 15.5, abs=0.1)


def test_a_moving_square_moves_the_heat():
    """Between the cells too: 8 px of the square are about 8 px of the heat."""
    places = np.arange(64.5, 161, 8)
    found = [centroid(grad_cam(brightness_net(), square(96.5, x), class_index=1).placed())[1] for x in places]
    assert np.abs(np.array(found) - places).max() < 12
    assert abs(float(np.mean(np.array(found) - places))) < 3


def test_heat_is_grad_cam():
    """Against the definition, with hooks and autograd on a living net."""
    torch.manual_seed(1)
    net = enliven(plusx.build(SMALL))
    x = torch.randn(1, 3, 96, 128)
    for at in ("layer4", "layer3.0", "layer1"):
        chosen = max(
            range(5), key=lambda c, at=at: grad_cam(net, x, at, c).heat.max()
        )  # heat may be zero for some classes
        cam = grad_cam(net, x, at, chosen)
        seen = {}
        handle = net.get_submodule(at).register_forward_hook(
            lambda m, i, o, seen=seen: seen.setdefault("map", o.clone())
        )
        net(x)
        handle.remove()
        walk = [name for name in net.stage_names if name > at[:6]]
        map_ = seen["map"].detach().requires_grad_()
        out = map_
        if "." in at:
            for block in list(net.layer3)[1:]:
                out = block(out)
        for name in walk:
            out = getattr(net, name)(out)
        (gradient,) = torch.autograd.grad(net.forward_head(out)[0, chosen], map_)
        wanted = (gradient.mean((2, 3), keepdim=True) * map_).sum(1).clamp(min=0)[0].detach().numpy()
        assert wanted.max() > 0
        np.testing.assert_allclose(cam.heat, wanted, rtol=1e-4, atol=1e-6 * wanted.max())
        assert cam.placed().shape == (96, 128)
        assert cam.p == pytest.approx(float(net(x).detach().softmax(1)[0, chosen]), rel=1e-4)


@pytest.mark.parametrize(
    "words", ["resnetv2_50 norm=none", "resnet50d", "resnet20", "seresnet50", "resnet18 norm=frozen"]
)
def test_every_kind_of_net(words):
    net = plusx.build(f"{words} {'' if 'resnet20' in words else 'depths=1,1,1,1'} classes=4")
    for p in net.parameters():
        p.requires_grad_(False)
    with torch.inference_mode():
        cam = grad_cam(net, torch.randn(1, 3, 64, 64))
    assert np.isfinite(cam.placed()).all()
    assert net.training


def test_refused_in_one_line():
    net, x = plusx.build(SMALL), torch.randn(1, 3, 64, 64)
    for act, kind, words in (
        (lambda: grad_cam(plusx.cut(net, "layer3"), x), SpecError, "has no classes"),
        (lambda: grad_cam(net, x, "layer9"), GeometryError, "Did you mean"),
        (lambda: grad_cam(net, x, class_index=5), SpecError, "0 to 4"),
        (lambda: grad_cam(net, x[0]), GeometryError, "Give a single image"),
    ):
        with pytest.raises(kind, match=words):
            act()


def test_image_shows_heat_and_field():
    import io

    from PIL import Image

    cam = grad_cam(brightness_net(), square(96.5, 128.5), "layer2", class_index=1)
    grey = np.full((PX, PX, 1), 100, np.uint8)
    png, size = cam_png(grey, cam, InputPlace((0.0, 0.0, PX, PX), (PX, PX)))
    image = np.asarray(Image.open(io.BytesIO(png))).astype(int)
    assert image.shape == (*size, 3) == (448, 448, 3)
    y, x = (round(2 * side) for side in cam.centre(cam.peak()))
    assert np.abs(image[y + 4, x + 4] - 100).max() > 40  # hot, beside the dot
    assert np.abs(image[440, 10] - 100).max() == 0  # cold: the image as it is
    left, top, right, _ = (round(2 * side) for side in cam.field(cam.peak()))
    assert (image[max(top, 0) + 30, left] == 255).all()
    assert (image[max(top, 0) + 30, right] == 255).all()


def test_heat_lies_on_the_whole_photo_where_the_square_is():
    """A photo of 1200 × 600 px, resized to 512 × 256 and cropped to 224: its pixels are 600 / 256 times as large as the
    input's, and the crop begins at x (512 - 224) / 2 = 144 and y (256 - 224) / 2 = 16 of the resized photo."""
    pre = Preprocessing("RGB", 256, PX, mean=(0, 0, 0), std=(1, 1, 1))
    by, left, top = 600 / 256, 144, 16
    centre_y, centre_x = (
        (96.5 + top) * by,
        (128.5 + left) * by,
    )  # of a square that is centred on cell (3, 4) of the input
    photo = np.zeros((600, 1200, 3), np.uint8)
    half = 33 / 2 * by
    photo[round(centre_y - half) : round(centre_y + half), round(centre_x - half) : round(centre_x + half)] = 255
    x = torch.from_numpy(normalise(resize_crop(photo, pre)[None], pre))
    cam = grad_cam(brightness_net(), x, class_index=1)
    assert cam.peak() == (3, 4)
    place = input_place(600, 1200, pre)
    assert place.box == pytest.approx((144 * by, 16 * by, 368 * by, 240 * by))
    assert place.at(*cam.centre(cam.peak())) == pytest.approx((centre_y, centre_x))
    heat = cam.over(600, 1200, place)
    hot = np.where(heat >= 0.5, heat, 0).astype(np.float64)
    found = hot.sum(1) @ (np.arange(600) + 0.5) / hot.sum(), hot.sum(0) @ (np.arange(1200) + 0.5) / hot.sum()
    assert found == pytest.approx((centre_y, centre_x), abs=3)
    drawn = np.asarray(cam_image(photo, cam, place)).astype(int)
    assert drawn.shape == photo.shape
    assert not heat[:, : round(144 * by)].any() and heat[round(centre_y), round(centre_x)] > 0.9
    bright = cam_image(np.full_like(photo, 200), cam, place)
    assert bright.getpixel((10, 300)) == (90, 90, 90)  # 0.45 of it, outside the crop


def test_a_photo_smaller_than_the_crop_lies_within_it():
    """50 × 30 px in a crop of 60: 5 px of black on both sides, 15 above and below."""
    place = input_place(30, 50, Preprocessing("L", None, 60, mean=(0,), std=(1,)))
    assert place.box == (-5, -15, 55, 45) and place.at(15, 5) == (0, 0) and place.times(2).at(15, 5) == (0, 0)


@pytest.mark.parametrize(
    ("h", "w", "resize", "crop"), [(300, 600, 150, 112), (431, 300, 64, 64), (97, 98, 128, 100), (40, 300, 32, 32)]
)
def test_the_place_is_the_part_that_is_resized(h, w, resize, crop):
    """Against the pixels: a ramp keeps its values, so the first and last of the input say where it was cut."""
    pre = Preprocessing("L", resize, crop, mean=(0,), std=(1,))
    (left, top, right, bottom), n = input_place(h, w, pre).box, crop
    for axis, side, low, high in ((1, w, left, right), (0, h, top, bottom)):
        ramp = np.broadcast_to(np.linspace(0, 255, side).reshape((1, -1) if axis else (-1, 1)), (h, w))
        cut = resize_crop(ramp.round().astype(np.uint8)[..., None], pre)[..., 0].astype(float).mean(1 - axis)
        middle = slice(n // 4, 3 * n // 4)
        wanted = ((low + (np.arange(n) + 0.5) * (high - low) / n) - 0.5) * 255 / (side - 1)
        assert np.abs(cut - wanted)[middle].max() < 1
