"""Chinese for errors of bundles and runs, and for times."""

from __future__ import annotations

TEXTS = {
    # runs
    "checkpoint {} is passed over: {}": "跳过检查点 {0}：{1:t}",
    "killed before it began; nothing is lost, type its command again": "还未开始就被终止；没有损失，请重新执行命令",
    "{} is damaged ({} bytes, written as {}); use another copy": "{0} 已损坏（{1} 字节，写入时为 {2}）；请换一份副本",
    "{} is damaged (not JSON, {} bytes); use another copy": "{0} 已损坏（不是 JSON，{1} 字节）；请换一份副本",
    "{} was changed after it was written; use another copy": "{0} 在写入后被改动；请换一份副本",
    "{} lacks {}; use another copy": "{0} 缺少 {1}；请换一份副本",
    "{} garbles {}; use another copy": "{0} 中 {1} 有误；请换一份副本",
    "{} is missing; use another copy": "{0} 不见了；请换一份副本",
    "{} is missing; evaluate the run with --weights last, or train it anew": "{0} 不见了；请用 --weights last 评估，或重新训练",
    "no run at {}; a run is a directory with {}": "{0} 处没有训练；训练是含有 {1} 的目录",
    "{} has schema {}, newer than this plusx; upgrade plusx": "{0} 的格式为 {1}，比此 plusx 更新；请升级 plusx",
    "no folder {}; name the one that holds the runs, plusx train writes to runs/": "没有文件夹 {0}；请指明存放训练的文件夹，plusx train 写入 runs/",
    # training
    "early stop: {n} epochs brought nothing better": "提前停止：{0} 轮没有更好",
    # durations
    "{n} s": "{0} 秒",
    "{n} min {n} s": "{0} 分 {1} 秒",
    "{n} h {n} min": "{0} 小时 {1} 分",
    "an unknown time": "未知",
}  # fmt: skip
