"""Why a forward pass fails, from the modules that were called until then."""

from __future__ import annotations

import re
from collections.abc import Iterator

from plusx.checking.differences import Deviation, deviation
from plusx.checking.record import Call, Failure, ReadModule


def failure_deviations(read: ReadModule) -> list[Deviation]:
    """The cause of a failed forward pass where it is known, else its error and the line."""
    failed = read.failure
    assert failed is not None
    place = _place(failed)
    error = failed.error.partition("\n")[0]
    found = list(_causes(failed, place, error))
    if found:
        return found[:1]
    shown = "x".join(map(str, read.input[1:]))
    return [deviation("forward_fails", place, "", input=shown, error=error, line=failed.line or failed.where)]


def _place(failed: Failure) -> str:
    name = next((each for each in reversed(failed.modules) if each), "")
    return f"{name} ({failed.where})" if name and failed.where else name or failed.where or "forward"


def _causes(failed: Failure, place: str, error: str) -> Iterator[Deviation]:
    if "'NoneType' object is not callable" in failed.error:
        called = re.findall(r"(self\.\w+)\(", failed.line)
        yield deviation("module_is_none", place, "", name=called[-1] if called else "self.…", error=error)
        return
    last = failed.calls[-1] if failed.calls else None
    if last is not None and last.after is None and last.before is not None:
        yield from _refused(last, failed, error)
        return
    if "size of tensor" in failed.error:
        yield from _unequal(failed, place, error)


def _refused(call: Call, failed: Failure, error: str) -> Iterator[Deviation]:
    """A module that does not take what it was given."""
    where = f"{call.module} ({failed.where})" if failed.where else call.module
    assert call.before is not None
    if "in_features" in call.attrs and call.before[-1:] != (call.attrs["in_features"],):
        shape = "x".join(map(str, call.before[1:]))
        yield deviation("not_flat", where, "", shape=shape, features=call.attrs["in_features"], error=error)
    expected = call.attrs.get("in_channels", call.attrs.get("num_features"))
    if expected is not None and len(call.before) == 4 and call.before[1] != expected:
        yield deviation("wrong_channels", where, "", found=call.before[1], expected=expected, error=error)


def _unequal(failed: Failure, place: str, error: str) -> Iterator[Deviation]:
    """Two maps that cannot be added: which convolution of the block made one of them."""
    block = next((each for each in reversed(failed.modules) if each), "")
    calls = [each for each in failed.calls if each.module.startswith(f"{block}.") or not block]
    convs = [
        each for each in calls if "in_channels" in each.attrs and each.after and each.before and len(each.after) == 4
    ]
    if not block:
        convs = convs[-4:]
    for call in convs:
        kernel, padding, dilation = (call.attrs[name] for name in ("kernel", "padding", "dilation"))
        where = f"{call.module} ({failed.where})"
        if not isinstance(padding, int):
            continue
        if kernel == 1 and padding:
            yield deviation("padded_1x1", where, "", padding=padding, more=2 * padding, error=error)
        elif kernel > 1 and 2 * padding != dilation * (kernel - 1):
            yield deviation(
                "unpadded",
                where,
                "",
                kernel=kernel,
                dilation=dilation,
                padding=padding,
                expected=dilation * (kernel - 1) // 2,
                error=error,
            )
    if not convs:
        return
    start = convs[0].before
    assert start is not None
    shortcut = [each for each in convs if each.before == start and each is not convs[0]]
    branch = [each for each in convs if each not in shortcut]
    end = branch[-1].after if branch else None
    side = shortcut[-1].after if shortcut else start
    if end is None or side is None:
        return
    if end[2:] != side[2:]:
        yield deviation(
            "stride_mismatch",
            place,
            "",
            branch=round(start[2] / end[2]),
            shortcut=round(start[2] / side[2]),
            error=error,
        )
    elif end[1] != side[1]:
        yield deviation("channel_mismatch", place, "", branch=end[1], shortcut=side[1], error=error)
