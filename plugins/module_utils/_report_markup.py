# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTML that cannot be written unescaped: text becomes markup only through `tag`. Private to the collection."""

from __future__ import annotations

import html
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _report_reading as reading

# Marks that reorder or hide what stands around them: shown, not obeyed.
_INVISIBLE = re.compile("[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
_VOID = ("br", "link", "meta")


class Html(str):
    """Markup. Every other string is text, and gets escaped."""


def text(value: t.Any) -> Html:
    """`value` as text that a browser shows as it is."""
    shown = _INVISIBLE.sub(lambda match: f"\u2039U+{ord(match[0]):04X}\u203a", reading.readable(value))
    return Html(html.escape(shown))


def join(children: t.Iterable[t.Any]) -> Html:
    """The children one after the other, each escaped unless it is `Html`."""
    return Html("".join(child if isinstance(child, Html) else text(child) for child in children if child is not None))


def tag(element: str, *children: t.Any, **attributes: t.Any) -> Html:
    """An element. Attributes that are None are left out; `_` in their names is `-`, and `class_` is `class`."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    written = "".join(f' {key}="{text(value)}"' for key, value in given.items())
    head = f"<{element}{written}>"
    return Html(head if element in _VOID else f"{head}{join(children)}</{element}>")


def percent(part: float, whole: float) -> str:
    """A length in a drawing, as wide as its place: `42.5%`."""
    return f"{min(100.0, 100 * part / whole if whole else 0.0):.2f}%"
