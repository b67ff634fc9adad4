"""The codec wave from Python: by the package's core and by NumPy alone, which are the same."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers import changed, smooth

import cellshard
from cellshard import wave

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "fixtures/wave.json").read_text())
#: Bytes of a channel's head, where in it its parts begin, and bytes of its states.
HEAD, REFERENCE_WEIGHTS, REFERENCES, WORDS, STATES = 26, 8, 12, 22, 128


@pytest.fixture(params=[True, False], ids=["native", "numpy"])
def native(request):
    """Whether the core decodes, or NumPy."""
    if not request.param and sys.version_info < (3, 14):
        pytest.importorskip("numcodecs", reason="numcodecs is not installed here, which reads zstd")
    return request.param


IMAGES = {
    "constant": lambda shape: np.full(shape, 77, np.uint8),
    "black": lambda shape: np.zeros(shape, np.uint8),
    "white": lambda shape: np.full(shape, 255, np.uint8),
    "extremes": lambda shape: np.random.default_rng(1).choice(np.array([0, 255], np.uint8), shape),
    "noise": lambda shape: np.random.default_rng(2).integers(0, 256, shape, np.uint8),
    "checkerboard": lambda shape: (np.indices(shape).sum(0) % 2 * 255).astype(np.uint8),
    "smooth": smooth,
    "rough": lambda shape: smooth(shape, seed=3, step=9),
}
SHAPES = [
    (1, 1, 1),
    (1, 1, 200),
    (2, 200, 1),
    (1, 2, 2),
    (3, 31, 63),
    (2, 32, 64),
    (3, 33, 65),
    (4, 64, 66),
    (2, 65, 300),
]
LARGE = [(12, 70, 130), (1, 33, 2049), (6, 512, 512), (70, 32, 32)]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['shape']} {vector['stream'][:2]}")
def test_the_vectors_of_the_format(native, vector):
    stream, shape = bytes.fromhex(vector["stream"]), vector["shape"]
    pixels = np.frombuffer(bytes.fromhex(vector["pixels"]), np.uint8).reshape(shape)
    decoded = wave.decode(stream, shape, native=native)
    assert decoded.dtype == np.uint8 and decoded.flags.writeable and (decoded == pixels).all()
    assert wave.encode(pixels, mode="fast" if stream[0] == 2 else "small") == stream


@pytest.mark.parametrize("mode", ["small", "fast"])
@pytest.mark.parametrize("name", IMAGES)
def test_pixels_come_back(native, name, mode):
    for shape in SHAPES + LARGE * (native or name == "smooth"):
        pixels = IMAGES[name](shape)
        stream = wave.encode(pixels, mode=mode)
        assert len(stream) <= pixels.size + 1
        assert (wave.decode(stream, shape, native=native) == pixels).all(), shape
        if name in ("constant", "black", "white") and pixels.size > 10_000:
            assert stream[0] == {"small": 1, "fast": 2}[mode] and len(stream) < pixels.size / 6


def test_arrays_in_any_order_and_streams_of_any_buffer(native):
    pixels = smooth((3, 40, 70))
    stream = wave.encode(pixels)
    assert stream[0] == 1
    assert wave.encode(np.asfortranarray(pixels)) == stream
    assert wave.encode(np.repeat(pixels, 2, 2)[:, :, ::2]) == stream
    padded = b"x" + stream
    for same in (bytearray(stream), memoryview(padded)[1:], np.frombuffer(stream, np.uint8)):
        assert (wave.decode(same, pixels.shape, native=native) == pixels).all()
    assert (wave.decode(stream, np.array(pixels.shape), native=native) == pixels).all()


def test_pixels_are_put_where_they_are_wanted(native):
    pixels = smooth((2, 40, 50))
    stream = wave.encode(pixels)
    batch = np.full((3, *pixels.shape), 9, np.uint8)
    assert wave.decode(stream, pixels.shape, out=batch[1], native=native) is not batch
    assert (batch[1] == pixels).all() and (batch[[0, 2]] == 9).all()
    read_only = np.zeros(pixels.shape, np.uint8)
    read_only.setflags(write=False)
    others = [np.zeros((2, 50, 40), np.uint8), pixels.astype(np.int8), np.zeros(pixels.shape, np.uint8, "F"), read_only]
    for other in others:
        with pytest.raises(cellshard.RefusedError, match="^out: expected .*, found"):
            wave.decode(stream, pixels.shape, out=other, native=native)
    with pytest.raises(TypeError, match="^out: expected an array"):
        wave.decode(stream, pixels.shape, out=bytearray(4000), native=native)


def test_arguments_that_are_none(native):
    for shape in ((3, 4), (1, 2, 3, 4), (0, 2, 2), (1, -1, 2)):
        with pytest.raises(ValueError, match="^shape: expected channels, height and width"):
            wave.decode(b"\0", shape, native=native)
    for shape in (3, (1, 2.5, 3), "abc", None):
        with pytest.raises(TypeError):
            wave.decode(b"\0", shape, native=native)
    for stream in ("text", 7, None, [0]):
        with pytest.raises(TypeError):
            wave.decode(stream, (1, 1, 1), native=native)
    for pixels in (np.zeros((4, 4), np.uint8), np.zeros((1, 1, 4, 4), np.uint8), np.zeros((1, 4, 4), np.int8), [[[1]]]):
        with pytest.raises(ValueError, match=r"^pixels: expected \[channel, y, x\] of uint8, found u?int"):
            wave.encode(pixels)
    with pytest.raises(ValueError, match="each 1 or more"):
        wave.encode(np.zeros((1, 0, 4), np.uint8))
    with pytest.raises(ValueError, match="^mode: expected small or fast, found"):
        wave.encode(np.zeros((1, 4, 4), np.uint8), mode="best")


def parts(stream, channels):
    """Where the frame of tables begins and ends, and where each channel's states begin."""
    begin = 5 + HEAD * channels
    end = begin + int.from_bytes(stream[1:5], "little")
    states, at = [], end
    for channel in range(channels):
        states.append(at)
        words = 5 + HEAD * channel + WORDS
        at += STATES + 2 * int.from_bytes(stream[words : words + 4], "little")
    assert at == len(stream)
    return begin, end, states


