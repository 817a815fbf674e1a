"""A hook of mkdocs for what its plug-ins leave: links of notebooks, and links to public names."""

import ast
import logging
import pathlib
import posixpath
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

LOG = logging.getLogger('mkdocs.plugins.links')  # a warning fails a strict build
PACKAGE = 'point_ft_jax'
INIT = pathlib.Path(__file__).parents[1] / PACKAGE / '__init__.py'
CODE = re.compile(r'(<a [^>]*>.*?</a>|<h\d.*?</h\d>|<pre.*?</pre>)|<code>(\w+)</code>', re.DOTALL)
NOT_LINKED = ('weight_space',)  # a module, with a page of its own
HREF = re.compile(r'href="([^":#]+\.(?:md|ipynb))(#[^"]*)?"')
FOREIGN_SCRIPT = re.compile(r'<script[^>]*src="https?://[^"]*"[^>]*>\s*</script>')


def public_names() -> list[str]:
    """The names of the front door, read without importing it."""
    for node in ast.parse(INIT.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '__all__':
            return [name for name in ast.literal_eval(node.value) if name not in NOT_LINKED]
    raise LookupError(f'no __all__ in {INIT}')


NAMES = frozenset(public_names())


def on_page_content(html: str, page: 'Page', files: 'Files', **_: Any) -> str:
    """The page with public names that lead to the reference and, of a notebook, working links."""
    if page.file.src_uri.endswith('.ipynb'):
        html = with_links(FOREIGN_SCRIPT.sub('', html), page, files)
    return with_names(html)


def with_names(html: str) -> str:
    """Public names in code type are links, but in headings, code blocks and other links."""

    def linked(found: re.Match) -> str:
        kept, name = found.groups()
        if kept or name not in NAMES:
            return found[0]
        return f'<autoref identifier="{PACKAGE}.{name}" optional><code>{name}</code></autoref>'

    return CODE.sub(linked, html)


def with_links(html: str, page: 'Page', files: 'Files') -> str:
    """Links to source files lead to their pages, as mkdocs does for Markdown."""
    folder = posixpath.dirname(page.file.src_uri)

    def resolved(found: re.Match) -> str:
        target, anchor = found.groups()
        file = files.get_file_from_path(posixpath.normpath(posixpath.join(folder, target)))
        if file is None:
            LOG.warning('%s links to %s, which is not there', page.file.src_uri, target)
            return found[0]
        return f'href="{file.url_relative_to(page.file)}{anchor or ""}"'

    return HREF.sub(resolved, html)
