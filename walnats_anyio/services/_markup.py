"""HTML that is right whatever the texts in it are.

`tag` escapes every text that it is given, and takes only what it made itself as it is. So a text
that was not escaped cannot get into a page by an oversight.
"""

from __future__ import annotations

import html
import re

from walnats_anyio.services._names import clean

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
"""What HTML forbids, and what would show the text behind it in another order."""

_ALONE = {"meta"}
"""Elements that have no end."""


class Markup(str):
    """A piece of HTML or SVG, made by `tag`, `join` or a constant of this package."""

    __slots__ = ()


def tag(element: str, /, *parts: str, **attributes: str | float | None) -> Markup:
    """Make an element.

    Args:
        element: its name.
        parts: what is in it, one behind the other; texts are escaped.
        attributes: its attributes, `_` for `-`, and one at the end for words of Python. One that is
            None is left out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if element in _ALONE else f"</{element}>"
    return Markup(f"<{element}{given}>{join(*parts)}{end}")


def join(*parts: str, between: str = "") -> Markup:
    """Put pieces behind each other; texts are escaped."""
    return Markup(_escaped(between).join(_escaped(part) for part in parts))


def _escaped(text: str) -> str:
    if isinstance(text, Markup):
        return text
    return html.escape(_NO_TEXT.sub("\ufffd", clean(text)))
