"""The command line of `lanthorn import`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

_DESCRIPTION: Final = """\
Take over everything that an Orthanc holds into a running Lanthorn: files byte by byte, when and
from where they came, labels, metadata and attachments of users, protected patients, remote AEs. The
Orthanc is only read. What Lanthorn has of its own stays as it is.

The import may be interrupted at any moment; the same command goes on. It may be run again later, to
fetch what arrived meanwhile.
"""

_MORE: Final = """\
where from:
  http://user@host:8042      a running Orthanc, over its REST API
  /var/lib/orthanc/db-v6     its storage folder, with its SQLite index; it may run or not
  /var/lib/orthanc/db-v6 --index postgresql://user@host/database
                             its storage folder, with the index of its PostgreSQL plugin

environment:
  LANTHORN_IMPORT_PASSWORD     password of the Orthanc, or of its PostgreSQL
  LANTHORN_IMPORT_TO_PASSWORD  password of the Lanthorn

Without a password, one that is needed is asked for at the terminal.

exit status: 0 everything was taken over, 1 something was not, or the import was interrupted,
2 wrong usage
"""


def add_import_command(commands: Any) -> None:
    """Add `import` to the sub-commands of `lanthorn`."""
    parent = commands.add_parser("import", help="take over what another server holds")
    kinds = parent.add_subparsers(dest="kind", required=True, metavar="SERVER")
    orthanc = kinds.add_parser(
        "orthanc",
        help="take over what an Orthanc holds",
        description=_DESCRIPTION,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    orthanc.add_argument("source", metavar="URL|FOLDER", help="where from, see below")
    orthanc.add_argument(
        "--to",
        metavar="URL",
        default="http://localhost:8042",
        help="the running Lanthorn, such as http://user@host:8042 (default: %(default)s)",
    )
    orthanc.add_argument(
        "--index", metavar="URL", help="PostgreSQL with the index of the storage folder"
    )
    orthanc.add_argument(
        "--index-folder",
        type=Path,
        metavar="DIR",
        help="folder of the SQLite index (IndexDirectory), where it is not the storage folder",
    )
    orthanc.add_argument(
        "--password-file", type=Path, metavar="FILE", help="password of the Orthanc or its index"
    )
    orthanc.add_argument(
        "--to-password-file", type=Path, metavar="FILE", help="password of the Lanthorn"
    )
    orthanc.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="where to note what was done (default: a file beside Lanthorn's data folder)",
    )
    orthanc.add_argument(
        "--in-flight",
        type=_in_flight,
        metavar="N",
        default=4,
        help="files on their way at a time (default: %(default)s)",
    )
    orthanc.add_argument("--dry-run", action="store_true", help="only say what would be taken over")
    orthanc.add_argument("--verify", action="store_true", help="compare both servers at the end")


def _in_flight(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"a number from 1 to 64, not {text!r}")
    return int(text)
