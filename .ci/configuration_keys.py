"""Write the table of all keys of asyncstatic.toml into docs/configuration.md: `python .ci/configuration_keys.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from asyncstatic.cli.commands import config
from asyncstatic.cli.options import options_of
from asyncstatic.cli.schema import schema
from asyncstatic.config.document import SETTINGS

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
_MARKS = re.compile(r"(<!-- keys:begin -->\n).*?(<!-- keys:end -->)", re.DOTALL)


def table() -> str:
    """Return the table."""
    properties = schema(options_of(config))["properties"]
    options = [name for name in properties if name not in SETTINGS and name != "mounts"]
    rows = [
        *_heads("setting"),
        *(_row(name, properties[name]) for name in SETTINGS),
        "",
        *_heads("option of the server"),
        *(_row(name, properties[name]) for name in options),
    ]
    return "\n".join(rows) + "\n"


def _heads(what: str) -> list[str]:
    return [f"| {what} | written as | meaning |", "|---|---|---|"]


def _row(name: str, of_key: dict[str, Any]) -> str:
    meaning = re.split(r"(?<=[^.])\.(?:\s|$)|;\s", of_key["description"])[0]
    head, colon, _ = meaning.partition(": ")
    if colon and head.count(" ") > 1 and '"' not in head:
        meaning = head
    meaning = meaning.replace("|", "\\|").replace("``", "`")
    return f"| `{name}` | {forms(of_key)} | {meaning} |"


def forms(of_key: dict[str, Any]) -> str:
    """Say how a value is written."""
    if "enum" in of_key:
        return ", ".join(f"`{json.dumps(value)}`" for value in of_key["enum"])
    if "anyOf" in of_key:
        return " or ".join(dict.fromkeys(forms(each) for each in of_key["anyOf"]))
    if "pattern" in of_key:
        return 'a size, `"64KiB"`'
    kinds = {
        "string": "text",
        "integer": "number",
        "number": "seconds",
        "boolean": "`true`, `false`",
        "array": "list of tables" if of_key.get("items", {}).get("type") == "object" else "list",
        "object": "table",
    }
    return kinds.get(of_key.get("type", ""), "any")


def replaced(page: str) -> str:
    """Return the page with the present table."""
    return _MARKS.sub(lambda match: match[1] + "\n" + table() + "\n" + match[2], page)


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text("utf-8")), "utf-8")
