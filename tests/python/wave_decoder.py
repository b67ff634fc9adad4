"""A decoder of the codec wave by docs/format.md alone, a pixel at a time. It believes what it reads."""

import struct

from numcodecs import Zstd

LANES = 32


def clamp(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))


def wrapped(value: int) -> int:
    """As 16 bits hold it."""
    return (value + 32768) % 65536 - 32768


def signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def neighbours(plane: list[list[int]], y: int, x: int, above: int) -> list[int]:
    """W, NW, N, NN, NE, WW, NNE, NWW."""

    def at(up: int, x: int) -> int:
        return plane[y - up][x] if y >= up else above

    n, nn = at(1, x), at(2, x)
    w, nw, ww, nww = (
        (n, n, n, n)
        if x == 0
        else (at(0, 0), at(1, 0), at(1, 0), at(1, 0))
        if x == 1
        else (at(0, x - 1), at(1, x - 1), at(0, x - 2), at(1, x - 2))
    )
    is_last = x + 1 == len(plane[0])
    ne, nne = (n, nn) if is_last else (at(1, x + 1), at(2, x + 1))
    return [w, nw, n, nn, ne, ww, nne, nww]


def read_tables(stream, n: int) -> list[list[tuple[int, int, int]]]:
    """The slots of each context: residual, how often it comes, the slot's number among its own."""
    contexts = []
    for _ in range(n):
        first, more = next(stream), next(stream)
        slots: list[tuple[int, int, int]] = []
        for residual in range(first - 128, first + more - 127):
            often = next(stream)
            if often == 255:
                often = next(stream) + 256 * next(stream)
            slots += [(residual, often, i) for i in range(often)]
        assert len(slots) == 512
        contexts.append(slots)
    return contexts


def decode(stream: bytes, channels: int, height: int, width: int) -> bytes:
    """The pixels of a stream, ``[channel, y, x]``."""
    if stream[0] == 0:
        return stream[1:]
    head = struct.Struct("<8b4b4BhB3BI")
    n_tables = struct.unpack_from("<I", stream, 1)[0]
    heads = [head.unpack_from(stream, 5 + c * head.size) for c in range(channels)]
    at = 5 + channels * head.size
    packed = Zstd().decode(stream[at : at + n_tables])
    tables, at = iter(packed), at + n_tables
    pixels, residuals = [], []
    for fields in heads:
        w, v, refs = fields[:8], fields[8:12], fields[12:16]
        (bias, above), thresholds, n_words = fields[16:18], fields[18:21], fields[21]
        is_fast = stream[0] == 2
        slots = read_tables(tables, 1 if is_fast else 16)
        states = list(struct.unpack_from("<32I", stream, at))
        words = iter(struct.unpack_from(f"<{n_words}H", stream, at + 128))
        at += 128 + 2 * n_words
        plane = [[0] * width for _ in range(height)]
        missed = [[0] * width for _ in range(height)]
        period = max(width, 64)
        bands = -(-height // LANES)
        for step in range(bands * period + 2 * LANES):
            for lane in range(LANES):
                band, x = divmod(step - 2 * lane, period)
                y = band * LANES + lane
                if band < 0 or x >= width or y >= height:
                    continue
                f = neighbours(plane, y, x, above)
                r = [0 if ref == 255 else signed(residuals[ref][y][x]) for ref in refs]
                s = bias + 64 - 16384
                s = wrapped(s + sum(a * b for a, b in zip([*f, *r], [*w, *v], strict=True)))
                a = [abs(signed(value)) for value in neighbours(missed, y, x, 0)]
                activity = 2 * a[0] + a[1] + 2 * a[2] + a[3] + a[4] + a[5] + a[7] + sum(map(abs, r))
                level = sum(threshold < min(255, activity) for threshold in thresholds)
                context = 0 if is_fast else 4 * level + (s >> 5 & 3)
                residual, often, i = slots[context][states[lane] & 511]
                states[lane] = often * (states[lane] >> 9) + i
                if states[lane] < 65536:
                    states[lane] = states[lane] << 16 | next(words)
                missed[y][x] = residual % 256
                plane[y][x] = (128 + clamp(s >> 7, -128, 127) + residual) % 256
        assert states == [65536] * LANES and next(words, None) is None
        pixels.append(plane)
        residuals.append(missed)
    assert at == len(stream) and next(tables, None) is None
    return bytes(value for plane in pixels for row in plane for value in row)
