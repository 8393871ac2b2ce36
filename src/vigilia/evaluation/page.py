"""The parts that a report in HTML is put together from: tables, pictures, the page around them.

Nothing is fetched from anywhere: style and pictures lie in the page. Text is escaped here, and only
here.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

__all__ = ["STYLE", "card", "link_list", "page", "pair", "paragraph", "picture", "section", "table"]

STYLE = """
:root { --ink: #222; --faint: #666; --line: #ddd; --accent: #0072b2; --soft: #f5f7f9; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 62rem; color: var(--ink);
  background: #fff; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: .5rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
.note, figcaption, caption { color: var(--faint); font-size: .87rem; }
nav { margin: 1rem 0; font-size: .9rem; }
nav a { margin-right: 1rem; color: var(--accent); }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0; padding: 0;
  list-style: none; }
.cards li { flex: 1 1 9.5rem; max-width: 14rem; background: var(--soft); border-radius: 6px;
  padding: .7rem .9rem; }
.cards .name { display: block; font-size: .82rem; color: var(--faint); }
.cards .value { display: block; font-size: 1.6rem; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.cards .range { display: block; font-size: .78rem; color: var(--faint); min-height: 1.2em; }
.wide { overflow-x: auto; margin: .6rem 0 1.2rem; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
thead th { border-bottom: 1.5px solid var(--ink); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 500; }
figure { margin: .6rem 0 1.2rem; }
figure img { max-width: 100%; height: auto; display: block; }
.pair { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
.pair > figure { flex: 1 1 20rem; max-width: 30rem; }
.pair > .wide { flex: 0 1 auto; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: .6rem 0; padding: 0;
  list-style: none; font-size: .88rem; }
.legend span { display: inline-block; width: .95em; height: .95em; margin-right: .4em;
  vertical-align: -.1em; border-radius: 2px; }
dl { font-size: .9rem; } dt { font-weight: 600; } dd { margin: 0 0 .6rem 0; max-width: 46rem; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav { display: none; }
  h2, h3, caption { break-after: avoid; }
  figure, tr, .cards li { break-inside: avoid; }
  .cards li { border: 1px solid var(--line); }
  .legend span { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def page(title: str, subtitle: str, body: Sequence[str]) -> str:
    """A whole page; `body` is HTML, the rest is text."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<header>\n<h1>{escape(title)}</h1>\n<p class="note">{escape(subtitle)}</p>\n</header>\n'
        "<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def section(name: str, heading: str, parts: Sequence[str]) -> str:
    """A section with an anchor; `parts` is HTML."""
    inside = "\n".join(part for part in parts if part)
    return (
        f'<section id="{escape(name)}" aria-labelledby="{escape(name)}-heading">\n'
        f'<h2 id="{escape(name)}-heading">{escape(heading)}</h2>\n{inside}\n</section>'
    )


def link_list(links: Sequence[tuple[str, str]]) -> str:
    """Links to sections: anchor and words."""
    inside = "".join(f'<a href="#{escape(name)}">{escape(words)}</a> ' for name, words in links)
    return f'<nav aria-label="Sections">{inside}</nav>'


def paragraph(text: str, *, note: bool = False) -> str:
    """A paragraph of plain text."""
    kind = ' class="note"' if note else ""
    return f"<p{kind}>{escape(text)}</p>"


def card(name: str, value: str, below: str = "") -> str:
    """One chief figure."""
    return (
        f'<li><span class="name">{escape(name)}</span><span class="value">{escape(value)}</span>'
        f'<span class="range">{escape(below)}</span></li>'
    )


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text; the first column names the rows. "" without a row."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in header)
    lines = []
    for row in rows:
        cells = "".join(f"<td>{escape(one)}</td>" for one in row[1:])
        lines.append(f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>')
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody></table></div>"
    )


def pair(*parts: str) -> str:
    """Tables and pictures side by side, where the page is wide enough."""
    return f'<div class="pair">{"".join(parts)}</div>'


def picture(svg: bytes, says: str, caption: str = "") -> str:
    """A picture inside the page; `says` is what it shows, for those who do not see it."""
    data = base64.b64encode(svg).decode("ascii")
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{escape(says, quote=True)}">'
        f"{below}</figure>"
    )
