"""Chinese for what the environment and the extras lack."""

from __future__ import annotations

TEXTS = {
    # errors.py, settings.py
    "{} is not installed. Install it with pip install '{}'.": "没有安装 {0}。请用 pip install '{1}' 安装。",
    "PLUSX_THREADS={} is not a whole number from {} to {}. Set one like 4, or unset it.": "PLUSX_THREADS={0} 不是 {1} 到 {2} 之间的整数。请设成如 4 的数，或取消它。",
    "{}={} is out of range. Write a number of threads from 1 to {}.": "{0}={1} 超出范围。线程数请写 1 到 {2} 之间。",
    "This user has no home folder to keep a cache in. Set PLUSX_CACHE to a folder.": "此用户没有主目录来放缓存。请把 PLUSX_CACHE 设为一个文件夹。",
}  # fmt: skip
