"""A report: sections of text, tables and figures, written as Markdown with PNG files and JSON."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from point_ft_jax.core import json_files
from point_ft_jax.reports import figures, tables

DPI = 120


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: one mapping from column to value per row; see `tables.markdown`."""

    rows: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure, the name of its PNG file without the suffix, and its caption."""

    name: str
    figure: Figure
    caption: str = ''


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
        command: that made it.
        protocol: what the numbers mean, in a sentence.
        sections: in the order of the page.
        result: what result.json holds; arrays and dataclasses are written in JSON's types.
        outcome: the main number, in one line.
        record: what the report was made from, such as a `finetuning.Finetuning`.
    """

    title: str
    command: str
    protocol: str
    sections: Sequence[Section]
    result: Mapping[str, Any]
    outcome: str
    record: Any = None

    def markdown(self) -> str:
        """The text of report.md; it shows the figures that `write` puts next to it."""
        parts = [f'# {self.title}', f'```\n{self.command}\n```', f'**Protocol:** {self.protocol}']
        parts += [_section(section) for section in self.sections if section.blocks]
        return '\n\n'.join(parts) + '\n'

    def write(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes report.md, its figures and result.json; the same report gives the same files.

        Returns:
            The path of report.md.
        """
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Picture):
                    figures.save(block.figure, folder / f'{block.name}.png', DPI)
        result = json.dumps(json_files.plain(self.result), indent=1, allow_nan=False)
        (folder / 'result.json').write_text(result + '\n', encoding='utf-8')
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
