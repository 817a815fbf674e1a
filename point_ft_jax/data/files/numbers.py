"""The numbers that words of text files stand for, as exporters write them."""

import re
from collections.abc import Sequence

import numpy as np

# What stands for no number: of spreadsheets and statistics programs, and of the C library of
# Windows before 2015 and since (-1.#IND, 1.#QNAN, -nan(ind)).
MISSING = (
    *('', 'na', 'n/a', 'null', 'none', 'nil'),
    *('#n/a', '#num!', '#div/0!', '#value!', '#ref!', '#name?', '#null!'),
)
NAN = re.compile(r'[-+]?(1\.#(ind|qnan|snan|nan)0*|nan(\([a-z0-9_]*\))?)')
INFINITE = re.compile(r'([-+]?)1\.#inf0*')
FORTRAN = re.compile(r'([-+]?(?:\d+\.?\d*|\.\d+))d([-+]?\d+)')  # 1.5D+02


def floats(words: Sequence) -> np.ndarray:
    """The numbers [...] float64 of words [...], text or bytes; NaN for what stands for no number.

    Raises:
        ValueError: a word that is neither.
    """
    try:
        return np.array(words, np.float64)
    except ValueError:
        pass
    texts = np.array(words)
    if texts.dtype.kind == 'S':
        texts = np.char.decode(texts, 'latin1')
    if texts.dtype.kind != 'U':
        raise ValueError('rows of different lengths')
    found = texts.ravel().tolist()
    if wrong := next((word for word in found if not is_number(word)), None):
        raise ValueError(f'{wrong!r} is no number')
    return np.array([plain(word) for word in found], np.float64).reshape(texts.shape)


def plain(word: str) -> str:
    """A word as Python reads it, where it stands for a number or for none; else the word itself."""
    low = word.strip().lower()
    if low in MISSING or NAN.fullmatch(low):
        return 'nan'
    if found := INFINITE.fullmatch(low):
        return f'{found[1]}inf'
    return f'{found[1]}e{found[2]}' if (found := FORTRAN.fullmatch(low)) else word


def is_number(word: str) -> bool:
    """Whether a word stands for a number, or for none."""
    if '_' in word or not word.isascii():  # which Python would read
        return False
    try:
        float(word)
    except ValueError:
        return plain(word) is not word
    return True
