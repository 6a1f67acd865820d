"""The rule of `current`: what stands in a table now, or stood in it at a version (landing.md §5).

Two pure parts. `floor` decides from a table's marks below which version nothing counts any more;
`current_sql` writes the rule as one DuckDB query over the table's `changes`. `landing.replay` is the same rule
row by row and the oracle of this one. Knows no file, no Delta and no connection: a relation is a name in SQL.

A version (epoch, seq, ord) is unique within a table, and that is relied upon: rows find back to their last
version by it. `_gc_unchanged` and `_gc_aside` name columns as the source spells them.
"""

# ruff: noqa: S608 - writing SQL is what this file is for: names are quoted, values are integers or literals

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from protocol.change import MarkKind, Version
from protocol.names import unescape_column

from .columns import exact_name
from .evolution import parse_name

UNKNOWN = "_gc_unknown"
"""Column of `current`: the source's names of columns whose value no image above the floor holds (null there)."""

SYSTEM = (
    "_gc_key",
    "_gc_epoch",
    "_gc_seq",
    "_gc_ord",
    "_gc_source_time",
    "_gc_captured",
    "_gc_received",
    "_gc_landed",
    "_gc_aside",
    UNKNOWN,
)
"""The system columns of `current`, behind the source's. All but the last two are those of the row's last change."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A row of `changes` with `_gc_op` m. `rows` is how many a snapshot's end claims to have read."""

    version: Version
    kind: str
    snapshot: str | None = None
    rows: int | None = None

    @classmethod
    def read(cls, version: Version, text: str) -> Mark:
        """`text` is the JSON of `_gc_mark`: the mark's header as it was sent."""
        document = json.loads(text)
        rows = document.get("facts", {}).get("rows")
        counted = rows if isinstance(rows, int) and not isinstance(rows, bool) else None
        return cls(version, document["mark"], document.get("snapshot"), counted)


@dataclass(frozen=True, slots=True)
class Span:
    """A snapshot that ended: between these two marks, exclusive, stand the rows that it read."""

    begin: Version
    end: Version
    rows: int | None


@dataclass(frozen=True, slots=True)
class Floor:
    """What counts. Versions at or below `above` do not (None: all do).

    Where rows are counted rather than known by key, a row read by a snapshot counts only between `reads_after`
    and `reads_before` (exclusive, None: no bound): a snapshot that has not ended, or was voided, reads rows
    again that count already.
    """

    above: Version | None = None
    reads_after: Version | None = None
    reads_before: Version | None = None


def floor(marks: Iterable[Mark], reads: Callable[[Span], int]) -> Floor:
    """The floor that `marks` (those of one table, in any order) lay.

    `reads` gives the number of `r` rows that stand in a span; it is asked from the newest span back, until
    one is complete.
    """
    ordered = sorted(marks, key=lambda mark: mark.version)
    begins = [mark.version for mark in ordered if mark.kind == MarkKind.SNAPSHOT_BEGIN]
    cleared = [mark.version for mark in ordered if mark.kind in (MarkKind.TRUNCATE, MarkKind.DROP)]
    whole = (span.begin for span in reversed(_spans(ordered)) if span.rows == reads(span))
    baseline = next(whole, None)
    above = max((v for v in (baseline, *cleared[-1:]) if v is not None), default=None)
    if baseline is None:
        # A table that was emptied is known without a snapshot; one begun since would count its rows twice.
        known = [v for v in begins if not cleared or v < cleared[-1]]
        baseline = known[-1] if known else None
    following = (v for v in begins if baseline is None or v > baseline)
    return Floor(above, baseline, next(following, None))


def _spans(ordered: Sequence[Mark]) -> list[Span]:
    """The ends that name the snapshot begun last before them, in their own epoch. A new begin voids the old."""
    spans = []
    begun: Mark | None = None
    for mark in ordered:
        if mark.kind == MarkKind.SNAPSHOT_BEGIN:
            begun = mark
        elif mark.kind == MarkKind.SNAPSHOT_END and begun is not None:
            same = mark.snapshot is not None and mark.snapshot == begun.snapshot
            if same and mark.version.epoch == begun.version.epoch:
                spans.append(Span(begun.version, mark.version, mark.rows))
    return spans


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def source_name(column: str) -> str:
    """The source's name of a column as the lake stores it; all generations of a column have the one name."""
    return unescape_column(parse_name(exact_name(column))[0])


def marks_sql(relation: str, as_of: Version | None = None) -> str:
    """Rows of epoch, seq, ord and the mark's JSON."""
    return f"SELECT {_VERSION}, _gc_mark FROM {relation} WHERE _gc_op = 'm'{_upto(as_of)}"


def reads_sql(relation: str, span: Span) -> str:
    """One number: the `r` rows that stand in `span`."""
    # Bounds on the bare columns, so that files can be passed over by their statistics.
    files = f"_gc_epoch = {span.begin.epoch} AND _gc_seq BETWEEN {span.begin.seq} AND {span.end.seq}"
    inside = f"{files}{_above(span.begin)}{_upto(span.end)}"
    return f"SELECT count(*) FROM {relation} WHERE _gc_op = 'r' AND {inside}"


