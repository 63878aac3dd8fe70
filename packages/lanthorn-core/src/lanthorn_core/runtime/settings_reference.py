"""Makes ``docs/reference/settings.md`` from the models, so that it cannot lie.

python -m lanthorn_core.runtime.settings_reference > docs/reference/settings.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lanthorn_core.runtime.environment import VARIABLES
from lanthorn_core.runtime.lanthorn_section import LanthornSection
from lanthorn_core.runtime.option_names import option_name
from lanthorn_core.runtime.options import DicomOptions, HttpOptions, JobOptions, StorageOptions
from lanthorn_core.runtime.remote import Peer, RemoteAEEntry
from lanthorn_core.runtime.secrets import SECRETS
from lanthorn_core.runtime.unsupported import UNSUPPORTED
from lanthorn_core.runtime.worklists_section import WorklistsSection

_INTRODUCTION: Final = """\
# Settings

<!-- Made by `python -m lanthorn_core.runtime.settings_reference`; a test keeps it up to date. -->

Lanthorn reads Orthanc's configuration: JSON with comments, in one file or several, or in folders
whose `*.json` files are read in the order of their names. `LANTHORN_CONFIG` names them, parted by
`:`. Objects are merged key by key; of two other values the later one wins, with a warning.
`${NAME}` and `${NAME:-default}` are replaced from the environment.

An environment variable `LANTHORN__<OPTION>` overrides an option; `LANTHORN__<OPTION>__<KEY>` a key
within an object. Case and underscores of options do not matter, and values are JSON where the
option is not a text:

```sh
LANTHORN__DICOM_PORT=104
LANTHORN__LANTHORN__INDEX_BARRIER_TIMEOUT=3
LANTHORN__DICOM_MODALITIES__sample='["SAMPLE", "192.168.1.9", 104]'
```

An option that is not known gets a warning at start, and one that is known and has no effect here
as well. A wrong value ends the process with code 2 and a text that names the option, the value and
what was expected.
"""


def render() -> str:
    """Write the whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield from _section("DICOM", DicomOptions)
    yield from _section("HTTP", HttpOptions)
    yield from _section("Storage, index and search", StorageOptions)
    yield from _section("Jobs", JobOptions)
    yield from _section("Section `Lanthorn`", LanthornSection)
    yield from _section("Section `Worklists`", WorklistsSection)
    yield from _section("An entry of `DicomModalities`", RemoteAEEntry)
    yield from _section("An entry of `OrthancPeers`", Peer)
    yield from _process_contract()
    yield from _without_effect()


def _section(title: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## {title}\n"
    described = any(field.description for field in model.model_fields.values())
    heads = ["Option", "Default", "Values"] + (["Meaning"] if described else [])
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for name, field in model.model_fields.items():
        cells = [f"`{option_name(name)}`", _default(field), _values(field)]
        cells += [field.description or ""] if described else []
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined:
        # The only other factory depends on the machine; its description says how.
        return "`{}`" if field.default_factory is dict else "see there"
    value = field.default
    shown = value.get_secret_value() if isinstance(value, SecretStr) else value
    return f"`{json.dumps(shown)}`"


def _values(field: FieldInfo) -> str:
    kind = _kind(field.annotation)
    least = next((item.ge for item in field.metadata if hasattr(item, "ge")), None)
    above = next((item.gt for item in field.metadata if hasattr(item, "gt")), None)
    most = next((item.le for item in field.metadata if hasattr(item, "le")), None)
    if least is not None and most is not None:
        return f"{kind}, {least} to {most}"
    if least is not None:
        return f"{kind}, at least {least}"
    return kind if above is None else f"{kind}, above {above}"


def _kind(annotation: Any) -> str:
    simple = {bool: "`true`, `false`", int: "integer", float: "number", str: "text"}
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{json.dumps(choice)}`" for choice in get_args(annotation))
    if annotation is SecretStr:
        return "text"
    if get_origin(annotation) is tuple:
        return "array of texts"
    return simple.get(annotation, "object")


def _process_contract() -> Iterator[str]:
    yield "## Environment of a process\n"
    yield "`lanthorn up` sets these for the services; compose and Helm set them likewise.\n"
    yield "| Variable | Meaning |"
    yield "|---|---|"
    yield "| `LANTHORN_CONFIG` | Configuration files and folders, parted by `:` |"
    for name, meaning in VARIABLES.items():
        yield f"| `{name}` | {meaning} |"
    yield (
        "\nA secret may lie in a file, whose path is then given instead. A line break at its end "
        "does not\ncount. Both variables at once, or a file that cannot be read, end the process:"
        "\n"
    )
    yield f"{', '.join(f'`{name}_FILE`' for name in SECRETS)}.\n"


def _without_effect() -> Iterator[str]:
    yield "## Options of Orthanc without effect\n"
    yield (
        "With another value than the default they get a warning at start; those marked *refused* "
        "end\nthe process, because it would leave open what they are meant to protect.\n"
    )
    yield "| Option | Default | Why |"
    yield "|---|---|---|"
    for name, option in sorted(UNSUPPORTED.items()):
        refused = " (*refused*)" if option.refused else ""
        yield f"| `{name}` | `{json.dumps(option.default)}` | {option.reason}{refused} |"


if __name__ == "__main__":
    sys.stdout.write(render())
