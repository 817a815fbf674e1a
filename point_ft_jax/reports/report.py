"""A report: sections of text, tables, figures and clouds, as Markdown, as one page, and as JSON."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from point_ft_jax.core import json_files
from point_ft_jax.reports import figures, page, records, tables
from point_ft_jax.reports.clouds import View

DPI = 120
RESULT = 'result.json'


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: one mapping from column to value per row; see `tables.markdown`."""

    rows: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure, the name of its PNG file without the suffix, and its caption.

    `clouds` are those of the figure, which a page lets its reader turn: for each, what it is, and
    its views side by side.
    """

    name: str
    figure: Figure
    caption: str = ''
    clouds: Sequence[tuple[str, Sequence[View]]] = ()


Block = str | Table | Picture


@dataclasses.dataclass(frozen=True)
class Section:
    """A titled part of a report; one without blocks is left out."""

    title: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Report:
    """What a run found, for people and, in `result`, for programs.

    Attributes:
        title: of the page.
        command: that made it, as a shell takes it; '' where there was none.
        protocol: what the numbers mean, in a sentence.
        sections: in the order of the page.
        result: what result.json holds; arrays and dataclasses are written in JSON's types.
        outcome: the main number, in one line.
        record: what the report was made from, a dataclass of a module with `make_report`.
        lead: what the page begins with, a line each: what was trained on what, how good it is on
            which split, how sure that is.
        scores: what runs are compared by: the name of a number -> the number with its interval.
    """

    title: str
    command: str
    protocol: str
    sections: Sequence[Section]
    result: Mapping[str, Any]
    outcome: str
    record: Any = None
    lead: Sequence[str] = ()
    scores: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def markdown(self) -> str:
        """The text of report.md; it shows the figures that `write` puts next to it."""
        parts = [f'# {self.title}', '\n'.join(f'{line}  ' for line in self.lead).rstrip()]
        parts += [f'```\n{self.command}\n```'] if self.command else []
        parts += [f'**Protocol:** {self.protocol}']
        parts += [_section(section) for section in self.sections if section.blocks]
        return '\n\n'.join(part for part in parts if part) + '\n'

    def write(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes report.md, its figures, report.html, result.json and the record.

        The same report gives the same bytes.

        Returns:
            The path of report.md.
        """
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        blocks = [block for section in self.sections for block in section.blocks]
        pictures = {b.name: figures.png(b.figure, DPI) for b in blocks if isinstance(b, Picture)}
        for name, content in pictures.items():
            (folder / f'{name}.png').write_bytes(content)
        found = json_files.plain({**self.result, 'scores': self.scores})
        json_files.write_json(folder / RESULT, found, order=False)
        if dataclasses.is_dataclass(self.record):
            records.write(folder / records.FILE, self.record)
        (folder / 'report.html').write_text(page.page(self, pictures), encoding='utf-8')
        path = folder / 'report.md'
        path.write_text(self.markdown(), encoding='utf-8')
        return path


def _section(section: Section) -> str:
    return '\n\n'.join([f'## {section.title}', *map(_block, section.blocks)])


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return tables.markdown(block.rows)
    if isinstance(block, Picture):
        image = f'![{block.name}]({block.name}.png)'
        return f'{image}\n\n{block.caption}' if block.caption else image
    return block
