"""Kill -9 while the journal is archived and pruned: every record that was promised stands, in segments or archives.

The child appends, archives and gives up archives as fast as it can, and says so only afterwards. It is killed at a
random moment, again and again on one journal; each time all of it is read, and all archives are proven.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

from central_ingest.journal.archive import Notary
from central_ingest.journal.disk import LinuxDisk
from central_ingest.journal.evidence import prove, prove_manifest, prove_sequel
from central_ingest.journal.files import FileJournal
from central_ingest.journal.frames import HEADER_BYTES
from central_ingest.journal.journal import Run
from protocol.envelope import parse
from protocol.signing import SUITE_1, SUITES
from tests.unit.central_ingest.sender import CENTRE, Sender

KILLS = 6
KEPT = 40
"""Archives of records that are more than so many appends old are given up."""
NOTARY = Notary.of(CENTRE, SUITES)


def open_journal(directory: Path) -> FileJournal:
    return FileJournal.open(directory, segment_bytes_max=HEADER_BYTES + 4_000, notary=NOTARY)


def work_until_killed(directory: Path) -> None:
    """The child. The time of a record is its sequence."""
    journal = open_journal(directory)
    sender = Sender()
    keys = {SUITE_1.key_id(sender.signer.public): sender.signer.public}
    last = last_of(journal)
    while sender.head.seq < last:
        sender.mark()
    while True:
        for _ in range(10):
            journal.append(sender.head.seq + 1, [sender.mark()])
            print(sender.head.seq, flush=True)
        journal.archive(journal.end, 2**62, keys=keys, made=7, is_settled=lambda _: False)
        journal.give_up(sender.head.seq - KEPT)


def last_of(journal: FileJournal) -> int:
    """The last sequence; all before it are there, or were given up in their order."""
    reached = 0
    for one in journal.outline():
        first, last = (one.first, one.last) if isinstance(one, Run) else (seq_of(one.envelope),) * 2
        assert first == reached + 1
        reached = last
    return reached


def seq_of(envelope: bytes) -> int:
    return parse(envelope).header.seq


def check(directory: Path, promised: int, sender: Sender) -> int:
    """Compare each record with what was sent, and prove each archive; returns the last sequence."""
    journal = open_journal(directory)
    last = last_of(journal)
    assert promised <= last <= promised + 1
    while sender.head.seq < last:
        sender.mark()
    entries = list(journal.read())
    first = seq_of(entries[0].envelope)
    assert [(one.received, one.envelope) for one in entries] == [
        (seq, sender.sent[seq]) for seq in range(first, last + 1)
    ]
    assert first <= max(1, last - KEPT) + 10
    assert list(journal.damage) == []
    before = None
    for one in (archive for archive in journal.archives if archive.is_certified):
        manifest = prove_manifest(one, NOTARY)
        prove_sequel(before, one, manifest)
        if one.is_kept:
            prove(LinuxDisk(), one, manifest, NOTARY)
        before = (one, manifest)
    journal.close()
    return last


def test_killed_at_any_moment_it_holds_what_it_promised(tmp_path: Path) -> None:
    directory, rng, sender = tmp_path / "journal", random.Random(41), Sender()
    promised = 0
    for _ in range(KILLS):
        command = [sys.executable, "-m", "tests.crash.test_journal_kill", str(directory)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            said = [child.stdout.readline()]
            timer = threading.Timer(rng.uniform(0.05, 0.3), child.kill)
            timer.start()
            said += child.stdout.readlines()
        promised = max([promised, *(int(line) for line in said if line.endswith("\n"))])
        promised = check(directory, promised, sender)
    assert any(directory.glob("archive/*.json"))


if __name__ == "__main__":
    work_until_killed(Path(sys.argv[1]))
