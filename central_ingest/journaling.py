"""`central-ingest journal`: which archives there are, and the proof that they are what the centre signed.

Reads files and keys alone; the daemon may run or not. Facts only: of envelopes it shows numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from protocol.errors import Fault, Permanent
from protocol.keys import from_base64
from protocol.signing import SUITE_1, SUITES

from . import config as configuration
from . import screens
from .config import DEFAULT_PATH
from .journal.archive import Archive, Manifest, Notary, list_archives
from .journal.disk import LinuxDisk
from .journal.evidence import prove, prove_manifest, prove_sequel
from .journal.segments import Segment
from .keystore import KeyStore
from .terminal import ConfigOption, JsonOption, console, print_json

app = typer.Typer(no_args_is_help=True, help="日志归档 Archives of the journal.")

ArchivesArgument = Annotated[
    list[Path] | None,
    typer.Argument(help="归档文件，默认全部 archive files; all of the journal's by default"),
]
KeyOption = Annotated[
    str, typer.Option("--key", help="签名中心的公钥 public signing key of the centre, if not ours")
]


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="journal")


@app.command("list")
def list_(config: ConfigOption = DEFAULT_PATH, as_json: JsonOption = False) -> None:
    """各归档的范围与时间 What each archive holds, by its manifest."""
    loaded = configuration.load(config)
    _show(_finished(loaded.journal_dir), _notary(loaded, ""), as_json, contents=False, is_all=True)


@app.command()
def verify(
    archives: ArchivesArgument = None,
    config: ConfigOption = DEFAULT_PATH,
    key: KeyOption = "",
    as_json: JsonOption = False,
) -> None:
    """校验归档：签名、内容、每个信封及其链 Prove archives: signatures, content, each envelope and its chain."""
    if archives and key:  # of another centre, so without a configuration
        _show(_named(archives), Notary(SUITE_1, from_base64(key), SUITES), as_json, contents=True)
    loaded = configuration.load(config)
    found = _named(archives) if archives else _finished(loaded.journal_dir)
    _show(found, _notary(loaded, key), as_json, contents=True, is_all=not archives)


def _notary(loaded: configuration.Config, key: str) -> Notary:
    public = from_base64(key) if key else KeyStore(loaded.keys_dir).signer().public
    return Notary(SUITE_1, public, SUITES)


def _finished(directory: Path) -> list[Archive]:
    """Those that are being made now stand in their segments still."""
    return [
        one
        for one in list_archives(directory)
        if one.is_certified or not Segment.at(directory, one.base).path.exists()
    ]


def _show(
    found: list[Archive], notary: Notary, as_json: bool, *, contents: bool, is_all: bool = False
) -> NoReturn:
    """Exit code 1 where anything is not as it must be. `is_all`: none may be missing between them."""
    facts: list[dict[str, Any]] = []
    before: tuple[Archive, Manifest] | None = None
    follows = is_all
    for one in sorted(found, key=lambda archive: archive.base):
        follows = follows and (is_all or (before is not None and before[1].end == one.base))
        manifest, fault = None, None
        try:
            manifest = prove_manifest(one, notary)
            if follows:
                prove_sequel(before, one, manifest)
            if contents and one.is_kept:
                prove(LinuxDisk(), one, manifest, notary)
        except Fault as found_wrong:
            fault = found_wrong
        facts.append(_facts(one, manifest, fault))
        before, follows = (None, False) if manifest is None else ((one, manifest), True)
    if as_json:
        print_json(facts)
    else:
        screens.archives(console, facts)
    raise typer.Exit(1 if any(told["fault"] for told in facts) else 0)


def _named(paths: list[Path]) -> list[Archive]:
    found = []
    for path in paths:
        one = Archive.named(path.absolute())
        if one is None:
            raise Permanent("GC-6072", path=str(path))
        found.append(one)
    return found


def _facts(archive: Archive, manifest: Manifest | None, fault: Fault | None) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if manifest is not None:
        said = {
            "envelopes": manifest.envelopes,
            "first_received": manifest.first_received,
            "last_received": manifest.last_received,
            "digest": manifest.digest.hex(),
            "damaged": [list(one) for one in manifest.damaged],
            "streams": len({run.stream for run in manifest.runs}),
        }
    return {
        "path": str(archive.path),
        "base": archive.base,
        "end": archive.end,
        "kept": archive.is_kept,
        "manifest": said or None,
        "fault": None if fault is None else fault.as_json(),
    }
