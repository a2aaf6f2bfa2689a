"""Small files that unpack to gigabytes, and headers that announce them."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache, partial

PIECE, PIECES = 64 << 20, 48  # 3 GB, as a gzip file of several members
SIDE = 9_400  # pixels; 88 megapixels
ROWS = 1 << 27  # half a gigabyte of floats
HEADER = b'{"w1":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'


@cache
def bomb(name: str) -> bytes:
    """Return the content of a bomb."""
    return BOMBS[name]()


def _packed(start: bytes, filler: bytes) -> bytes:
    """A gzip file of 3 GB: a start, and a filler again and again."""
    piece = gzip.compress(filler * (PIECE // len(filler)), 6, mtime=0)
    return gzip.compress(start, mtime=0) + piece * PIECES


def _unequal_rows() -> bytes:
    """A .npz file of two arrays, of which one is large."""
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, rows in (("size", ROWS), ("kind", 3)):
            with file.open(f"{name}.npy", "w") as member:
                member.write(npy_header("<f4", (rows,)))
                for start in range(0, rows, 1 << 20):
                    member.write(bytes(4 * min(1 << 20, rows - start)))
    return result.getvalue()


def _announced_images() -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as file:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            file.writestr(f"{name}.npy", npy_header("|u1", (1 << 40, 28, 28)))
    return result.getvalue()


def npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Return the header of a .npy file."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def _picture(side: int, rows: int) -> bytes:
    """A white PNG of side×side pixels, of which some rows are there."""
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(side + 1)) for _ in range(rows)) + packer.flush()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in parts)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _sheet() -> bytes:
    """An Excel file of 140 KB whose sheet unpacks to a hundred megabytes."""
    result, types = io.BytesIO(), "application/vnd.openxmlformats-officedocument.spreadsheetml"
    office = "http://schemas.openxmlformats.org"
    namespace = f'xmlns="{office}/spreadsheetml/2006/main"'
    related = f'xmlns:r="{office}/officeDocument/2006/relationships"'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{office}/package/2006/content-types">'
        f'<Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{types}.worksheet+xml"/></Types>',
        "_rels/.rels": _relation("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook {namespace} {related}><sheets><sheet name="a" sheetId="1" r:id="r1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": _relation("worksheet", "worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f"<worksheet {namespace}><sheetData>"
        + "<row><c><v>1</v></c></row>" * 4_000_000
        + "</sheetData></worksheet>",
    }
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return result.getvalue()


def _relation(kind: str, target: str) -> str:
    office = "http://schemas.openxmlformats.org"
    return (
        f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument/2006/relationships/{kind}" Target="{target}"/></Relationships>'
    )


BOMBS: dict[str, Callable[[], bytes]] = {
    "zeros.csv.gz": partial(_packed, b"size,kind\n", b"\0"),
    "newlines.csv.gz": partial(_packed, b"size,kind\n", b"\n"),
    "commas.csv.gz": partial(_packed, b"size,kind\n", b","),
    "line.csv.gz": partial(_packed, b"size,kind\n", b"7"),
    "quote.csv.gz": partial(_packed, b'size,kind\n"', b"x\n"),
    "wide.csv": lambda: b"a," * 3_000_000 + b"b\n1\n",
    "sheet.xlsx": _sheet,
    "rows.npz": _unequal_rows,
    "announced.npz": _announced_images,
    "announced.npy": lambda: npy_header("<f4", (1 << 38,)),
    "large.png": partial(_picture, SIDE, SIDE),
    "announced.png": partial(_picture, 100_000, 10),
    "model.safetensors": lambda: len(HEADER).to_bytes(8, "little") + HEADER,
    "head.safetensors": lambda: (1 << 62).to_bytes(8, "little") + HEADER,
}
