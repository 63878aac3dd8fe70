"""The command `lanthorn`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lanthorn_embedded.datafolder import DataFolder, default_data_folder
from lanthorn_embedded.errors import ConfigurationError, EmbeddedError
from lanthorn_embedded.importing.arguments import add_import_command
from lanthorn_embedded.version import version

# The sub-commands are imported when they are called: `--help` and `--version` answer at once.

_DESCRIPTION = "Lanthorn, a DICOM server. `lanthorn up` starts it; Ctrl-C stops it."

_UP = """\
Start the whole system on this machine and run it until Ctrl-C: a private PostgreSQL and
nats-server, and Lanthorn's own services. Images and index live in the data folder; the next start
finds them there.

An Orthanc configuration is understood as it is. Several files, or a folder of files, are merged.
"""

_UP_MORE = """\
environment:
  LANTHORN_CONFIG   configuration files when none are named, separated by ":"
  DATABASE_URL      use this PostgreSQL; none is started
  NATS_URL          use this NATS server with JetStream; none is started
  S3_ENDPOINT       keep images there (with S3_ACCESS_KEY, S3_SECRET_KEY, S3_BUCKET, S3_REGION,
                    S3_CA_FILE) rather than in the data folder

exit status: 0 stopped on request, 1 could not start or go on, 2 wrong usage or configuration

examples:
  lanthorn up
  lanthorn up orthanc.json --data /srv/images
  lanthorn up --http-port 8043 --dicom-port 4243 --data ~/second     a second one beside the first
"""

_STATUS = """\
Show what runs in the data folder: processes, ports, versions, and how many studies it holds.
The exit status is 0 when everything is ready, 1 otherwise.
"""

_MIGRATE = """\
Bring the database to this version's schema. `lanthorn up` does so by itself; this is for servers
that run otherwise (DATABASE_URL names theirs).
"""

_REINDEX = """\
Build the index from the stored images alone, after a loss of the database. What the index has
already is left as it is, unless --fresh empties it first.
"""

_PARKED = """\
List the events that the indexer gave up on, with their numbers and errors. Their images are stored;
only the index lacks them. --retry has the indexer try one again.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; by default those of this process.

    Returns
    -------
    int
        The exit status.
    """
    options = _parser(os.environ).parse_args(arguments)
    try:
        return _run(options)
    except ConfigurationError as exc:
        return _complain(exc, 2)
    except EmbeddedError as exc:
        return _complain(exc, 1)
    except KeyboardInterrupt:
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "up":
        return _up(options)
    if options.command == "status":
        return _status(options)
    if options.command == "import":
        return _import(options)
    return _maintain(options)


def _up(options: argparse.Namespace) -> int:
    from lanthorn_embedded.up import UpOptions, up  # noqa: PLC0415

    up(
        UpOptions(
            config=options.config,
            data_folder=options.data,
            http_port=options.http_port,
            dicom_port=options.dicom_port,
            log_format=options.log_format,
        ),
        os.environ,
    )
    return 0


def _status(options: argparse.Namespace) -> int:
    from lanthorn_embedded.status import status_report  # noqa: PLC0415

    report, healthy = status_report(DataFolder(options.data.absolute()))
    sys.stdout.write(report + "\n")
    return 0 if healthy else 1


def _import(options: argparse.Namespace) -> int:
    from lanthorn_embedded.importing.command import import_command  # noqa: PLC0415

    return import_command(options, os.environ)


def _maintain(options: argparse.Namespace) -> int:
    from lanthorn_embedded import maintenance, parked  # noqa: PLC0415
    from lanthorn_embedded.console import Console  # noqa: PLC0415
    from lanthorn_embedded.environment import service_environment  # noqa: PLC0415

    folder = DataFolder(options.data.absolute())
    console = Console(1, options.log_format)
    environment = service_environment(
        os.environ, config=getattr(options, "config", ()), data_folder=folder.root
    )
    if options.command == "migrate":
        maintenance.migrate_command(folder, environment, console)
    elif options.command == "parked":
        parked.parked_command(folder, environment, console, retry=options.retry)
    else:
        maintenance.reindex_command(folder, environment, console, fresh=options.fresh)
    return 0


def _complain(exc: EmbeddedError, status: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"lanthorn: {exc}\n")
    return status


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lanthorn", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"lanthorn {version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    data = argparse.ArgumentParser(add_help=False)
    data.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        default=default_data_folder(environ),
        help="folder of images, database and streams (default: %(default)s)",
    )
    log = argparse.ArgumentParser(add_help=False)
    log.add_argument(
        "--log-format",
        choices=("console", "json"),
        default="console",
        help="lines for people, or JSON for machines (default: %(default)s)",
    )
    config = argparse.ArgumentParser(add_help=False)
    config.add_argument(
        "config",
        nargs="*",
        type=Path,
        metavar="CONFIG.json",
        help="configuration file or folder, in Orthanc's format",
    )

    up = commands.add_parser(
        "up",
        help="start the whole system",
        description=_UP,
        epilog=_UP_MORE,
        parents=[config, data, log],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for face, option, standard in (("HTTP", "HttpPort", 8042), ("DICOM", "DicomPort", 4242)):
        up.add_argument(
            f"--{face.lower()}-port",
            type=_port,
            metavar="N",
            help=f"{face} port, before {option} of the configuration (default: {standard})",
        )
    commands.add_parser("status", help="show what runs", description=_STATUS, parents=[data])
    commands.add_parser(
        "migrate",
        help="bring the database to this version",
        description=_MIGRATE,
        parents=[data, log],
    )
    reindex = commands.add_parser(
        "reindex",
        help="build the index from the stored images",
        description=_REINDEX,
        parents=[config, data, log],
    )
    reindex.add_argument("--fresh", action="store_true", help="empty the index first")
    parked = commands.add_parser(
        "parked",
        help="list what the indexer gave up on, or try it again",
        description=_PARKED,
        parents=[data, log],
    )
    parked.add_argument("--retry", type=int, metavar="N", help="try the event of this number again")
    add_import_command(commands)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text!r}")
    return int(text)
