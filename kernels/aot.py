"""Compiles kernels and training steps for TPUs and GPUs that are not there, and guards their cost.

python -m kernels.aot --update
    compile everything, and write kernels/aot.json and docs/aot.md
python -m kernels.aot --only=v5e/fps
    compile what has this in its name TARGET/PROGRAM, and compare with kernels/aot.json
python -m kernels.aot --list
    the names

Ends with status 1 where something is not accepted, spills, or costs over 10 % more than the file
says for the same compiler. Targets whose compiler is not installed are named and left out; install
the extras with `pip install .[aot-tpu,aot-gpu]`. Nothing is run: acceptance and costs are the
compilers' word.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

from kernels import aot_costs, aot_programs, aot_table
from kernels.aot_programs import Program
from kernels.aot_targets import TARGETS, environment

COMMAND = ('kernels.aot',)
RECORD = pathlib.Path(__file__).parent / 'aot.json'
GUARDED = ('temporary_bytes', 'flops', 'cycles', 'registers', 'spilled_bytes', 'all_collectives')
GROWTH = 1.1
COMPILERS = {'tpu': 'libtpu', 'cuda': 'jax-cuda13-plugin'}
Row = dict[str, Any]


def names(programs: Iterable[Program]) -> dict[str, Program]:
    """Programs by TARGET/PROGRAM."""
    return {f'{target}/{p.name}': p for p in programs for target in p.targets}


def growths(recorded: dict[str, Row], found: dict[str, Row]) -> list[str]:
    """What is wrong with `found`, against what is recorded; one line each.

    Costs are compared with those of the same compiler, since another schedules otherwise.
    """
    wrong = []
    for name, row in found.items():
        before = recorded.get(name, {})
        if row.get('error'):
            wrong.append(f'{name}: not accepted: {row["error"]}')
        elif name.startswith('sm_') and row.get('kernels') and 'registers' not in row:
            wrong.append(f'{name}: ptxas did not say what it spills')
        if row.get('spilled_bytes'):
            wrong.append(f'{name}: spills {row["spilled_bytes"]} bytes')
        wrong += [
            f'{name}: {cost} {row[cost]:,} where {before[cost]:,} is recorded'
            for cost in GUARDED
            if row.get('compiler') == before.get('compiler')
            and cost in row
            and cost in before
            and row[cost] > before[cost] * GROWTH
        ]
    return wrong


def compile_here(target: str, programs: dict[str, Program], dump: pathlib.Path) -> None:
    """Compiles for one target, a line of JSON each, in a process that has `environment`."""
    devices = TARGETS[target].devices()
    for name, program in programs.items():
        try:
            compiled = program.lower(devices).compile()
            row = aot_costs.costs(compiled) | {'kernels': aot_costs.kernels(compiled)}
            row |= {
                'devices': 1 if program.kernel else len(devices),
                'all_collectives': sum(row['collectives'].values()),
            }
            if program.kernel and not row['kernels']:
                row['error'] = 'no kernel in it: another implementation was picked'
            elif program.kernel and TARGETS[target].platform == 'tpu':
                row['cycles'] = program.rounds * aot_costs.static_cycles(dump, program.kernel)
        except Exception as error:  # whatever a compiler raises is its verdict
            row = {'error': ' '.join(str(error).split())[:400]}
        for file in dump.iterdir():
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        print('\n' + json.dumps({'name': name, **row}), flush=True)


def compile_for(
    target: str, chosen: dict[str, Program], command: Sequence[str] = COMMAND
) -> dict[str, Row]:
    """Compiles for one target, in a process of its own, since compilers abort; rows by name.

    `command` is what that process runs after `python -m`; it ends in `main`.
    """
    platform = TARGETS[target].platform
    found: dict[str, Row] = {}
    # Dumps of a whole step are gigabytes, and only kernels are read.
    groups = [{n: p for n, p in chosen.items() if bool(p.kernel) == k} for k in (True, False)]
    for group in filter(None, groups):
        with tempfile.TemporaryDirectory() as dump:
            variables = environment(platform)
            if any(p.kernel for p in group.values()):
                variables |= {
                    'LIBTPU_INIT_ARGS': f'--xla_jf_dump_to={dump} --xla_jf_dump_llo_text=true',
                    'MOSAIC_GPU_DUMP_PTXAS': '1',
                }
            worker = subprocess.run(
                [sys.executable, '-m', *command, f'--worker={target}', f'--dump={dump}']
                + [f'--only={name}' for name in group],
                env={**os.environ, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        found |= _rows(worker.stdout)
        for name in group:
            last = [line for line in worker.stdout.splitlines() if line.strip()][-1:]
            found.setdefault(name, {'error': f'the compiler ended the process: {last}'})
    return found


def _rows(output: str) -> dict[str, Row]:
    """The worker's rows; what ptxas said before one belongs to it."""
    rows, said = {}, ''
    for line in output.splitlines(keepends=True):
        if line.startswith('{"name"'):
            row = json.loads(line)
            rows[row.pop('name')] = row | aot_costs.registers(said)
            said = ''
        else:
            said += line
    return rows


