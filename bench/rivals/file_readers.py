"""`python file_readers.py KIND READER PATH ROWS FOLDER`: read a file to its last row, by us or by a library alone.

Exits with another code than 0 where it did not meet so many rows. `csv` by its library is written to Parquet in FOLDER.
"""

from __future__ import annotations

import sys
from pathlib import Path


def ours(kind: str, path: Path) -> int:
    from edge_agent.sources.filerule import FileRule
    from edge_agent.sources.kinds import registry
    from edge_agent.sources.kinds.kind import Opened

    name = {"xlsx": "excel"}.get(kind, kind)
    rule = FileRule(glob="*", kind=name, encoding="gbk" if kind == "dbf" else "utf-8")
    with path.open("rb") as stream:
        opened = Opened(path.name, stream, path.stat().st_size)
        return sum(
            rows.count for table in registry.tabular(name).tables(opened, rule) for rows in table.rows()
        )


def library(kind: str, path: Path, folder: Path) -> int:
    match kind:
        case "csv":
            import pyarrow.parquet as pq
            from pyarrow import csv

            table = csv.read_csv(path)
            pq.write_table(table, folder / "t.parquet")
            return int(table.num_rows)
        case "dbf":
            import dbfread

            return sum(1 for _ in dbfread.DBF(str(path), encoding="gbk"))
        case _:
            import python_calamine

            book = python_calamine.CalamineWorkbook.from_path(str(path))
            return len(book.get_sheet_by_index(0).to_python()) - 1


def main() -> int:
    kind, reader, path, rows, folder = sys.argv[1:]
    met = ours(kind, Path(path)) if reader == "ours" else library(kind, Path(path), Path(folder))
    return int(met != int(rows))


if __name__ == "__main__":
    sys.exit(main())
