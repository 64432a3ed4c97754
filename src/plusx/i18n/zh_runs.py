"""Chinese for errors of bundles and runs, and for times."""

from __future__ import annotations

TEXTS = {
    # runs
    # durations
    "{n} s": "{0} 秒",
    "{n} min {n} s": "{0} 分 {1} 秒",
    "{n} h {n} min": "{0} 小时 {1} 分",
    "an unknown time": "未知",
}  # fmt: skip
