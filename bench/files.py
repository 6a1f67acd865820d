"""Folders of files → landed, by the agent as it is installed: a CSV export, many small files, one large; and how fast
the readers of tables are beside their libraries alone.

The rival of the CSV is what a user would write: pyarrow.csv, and Parquet. It guesses types, keeps no order with anybody
and tells nobody of a change; it is the speed of the disk's other end.
"""

from __future__ import annotations

import csv
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from . import visits
from .delta_log import DeltaLog
from .landed import Run
from .markdown import header, judged, row
from .processes import MIB, Usage, run_to_end
from .site import Setting, site

SECONDS_MAX = 900.0
MARKS = 2
READERS = Path(__file__).parent / "rivals" / "file_readers.py"
MEMORY_GOAL = 200


@dataclass
class Found:
    """`landed`: by what it is, with the bytes of its files. `readers`: by (format, reader) rows, seconds and peak."""

    landed: dict[str, tuple[Run, int]] = field(default_factory=dict)
    parquet: Run | None = None
    readers: dict[tuple[str, str], tuple[int, float, int]] = field(default_factory=dict)


def run(rows: int, small: int, large_bytes: int) -> Found:
    """`rows` of the CSV export, so many small files, one of `large_bytes`."""
    found = Found()
    with _folder() as folder:
        path = folder / "outpatient_visit.csv"
        write_csv(path, rows)
        found.parquet = _parquet(path, rows)
        found.landed["CSV"] = (_landed(folder, "outpatient", rows, rows + MARKS), path.stat().st_size)
    with _folder() as folder:
        size = write_messages(folder, small)
        found.landed["small HL7 files"] = (_landed(folder, "hl7", small, small + MARKS, "hl7"), size)
    with _folder() as folder:
        write_noise(folder / "image.bin", large_bytes)
        found.landed["one large file"] = (_landed(folder, "files", 1, 1 + MARKS, "file"), large_bytes)
    with _folder() as folder:
        for name, write in (("dbf", write_dbf), ("xlsx", write_xlsx)):
            count = min(rows, 200_000 if name == "dbf" else 30_000)
            write(folder / f"t.{name}", count)
            for reader in ("ours", "library"):
                found.readers[name, reader] = _read(folder / f"t.{name}", name, reader, count)
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        yield Path(folder)


def _landed(folder: Path, table: str, rows: int, lines: int, kind: str = "csv") -> Run:
    with TemporaryDirectory(prefix="guicang-bench-") as root:
        settings: dict[str, Setting] = {"duty_share_max": 1.0, "stable_seconds": 0.0}
        with site(Path(root), str(folder), None, **settings) as one:
            with one.agent_config.open("a", encoding="utf-8") as config:
                config.write(f'\n[[sources.his.rules]]\nglob = "**"\nkind = "{kind}"\n')
            log = DeltaLog(one.lake / "changes", table)
            before = one.usages()
            began = time.monotonic()
            one.start_agent()
            ended = one.wait_until(lambda: log.has(lines), SECONDS_MAX)
            usages = one.usages()
            usages |= {name: usages[name].since(before[name]) for name in before}
            return Run(rows, ended - began, usages)


def _parquet(path: Path, rows: int) -> Run:
    ended = _child(path, "csv", "library", rows)
    return Run(rows, ended[1], {"pyarrow": Usage(ended[2], ended[3])})


def _read(path: Path, kind: str, reader: str, rows: int) -> tuple[int, float, int]:
    _, seconds, _, peak = _child(path, kind, reader, rows)
    return rows, seconds, peak


def _child(path: Path, kind: str, reader: str, rows: int) -> tuple[int, float, float, int]:
    """Rows, seconds, CPU seconds and peak of a process of its own."""
    with TemporaryDirectory(prefix="guicang-bench-") as folder:
        log = Path(folder) / "log"
        with log.open("ab") as output:
            command = [sys.executable, str(READERS), kind, reader, str(path), str(rows), folder]
            ended = run_to_end(command, output, {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})
        if ended.code:
            raise RuntimeError(f"{kind} ({reader}): {log.read_text('utf-8', 'replace')[-2_000:]}")
        return rows, ended.seconds, ended.usage.cpu_seconds, ended.usage.peak_bytes


# what is read


