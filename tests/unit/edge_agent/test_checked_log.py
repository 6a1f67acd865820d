"""The last words of `check` about a server: never that nothing is missing where something is, or may be."""

from __future__ import annotations

import pytest
from rich.console import Console

from edge_agent.checked_log import show_end

COMMAND = "edge-agent check his --sql > guicang.sql"


@pytest.mark.parametrize(
    ("facts", "said", "script"),
    [
        ({}, "no grant is missing", False),
        ({"choices": ["…"]}, "No grant is missing; what the DBA may choose besides:", True),
        ({"missing": ["…"]}, "What is missing the DBA grants", True),
        ({"hindrances": ["…"], "choices": ["…"]}, "Something above is still open", True),
        ({"hindrances": ["…"]}, "", False),
        ({"unseen": ["tables"]}, "nor know what of them is missing: tables", False),
        ({"unseen": ["tables"], "choices": ["…"]}, "Something above is still open", True),
    ],
)
def test_the_last_words(facts: dict[str, list[str]], said: str, script: bool) -> None:
    console = Console(width=80)
    with console.capture() as captured:
        show_end(console, "his", {"missing": [], "choices": [], "hindrances": [], "unseen": []} | facts)
    text = captured.get()
    assert said in text
    assert (COMMAND in text) is script
    assert ("grant is missing" in text.lower()) is (said.lower().startswith("no grant"))
