"""What MkDocs fills in when it builds the site: tables made from the code, so that they stay true.

`<!-- flags: trainer.main -->` becomes the flags of that command,
`<!-- fields: orchard.formats:RunRecord -->` the fields of that dataclass, and
`<!-- rooms: trainer ensemble -->` the folders of these packages.
"""

import dataclasses
import importlib
import pkgutil
import re
from typing import Any

from orchard import flags


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for each page."""
    markdown = re.sub(r"<!-- flags: (\S+) -->", lambda m: flags_of(m[1]), markdown)
    markdown = re.sub(r"<!-- fields: (\S+):(\S+) -->", lambda m: fields_of(m[1], m[2]), markdown)
    return re.sub(r"<!-- rooms: (.+?) -->", lambda m: rooms_of(m[1].split()), markdown)


def flags_of(command: str) -> str:
    """The flags of a command's module as Markdown."""
    return flags.reference(*importlib.import_module(command).OPTIONS)


def fields_of(module: str, name: str) -> str:
    """The fields of a dataclass as a Markdown table; its docstring says what they mean.

    Raises:
        ValueError: the docstring lacks a field.
    """
    kind = getattr(importlib.import_module(module), name)
    meanings = _attributes(kind.__doc__ or "")
    rows = []
    for field in dataclasses.fields(kind):
        if field.name not in meanings:
            raise ValueError(f"{module}.{name}: its docstring does not explain {field.name}")
        rows.append(f"| `{field.name}` | {_type_name(field.type)} | {meanings[field.name]} |")
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])


def rooms_of(packages: list[str]) -> str:
    """The folders of packages as a Markdown table: the first paragraph of each door."""
    rows = ["| room | what it is for |", "|---|---|"]
    for package in packages:
        folder = importlib.import_module(package)
        for room in sorted(pkgutil.iter_modules(folder.__path__), key=lambda one: one.name):
            if room.ispkg:
                door = importlib.import_module(f"{package}.{room.name}")
                purpose = (door.__doc__ or "").split("\n\n")[0]
                rows.append(f"| `{package}/{room.name}/` | {' '.join(purpose.split())} |")
    return "\n".join(rows)


def _attributes(docstring: str) -> dict[str, str]:
    """Field name -> meaning, from the section "Attributes" of a Google docstring."""
    section = re.search(r"^( *)Attributes:\n(.*?)(?=\n\1\S|\Z)", docstring, re.M | re.S)
    entries = re.findall(
        r"^ {8}(\w+): (.*?)(?=^ {8}\S|\Z)", section[2] + "\n" if section else "", re.M | re.S
    )
    return {name: " ".join(text.split()).replace("|", "\\|") for name, text in entries}


def _type_name(kind: Any) -> str:
    name = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    if not isinstance(kind, str) and getattr(kind, "__args__", None):
        name = str(kind)
    return f"`{re.sub(r'(?:[a-z_]+[.])+', '', name)}`".replace("|", "\\|")