def write_csv(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(visits.ARROW.names)
        for part in visits.slices(rows, min(rows, visits.DISTINCT_ROWS)):
            plain = [one.cast(pa.string()).to_pylist() for one in part.columns[: len(visits.ARROW)]]
            writer.writerows(zip(*plain, strict=True))


def write_messages(folder: Path, count: int) -> int:
    """Admissions, one a file, a thousand in a folder; returns their bytes."""
    rng, total = random.Random(1), 0
    for number in range(count):
        place = folder / f"{number // 1_000:03}"
        place.mkdir(exist_ok=True)
        head = f"MSH|^~\\&|HIS|440100|LIS|440100|20260301{number % 86_400:06}||ADT^A01|{number:08}|P|2.4"
        text = "\r".join(
            (
                f"{head}|||||CHN|UNICODE UTF-8",
                f"PID|1||{rng.randrange(10**8):08}^^^HIS^MR||张^三{number}||19700101|M",
                f"PV1|1|I|W{rng.randrange(99):02}^1||||{rng.randrange(10**6):06}^李^医生|||||||||||{number}",
                "NTE|1||" + "患者一般情况可。" * 20,
            )
        )
        data = text.encode()
        (place / f"{number:08}.hl7").write_bytes(data)
        total += len(data)
    return total


def write_noise(path: Path, size: int) -> None:
    rng = random.Random(2)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(rng.randbytes(MIB))


def write_dbf(path: Path, rows: int) -> None:
    """dBase III: a number, a name, a code, a date, an amount."""
    fields = (
        (b"ID", b"N", 9, 0),
        (b"NAME", b"C", 20, 0),
        (b"CODE", b"C", 8, 0),
        (b"DAY", b"D", 8, 0),
        (b"FEE", b"N", 12, 2),
    )
    head = 32 + 32 * len(fields) + 1
    width = 1 + sum(one[2] for one in fields)
    with path.open("wb") as file:
        file.write(
            bytes([3, 126, 3, 1])
            + rows.to_bytes(4, "little")
            + head.to_bytes(2, "little")
            + width.to_bytes(2, "little")
            + bytes(17)
            + b"\x7a"
            + bytes(2)
        )
        for name, kind, length, places in fields:
            file.write(name.ljust(11, b"\0") + kind + bytes(4) + bytes([length, places]) + bytes(14))
        file.write(b"\r")
        born = date(2020, 1, 1)
        for number in range(rows):
            name = f"张三{number % 997}".encode("gbk").ljust(20)
            day = (born + timedelta(days=number % 2_000)).strftime("%Y%m%d").encode()
            file.write(b" %9d%s%-8d%s%12.2f" % (number, name, number % 9_999, day, number / 7))
        file.write(b"\x1a")


def write_xlsx(path: Path, rows: int) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")
    names = [f"列{number}" for number in range(10)]
    sheet.append(names)
    for number in range(rows):
        sheet.append([number, f"张三{number % 997}", number / 8, f"{number:07}", *[f"v{number % 50}"] * 6])
    book.save(path)


# what is said of it


def report(found: Found) -> str:
    lines = ["### Folders of files → landed", ""]
    lines += header("what", "who", "a second", "MB/s", "CPU s", "peak MiB")
    for what, (one, size) in found.landed.items():
        unit = "rows" if what == "CSV" else "files"
        rate = f"{one.rate:,.0f} {unit}" if one.rows > 1 else ""
        cpu = ", ".join(f"{name} {usage.cpu_seconds:.1f}" for name, usage in one.usages.items())
        peak = ", ".join(
            f"{name} {usage.peak_bytes / MIB:.0f}" for name, usage in one.usages.items() if usage.peak_bytes
        )
        lines.append(row(what, "ours", rate, f"{size / 1e6 / one.seconds:.1f}", cpu, peak))
        if what == "CSV" and found.parquet is not None:
            rival = found.parquet
            lines.append(
                row(
                    what,
                    "pyarrow.csv → Parquet",
                    f"{rival.rate:,.0f} rows ({rival.rate / one.rate:.1f} ×)",
                    f"{size / 1e6 / rival.seconds:.1f}",
                    f"{rival.usages['pyarrow'].cpu_seconds:.1f}",
                    f"{rival.usages['pyarrow'].peak_bytes / MIB:.0f}",
                )
            )
    large = found.landed["one large file"][0].usages["agent"].peak_bytes / MIB
    lines += [
        "",
        judged(
            f"a large file in under {MEMORY_GOAL} MiB at the agent", large < MEMORY_GOAL, f"{large:.0f} MiB"
        ),
    ]
    lines += ["", "### Readers of tables alone", ""]
    lines += header("format", "who", "rows", "rows/s", "ours is", "peak MiB")
    for (kind, reader), (rows, seconds, held) in found.readers.items():
        ratio = ""
        if reader == "library":
            ratio = f"{seconds / found.readers[kind, 'ours'][1]:.1f} ×"
        lines.append(row(kind, reader, f"{rows:,}", f"{rows / seconds:,.0f}", ratio, f"{held / MIB:.0f}"))
    return "\n".join(lines)
