"""The exact `current` from what is materialised: its rows, and over them what became of each key that changed since.

For whoever asks through us: nothing is written, and the answer is the rule's over all of `changes`. Where a step
would have to go to the history (see `materialising`), or very much has changed, there is no overlay and the rule
reads `changes`. Rows, statement and files are those of one version each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from protocol.errors import Transient

from . import evolution
from .columns import exact_name, stored_names
from .current import SYSTEM, quoted
from .deriving import advance, schema_of, source_columns
from .history import History, Tables
from .materialised import LIVE, STEP, VIEW, last_of
from .materialising import path_of, with_tombstones
from .statement import PROPERTY, Statement

_WINDOW_BYTES_MAX = 256 << 20


class Stated(Tables, Protocol):
    def dataset_stated(self, path: str) -> tuple[ds.Dataset, dict[str, str]] | None: ...


@dataclass(frozen=True, slots=True)
class Overlay:
    """`made`: the materialised table as stored; `changed`: rows of `current`, columns named as queries of `changes`
    name them, with LIVE. `columns`: name in `made` by such a name, None where `made` does not have it yet; `kinds` the
    types of the source's columns."""

    made: ds.Dataset
    changed: pa.Table
    columns: dict[str, str | None]
    kinds: dict[str, pa.DataType]

    def sql(self, made: str, changed: str) -> str:
        """The query of `current` over the two relations of these names."""
        before = ", ".join(
            f"{'NULL' if there is None else 't.' + quoted(there)} AS {quoted(name)}"
            for name, there in self.columns.items()
        )
        names = ", ".join(map(quoted, self.columns))
        return f"""SELECT {names} FROM ({VIEW.format(table=made, columns=before)}) AS v
WHERE NOT EXISTS (SELECT 1 FROM {changed} AS c WHERE c._gc_key = v._gc_key)
UNION ALL
SELECT {names} FROM {changed} WHERE {LIVE}"""  # noqa: S608 - names are quoted


def overlay(lake: Stated, changes: str, keyed: bool) -> Overlay | None:
    """None where the rule must read `changes` itself. `keyed` as the catalogue has it; the lake's own word counts."""
    try:
        found = lake.dataset_stated(path_of(changes))
    except Transient:  # what is derived may be damaged, and `changes` is not
        return None
    said = None if found is None else Statement.from_json(found[1].get(PROPERTY, ""))
    history = History.as_seen(lake, changes)
    if found is None or said is None or history is None:
        return None
    keys = evolution.keys(history.landed.metadata)
    keyed = bool(keys[-1].key) if keys else keyed
    settled = len(keys) < 2 or keys[-1].since <= said.upto
    if said.keyed != keyed or not settled or not _fits(found[0].schema, history.schema):
        return None
    changed = _changed(history, said, found[0])
    return None if changed is None else _laid_over(found[0], changed, history)


def _changed(history: History, said: Statement, made: ds.Dataset) -> pa.Table | None:
    """What became of each key that changed since, as a step would have it."""
    last = history.last
    if said.place > last or history.window_end(said.place, last, _WINDOW_BYTES_MAX) != last:
        return None
    window = pa.concat_tables([history.schema.empty_table(), *history.pieces(said.place, last)])
    moved = said.track.followed(window).floor.above != said.track.floor.above
    if moved or (window.num_rows and not said.keyed):
        return None
    changed = window.filter(pc.not_equal(window.column("_gc_op"), "m"))
    live = advance(changed, lambda keys, columns: _standing(made, keys, columns))
    return None if live is None else with_tombstones(live, changed)


def _fits(made: pa.Schema, changes: pa.Schema) -> bool:
    """Whether every column has the type that it has in `changes`."""
    there = {exact_name(field.name): field.type for field in made}
    return all(there.get(field.name, field.type) == field.type for field in source_columns(changes))


def _laid_over(made: ds.Dataset, changed: pa.Table, history: History) -> Overlay:
    """By the names that queries of `changes` use (see `merging.merged`)."""
    stored = stored_names(history.schema.names, stored_names(history.landed.names, {}))
    there = {exact_name(name): name for name in made.schema.names}
    source = source_columns(history.schema)
    columns = {stored[field.name]: there.get(field.name) for field in source}
    return Overlay(
        made,
        changed.rename_columns([stored.get(name, name) for name in changed.schema.names]),
        columns | {name: name for name in SYSTEM},
        {stored[field.name]: field.type for field in source},
    )


def _standing(made: ds.Dataset, keys: pa.Array, columns: Sequence[str]) -> pa.Table:
    """As `deriving.Standing` says."""
    there = {exact_name(name): name for name in made.schema.names}
    exact = [*(name for name in columns if name in there), *schema_of(pa.schema([])).names]
    wanted = {name: there[name] for name in [*exact, LIVE, STEP]}
    found = made.to_table(
        columns=list(wanted.values()), filter=pc.field("_gc_key").isin(keys), use_threads=False
    ).rename_columns(list(wanted))
    latest = last_of(found)
    return latest.filter(latest.column(LIVE)).select(exact)
