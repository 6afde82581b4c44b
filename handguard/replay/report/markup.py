"""Text into HTML. What is not `Html` already is escaped; there is no other way in."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template

_TEMPLATE = Path(__file__).parent / "template"
_VOID = frozenset(
    {"img", "br", "rect", "path", "line", "circle", "image", "polygon", "polyline", "use"}
)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = Html | str | int


def tag(name: str, *children: Content, **attributes: object) -> Html:
    """One element. `class_` and `for_` lose their underscore, other underscores become hyphens; None is left out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID and not children:
        return Html(f"<{name}{told}/>")
    return Html(f"<{name}{told}>{joined(children)}</{name}>")


def joined(parts: Iterable[Content]) -> Html:
    """Several, one after another."""
    return Html("".join(part if isinstance(part, Html) else escape(str(part)) for part in parts))


def table(head: Sequence[Content], rows: Iterable[Sequence[Content]], class_: str = "") -> Html:
    """A table; an empty one says so."""
    body = [tag("tr", *[cell if _is_cell(cell) else tag("td", cell) for cell in row]) for row in rows]
    if not body:
        return tag("p", "none", class_="quiet")
    top = tag("thead", tag("tr", *[tag("th", each) for each in head]))
    return tag("div", tag("table", top, tag("tbody", *body), class_=class_ or None), class_="scrolls")


def picture(jpeg: bytes, words: str) -> Html:
    """An image with its bytes inside."""
    return tag("img", src=data_url(jpeg), alt=words, loading="lazy")


def data_url(jpeg: bytes) -> str:
    """The bytes as an address."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def page(title: str, kind: str, verdict: tuple[str, str], lead: Sequence[Content], sections: Iterable[Html]) -> str:
    """A whole file. `verdict` is its word and its class: good, bad or plain."""
    word, class_ = verdict
    return Template(_file("page.html")).substitute(
        title=escape(title),
        kind=escape(kind),
        verdict=escape(word),
        verdict_class=class_,
        style=_file("style.css"),
        lead=joined(tag("p", each) for each in lead),
        body=joined(sections),
    )


def _is_cell(content: Content) -> bool:
    return isinstance(content, Html) and content.startswith("<td")


def _plain(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@cache
def _file(name: str) -> str:
    return (_TEMPLATE / name).read_text("utf-8")
