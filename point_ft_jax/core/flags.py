"""The flags of a command: --help begins with its docstring, and a mistake is one message."""

import argparse
import difflib
import re
from typing import NoReturn

from point_ft_jax.core.errors import UserError


class Parser(argparse.ArgumentParser):
    """argparse's, but that what is wrong with the flags ends in one `UserError`."""

    def error(self, message: str) -> NoReturn:
        if found := re.match(r'unrecognized arguments: (-[^\s=]+)', message):
            known = [flag for action in self._actions for flag in action.option_strings]
            nearest = difflib.get_close_matches(found[1], known, 1, 0.6)
            suggestion = f'; did you mean {nearest[0]}?' if nearest else ''
            message = f'there is no flag {found[1]}{suggestion}'
        raise UserError(f'{message}; see {self.prog} --help')


def parser(command: str, docstring: str) -> Parser:
    """The parser of a command.

    Args:
        command: its name.
        docstring: of its module; what --help begins with.
    """
    return Parser(
        prog=f'point-ft {command}',
        description=docstring,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
