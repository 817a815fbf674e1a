"""The record of what was compiled ahead of time, as the tables of docs/aot.md."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from kernels.aot_targets import TARGETS

DOCUMENT = pathlib.Path(__file__).parent.parent / 'docs' / 'aot.md'

HEAD = """# Compiled ahead of time

    pip install -r requirements.txt && pip install '.[aot-tpu,aot-gpu]'
    python -m kernels.aot --update

Written by that command. **Nothing here has run on a TPU or a GPU**: no time, no result and no
numerics of these programs were seen on such a chip. What the tables say is what the chips' own
compilers say on a machine without any: that they accept a program, what memory it takes of a
device, its operations, and the collectives between devices. What the kernels compute is held by
the interpreters, `python -m pytest tests/kernels/test_kernels_interpreted.py`, the GPU's on Python
3.12 and newer only, since it needs jax 0.11. `python -m kernels.aot` compares with
`kernels/aot.json` and fails where something is not accepted, spills registers, or costs over 10 %
more by the same compiler.

*Cycles* are the bundles of a TPU kernel's innermost loop, or its longest chain of dependent
instructions, whichever is longer, times its rounds, on one core: a lower bound without launch,
copies and stalls, to rank block sizes with and no speed. *Registers* are a thread's.
"""


def document(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of docs/aot.md."""
    text = HEAD
    for target in TARGETS:
        mine = {name: row for name, row in rows.items() if name.startswith(f'{target}/')}
        if mine:
            compilers = '; '.join(dict.fromkeys(row['compiler'] for row in mine.values()))
            text += f'\n## {target}\n\n{compilers}\n\n{markdown(mine)}\n'
    return text


def markdown(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of rows named TARGET/PROGRAM, without the columns that are empty in all."""
    lines = [_cells(name, row) for name, row in rows.items()]
    columns = [c for c in lines[0] if any(line[c] for line in lines)]
    return table([{c: line[c] for c in columns} for line in lines])


def table(lines: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table; the first column is aligned on the left, the others on the right."""
    widths = {c: max(3, len(c), *(len(line[c]) for line in lines)) for c in lines[0]}

    def row(cells: Mapping[str, str]) -> str:
        first, *others = (
            cells[c].rjust(w) if i else cells[c].ljust(w) for i, (c, w) in enumerate(widths.items())
        )
        return f'| {" | ".join([first, *others])} |'

    rule = ' | '.join('-' * (w - 1) + (':' if i else '-') for i, w in enumerate(widths.values()))
    return '\n'.join([row({c: c for c in widths}), f'| {rule} |', *map(row, lines)])


def _cells(name: str, row: Mapping[str, Any]) -> dict[str, str]:
    target, program = name.split('/', 1)
    if row.get('error'):
        accepted = f'no: {row["error"]}'.replace('|', r'\|')
    else:
        accepted = 'yes'
    kept = row.get('argument_bytes', 0) + row.get('output_bytes', 0) - row.get('alias_bytes', 0)
    total = kept + row.get('temporary_bytes', 0)
    counts = row.get('collectives', {})
    none = 'none' if row.get('devices', 1) > 1 and kept else ''
    return {
        'program': program,
        'accepted': accepted,
        'arguments MiB': _mib(row.get('argument_bytes')),
        'outputs MiB': _mib(row.get('output_bytes')),
        'temporary MiB': _mib(row.get('temporary_bytes')),
        'of the memory': f'{100 * total / TARGETS[target].memory:.1f} %' if kept else '',
        'GFLOP': f'{row["flops"] / 1e9:,.1f}' if row.get('flops', 0) > 1e8 else '',
        'kernels': str(row.get('kernels', '')),
        'collectives': ', '.join(f'{count} {kind}' for kind, count in counts.items()) or none,
        'cycles': f'{row["cycles"]:,}' if 'cycles' in row else '',
        'registers': str(row.get('registers', '')),
        'spilled bytes': str(row.get('spilled_bytes', '')),
    }


def _mib(count: int | None) -> str:
    return '' if count is None else f'{count / 2**20:,.1f}'
