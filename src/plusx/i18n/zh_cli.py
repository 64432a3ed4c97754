"""Chinese for what the command line says of its own words, of files to write, and of what the system refuses."""

from __future__ import annotations

TEXTS = {
    # words and options (cli/parser.py)
    "{} needs {} and {}. {} --help explains every word.": "{0} 还缺 {1} 和 {2}。用法见 {3} --help。",
    "{} needs {}. {} --help explains every word.": "{0} 还缺 {1}。用法见 {2} --help。",
    "{} cannot make sense of these words. {} --help shows which it takes.": "{0} 看不懂这些参数。用法见 {1} --help。",
    "{} of {} takes no value. Leave out what follows the = sign.": "{1} 的 {0} 不带值。请去掉等号及其后的内容。",
    "{} needs {}, and {} is none. Write it like {}.": "{0} 要{1:t}，{2} 不是。请写成 {3}。",
    "a whole number": "整数",
    "a finite number": "有限的数",
    "{} needs a value behind it. Write {}; a value that begins with a dash is written {}": "{0} 后面缺一个值。请写 {1}；以短横开头的值写成 {2}",
    "{} is one word too many. {} takes {}; quote a name that has spaces.": "{0} 是多余的词。{1} 只要 {2}；名称中有空格时请加引号。",
    # files to write (cli/output.py)
    "-o {} ends in {}, which is not written here. Did you mean {}? Let it end in one of {}.": "-o {0} 以 {1} 结尾，此处不写这种文件。是不是 {2}？请用以下结尾之一：{3}。",
    "-o {} ends in {}, which is not written here. Let it end in one of {}.": "-o {0} 以 {1} 结尾，此处不写这种文件。请用以下结尾之一：{2}。",
    "-o {} does not say what to write. Let it end in one of {}.": "-o {0} 没有说明写成什么。请用以下结尾之一：{1}。",
    "-o {} ends in {}, but --format {} was asked for. Change one of them.": "-o {0} 以 {1} 结尾，而 --format 要的是 {2}。请改其中之一。",
    "-o {} cannot be written: there is no folder {}. Make it first, or choose another place.": "-o {0} 无法写入：没有文件夹 {1}。请先建立它，或换一个位置。",
    "-o {} cannot be written: {} is not a folder. Choose another place.": "-o {0} 无法写入：{1} 不是文件夹。请换一个位置。",
    "-o {} cannot be written: it is a folder. Name a file, like {}.": "-o {0} 无法写入：它是文件夹。请写文件名，如 {1}。",
    "-o {} cannot be written: the system does not allow it. Choose another place.": "-o {0} 无法写入：系统不允许。请换一个位置。",
    "-o {} cannot be written: the disk is full. Free some space.": "-o {0} 无法写入：磁盘已满。请腾出空间。",
    "-o {} cannot be written ({}). Choose another place.": "-o {0} 无法写入（{1}）。请换一个位置。",
    # what is not there, and what the system refuses (errors.py, settings.py, cli/main.py)
    "{} is installed but does not load. Install it again, or raise the memory limit (ulimit -v).": "{0} 已安装但无法加载。请重新安装，或放宽内存限制（ulimit -v）。",
    "There is not enough memory for this. Use a smaller --batch, size or network.": "内存不够。请用更小的 --batch、尺寸或网络。",
    "The disk is full. Free some space and run the same command again.": "磁盘已满。请腾出空间后再运行同一命令。",
    "The disk is full ({}). Free some space and run the same command again.": "磁盘已满（{0}）。请腾出空间后再运行同一命令。",
    "The system refused ({}): {}.": "系统拒绝（{0}）：{1}。",
    "The system refused: {}.": "系统拒绝：{0}。",
    "The system gives this process no more threads. Raise the limit (ulimit -u), or set PLUSX_THREADS=1, OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1.": "系统不再给本进程线程。请放宽限制（ulimit -u），或设 PLUSX_THREADS=1、OMP_NUM_THREADS=1 和 OPENBLAS_NUM_THREADS=1。",
}  # fmt: skip