def count_of_words(stream, channel, more):
    at = 5 + HEAD * channel + WORDS
    return (int.from_bytes(stream[at : at + 4], "little") + more).to_bytes(4, "little")


def with_tables(stream, channels, change):
    from numcodecs import Zstd

    begin, end, _ = parts(stream, channels)
    frame = Zstd(3).encode(change(bytes(Zstd().decode(stream[begin:end]))))
    return stream[:1] + len(frame).to_bytes(4, "little") + stream[5:begin] + frame + stream[end:]


DAMAGE = {
    "nothing": (lambda s: b"", "a stream of the codec wave, found nothing"),
    "another kind": (lambda s: changed(s, 0, 3), "a stream of the codec wave, version 1, found kind 3"),
    "the other kind": (lambda s: changed(s, 0, 2), "no more tables, found"),
    "stored pixels": (lambda s: changed(s, 0, 0), r"6000 stored pixels, found \d+ pixels"),
    "no more than a kind": (lambda s: s[:1], "a whole stream of the codec wave, found one that lacks 4 bytes"),
    "cut in its heads": (lambda s: s[:20], r"a whole stream .* lacks \d+ bytes"),
    "cut in its tables": (lambda s: s[: 5 + 2 * HEAD + 3], r"a whole stream .* lacks \d+ bytes"),
    "cut in its words": (lambda s: s[:-1], "a whole stream .* lacks 1 bytes"),
    "more at its end": (lambda s: s + b"x", "the end of a stream .*, found 1 bytes more"),
    "a frame past the end": (lambda s: changed(s, 1, 255, 255, 255, 255), r"a whole stream .* lacks \d+ bytes"),
    "words past the end": (lambda s: changed(s, 5 + WORDS, 255, 255, 255, 255), r"a whole stream .* lacks \d+ bytes"),
    "a reference to itself": (lambda s: changed(s, 5 + REFERENCES, 0), "references to channels before, .* channel 0"),
    "a reference ahead": (
        lambda s: changed(s, 5 + HEAD + REFERENCES, 1),
        "references to channels before, .* channel 1",
    ),
    "heavy weights": (
        lambda s: changed(changed(s, 5, 127), 10, 2),
        "weights of which two fit into 16 bits, .* channel 0",
    ),
    "negative weights": (
        lambda s: changed(changed(s, 5 + HEAD + 3, 128), 5 + HEAD + 6, 255),
        "weights of which two .* channel 1",
    ),
    "no negative": (lambda s: changed(s, 5 + REFERENCE_WEIGHTS, 128), "weights of which two fit .* channel 0"),
    "a low state": (lambda s: changed(s, parts(s, 2)[2][1] + 4, 255, 255, 0, 0), "states of 65536 .* in channel 1"),
    "another state": (
        lambda s: changed(s, parts(s, 2)[2][0], s[parts(s, 2)[2][0]] ^ 1),
        "residuals that end .* channel 0",
    ),
    "another last word": (lambda s: changed(s, len(s) - 1, s[-1] ^ 1), "residuals that end where .* channel 1"),
    "a word left over": (
        lambda s: changed(s, 5 + HEAD + WORDS, *count_of_words(s, 1, 1)) + b"xy",
        "residuals that end where they should, .* channel 1",
    ),
    "no frame": (lambda s: changed(s, 5 + 2 * HEAD, 0), "tables compressed by zstd"),
    "a broken frame": (lambda s: changed(s, parts(s, 2)[1] - 9, *[85] * 9), "tables compressed by zstd"),
    "more tables": (lambda s: with_tables(s, 2, lambda t: t + b"x"), "no more tables, found 1 bytes"),
    "fewer tables": (lambda s: with_tables(s, 2, lambda t: t[:-1]), "whole tables, found others in channel 1"),
    "another sum": (lambda s: with_tables(s, 2, lambda t: changed(t, 2, t[2] ^ 1)), "whole tables, found others in"),
    "no residual": (lambda s: with_tables(s, 2, lambda t: changed(t, 0, 250, 20)), "whole tables, found others in"),
    "tables without end": (lambda s: with_tables(s, 2, lambda t: bytes(1_000_000)), "tables compressed by zstd"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_no_stream_is_named(native, name):
    change, message = DAMAGE[name]
    if "tables" in name or name in ("another sum", "no residual"):
        pytest.importorskip("numcodecs", reason="numcodecs is not installed here, which makes other tables")
    pixels = smooth((2, 50, 60))
    with pytest.raises(cellshard.DamagedError, match=f"^stream: expected {message}") as error:
        wave.decode(change(wave.encode(pixels)), pixels.shape, native=native)
    assert (error.value.place, error.value.site) == ("stream", None)
    assert f"expected {error.value.expected}, found {error.value.found}" in str(error.value)


def outcome(stream, shape, native):
    """The pixels of a stream that may be anything, as bytes, or nothing."""
    try:
        return wave.decode(stream, shape, native=native).tobytes()
    except cellshard.DamagedError:
        return None


def test_flipped_bits_and_cuts_are_errors_in_both():
    pytest.importorskip("numcodecs", reason="numcodecs is not installed here, which reads zstd")
    pixels = smooth((2, 70, 90), step=3)
    stream = wave.encode(pixels)
    assert stream[0] == 1
    rng = np.random.default_rng(4)
    n_errors = 0
    for bit in rng.choice(len(stream) * 8, 300, replace=False):
        flipped = changed(stream, bit // 8, stream[bit // 8] ^ 1 << bit % 8)
        found = [outcome(flipped, pixels.shape, native) for native in (True, False)]
        # A head may say otherwise what makes no difference; else the residuals would end elsewhere.
        assert found[0] == found[1] and found[0] in (None, pixels.tobytes()), bit
        n_errors += found[0] is None
    assert n_errors >= 290
    for length in rng.choice(len(stream), 50, replace=False):
        assert outcome(stream[:length], pixels.shape, True) is outcome(stream[:length], pixels.shape, False) is None


def test_flipped_bits_of_fast_streams_are_the_same_to_both():
    """Where residuals are taken without looking at pixels, a flip in a model is believed: that is for the crc32c."""
    pytest.importorskip("numcodecs", reason="numcodecs is not installed here, which reads zstd")
    pixels = smooth((4, 70, 90), step=3)
    stream = wave.encode(pixels, mode="fast")
    assert stream[0] == 2
    anywhere = np.random.default_rng(5).choice(len(stream) * 8, 150, replace=False)
    bits = [*anywhere.tolist(), *range(40, 41 + HEAD * 8)]
    n_errors = 0
    for bit in bits:
        flipped = changed(stream, bit // 8, stream[bit // 8] ^ 1 << bit % 8)
        found = [outcome(flipped, pixels.shape, native) for native in (True, False)]
        assert found[0] == found[1], bit
        n_errors += found[0] is None
    assert 140 <= n_errors < len(bits)


def test_another_shape_is_an_error(native):
    stream = wave.encode(smooth((2, 50, 60)))
    for shape in ((2, 60, 50), (1, 50, 60), (3, 50, 60), (2, 51, 60), (2, 50, 61), (2, 25, 120)):
        with pytest.raises(cellshard.DamagedError):
            wave.decode(stream, shape, native=native)


def test_threads_do_not_meet_and_the_lock_is_let_go():
    images = [smooth((1 + i % 4, 30 + i, 40 + 7 * i), seed=i) for i in range(24)]
    streams = [wave.encode(pixels) for pixels in images]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(wave.encode, images)) == streams
        decoded = pool.map(wave.decode, streams, [pixels.shape for pixels in images])
        assert all((a == b).all() for a, b in zip(decoded, images, strict=True))

    large, turns, is_over = np.zeros((24, 1024, 1024), np.uint8), [0], threading.Event()

    def count():
        while not is_over.is_set():
            turns[0] += 1

    other = threading.Thread(target=count)
    other.start()
    before = turns[0]
    stream = wave.encode(large)
    between = turns[0]
    wave.decode(stream, large.shape)
    after = turns[0]
    is_over.set()
    other.join()
    assert between - before > 1000 and after - between > 1000


def in_another(body, *blocked, cwd):
    """Runs lines in an interpreter of their own, where some modules are not to be had."""
    begin = f"import sys\nsys.modules |= dict.fromkeys({blocked!r})\n"
    command = [sys.executable, "-c", begin + body]
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_numpy_is_enough_for_the_core(tmp_path):
    body = """
import cellshard, numpy
pixels = numpy.arange(6000, dtype=numpy.uint8).reshape(2, 50, 60) // 9
assert (cellshard.wave.decode(cellshard.wave.encode(pixels), pixels.shape) == pixels).all()
try:
    cellshard.zarr
    raise SystemExit("it imports zarr")
except ImportError:
    pass
"""
    in_another(body, "zarr", "numcodecs", "torch", cwd=tmp_path)


def test_the_decoder_of_numpy_is_a_file_that_can_be_copied(tmp_path):
    pytest.importorskip("numcodecs", reason="numcodecs is not installed here, which reads zstd")
    (tmp_path / "wave_numpy.py").write_bytes((ROOT / "python/cellshard/_wave_numpy.py").read_bytes())
    pixels = smooth((2, 50, 60))
    (tmp_path / "stream").write_bytes(wave.encode(pixels))
    np.save(tmp_path / "pixels.npy", pixels)
    body = """
import numpy, wave_numpy
stream = open("stream", "rb").read()
assert (wave_numpy.decode(stream, (2, 50, 60)) == numpy.load("pixels.npy")).all()
try:
    wave_numpy.decode(stream[:-1], (2, 50, 60))
    raise SystemExit("no error")
except wave_numpy.Malformed as error:
    assert "lacks 1 bytes" in str(error) and isinstance(error, ValueError)
"""
    in_another(body, "cellshard", "zarr", cwd=tmp_path)


def test_tables_are_one_frame_that_says_its_size():
    numcodecs = pytest.importorskip("numcodecs", reason="numcodecs is not installed here, which reads zstd")
    pixels = smooth((1, 50, 60))
    stream = wave.encode(pixels)
    begin, end, _ = parts(stream, 1)
    frame = numcodecs.Zstd(3, checksum=True).encode(numcodecs.Zstd().decode(stream[begin:end]))
    assert frame[4] >> 5 & 1, "a single segment"

    def with_frame(frame):
        return stream[:1] + len(frame).to_bytes(4, "little") + stream[5:begin] + frame + stream[end:]

    assert (wave.decode(with_frame(frame), pixels.shape, native=False) == pixels).all()
    size = {0: 1, 1: 2, 2: 4, 3: 8}[frame[4] >> 6]
    unsized = frame[:4] + bytes([frame[4] & 0x0F, 0x58]) + frame[5 + size :]
    empty = b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"
    for other in (unsized, frame + empty, frame + b"x", frame[:-1]):
        assert outcome(with_frame(other), pixels.shape, False) is outcome(with_frame(other), pixels.shape, True) is None
