"""What the target `folder` is given: a rule, and the files that lie in a folder, as they are one time after another.

As bytes: u32 length ‖ JSON (`rule`; `states`, each a list of name and size) ‖ the bytes of all files in that order. Any
other bytes are one file of kind `auto`, so that everything is a scene.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.sources.filerule import FileRule

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,39}")
_PASSED_OVER = (".tmp", ".part", ".partial", ".crdownload", ".filepart")
STATES_MAX, FILES_MAX = 6, 6
AUTO: Mapping[str, Any] = {"kind": "auto", "encoding": "auto"}
FOLDER = "damaged"
"""Of the files of a scene, beside sound ones."""

State = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Scene:
    """`rule`: the members of a FileRule but for its glob."""

    rule: Mapping[str, Any]
    states: Sequence[State]

    def to_bytes(self) -> bytes:
        states = [[[name, len(data)] for name, data in state.items()] for state in self.states]
        head = json.dumps({"rule": dict(self.rule), "states": states}).encode()
        body = b"".join(data for state in self.states for data in state.values())
        return struct.pack(">I", len(head)) + head + body

    @classmethod
    def of(cls, data: bytes) -> Scene:
        try:
            (length,) = struct.unpack_from(">I", data)
            said = json.loads(data[4 : 4 + length])
            states, body = [], memoryview(data)[4 + length :]
            for listed in said["states"][:STATES_MAX]:
                state = {}
                for name, size in listed[:FILES_MAX]:
                    if not _NAME.fullmatch(name) or name.endswith(_PASSED_OVER) or size < 0:
                        raise ValueError
                    state[name], body = bytes(body[:size]), body[size:]
                states.append(state)
            scene = cls(said["rule"], states)
            scene.file_rule()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, struct.error):
            return cls(AUTO, [{"a.bin": data}])
        return scene

    def file_rule(self) -> FileRule:
        """Raises ValueError."""
        if self.rule.get("table") not in (None, "t"):
            raise ValueError("a table of another name would be a neighbour's")
        return FileRule.model_validate({**self.rule, "glob": f"{FOLDER}/**"})
