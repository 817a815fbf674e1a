"""A report as one HTML file that opens offline, with clouds that turn under the mouse.

What turns them is plotly.js, which the Python package plotly brings along: the extra `html`. It
lies in the page compressed, at 2 MB. Without it the page has the pictures alone, and says so.
"""

import base64
import functools
import gzip
import html
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from point_ft_jax.reports import clouds, tables
from point_ft_jax.reports.clouds import View

if TYPE_CHECKING:
    from point_ft_jax.reports.report import Block, Picture, Report

FILES = pathlib.Path(__file__).parent
INSTALL = "pip install 'plotly>=6,<8'"
STILL = (
    f'Clouds turn under the mouse where plotly is installed: <code>{INSTALL}</code>, then '
    '<code>point-ft report RUN</code> writes this page again.'
)
REACH = 32000  # coordinates are whole numbers up to this one; page.js has it too


def page(report: 'Report', pictures: Mapping[str, bytes]) -> str:
    """The page of a report; `pictures` are its PNG files by name."""
    turning = any(
        getattr(block, 'clouds', ()) for section in report.sections for block in section.blocks
    )
    library = plotly() if turning else None
    body = [f'<h1>{html.escape(report.title)}</h1>']
    body += [f'<p class="lead">{"<br>".join(map(_inline, report.lead))}</p>'] if report.lead else []
    body += [f'<pre>{html.escape(report.command)}</pre>'] if report.command else []
    body += [f'<p><b>Protocol:</b> {_inline(report.protocol)}</p>']
    body += [f'<p class="note">{STILL}</p>'] if turning and not library else []
    for section in report.sections:
        if section.blocks:
            body.append(f'<h2>{html.escape(section.title)}</h2>')
            body += [_block(block, pictures, library is not None) for block in section.blocks]
    if library:
        body += [
            f'<script type="text/plain" id="plotly">{library}</script>',
            f'<script>{(FILES / "page.js").read_text(encoding="utf-8")}</script>',
        ]
    style = (FILES / 'page.css').read_text(encoding='utf-8')
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(report.title)}</title>\n<link rel="icon" href="data:,">\n'
        f'<style>{style}</style>\n</head>\n<body>\n' + '\n'.join(body) + '\n</body>\n</html>\n'
    )


@functools.cache
def plotly() -> str | None:
    """plotly.js as base64 of gzip; None where the package plotly is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        return None
    return _text(gzip.compress(get_plotlyjs().encode(), 9, mtime=0))


def _block(block: 'Block', pictures: Mapping[str, bytes], turns: bool) -> str:
    if isinstance(block, str):
        return _paragraphs(block)
    if hasattr(block, 'rows'):
        return _table(block.rows)
    source = f'data:image/png;base64,{_text(pictures[block.name])}'
    caption = f'<figcaption>{_inline(block.caption)}</figcaption>' if block.caption else ''
    image = f'<figure><img alt="{html.escape(block.name)}" src="{source}">{caption}</figure>'
    return image + (_viewer(block) if turns and block.clouds else '')


def _viewer(picture: 'Picture') -> str:
    """A list of the clouds of a picture, and what turns the one that is chosen."""
    # Nothing in a name ends the element.
    items = [[name, [_view(view) for view in views]] for name, views in picture.clouds]
    data = json.dumps(items, separators=(',', ':')).replace('<', '\\u003c')
    options = ''.join(
        f'<option value="{number}">{html.escape(name)}</option>'
        for number, (name, _) in enumerate(picture.clouds)
    )
    return (
        f'<div class="viewer" data-name="{html.escape(picture.name)}">'
        '<label>Turn with the mouse, zoom with the wheel: '
        f'<button type="button" class="previous" aria-label="previous">‹</button> '
        f'<select>{options}</select> '
        '<button type="button" class="next" aria-label="next">›</button></label>'
        f'<div class="scene"></div><script type="application/json">{data}</script></div>'
    )


def _view(view: View) -> dict[str, Any]:
    """A cloud as the page's script takes it: whole numbers of 16 bits, and the colours of parts."""
    known = np.isfinite(view.points).all(axis=1)
    points = np.asarray(view.points[known, :3], np.float64)
    middle = (points.min(0) + points.max(0)) / 2 if len(points) else np.zeros(3)
    reach = float(np.abs(points - middle).max(initial=1e-9))
    whole = np.round((points - middle) / reach * REACH).astype('<i2')
    parts = np.zeros(len(points), np.uint8)
    if view.parts is not None:
        parts = np.asarray(view.parts)[known].astype(np.uint8)
    names = list(view.legend) if view.parts is not None else ['']
    colours = [clouds.colour_of(part) for part in range(len(names))]
    return {
        'title': view.title,
        'points': _text(whole.tobytes()),
        'middle': [round(float(value), 6) for value in middle],
        'reach': reach,
        'parts': _text(parts.tobytes()),
        'names': names,
        'colours': colours if view.parts is not None else [clouds.PLAIN],
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    header, body, right = tables.cells(rows, None)
    lines = [
        '<tr>'
        + ''.join(
            f'<{kind}{" class=right" * on_the_right}>{html.escape(cell)}</{kind}>'
            for cell, on_the_right in zip(row, right, strict=True)
        )
        + '</tr>'
        for kind, row in (('th', header), *(('td', row) for row in body))
    ]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _paragraphs(text: str) -> str:
    """Markdown as reports have it: paragraphs, and lists of lines that begin with '- '."""
    parts = []
    for block in text.split('\n\n'):
        lines = block.split('\n')
        if all(line.startswith('- ') for line in lines):
            items = ''.join(f'<li>{_inline(line[2:])}</li>' for line in lines)
            parts.append(f'<ul>{items}</ul>')
        else:
            parts.append(f'<p>{_inline(block)}</p>')
    return ''.join(parts)


def _inline(text: str) -> str:
    """Text with **bold** and `code`."""
    text = re.sub(r'\*\*(.+?)\*\*', r'<b>\1</b>', html.escape(text))
    return re.sub(r'`(.+?)`', r'<code>\1</code>', text)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode('ascii')
