"""Files of every format, as exporters and strangers write them, with what is to be read of them."""

import struct
from collections.abc import Sequence

import numpy as np

UTM = np.array([452_000.0, 5_412_000.0, 300.0])
CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * [1.0, 0.5, 0.25]
FACES = [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]]
FACES += [[2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]  # a box, 12 triangles
HUGE = 10**12
# A file and the vertices that it has; None for one that is to be refused.
Cases = dict[str, tuple[bytes, np.ndarray | None]]


def ply(
    points: np.ndarray = CORNERS,
    form: str = 'ascii',
    newline: str = '\n',
    remark: bytes = b'made by hand',
    axes: Sequence[str] = 'xyz',
    counts: tuple[int, int] | None = None,
    first: bool = False,
) -> bytes:
    """A .ply with the box's faces; `first` writes them before the vertices."""
    of_points, of_faces = counts or (len(points), len(FACES))
    vertex = [f'element vertex {of_points}', *(f'property double {axis}' for axis in axes)]
    face = [f'element face {of_faces}', 'property list uchar int vertex_indices']
    head = [*face, *vertex] if first else [*vertex, *face]
    head = ['ply', f'format {form} 1.0', 'comment %s', *head, 'end_header', '']
    header = newline.join(head).encode().replace(b'%s', remark)
    if form == 'ascii':
        vertices = [' '.join(map(repr, row)) for row in points.tolist()]
        faces = [f'3 {a} {b} {c}' for a, b, c in FACES]
        lines = [*faces, *vertices] if first else [*vertices, *faces]
        return header + newline.join([*lines, '']).encode()
    order = '<' if 'little' in form else '>'
    vertices = points.astype(f'{order}f8').tobytes()
    faces = b''.join(struct.pack(f'{order}B3i', 3, *face) for face in FACES)
    return header + (faces + vertices if first else vertices + faces)


def ply_cases() -> Cases:
    """What the PLY definition allows, and what it does not."""
    little, big = 'binary_little_endian', 'binary_big_endian'
    return {
        'ascii': (ply(), CORNERS),
        'little endian': (ply(form=little), CORNERS),
        'big endian': (ply(form=big), CORNERS),
        'a comment that is not ASCII': (ply(remark='façade 3°'.encode('latin1')), CORNERS),
        'a comment in UTF-8, binary': (ply(form=little, remark='façade'.encode()), CORNERS),
        'byte order mark': (b'\xef\xbb\xbf' + ply(), CORNERS),
        'X, Y, Z': (ply(axes='XYZ'), CORNERS),
        'lines ended by CR': (ply(newline='\r'), CORNERS),
        'lines ended by CR LF': (ply(newline='\r\n', form=little), CORNERS),
        'faces first': (ply(first=True), CORNERS),
        'faces first, binary': (ply(first=True, form=big), CORNERS),
        'doubles far from the origin': (ply(CORNERS + UTM, little), CORNERS + UTM),
        '1e12 vertices': (ply(counts=(HUGE, 12)), None),
        '1e12 vertices, binary': (ply(form=little, counts=(HUGE, 12)), None),
        '1e12 faces first, binary': (ply(form=little, counts=(8, HUGE), first=True), None),
        'cut short': (ply()[:-300], None),
        'cut short, binary': (ply(form=little)[:-220], None),
        'a word for a number': (ply().replace(b'0.25', b'0.2S', 1), None),
    }


def obj(points: np.ndarray = CORNERS, newline: str = '\n', start: int = 1, tail: str = '') -> bytes:
    """An .obj of the box; `start` is the index of the first vertex."""
    vertices = [f'v {x!r} {y!r} {z!r}{tail}' for x, y, z in points.tolist()]
    faces = ['f ' + ' '.join(str(start + i) for i in face) for face in FACES]
    return newline.join(['# a box', 'o box', *vertices, *faces, '']).encode()


def obj_cases() -> Cases:
    """What exporters write, and what they do not."""
    slashes = [' '.join(f'{i + 1}/1/1' for i in face) for face in FACES]
    plain = obj().split(b'f ')[0]
    faces = '\n'.join([f'f {face}' for face in slashes]).encode()
    return {
        'vertices and triangles': (obj(), CORNERS),
        'indices from the end': (obj(start=-8), CORNERS),
        'colours behind vertices': (obj(tail=' 0.1 0.2 0.3'), CORNERS),
        'textures and normals': (plain + b'vt 0 0\nvn 0 0 1\n' + faces, CORNERS),
        'a face of four corners': (plain + b'f 1 2 4 3\n', CORNERS),
        'no faces': (plain, CORNERS),
        'a comment that is not ASCII': ('# façade\n'.encode('latin1') + obj(), CORNERS),
        'byte order mark': (b'\xef\xbb\xbf' + obj().partition(b'o box\n')[2], CORNERS),
        'lines ended by CR': (obj(newline='\r'), CORNERS),
        'a line that goes on': (obj().replace(b'v 1.0 0.5', b'v 1.0 \\\n 0.5'), CORNERS),
        'a material that is missing': (b'mtllib none.mtl\n' + obj(), CORNERS),
        'doubles far from the origin': (obj(CORNERS + UTM), CORNERS + UTM),
        'a face of vertex 1e12': (obj() + f'f 1 2 {HUGE}\n'.encode(), None),
        'a face of vertex 0': (obj() + b'f 0 1 2\n', None),
        'a vertex of two numbers': (obj().replace(b'v 0.0 0.0 0.0', b'v 0.0 0.0'), None),
        'a word for a number': (obj().replace(b'0.25', b'0.2S', 1), None),
    }


def off(points: np.ndarray = CORNERS, newline: str = '\n', first: str = 'OFF\n8 12 18') -> bytes:
    """An .off of the box."""
    vertices = [f'{x!r} {y!r} {z!r}' for x, y, z in points.tolist()]
    faces = [f'3 {a} {b} {c}' for a, b, c in FACES]
    lines = [*first.split('\n'), *vertices, *faces, '']
    return newline.join(lines).encode()


def off_cases() -> Cases:
    """What exporters write, ModelNet40 among them, and what they do not."""
    return {
        'vertices and triangles': (off(), CORNERS),
        "numbers behind OFF, as ModelNet40's": (off(first='OFF8 12 18'), CORNERS),
        'numbers on the line of OFF': (off(first='OFF 8 12 18'), CORNERS),
        'comments': (off(first='OFF\n# façade\n\n8 12 18 # sizes'), CORNERS),
        'byte order mark': (b'\xef\xbb\xbf' + off(), CORNERS),
        'lines ended by CR': (off(newline='\r'), CORNERS),
        'no faces': (off(first='OFF\n8 0 0').partition(b'3 0 1 3')[0], CORNERS),
        'doubles far from the origin': (off(CORNERS + UTM), CORNERS + UTM),
        '1e12 vertices': (off(first=f'OFF\n{HUGE} 12 0'), None),
        '1e12 faces': (off(first=f'OFF\n8 {HUGE} 0'), None),
        'a face of vertex 99': (off().replace(b'3 0 1 3', b'3 0 1 99'), None),
        'cut short': (off()[:-40], None),
        'a word for a number': (off().replace(b'0.25', b'0.2S', 1), None),
    }


def stl(header: bytes = b'', count: int | None = None) -> bytes:
    """A binary .stl of the box."""
    triangle = np.dtype([('normal', '<f4', 3), ('corners', '<f4', (3, 3)), ('rest', '<u2')])
    rows = np.zeros(len(FACES), triangle)
    rows['corners'] = CORNERS[np.array(FACES)]
    count = len(FACES) if count is None else count
    return header.ljust(80, b'\0') + struct.pack('<I', count) + rows.tobytes()


def stl_text(points: np.ndarray = CORNERS, newline: str = '\n', name: str = 'box') -> bytes:
    """An .stl of the box as text."""
    lines = [f'solid {name}']
    for corners in points[np.array(FACES)].tolist():
        lines += ['facet normal 0 0 0', 'outer loop']
        lines += [f'vertex {x!r} {y!r} {z!r}' for x, y, z in corners]
        lines += ['endloop', 'endfacet']
    return newline.join([*lines, f'endsolid {name}', '']).encode()


def stl_cases() -> Cases:
    """Both forms; their vertices are those of the triangles in turn."""
    corners = CORNERS[np.array(FACES)].reshape(-1, 3)
    return {
        'binary': (stl(), corners),
        'binary with a header "solid"': (stl(b'solid by hand'), corners),
        'text': (stl_text(), corners),
        'text, a name that is not ASCII': (stl_text(name='façade'), corners),
        'text, lines ended by CR': (stl_text(newline='\r'), corners),
        'text, capitals': (stl_text().upper(), corners),
        'byte order mark': (b'\xef\xbb\xbf' + stl_text(), corners),
        'doubles far from the origin': (stl_text(CORNERS + UTM), corners + UTM),
        '4e9 triangles': (stl(count=2**32 - 1), None),
        'cut short': (stl()[:-30], None),
        'text, cut short': (stl_text()[:-60], None),
        'a word for a number': (stl_text().replace(b'0.25', b'0.2S', 1), None),
    }


def las(points: np.ndarray = CORNERS, count: int | None = None) -> bytes:
    """A .las 1.2 of format 2, with intensities and colours, of points in millimetres."""
    count = len(points) if count is None else count
    offset = np.floor(points.mean(axis=0))
    header = b'LASF' + bytes(20) + bytes([1, 2]) + bytes(64) + struct.pack('<2H', 1, 2025)
    header += struct.pack('<HIIBHI5I', 227, 227, 0, 2, 26, count % 2**32, *[0] * 5)
    header += struct.pack('<6d', 0.001, 0.001, 0.001, *offset)
    header += struct.pack('<6d', *np.c_[points.max(0), points.min(0)].ravel())
    whole = np.round((points - offset) / 0.001).astype('<i4')
    rows = [
        struct.pack('<3iHBBbBH3H', *row, 7 * i, 0x11, 2, 0, 0, 0, 100 * i, 200 * i, 65535)
        for i, row in enumerate(whole.tolist())
    ]
    return header + b''.join(rows)


def las_cases() -> Cases:
    """Of version 1.2; a file whose points are in millimetres and whose offset is far away."""
    return {
        'format 2': (las(), CORNERS),
        'doubles far from the origin': (las(CORNERS + UTM), CORNERS + UTM),
        '4e9 points': (las(count=2**32 - 1), None),
        'cut short': (las()[:-30], None),
        'another magic number': (b'LASX' + las()[4:], None),
        'points of no length': (las()[:105] + b'\0\0' + las()[107:], None),
    }


PCD = """# .PCD v0.7
VERSION 0.7
FIELDS {fields}
SIZE {sizes}
TYPE {types}
COUNT {counts}
WIDTH {width}
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS {count}
DATA {form}
"""


def pcd(
    points: np.ndarray = CORNERS,
    form: str = 'ascii',
    kind: str = 'f4',
    count: int | None = None,
    newline: str = '\n',
    packed: bytes | None = None,
) -> bytes:
    """A .pcd with x, y, z, a padding of three bytes, rgb in a float, and intensities."""
    count = len(points) if count is None else count
    fields = [(axis, kind) for axis in 'xyz']
    dtype = np.dtype([*fields, ('_', 'u1', 3), ('rgb', '<f4'), ('intensity', '<f4')])
    rows = np.zeros(len(points), dtype)
    for index, axis in enumerate('xyz'):
        rows[axis] = points[:, index]
    colours = (np.arange(len(points)) << 16 | 0x80 << 8 | 0xFF).astype('<u4')
    rows['rgb'], rows['intensity'] = colours.view('<f4'), np.arange(len(points)) / 10
    size = dtype['x'].itemsize
    head = PCD.format(
        fields='x y z _ rgb intensity',
        sizes=f'{size} {size} {size} 1 4 4',
        types='F F F U F F',
        counts='1 1 1 3 1 1',
        width=count,
        count=count,
        form=form,
    )
    head = head.replace('\n', newline).encode()
    if form == 'ascii':
        lines = [
            ' '.join([*map(repr, xyz), '0 0 0', repr(float(row['rgb'])), str(row['intensity'])])
            for xyz, row in zip(points.tolist(), rows, strict=True)
        ]
        return head + newline.join([*lines, '']).encode()
    if form == 'binary':
        return head + rows.tobytes()
    columns = b''.join(rows[name].tobytes() for name in dtype.names)
    packed = lzf_literals(columns) if packed is None else packed
    return head + struct.pack('<2I', len(packed), len(columns)) + packed


def lzf_literals(data: bytes) -> bytes:
    """Data as LZF has it, in runs of at most 32 bytes, and one that repeats what was before."""
    runs = [data[i : i + 32] for i in range(0, len(data), 32)]
    return b''.join(bytes([len(run) - 1]) + run for run in runs)


def pcd_cases() -> Cases:
    """The three forms, each with a field that is padding."""
    far = CORNERS + UTM
    plain = pcd().replace(b' _ rgb', b' q rgb')
    return {
        'ascii': (plain, CORNERS),
        'ascii with padding': (pcd(), CORNERS),
        'binary': (pcd(form='binary'), CORNERS),
        'compressed': (pcd(form='binary_compressed'), CORNERS),
        'byte order mark': (b'\xef\xbb\xbf' + plain, CORNERS),
        'a comment that is not ASCII': (b'# fa\xe7ade\n' + plain, CORNERS),
        'lines ended by CR LF': (pcd(form='binary', newline='\r\n'), CORNERS),
        'lines ended by CR': (plain.replace(b'\n', b'\r'), CORNERS),
        'X, Y, Z': (plain.replace(b'x y z', b'X Y Z'), CORNERS),
        'doubles far from the origin': (pcd(far, 'binary', 'f8'), far),
        'doubles as text far from the origin': (pcd(far, kind='f8'), far),
        '1e12 points, binary': (pcd(form='binary', count=HUGE), None),
        '1e12 points, ascii': (pcd(count=HUGE), None),
        '1e12 points, compressed': (pcd(form='binary_compressed', count=HUGE), None),
        'cut short': (pcd(form='binary')[:-40], None),
        'cut short, ascii': (pcd()[:-40], None),
        'compressed to too much': (pcd(form='binary_compressed', packed=b'\x00a' * 9), None),
        'a word for a number': (pcd().replace(b'0.25', b'0.2S', 1), None),
    }


def text_cases() -> Cases:
    """Tables with and without headers; the points are the first three columns or those named."""
    rows = [' '.join(map(repr, row)) for row in CORNERS.tolist()]
    plain = '\n'.join([*rows, '']).encode()
    named = b'x,y,z\n' + plain.replace(b' ', b',')
    turned = '\n'.join(['z,x,y', *(f'{z!r},{x!r},{y!r}' for x, y, z in CORNERS.tolist())]).encode()
    worded = named.replace(b'\n', b',chair\n').replace(b'z,chair', b'z,n', 1)
    short = b'x,y,z\n' + plain.replace(b' ', b',').replace(b'\n', b',7\n')
    index = b''.join(b'%d,%s\n' % pair for pair in enumerate(named.splitlines()[1:]))
    return {
        'blanks': (plain, CORNERS),
        'commas and names': (named, CORNERS),
        'names in another order': (turned, CORNERS),
        'semicolons': (named.replace(b',', b';'), CORNERS),
        'a remark that is not ASCII': ('# façade\n'.encode('latin1') + plain, CORNERS),
        'byte order mark': (b'\xef\xbb\xbf' + named, CORNERS),
        'X, Y, Z': (named.replace(b'x,y,z', b'X,Y,Z'), CORNERS),
        'UTF-16': (named.decode().encode('utf-16'), CORNERS),
        'lines ended by CR': (named.replace(b'\n', b'\r'), CORNERS),
        'a column of words': (worded, CORNERS),
        'doubles far from the origin': (
            '\n'.join(','.join(map(repr, row)) for row in (CORNERS + UTM).tolist()).encode(),
            CORNERS + UTM,
        ),
        'a header one name short': (short, None),
        'a header of bare numbers': (b'0,1,2\n' + plain.replace(b' ', b','), None),
        'an index without a name': (index, None),
        'a longer row': (plain + b'1 2 3 4\n', None),
        'a word for a number': (plain.replace(b'0.25', b'0.2S', 1), None),
        'binary': (bytes(range(256)), None),
    }


def e57(points: np.ndarray = CORNERS, kind: str = 'double', count: int | None = None) -> bytes:
    """An .e57 of one scan with colours, moved by a pose of (1, 2, 3), its checksums in order."""
    fields = {f'cartesian{axis}': points[:, i] for i, axis in enumerate('XYZ')}
    types = dict.fromkeys(fields, f'<{{}} type="Float" precision="{kind}"/>')
    for index, name in enumerate(('colorRed', 'colorGreen', 'colorBlue')):
        fields[name] = (np.arange(len(points)) * (index + 1)).astype('u1')
        types[name] = '<{} type="Integer" minimum="0" maximum="255"/>'
    codes = {'double': '<f8', 'single': '<f4'}
    streams = [
        v.astype('u1' if v.dtype == 'u1' else codes[kind]).tobytes() for v in fields.values()
    ]
    lengths = struct.pack(f'<{len(streams)}H', *map(len, streams))
    packet = lengths + b''.join(streams)
    packet += bytes(-(len(packet) + 6) % 4)
    packet = struct.pack('<2B2H', 1, 0, len(packet) + 5, len(streams)) + packet
    section = struct.pack('<B7x3Q', 1, 32 + len(packet), _physical(48 + 32), 0) + packet
    prototype = ''.join(types[name].format(name) for name in fields)
    xml = E57.format(count=len(points) if count is None else count, prototype=prototype).encode()
    start = 48 + len(section)
    total = -(-(start + len(xml)) // 1020) * 1024
    head = b'ASTM-E57' + struct.pack('<2I4Q', 1, 0, total, _physical(start), len(xml), 1024)
    return e57_pages(head + section + xml)


E57 = """<?xml version="1.0" encoding="UTF-8"?>
<e57Root type="Structure" xmlns="http://www.astm.org/COMMIT/E57/2010-e57-v1.0">
<formatName type="String">ASTM E57 3D Imaging Data File</formatName>
<guid type="String">a</guid><versionMajor type="Integer">1</versionMajor>
<versionMinor type="Integer"/>
<data3D type="Vector" allowHeterogeneousChildren="1"><vectorChild type="Structure">
<guid type="String">b</guid>
<pose type="Structure"><rotation type="Structure"><w type="Float">1</w><x type="Float"/>
<y type="Float"/><z type="Float"/></rotation><translation type="Structure"><x type="Float">1</x>
<y type="Float">2</y><z type="Float">3</z></translation></pose>
<points type="CompressedVector" fileOffset="48" recordCount="{count}"><prototype type="Structure">
{prototype}</prototype><codecs type="Vector" allowHeterogeneousChildren="1"/></points>
</vectorChild></data3D>
<images2D type="Vector" allowHeterogeneousChildren="1"/></e57Root>"""


def _physical(offset: int) -> int:
    return offset // 1020 * 1024 + offset % 1020


def e57_pages(content: bytes) -> bytes:
    """Content in pages of 1,020 bytes, each with its checksum behind."""
    pages = [content[i : i + 1020].ljust(1020, b'\0') for i in range(0, len(content), 1020)]
    return b''.join(page + _crc32c(page).to_bytes(4, 'big') for page in pages)


def e57_content(pages: bytes) -> bytes:
    """What `e57_pages` was given."""
    return b''.join(pages[i : i + 1020] for i in range(0, len(pages), 1024))


def _crc32c(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state = _CRC[(state ^ byte) & 255] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def _crc_table() -> list[int]:
    table = []
    for state in range(256):
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
        table.append(state)
    return table


_CRC = _crc_table()


def e57_cases() -> Cases:
    """Of one scan, which has a pose."""
    moved = CORNERS + np.array([1, 2, 3])
    damaged = bytearray(e57())
    damaged[100] ^= 1
    return {
        'doubles': (e57(), moved),
        'single precision': (e57(kind='single'), moved),
        'doubles far from the origin': (e57(CORNERS + UTM), moved + UTM),
        '1e12 points': (e57(count=HUGE), None),
        'cut short': (e57()[:-1024], None),
        'a wrong checksum': (bytes(damaged), None),
    }


CASES = {
    'ply': ply_cases,
    'obj': obj_cases,
    'off': off_cases,
    'stl': stl_cases,
    'las': las_cases,
    'pcd': pcd_cases,
    'e57': e57_cases,
    'csv': text_cases,
}
