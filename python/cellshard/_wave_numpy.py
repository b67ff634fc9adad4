"""The codec ``wave`` decoded by NumPy, for where the package's core is not: this file imports nothing of the package,
so that it can be copied. It needs NumPy and a decoder of zstd: that of numcodecs, which comes with zarr, or of Python
3.14.

>>> import wave_numpy
>>> pixels = wave_numpy.decode(stream, (6, 512, 512))  # [channel, y, x] uint8

docs/format.md of cellshard specifies the streams. All lanes of all channels are decoded together, each channel a step
behind the one before, whose residuals it is predicted by.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Malformed", "decode"]

LANES = 32
#: Steps that a lane is behind the one above.
BEHIND = 2
CONTEXTS = 16
#: What the frequencies of a context add up to.
SUM = 512
LEAST_STATE = 1 << 16
#: The most bytes that the tables of a channel have.
MOST_OF_TABLES = CONTEXTS * (2 + 256 * 3)
HEAD = np.dtype(
    [
        ("w", "i1", 8),
        ("v", "i1", 4),
        ("references", "u1", 4),
        ("bias", "<i2"),
        ("above", "u1"),
        ("thresholds", "u1", 3),
        ("words", "<u4"),
    ]
)
#: Of each neighbour how many steps before, and how many lanes above: W, NW, N, NN, NE, WW, NNE, NWW.
W, NW, N, NN, NE, WW, NNE, NWW = NEIGHBOURS = [(1, 0), (3, 1), (2, 1), (4, 2), (1, 1), (2, 0), (3, 2), (4, 1)]
#: Of which two are multiplied and added in 16 bits, by their places among the neighbours.
PAIRS = [[0, 5], [2, 4], [1, 7], [3, 6]]
#: Those whose residuals add up to the activity.
ACTIVE = [W, W, N, N, NW, NN, NE, WW, NWW]
#: Those that are others at the left edge, and at the right one.
AT_LEFT, AT_RIGHT = {W: N, NW: N, WW: N, NWW: N}, {NE: N, NNE: NN}


class Malformed(ValueError):
    """What is no stream of exactly such pixels: what was ``expected``, and what was ``found``."""

    def __init__(self, expected, found):
        super().__init__(f"stream: expected {expected}, found {found}")
        self.expected, self.found = expected, found


def decode(stream, shape):
    """The pixels of a stream.

    Args:
        stream: bytes, or what has the buffer protocol; all of one stream, and nothing behind it.
        shape: ``(channels, height, width)``, each 1 or more.

    Returns:
        Grey levels, ``[channel, y, x] uint8``.

    Raises:
        Malformed: (a ``ValueError``) if it is not a stream of exactly such pixels.
        ImportError: if there is no decoder of zstd.
    """
    stream = np.frombuffer(stream, np.uint8)
    channels, height, width = map(int, shape)
    if min(channels, height, width) < 1:
        raise ValueError(f"shape: expected channels, height and width, each 1 or more, found {tuple(shape)}")
    if not len(stream):
        raise Malformed("a stream of the codec wave", "nothing")
    n_pixels = channels * height * width
    if stream[0] == 0:
        if len(stream) - 1 != n_pixels:
            raise Malformed(f"{n_pixels} stored pixels", f"{len(stream) - 1} pixels")
        return stream[1:].reshape(channels, height, width).copy()
    if stream[0] not in (1, 2):
        raise Malformed("a stream of the codec wave, version 1", f"kind {stream[0]}")
    heads, frame, states, words = _parts(stream, channels)
    contexts = CONTEXTS if stream[0] == 1 else 1
    slots = _slots(_unpacked(frame, channels * MOST_OF_TABLES), channels, contexts)
    return _Lanes(heads, contexts, slots, states, words, height, width).decode()


def _parts(stream, channels):
    """Heads, the frame of the tables, states ``[channel, lane] int64`` and words, a list of ``[n] int64``."""
    at = 1

    def take(n):
        nonlocal at
        if n > len(stream) - at:
            raise Malformed("a whole stream of the codec wave", f"one that lacks {n - (len(stream) - at)} bytes")
        at += n
        return stream[at - n : at]

    n_frame = int(take(4).view("<u4")[0])
    heads = take(channels * HEAD.itemsize).view(HEAD)
    frame = take(n_frame)
    states, words = np.empty((channels, LANES), np.int64), []
    for channel, head in enumerate(heads):
        states[channel] = take(4 * LANES).view("<u4")
        words.append(take(2 * int(head["words"])).view("<u2").astype(np.int64))
    if at != len(stream):
        raise Malformed("the end of a stream of the codec wave", f"{len(stream) - at} bytes more")
    before = (heads["references"] == 255) | (heads["references"] < np.arange(channels)[:, None])
    pairs = heads["w"][:, PAIRS].astype(int)
    positive, negative = np.maximum(pairs, 0).sum(-1), np.minimum(pairs, 0).sum(-1)
    fit = ((positive <= 128) & (negative >= -128)).all(-1) & (heads["v"] != -128).all(-1)
    for channel in range(channels):
        if not before[channel].all():
            raise Malformed("references to channels before", f"others, of channel {channel}")
        if not fit[channel]:
            raise Malformed("weights of which two fit into 16 bits", f"others, of channel {channel}")
        if states[channel].min() < LEAST_STATE:
            raise Malformed("states of 65536 and more", f"less in channel {channel}")
    return heads, frame, states, words


def _unpacked(frame, most):
    """What a frame of zstd has. It is looked at first: it must say how much, not too much, and be alone."""
    frame = frame.tobytes()
    size, end = _size_and_end(frame)
    if size is None or size > most or end != len(frame):
        raise Malformed(
            "tables compressed by zstd", f"no frame that says to have {most} bytes at most, or more behind it"
        )
    try:
        unpacked = _decompress(frame, size)
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        raise Malformed("tables compressed by zstd", str(error)) from error
    if len(unpacked) != size:
        raise Malformed("tables compressed by zstd", f"{len(unpacked)} bytes where the frame says {size}")
    return unpacked


def _size_and_end(frame):
    """How many bytes a frame of zstd says to have, if it does, and where it ends (RFC 8878)."""

    def number(at, n):
        return int.from_bytes(frame[at : at + n], "little")

    flags = number(4, 1)
    is_single, has_checksum = flags >> 5 & 1, flags >> 2 & 1
    n_size = (is_single, 2, 4, 8)[flags >> 6]
    at = 5 + (1 - is_single) + (0, 1, 2, 4)[flags & 3]
    size = number(at, n_size) + (256 if n_size == 2 else 0) if n_size else None
    at += n_size
    is_last = False
    while not is_last and at < len(frame):
        block = number(at, 3)
        is_last, is_repeated = block & 1, block >> 1 & 3 == 1
        at += 3 + (1 if is_repeated else block >> 3)
    return size, at + 4 * has_checksum


def _decompress(frame, size):
    """The bytes of a frame, which are as many, or others."""
    try:
        from compression.zstd import ZstdDecompressor  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        from numcodecs import Zstd

        return bytes(Zstd().decode(frame))
    return ZstdDecompressor().decompress(frame, size + 1)


def _slots(tables, channels, contexts):
    """Of each slot its residual, how often that comes, and the slot's number among its own: each
    ``[channel * context * slot]``."""
    at, residuals, often = 0, [], []
    for table in range(channels * contexts):
        wrong = Malformed("whole tables", f"others in channel {table // contexts}")
        if at + 2 > len(tables):
            raise wrong
        first, more = tables[at], tables[at + 1]
        at += 2
        total = 0
        for residual in range(first - 128, first + more - 127):
            n = tables[at] if at < len(tables) else 255
            at += 1
            if n == 255:
                if residual > 127 or at + 2 > len(tables):
                    raise wrong
                n = tables[at] | tables[at + 1] << 8
                at += 2
            total += n
            if residual > 127:
                raise wrong
            residuals.append(residual)
            often.append(n)
        if total != SUM:
            raise wrong
    if at != len(tables):
        raise Malformed("no more tables", f"{len(tables) - at} bytes")
    counts = np.array(often, np.int64)
    begins = np.cumsum(counts) - counts
    ranks = np.arange(channels * contexts * SUM) - np.repeat(begins, counts)
    return np.repeat(np.array(residuals, np.int16), counts), np.repeat(counts, counts), ranks


class _Lanes:
    """All lanes of all channels, ``[channel * lane]``.

    What is decoded is kept for a period of steps and some before, as ``trail[step, plane, channel, lane]``, of which a
    plane is pixels or residuals: two more lanes stand before the first, as the last two were a period ago, less what
    these are behind, so that what is above a lane is always one or two lanes before it. The last channel has no
    residuals but 0, for a reference that there is not.
    """

    def __init__(self, heads, contexts, slots, states, words, height, width):
        self.shape = self.channels, self.height, self.width = len(heads), height, width
        self.period, self.bands = max(width, BEHIND * LANES), -(-height // LANES)
        self.lag = BEHIND * (LANES - 1) + self.channels - 1
        #: Of each lane how many steps it is behind the first of all.
        channel, lane = np.divmod(np.arange(self.channels * LANES), LANES)
        self.behind, self.lane = channel + BEHIND * lane, lane
        self.weights = np.repeat(np.concatenate([heads["w"], heads["v"]], 1).T.astype(np.int16), LANES, 1)
        self.start = np.repeat((heads["bias"].astype(np.int32) + 64 - 16384).astype(np.int16), LANES)
        thresholds = heads["thresholds"].T.astype(np.int16)
        # Activities end at 255, and need not be cut off for this.
        self.thresholds = np.repeat(np.where(thresholds == 255, np.int16(32767), thresholds), LANES, 1)
        self.residual_of_slot, self.often_of_slot, self.rank_of_slot = slots
        self.table, self.has_contexts = channel * (contexts * SUM), contexts > 1
        self.states = states.reshape(-1)
        self.words = np.concatenate([*words, [0]])
        ends = np.cumsum([len(of_channel) for of_channel in words])
        #: Of each channel the word before its next one, and its last.
        self.word, self.last_word = (ends - [len(of_channel) for of_channel in words] - 1)[:, None], ends - 1

        self.before = max(self.period, self.channels) + 4
        self.trail = np.zeros((self.before + self.period, 2, self.channels + 1, 2 + LANES), np.int16)
        self.above = heads["above"].astype(np.int16)
        self.trail[:, 0, :-1] = self.above[:, None]
        self.reach = max(4, self.channels)
        self.places = self._places(heads["references"], channel, lane)

    def _places(self, references, channel, lane):
        """Where what each lane looks at stands in the trail, counted from ``reach`` steps before: the pixels of its
        neighbours, the residuals of its references, and those of its neighbours that make it active."""

        def at(plane, back, channel, lane):
            place = ((self.reach - back) * 2 + plane) * (self.channels + 1) + channel
            return place * (2 + LANES) + 2 + lane

        own = references.astype(np.int64)[channel]
        used = np.where(own == 255, self.channels, own)
        back = np.where(own == 255, 1, channel[:, None] - own)
        return np.stack(
            [at(0, steps, channel, lane - lanes) for steps, lanes in NEIGHBOURS]
            + [at(1, back[:, i], used[:, i], lane) for i in range(4)]
            + [at(1, steps, channel, lane - lanes) for steps, lanes in ACTIVE]
        )

    def decode(self):
        pixels = np.zeros(self.shape, np.uint8)
        n_steps = self.bands * self.period + self.lag
        seen = np.empty(self.places.shape, np.int16)
        row = self.trail[0].size
        flat = self.trail.reshape(-1)
        for band in range(-(-n_steps // self.period)):
            is_full = (band + 1) * LANES <= self.height
            for phase in range(min(self.period, n_steps - band * self.period)):
                now = self.before + phase
                np.take(flat[(now - self.reach) * row :], self.places, mode="clip", out=seen)
                idle = None
                # Most steps are at no edge.
                if not is_full or not self.lag + 2 <= phase < self.width - 1:
                    idle = self._edges(seen, band * self.period + phase)
                self._step(seen, idle, self.trail[now])
                self.trail[now, :, :, :2] = self.trail[now - (self.period - BEHIND * LANES), :, :, LANES:]
            self._put(band, pixels)
            self.trail[: self.before] = self.trail[self.period :].copy()
        for channel in range(self.channels):
            is_at_end = self.word[channel, 0] == self.last_word[channel]
            if not is_at_end or (self.states[channel * LANES :][:LANES] != LEAST_STATE).any():
                raise Malformed("residuals that end where they should", f"others in channel {channel}")
        return pixels

    def _edges(self, seen, step):
        """Puts in what edges have, and gives which lanes are idle."""
        band, x = np.divmod(step - self.behind, self.period)
        for begin, of in ((0, NEIGHBOURS), (len(NEIGHBOURS) + 4, ACTIVE)):
            rows = seen[begin : begin + len(of)]
            own = {neighbour: rows[of.index(neighbour)] for neighbour in of}
            for row, neighbour in zip(rows, of, strict=True):
                if neighbour in AT_LEFT:
                    np.copyto(row, own[AT_LEFT[neighbour]], where=x == 0)
                if neighbour in (WW, NWW):
                    np.copyto(row, own[NW], where=x == 1)
                if neighbour in AT_RIGHT:
                    np.copyto(row, own[AT_RIGHT[neighbour]], where=x == self.width - 1)
        return (band < 0) | (x >= self.width) | (band * LANES + self.lane >= self.height)

    def _step(self, seen, idle, trail):
        """Decodes a pixel of each lane that is not idle."""
        sums = np.add.reduce(seen[:12] * self.weights, 0, dtype=np.int16)
        sums += self.start
        slot = self.table + (self.states & (SUM - 1))
        if self.has_contexts:
            activity = np.add.reduce(np.abs(seen[8:]), 0, dtype=np.int16)
            level = np.add.reduce(activity > self.thresholds, 0, dtype=np.int16)
            # A context is 4 level + ((s >> 5) & 3), and has 512 slots.
            slot += (level << 11) + ((sums & 96) << 4)
        residual = self.residual_of_slot.take(slot)
        state = self.states >> 9
        state *= self.often_of_slot.take(slot)
        state += self.rank_of_slot.take(slot)
        is_short = state < LEAST_STATE
        if idle is not None:
            np.copyto(state, self.states, where=idle)
            is_short &= ~idle
        taken = np.add.accumulate(is_short.reshape(-1, LANES), 1, dtype=np.int64)
        taken += self.word
        self.word = taken[:, -1:].copy()
        word = self.words.take(taken.reshape(-1), mode="clip")
        word += state << 16
        np.copyto(state, word, where=is_short)
        self.states = state
        pixel = np.maximum(np.minimum(sums >> 7, 127), -128)
        pixel += residual
        pixel += 128
        pixel &= 255
        if idle is not None:
            residual[idle] = 0
            np.copyto(pixel, np.repeat(self.above, LANES), where=idle)
        trail[0, :-1, 2:] = pixel.reshape(-1, LANES)
        trail[1, :-1, 2:] = residual.reshape(-1, LANES)

    def _put(self, period, pixels):
        """Puts what was decoded in a period where it belongs."""
        for i, (behind, lane) in enumerate(zip(self.behind.tolist(), self.lane.tolist(), strict=True)):
            row = self.trail[self.before :, 0, i // LANES, 2 + lane]
            band, x = divmod(period * self.period - behind, self.period)
            in_band, in_next = row[: self.period - x], row[self.period - x :]
            for of_row, y, begin in ((in_band, band * LANES + lane, x), (in_next, (band + 1) * LANES + lane, 0)):
                if 0 <= y < self.height and begin < self.width:
                    of_row = of_row[: self.width - begin]
                    pixels[i // LANES, y, begin : begin + len(of_row)] = of_row
