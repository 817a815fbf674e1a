"""What the robust experiment refuses before anything runs."""

import inspect

from ml_collections import ConfigDict

from point_ft_jax.core.errors import raise_all
from point_ft_jax.data import augment
from point_ft_jax.data.shared_classes import SHARED
from point_ft_jax.evaluation import corruptions
from point_ft_jax.evaluation.adaptation import check_adaptation
from point_ft_jax.evaluation.linear_svm import CLASSIFIERS
from point_ft_jax.experiments.jobs._robust_models import ALONG, FULL, LAYERWISE, PROBE
from point_ft_jax.reports.robust_evidence import ADAPTED
from point_ft_jax.weight_space import batch_statistics, choose_alphas, merges

HEADS = ('continue', 'fresh')


def check(config: ConfigDict) -> None:
    """Raises UserError for what would otherwise be found wrong after hours."""
    plan, alphas = config.robust, list(config.wise.alphas)
    problems = []
    if alphas != sorted(set(alphas)) or not {0, 1} <= set(alphas):
        problems.append(f'wise.alphas is {alphas}; expected ascending numbers, 0 and 1 among them')
    problems += [
        f'wise.alphas has {alpha}; expected numbers in 0..1'
        for alpha in alphas
        if not 0 <= alpha <= 1
    ]
    for name, known in {'probe.head': HEADS, 'svm.classifier': CLASSIFIERS}.items():
        section, field = name.split('.')
        if config[section][field] not in known:
            problems.append(f'{name} is {config[section][field]!r}; expected {" or ".join(known)}')
    problems += _run_problems(config)
    if not (plan.transfer or plan.folders):
        problems.append('there is no transfer set: give robust.transfer or robust.folders')
    problems += [
        f'{name} is empty; expected one or more'
        for name, values in {
            'robust.settings': plan.settings,
            'wise.statistics': config.wise.statistics,
            'robust.svm.cs': plan.svm.cs,
        }.items()
        if not values
    ]
    if config.select != 'validation' or not config.validation.fraction > 0:
        problems.append(
            'no held-out clouds are left to choose alpha by, since '
            f'select={config.select!r} and validation.fraction={config.validation.fraction}; '
            "expected 'validation', and a fraction above 0"
        )
    problems += [*_merge_problems(config), *_shared_problems(config)]
    raise_all(problems, 'this experiment makes no sense:')
    for name, options in plan.adapt.items():
        check_adaptation(name, options.to_dict())
    for choice in config.wise.statistics:
        batch_statistics.check_choice(choice)
    suite = config.corruptions.suite
    for severity in config.corruptions.severities if suite else ():
        corruptions.find(next(iter(corruptions.SUITES.get(suite, [''])), ''), severity, suite)
    augment.named(config.probe.augment)


def _run_problems(config: ConfigDict) -> list[str]:
    """What is wrong with the runs that a config asks for, a line each."""
    plan = config.robust
    problems = []
    if FULL not in plan.runs:
        problems.append(f'robust.runs lacks {FULL!r}, which everything is compared with')
    wanting = [n for n, run in plan.runs.items() if run.get('from_probe')]
    if wanting and PROBE not in plan.runs:
        problems.append(f'robust.runs lacks {PROBE!r}, which {wanting[0]} starts from')
    if several := [n for n in (FULL, PROBE) if plan.runs.get(n, {}).get('population', 1) > 1]:
        problems.append(f'robust.runs.{several[0]} is a population; expected one model')
    if own := [name for name in (*plan.runs, *plan.merges) if name.startswith((ADAPTED, 'alpha_'))]:
        problems.append(
            f'robust has a run or a merge {own[0]!r}; expected a name that begins otherwise'
        )
    if both := [name for name in plan.merges if name in plan.runs]:
        problems.append(f'{both[0]!r} is in robust.runs and in robust.merges; expected two names')
    rows = (*ALONG, *plan.runs, *plan.merges)
    problems += [
        f'robust.adapted has {name!r}; expected rows of the table, {", ".join(rows)}'
        for name in plan.adapted
        if name not in rows
    ]
    return problems


def _merge_problems(config: ConfigDict) -> list[str]:
    """What is wrong with the merges that a config asks for, a line each."""
    plan = config.robust
    known = {**merges.METHODS, LAYERWISE: choose_alphas}
    problems = [
        f'robust.soup has {name!r}; expected names of robust.runs, {", ".join(plan.runs)}'
        for name in plan.soup
        if name not in plan.runs
    ]
    for name, one in plan.merges.items():
        if one.get('method') not in known:
            problems.append(
                f'robust.merges.{name} has method {one.get("method")!r}; expected one of '
                f'{", ".join(known)}'
            )
            continue
        options = set(inspect.signature(known[one.method]).parameters)
        problems += [
            f'robust.merges.{name} has the option {option!r}, which {one.method} does not'
            for option in one
            if option != 'method' and option not in options
        ]
    own = plan.runs[FULL].get('method', {}) if FULL in plan.runs else {}
    tuned = own.get('name', config.method.name)
    if plan.merges and tuned != 'full':
        problems.append(
            f'robust.merges are of whole backbones, and {FULL} is tuned by {tuned}; expected the '
            'method full, or no merges'
        )
    return problems


def _shared_problems(config: ConfigDict) -> list[str]:
    """What is wrong with the shift from CAD to scans that a config asks for, a line each."""
    plan, problems = config.robust, []
    if plan.cad and plan.cad not in plan.transfer:
        problems.append(
            f'robust.cad is {plan.cad!r}; expected one of robust.transfer, '
            f'{", ".join(plan.transfer)}, or none'
        )
    if plan.cad and plan.shared not in SHARED:
        problems.append(f'robust.shared is {plan.shared!r}; expected one of {", ".join(SHARED)}')
    return problems