def unchanged_sql(relation: str, above: Floor, as_of: Version | None = None) -> str:
    """Rows of one name each: the columns that some change did not carry."""
    return f"""SELECT DISTINCT unnest(_gc_unchanged) FROM {relation}
WHERE _gc_unchanged IS NOT NULL AND {_counts(above, as_of)}"""


def current_sql(
    relation: str,
    keyed: bool,
    columns: Sequence[str],
    above: Floor,
    unchanged: Collection[str] = (),
    as_of: Version | None = None,
) -> str:
    """The query whose rows are the table's: `columns`, then SYSTEM.

    `columns` are the source's columns as `relation` names them; `unchanged` the source's names of those that
    some change did not carry (what `unchanged_sql` gives). Versions above `as_of` do not exist; `above` must
    then be the floor at `as_of`. A table without key gives a row as often as it counts.
    """
    if not keyed:
        return _multiset_sql(relation, columns, above, as_of)
    where = _counts(above, as_of)
    folded = [name for name in columns if source_name(name) in unchanged]
    if not folded:
        return f"WITH {_last_cte(relation, where)}\n{_rows_sql(relation, columns)}"
    return _folding_sql(relation, columns, folded, where)


_VERSION = "_gc_epoch, _gc_seq, _gc_ord"
_ROW_VERSION = "row(_gc_epoch, _gc_seq, _gc_ord)"
_TEXTS = "CAST([] AS VARCHAR[])"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _after(v: Version) -> str:
    later = f"_gc_seq > {v.seq} OR (_gc_seq = {v.seq} AND _gc_ord > {v.ord})"
    return f"(_gc_epoch > {v.epoch} OR (_gc_epoch = {v.epoch} AND ({later})))"


def _above(v: Version | None) -> str:
    return "" if v is None else f" AND _gc_epoch >= {v.epoch} AND {_after(v)}"


def _upto(v: Version | None) -> str:
    return "" if v is None else f" AND _gc_epoch <= {v.epoch} AND NOT {_after(v)}"


def _counts(above: Floor, as_of: Version | None) -> str:
    return f"_gc_op <> 'm'{_above(above.above)}{_upto(as_of)}"


def _is_version(alias: str, version: str) -> str:
    parts = zip(("_gc_epoch", "_gc_seq", "_gc_ord"), (1, 2, 3), strict=True)
    return " AND ".join(f"{alias}.{name} = {version}[{i}]" for name, i in parts)


def _last_cte(relation: str, where: str) -> str:
    return f"last AS (SELECT max({_ROW_VERSION}) AS v FROM {relation} WHERE {where} GROUP BY _gc_key)"


def _rows_sql(relation: str, columns: Sequence[str]) -> str:
    system = [f"r.{name}" for name in SYSTEM[:-1]]
    names = ", ".join([*(f"r.{quoted(name)}" for name in columns), *system])
    return f"""SELECT {names}, {_TEXTS} AS {UNKNOWN}
FROM {relation} r JOIN last ON {_is_version("r", "last.v")} WHERE r._gc_op <> 'd'"""


def _multiset_sql(relation: str, columns: Sequence[str], above: Floor, as_of: Version | None) -> str:
    window = f"TRUE{_above(above.reads_after)}"
    if above.reads_before is not None:
        window += f" AND NOT {_after(above.reads_before)}"
    is_row = "_gc_op IN ('r', 'c')"
    system = [f"r.{name}" for name in SYSTEM[:-1]]
    names = ", ".join([*(f"r.{quoted(name)}" for name in columns), *system])
    out = ", ".join([*map(quoted, columns), *SYSTEM])
    return f"""WITH counted AS (
  SELECT CAST(sum(CASE WHEN _gc_op = 'd' THEN -1 ELSE 1 END) AS BIGINT) AS n,
         max({_ROW_VERSION}) FILTER ({is_row}) AS v
  FROM {relation} WHERE {_counts(above, as_of)} AND ((_gc_op = 'r' AND {window}) OR _gc_op IN ('c', 'd'))
  GROUP BY _gc_key HAVING n > 0)
SELECT {out} FROM (
  SELECT {names}, coalesce(r._gc_unchanged, {_TEXTS}) AS {UNKNOWN}, unnest(range(counted.n)) AS _gc_copy
  FROM {relation} r JOIN counted ON {_is_version("r", "counted.v")})"""