def versions(platform: str) -> str:
    """What compiles for a platform; '' where nothing that does is installed."""
    try:
        installed = metadata.version(COMPILERS[platform])
    except metadata.PackageNotFoundError:
        return ''
    return f'jax {metadata.version("jax")}, {COMPILERS[platform]} {installed}'


def main(
    arguments: Sequence[str] | None = None,
    programs: Iterable[Program] = (),
    command: Sequence[str] = COMMAND,
    parser: argparse.ArgumentParser | None = None,
) -> int:
    """Runs the command on the kernels' programs and `programs`; returns the exit status.

    Args:
        arguments: of the command line; those of the process by default.
        programs: what is compiled beside the kernels.
        command: what follows `python -m` in the processes that compile; it calls this function with
            the same `programs`.
        parser: what reads the arguments, with --help and how a mistake ends.
    """
    parser = parser or argparse.ArgumentParser(
        prog=f'python -m {" ".join(command)}',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--only', action='append', help='a part of the names TARGET/PROGRAM')
    parser.add_argument('--list', action='store_true', help='print the names')
    parser.add_argument('--update', action='store_true', help='write the record and docs/aot.md')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    parser.add_argument('--dump', type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    known = names([*aot_programs.programs(), *programs])
    chosen = {n: p for n, p in known.items() if any(o in n for o in options.only or [''])}
    if not chosen:
        parser.error(f'nothing has {" or ".join(options.only)} in its name; see --list')
    if options.list:
        print('\n'.join(chosen))
        return 0
    if options.worker:
        exactly = {n: chosen[n] for n in options.only}
        compile_here(options.worker, exactly, options.dump)
        return 0
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    wrong: list[str] = []
    compared, accepted = True, 0
    for target in dict.fromkeys(name.split('/')[0] for name in chosen):
        compiler = versions(TARGETS[target].platform)
        if not compiler:
            package = COMPILERS[TARGETS[target].platform]
            print(f'{target}: left out, {package} is not installed', file=sys.stderr)
            continue
        mine = {n: p for n, p in chosen.items() if n.startswith(f'{target}/')}
        rows = compile_for(target, mine, command)
        rows = {name: {**row, 'compiler': compiler} for name, row in rows.items()}
        print(f'{target}, {compiler}\n{aot_table.markdown(rows)}\n', flush=True)
        others = {recorded[n]['compiler'] for n in rows if n in recorded} - {compiler}
        if others and not options.update:
            compared = False
            print(f'costs not compared: the record is of {", ".join(sorted(others))}\n', flush=True)
        wrong += growths({} if options.update else recorded, rows)
        accepted += len(rows)
        recorded |= rows if options.update else {}
        if options.update:
            write(recorded)
    if not accepted:
        wrong = ['nothing was compiled: install a compiler, pip install .[aot-tpu,aot-gpu]']
    fine = f'{accepted} compiled, all accepted, none spills'
    print('\n'.join(wrong) or (f'{fine} or costs more' if compared else fine))
    return 1 if wrong else 0


def write(rows: dict[str, Row]) -> None:
    """The record, and its table in docs/."""
    RECORD.write_text(json.dumps(rows, indent=1) + '\n')
    aot_table.DOCUMENT.write_text(aot_table.document(rows))


if __name__ == '__main__':
    sys.exit(main())
