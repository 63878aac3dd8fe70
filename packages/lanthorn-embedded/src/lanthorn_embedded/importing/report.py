"""What an import has done, for people."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

from lanthorn_embedded.importing.journal import Counts, Journal

SHOWN_AT_MOST: Final = 20
_WORDS: Final = {
    "files": "files",
    "files_there": "files that were there already",
    "metadata": "metadata of users",
    "labels": "labels",
    "attachments": "attachments of users",
    "protected": "protections of patients",
    "modalities": "modalities",
    "peers": "peers",
}


def counted(counts: Counts) -> str:
    """Write counts; those that are 0 are left out."""
    parts = [f"{number:,} {_WORDS[name]}" for name, number in asdict(counts).items() if number]
    return ", ".join(parts) or "nothing"


def report_lines(journal: Journal, failures_file: Path) -> list[str]:
    """Say what all runs together took over, and what not, which is written to a file as well."""
    lines = [f"Taken over: {counted(journal.counts())}."]
    failed = journal.failure_counts()
    failures_file.unlink(missing_ok=True)
    if failed == Counts():
        return [*lines, "Nothing was left behind."]
    lines.append(f"Not taken over: {counted(failed)}.")
    with failures_file.open("w", encoding="utf-8") as file:
        for number, failure in enumerate(journal.failures()):
            fields = [_printable(f) for f in (failure.subject, failure.what, failure.reason)]
            file.write("\t".join(fields) + "\n")
            if number < SHOWN_AT_MOST:
                lines.append("  " + "  ".join(fields))
    if number >= SHOWN_AT_MOST:
        lines.append("  …")
    lines.append(f"All of it is in {failures_file}.")
    return lines


def _printable(text: str) -> str:
    """Part of a reason may come from a file, and must not steer somebody's terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
