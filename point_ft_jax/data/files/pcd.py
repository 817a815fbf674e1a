"""PCD files, of the Point Cloud Library: as text, binary, or packed by LZF."""

import codecs
import dataclasses
import re
import struct
from collections.abc import Sequence

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.files import numbers

TYPES = {
    **{('I', size): f'<i{size}' for size in (1, 2, 4, 8)},
    **{('U', size): f'<u{size}' for size in (1, 2, 4, 8)},
    **{('F', size): f'<f{size}' for size in (4, 8)},
}
FORMS = ('ascii', 'binary', 'binary_compressed')
PADDING = '_'  # a field of this name
PACKED = ('rgb', 'rgba')  # fields of four bytes that hold a colour
MOST_COLUMNS = 4096


@dataclasses.dataclass(frozen=True)
class _Field:
    name: str
    kind: str  # as numpy has it
    count: int


def columns(content: bytes) -> dict[str, np.ndarray]:
    """The fields [N] of a file's bytes by name, in their own types; of text as float64.

    Fields of several values a point, and padding, are passed over; rgb comes as red, green, blue
    in 0..255. The viewpoint is not applied, as in that library.

    Raises:
        UserError: no PCD, an unknown form or type, or other numbers of values than it announces.
    """
    fields, count, form, body = _header(content.removeprefix(codecs.BOM_UTF8))
    row = sum(np.dtype(field.kind).itemsize * field.count for field in fields)
    if form == 'ascii':
        found = _ascii(body, fields, count)
    elif form == 'binary':
        if len(body) < count * row:
            raise UserError(_missing(count, len(body) // row))
        dtype = np.dtype([(f'{i}', field.kind, (field.count,)) for i, field in enumerate(fields)])
        rows = np.frombuffer(body, dtype, count)
        found = [rows[f'{i}'][:, 0] if f.count == 1 else None for i, f in enumerate(fields)]
    else:
        found = _by_field(_unpacked(body, count * row, count), fields, count)
    return _named(fields, found)


def _header(content: bytes) -> tuple[list[_Field], int, str, bytes]:
    """The fields, the number of points, the form, and the bytes behind the header."""
    newline = re.search(rb'\r\n|\r|\n', content)
    ends = newline[0] if newline else b'\n'  # a CR alone may be the first byte of the data
    end = re.search(
        rb'(?im)(?:\A|(?<=[\r\n]))[ \t]*DATA[ \t]+(\w+)[ \t]*(?:' + ends + rb'|\Z)', content
    )
    if not end:
        raise UserError(
            'no PCD header: expected a line `DATA ascii`, `binary` or `binary_compressed`'
        )
    head: dict[str, list[str]] = {}
    for line in re.split('\r\n|\r|\n', content[: end.start()].decode('latin1')):
        words = line.split()
        if words and not words[0].startswith('#'):
            head[words[0].upper()] = words[1:]
    form = end[1].decode().lower()
    if form not in FORMS:
        raise UserError(f'its data are {form[:40]!r}; expected one of {", ".join(FORMS)}')
    return _fields(head), _count(head), form, content[end.end() :]


def _fields(head: dict[str, list[str]]) -> list[_Field]:
    names = head.get('FIELDS', head.get('COLUMNS', []))
    sizes, kinds = head.get('SIZE', []), head.get('TYPE', [])
    counts = head.get('COUNT', ['1'] * len(names))
    if not names or not len(names) == len(sizes) == len(kinds) == len(counts):
        raise UserError(
            f'its header has {len(names)} FIELDS, {len(sizes)} SIZE, {len(kinds)} TYPE and '
            f'{len(counts)} COUNT; expected as many of each'
        )
    fields = []
    for name, size, kind, count in zip(names, sizes, kinds, counts, strict=True):
        own = TYPES.get((kind.upper(), int(size) if re.fullmatch('[0-9]', size) else 0))
        if own is None or not re.fullmatch('[0-9]{1,4}', count) or int(count) > MOST_COLUMNS:
            raise UserError(
                f'field {name[:40]} is of TYPE {kind[:9]}, SIZE {size[:9]}, COUNT '
                f'{count[:9]}; expected F, I or U of 1 to 8 bytes'
            )
        fields.append(_Field(name.lower(), own, int(count)))
    if not {'x', 'y', 'z'} <= {f.name for f in fields if f.count == 1}:
        raise UserError(f'no fields x, y, z; found {", ".join(names)[:200]}')
    return fields


def _count(head: dict[str, list[str]]) -> int:
    numbers = {}
    for name in ('WIDTH', 'HEIGHT', 'POINTS'):
        if name in head:
            text = ' '.join(head[name])
            if not re.fullmatch('[0-9]{1,15}', text):
                raise UserError(f'{name} is {text[:40]!r}; expected a whole number')
            numbers[name] = int(text)
    size = numbers['WIDTH'] * numbers.get('HEIGHT', 1) if 'WIDTH' in numbers else None
    count = numbers.get('POINTS', size)
    if count is None or size not in (None, count):
        raise UserError(
            f'its header has {numbers or "no number of points"}; expected POINTS, equal to WIDTH '
            'times HEIGHT'
        )
    return count


def _ascii(body: bytes, fields: Sequence[_Field], count: int) -> list[np.ndarray | None]:
    rows = [line.split() for line in re.split(rb'[\r\n]+', body) if line.strip()]
    if len(rows) != count:
        raise UserError(_missing(count, len(rows)))
    width = sum(field.count for field in fields)
    wrong = next((i for i, row in enumerate(rows) if len(row) != width), None)
    if wrong is not None:
        raise UserError(f'point {wrong + 1} has {len(rows[wrong])} values; expected {width}')
    found, start = [], 0
    for field in fields:
        if field.count == 1 and field.name != PADDING:
            words = [row[start] for row in rows]
            found.append(_numbers(words, field))
        else:
            found.append(None)
        start += field.count
    return found


def _numbers(words: list[bytes], field: _Field) -> np.ndarray:
    """A column of text; a colour as the bytes that its number stands for."""
    try:
        values = numbers.floats(words)
    except ValueError as error:
        raise UserError(
            f'{field.name} has a value that is no number ({str(error)[:200]})'
        ) from None
    if field.name not in PACKED:
        return values
    is_colour = ((values >= 0) & (values < 2**32) & (values == np.floor(values))).all()
    if field.kind == '<f4' and not (is_colour and (values > 1).any()):
        return values.astype('<f4')  # its bytes are the colour
    if not is_colour:
        raise UserError(f'{field.name} has values that are no colours of four bytes')
    return values.astype('<u4')


def _by_field(data: bytes, fields: Sequence[_Field], count: int) -> list[np.ndarray | None]:
    """The columns of unpacked data, which stand one after the other."""
    found, start = [], 0
    for field in fields:
        size = np.dtype(field.kind).itemsize * field.count * count
        column = np.frombuffer(data[start : start + size], field.kind)
        found.append(column if field.count == 1 else None)
        start += size
    return found


def _named(fields: Sequence[_Field], found: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    result: dict[str, np.ndarray] = {}
    for field, column in zip(fields, found, strict=True):
        if column is None or field.name == PADDING:
            continue
        if field.name in result:
            raise UserError(f'field {field.name} occurs twice')
        if field.name in PACKED and column.dtype.itemsize == 4:
            colours = np.ascontiguousarray(column).view('<u4')
            for place, name in ((16, 'red'), (8, 'green'), (0, 'blue')):
                result[name] = (colours >> place & 255).astype(np.uint8)
        else:
            result[field.name] = column
    return result


def _unpacked(body: bytes, size: int, count: int) -> bytes:
    """What binary_compressed holds, `size` bytes."""
    if len(body) < 8:
        raise UserError('cut short: its data have no sizes')
    packed, unpacked = struct.unpack_from('<2I', body)
    if unpacked != size:
        raise UserError(
            f'{count:,} points are {size:,} bytes, and it says that it holds {unpacked:,}'
        )
    if packed > len(body) - 8:
        raise UserError(f'cut short: {packed:,} packed bytes announced, {len(body) - 8:,} there')
    data = lzf(body[8 : 8 + packed], size)
    if len(data) != size:
        raise UserError(f'{size:,} bytes announced, and it unpacks to {len(data):,}')
    return data


def lzf(packed: bytes, most: int) -> bytes:
    """Data that the LZF of liblzf has packed.

    Raises:
        UserError: damaged, or more than `most` bytes.
    """
    result, at = bytearray(), 0
    try:
        while at < len(packed) and len(result) <= most:
            code = packed[at]
            at += 1
            if code < 32:  # so many bytes as they are, and one more
                result += packed[at : at + code + 1]
                at += code + 1
                continue
            length = code >> 5
            if length == 7:
                length += packed[at]
                at += 1
            start = len(result) - (code & 31) * 256 - packed[at] - 1
            at += 1
            if start < 0:
                raise UserError('its packed data are damaged')
            piece = result[start : start + length + 2]
            while len(piece) < length + 2:  # it repeats itself
                piece = piece * 2
            result += piece[: length + 2]
    except IndexError:
        raise UserError('its packed data are damaged') from None
    if len(result) > most:
        raise UserError(f'{most:,} bytes announced, and it unpacks to more')
    return bytes(result)


def _missing(count: int, there: int) -> str:
    return f'{count:,} points announced but {there:,} are there'
