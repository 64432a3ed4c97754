"""Chinese for runs, evaluate and a run's report."""

from __future__ import annotations

TEXTS = {
    # runs
    "run": "训练",
    "network": "网络",
    "data": "数据",
    "recipe": "配方",
    "epochs": "轮次",
    "top-1": "top-1",
    "began": "开始于",
    "time": "用时",
    "state": "状态",
    "order": "排序",
    "done": "完成",
    "damaged: {}": "损坏：{0:t}",
    "failed: {}": "失败：{0:t}",
    "interrupted after step {}, go on with {}": "在第 {0} 步后中断，继续：{1}",
    "running, step {} is saved": "进行中，已保存第 {0} 步",
    "{}% of {n}": "{0}%（共 {1}）",
    "{} in memory": "{0}（在内存中）",
    # durations
    "{n} s": "{0} 秒",
    "{n} min {n} s": "{0} 分 {1} 秒",
    "{n} h {n} min": "{0} 小时 {1} 分",
    "an unknown time": "未知",
}  # fmt: skip
