"""The sentences of what can befall folders of files; see `catalogue`."""

from __future__ import annotations

from .advice import Advice, Blame

_R = Blame.REMOTE

OF_FILES: dict[str, Advice] = {
    "GC-2140": Advice(
        _R,
        "What was mounted at {folder} of {source} has vanished, is empty or is another one.",
        "Mount it again; nothing in it was taken for deleted. If it is meant as it is now: "
        "`edge-agent confirm {source}`.",
        "数据源 {source} 中挂载于 {folder} 的内容消失、为空或已不是原来的。",
        "请重新挂载；系统未将其中任何内容视为删除。如确属有意，运行 `edge-agent confirm {source}`。",
    ),
    "GC-2141": Advice(
        _R,
        "{vanished} of {files} files in {folder} of {source} vanished at once; nothing was taken for deleted.",
        "Look at the folder. If they were deleted on purpose: `edge-agent confirm {source}`; if that is usual there, "
        "raise `vanish_share_max`.",
        "数据源 {source} 的 {folder} 中，{files} 个文件有 {vanished} 个同时消失；系统未将任何内容视为删除。",
        "请核实该文件夹。如为有意删除，运行 `edge-agent confirm {source}`；如属常态，请调大 `vanish_share_max`。",
    ),
    "GC-2142": Advice(
        _R,
        "{folder} of {source} cannot be looked at ({reason}); its files stay as they were.",
        "Give the agent's account the right to read it, or see what is wrong with its disk; the other files go on.",
        "数据源 {source} 中的 {folder} 无法查看（{reason}），其中的文件保持原状。",
        "请为代理的账号授予读取权限，或检查其所在磁盘；其他文件不受影响。",
    ),
}