def _folding_sql(relation: str, columns: Sequence[str], folded: Sequence[str], where: str) -> str:
    """The keyed query where changes did not carry every column.

    A *life* of a key runs from a create or read to the delete or the next create or read. A column's value is
    its last image in the life; where the life began as a key change, the life that the old key ended with
    comes next, however long the chain: the last delete of the old key below the create, in its batch or with
    nothing of the old key between. `reach` are the keys whose changes must be looked at for this.
    """
    position = {name: i for i, name in enumerate(folded)}
    images = ",\n         ".join(_image(name, i) for name, i in position.items())
    nearest = ", ".join(f"arg_min(f{i}, step) AS f{i}" for i in position.values())
    carried = ", ".join(f"h.{quoted(name)} AS s{i}" for name, i in position.items())
    return f"""WITH RECURSIVE {_last_cte(relation, where)},
needy AS (
  SELECT r._gc_key AS k FROM {relation} r JOIN last ON {_is_version("r", "last.v")}
  WHERE r._gc_op <> 'd' AND len(r._gc_unchanged) > 0),
moves AS MATERIALIZED (
  SELECT DISTINCT _gc_key AS k, _gc_old_key AS old FROM {relation}
  WHERE {where} AND _gc_op = 'c' AND _gc_old_key IS NOT NULL),
reach AS (SELECT k FROM needy UNION SELECT moves.old AS k FROM reach JOIN moves ON moves.k = reach.k),
past AS (
  SELECT h._gc_key AS k, h._gc_op AS op, {_ROW_VERSION} AS v, h._gc_old_key AS old,
         coalesce(h._gc_unchanged, {_TEXTS}) AS unchanged, h._gc_aside AS aside, {carried}
  FROM (SELECT * FROM {relation} WHERE {where}) h SEMI JOIN reach ON h._gc_key = reach.k),
numbered AS (
  SELECT *, count(*) FILTER (op IN ('r', 'c')) OVER (PARTITION BY k ORDER BY v ROWS UNBOUNDED PRECEDING)
          + count(*) FILTER (op = 'd') OVER (
              PARTITION BY k ORDER BY v ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS life
  FROM past),
lives AS MATERIALIZED (
  SELECT k, life, min(v) AS born, max(v) AS ended, bool_or(op = 'd') AS died,
         max(old) FILTER (op = 'c') AS old, lead(min(v)) OVER (PARTITION BY k ORDER BY life) AS next_born,
         {images}
  FROM numbered GROUP BY k, life),
parents AS MATERIALIZED (
  SELECT c.k, c.life, p.k AS parent, p.life AS parent_life
  FROM lives c JOIN lives p ON p.k = c.old AND p.died AND p.ended < c.born
  WHERE (p.ended[1] = c.born[1] AND p.ended[2] = c.born[2]) OR p.next_born IS NULL OR p.next_born >= c.born
  QUALIFY row_number() OVER (PARTITION BY c.k, c.life ORDER BY p.ended DESC) = 1),
chain AS (
  SELECT k AS wanted, k, max(life) AS life, 0 AS step FROM lives SEMI JOIN needy USING (k) GROUP BY k
  UNION ALL
  SELECT chain.wanted, parents.parent, parents.parent_life, chain.step + 1
  FROM chain JOIN parents ON parents.k = chain.k AND parents.life = chain.life),
folded AS (
  SELECT wanted, {nearest} FROM chain JOIN lives ON lives.k = chain.k AND lives.life = chain.life
  GROUP BY wanted)
SELECT {_folded_columns(columns, position)}
FROM {relation} r JOIN last ON {_is_version("r", "last.v")} LEFT JOIN folded ON folded.wanted = r._gc_key
WHERE r._gc_op <> 'd'"""


def _image(name: str, i: int) -> str:
    """The last image of a column in a life, with what the typed column could not carry of it."""
    text = _literal(source_name(name))
    aside = f'[a FOR a IN aside IF a."column" = {text}]'
    has = f"op <> 'd' AND NOT list_contains(unchanged, {text})"
    return f"arg_max({{'v': s{i}, 'a': {aside}}}, v) FILTER ({has}) AS f{i}"


def _folded_columns(columns: Sequence[str], position: dict[str, int]) -> str:
    missing = {name: f"list_contains(r._gc_unchanged, {_literal(source_name(name))})" for name in position}
    values = [
        f"CASE WHEN {missing[name]} THEN folded.f{position[name]}.v ELSE r.{quoted(name)} END AS {quoted(name)}"
        if name in position
        else f"r.{quoted(name)}"
        for name in columns
    ]
    system = [f"r.{name}" for name in SYSTEM[:-2]]
    once = {source_name(name): name for name in reversed(position)}  # generations come and go together
    said = {name: position[name] for name in position if once[source_name(name)] == name}
    own = '[a FOR a IN r._gc_aside IF NOT list_contains(r._gc_unchanged, a."column")]'
    brought = [f"CASE WHEN {missing[name]} THEN folded.f{i}.a END" for name, i in said.items()]
    aside = f"flatten([x FOR x IN [{', '.join([own, *brought])}] IF x IS NOT NULL])"
    no_image = [
        f"CASE WHEN {missing[name]} AND folded.f{i} IS NULL THEN {_literal(source_name(name))} END"
        for name, i in said.items()
    ]
    unknown = f"[x FOR x IN [{', '.join(no_image)}] IF x IS NOT NULL]"
    whole = "coalesce(len(r._gc_unchanged), 0) = 0"
    aside = f"CASE WHEN {whole} THEN r._gc_aside WHEN len({aside}) > 0 THEN {aside} END AS _gc_aside"
    return ",\n  ".join([*values, *system, aside, f"coalesce({unknown}, {_TEXTS}) AS {UNKNOWN}"])
