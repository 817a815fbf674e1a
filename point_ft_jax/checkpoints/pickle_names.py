"""Which names a checkpoint may hold beside its weights, and which tell that it is an attack.

Nothing that a checkpoint names is ever imported or called, so that a name can do no harm here. But
a file that asks Python to run something was made to do harm elsewhere, and its weights are not to
be trusted. Refused are: parts of Python's own library that are not on the lists below, the known
doors to them in other libraries, and names that lead through a module to another one.
"""

import sys

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.inert_pickle import Opaque, shown

# Modules of Python's own whose classes lie beside weights: values, records, settings, loggers.
HARMLESS = frozenset(
    {
        *('abc', 'argparse', 'array', 'collections', 'collections.abc', 'dataclasses', 'datetime'),
        *('cmath', 'decimal', 'enum', 'fractions', 'functools', 'ipaddress', 'itertools'),
        *('logging', 'math', 'numbers', 'operator', 'pathlib', 'pathlib._local', 'queue'),
        *('random', '_random', 're'),
        *('statistics', 'string', 'threading', 'time', 'traceback', 'typing', 'uuid', 'warnings'),
        *('weakref', 'zoneinfo', '_operator', '_collections', '_decimal', '_functools'),
    }
)
# Names of other modules of Python's own.
KEPT = frozenset(
    {
        *('_codecs.encode', '_io.BytesIO', '_io.StringIO', 'io.BytesIO', 'io.StringIO'),
        *('copyreg._reconstructor', 'copyreg.__newobj__', 'copyreg.__newobj_ex__'),
        *('types.SimpleNamespace', 'types.MappingProxyType', 'types.GenericAlias'),
        *('types.NoneType', 'types.EllipsisType', 'types.UnionType', 'types.MethodType'),
        *('http.HTTPStatus', 'signal.Signals', 'socket.AddressFamily', 'os.stat_result'),
        *('inspect.Signature', 'inspect.Parameter', 'inspect._ParameterKind'),
        *('posix.stat_result', 'urllib.parse.ParseResult', 'urllib.parse.SplitResult'),
    }
)
BUILTINS_REFUSED = frozenset(
    {
        *('__import__', 'breakpoint', 'compile', 'delattr', 'eval', 'exec', 'execfile', 'exit'),
        *('globals', 'help', 'input', 'locals', 'memoryview', 'open', 'quit', 'setattr', 'vars'),
        *('apply', 'file', 'reload', '__build_class__', 'copyright', 'credits', 'license'),
    }
)
# What runs or fetches code in libraries that lie beside PyTorch.
RUNNERS = ('torch.hub', 'torch.utils.cpp_extension', 'numpy.testing', 'numpy.f2py', 'pip')
GETATTR = 'builtins.getattr'


def permit(module: str, name: str) -> None:
    """Raises a `UserError` for a name that only an attack holds."""
    qualified = f'{module}.{name}'
    own = module.partition('.')[0] in sys.stdlib_module_names
    *through, last = name.split('.')
    harmful = (
        (own and through and qualified not in KEPT)
        or (module == 'builtins' and last in BUILTINS_REFUSED)
        or (own and module != 'builtins' and module not in HARMLESS and qualified not in KEPT)
        or any(_is_harmful_part(part) for part in through)
        or any(f'{qualified}.'.startswith(f'{runner}.') for runner in RUNNERS)
    )
    if harmful:
        raise refusal('use', qualified)


def permit_call(name: str, args: tuple) -> None:
    """Raises a `UserError` for a look-up that is not of a member of a class, as Enums write it."""
    if name != GETATTR:
        return
    plain = len(args) == 2 and isinstance(args[0], Opaque) and type(args[1]) is str
    if not plain or '.' in args[1] or args[1].startswith('__') or _is_harmful_part(args[1]):
        raise refusal('call', name)


def refusal(verb: str, name: str) -> UserError:
    """What is said of a file that asks for something harmful."""
    return UserError(
        f'refused: the file asks Python to {verb} {shown(name)}, which plain weights never need. '
        'Nothing was run. Get the weights from a source you trust; if this file is your own, save '
        "the weights alone from PyTorch: torch.save({'base_model': model.state_dict()}, path)"
    )


def _is_harmful_part(part: str) -> bool:
    return part in sys.stdlib_module_names and part not in HARMLESS
