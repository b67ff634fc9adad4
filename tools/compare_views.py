"""Outputs, stores and run folders as `compare.py` compares them. What says how long something took is masked here, and
nothing else is.
"""
import json
import os
import re
import struct

# What tells how long something took: in texts ...
TIMES = [
    (re.compile(r"\b\d+\.\d s, \d+ sites/s"), "TIME s, RATE sites/s"),
    (re.compile(r"\(\d+\.\d\d s\)"), "(TIME s)"),
    (re.compile(r"\bin \d+\.\d\d s \([\d.]+ [kMGT]?B/s\)"), "in TIME s (RATE)"),
    (re.compile(r"\bin \d+\.\d\d s$", re.MULTILINE), "in TIME s"),
    (re.compile(r"\b\d+ sites/s, \d+\.\d % waiting"), "RATE sites/s, SHARE waiting"),
    (re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", re.MULTILINE), "STAMP "),
    (re.compile(r'("(?:seconds|first_step_seconds)": )\d[\d.e-]*'), r"\1TIME"),
]
# ... in the progress that a checkpoint has, as JSON within JSON ...
PROGRESS_TIMES = re.compile(r'(\\"(?:seconds|waited)\\":)\d[\d.e-]*')
# ... and in metrics.csv and TensorBoard's tags.
TIMED_FIGURES = {"sites_per_second", "wait_share", "seconds"}

# Fields of TensorBoard's events.
WALL_TIME, SUMMARY = 1, 5

# What comes of looking at a file that is not what it should be.
MALFORMED = (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error)


def mask_times(text):
    for pattern, word in TIMES:
        text = pattern.sub(word, text)
    return text


def text_difference(old, new):
    """The first line that differs, or None."""
    if old == new:
        return None
    old_lines, new_lines = old.split("\n"), new.split("\n")
    for number, (a, b) in enumerate(zip(old_lines, new_lines), 1):
        if a != b:
            return f"line {number}: old {a[:200]!r}, new {b[:200]!r}"
    longer = "old" if len(old_lines) > len(new_lines) else "new"
    more = max(old_lines, new_lines, key=len)[min(len(old_lines), len(new_lines))]
    return f"{longer} goes on: {more[:200]!r}"


def byte_difference(old, new):
    """The first byte that differs, or None."""
    if old == new:
        return None
    at = next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
    here = [f"{side[at]:#04x}" if at < len(side) else "its end" for side in (old, new)]
    return f"byte {at}: old {here[0]}, new {here[1]} (of {len(old)} and {len(new)} bytes)"


def difference(old, new):
    """The first difference of two texts, bytes, or folders as mappings of names to what is there; or None."""
    if isinstance(old, dict) and isinstance(new, dict):
        return folder_difference(old, new)
    if isinstance(old, bytes) and isinstance(new, bytes):
        return byte_difference(old, new)
    if isinstance(new, str) and not isinstance(old, str):
        return new
    return text_difference(str(old), str(new))


def folder_difference(old, new):
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            return f"{name}: only old has it"
        if name not in old:
            return f"{name}: only new has it"
        found = difference(old[name], new[name])
        if found:
            return f"{name}: {found}"
    return None


def read_folder(root):
    """Files by name relative to `root`, `[name] -> bytes`; a folder's name ends in a slash."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}".encode()
        elif path.is_dir():
            found[name + "/"] = b""
        else:
            found[name] = path.read_bytes()
    return found


def size_of(files):
    n_files = sum(not name.endswith("/") for name in files)
    n_bytes = sum(len(content) for content in files.values())
    return f"{plural(n_files, 'file')}, {n_bytes / 1e6:.1f} MB"


def plural(n, noun):
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


# What a run folder says apart from times.


def view_run(files):
    """The files of a run folder as they are compared: texts without times, event files as their scalars."""
    seen = {}
    n_events = {}
    for name in sorted(files, key=event_order):
        content = files[name]
        base = name.rsplit("/", 1)[-1]
        if base.startswith("events.out.tfevents."):
            # The name has the time at which it was begun, so only its place in the order is compared.
            folder = name[: -len(base)]
            n_events[folder] = n_events.get(folder, 0) + 1
            seen[f"{folder}events.out.tfevents.TIME (number {n_events[folder]})"] = view_events(content)
        elif base == "metrics.csv":
            seen[name] = view_metrics(content.decode())
        elif base == "resume.safetensors":
            seen[f"{name} (header)"], seen[f"{name} (values)"] = view_checkpoint(content)
        elif base.endswith((".log", ".json")):
            seen[name] = mask_times(content.decode())
        else:
            seen[name] = content
    return seen


def event_order(name):
    """Event files by the time and number in their names; all others by name."""
    folder, base = os.path.split(name)
    parts = base.split(".")
    if base.startswith("events.out.tfevents.") and len(parts) == 6 and parts[3].isdigit() and parts[5].isdigit():
        return folder, "events", int(parts[3]), int(parts[5])
    return folder, base, 0, 0


def view_metrics(text):
    """metrics.csv with a word for each number that says how long something took; an empty cell stays one."""
    rows = [line.split(",") for line in text.split("\n")]
    timed = [i for i, column in enumerate(rows[0]) if column in TIMED_FIGURES]
    for row in rows[1:]:
        for i in timed:
            if i < len(row) and re.fullmatch(r"\d[\d.e-]*", row[i]):
                row[i] = "TIME"
    return "\n".join(",".join(row) for row in rows)


def view_checkpoint(content):
    """The header of a safetensors file without times and padding (its length depends on them), and all values."""
    (length,) = struct.unpack_from("<Q", content)
    header = content[8 : 8 + length].decode()
    json.loads(header)
    return PROGRESS_TIMES.sub(r"\1TIME", header).rstrip(" "), content[8 + length :]


def view_events(content):
    """TensorBoard's event file as text: of each record its fields without the wall time (`record_writer.h` and
    `event.proto` of TensorFlow)."""
    lines = []
    at = 0
    while at < len(content):
        length, length_crc = struct.unpack_from("<QI", content, at)
        record = content[at + 12 : at + 12 + length]
        (record_crc,) = struct.unpack_from("<I", content, at + 12 + length)
        # Checksums are over times, too, so they are compared with what they are of instead of with each other.
        if (length_crc, record_crc) != (masked_crc32c(content[at : at + 8]), masked_crc32c(record)):
            raise ValueError(f"the record at byte {at} has a wrong checksum")
        at += 12 + length + 4
        for field, value in protobuf(record):
            if field == WALL_TIME:
                continue
            if field == SUMMARY:
                lines += [view_scalar(entry) for _, entry in protobuf(value)]
            else:
                lines.append(f"field {field}: {value!r}")
    return "\n".join(lines)


def masked_crc32c(data):
    """The checksum of TFRecord: CRC-32C (reflected polynomial 0x82f63b78), turned and shifted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def view_scalar(entry):
    fields = dict(protobuf(entry))
    tag = fields.pop(1).decode()
    if tag.rsplit("/", 1)[-1] in TIMED_FIGURES and len(fields.get(2, b"")) == 4:
        fields[2] = "TIME"
    return f"{tag} {fields!r}"


def protobuf(data):
    """Fields of a message as (number, value): a varint as int, all else as bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        length = {1: lambda: 8, 2: varint, 5: lambda: 4}[kind]() if kind in (1, 2, 5) else None
        if length is None or at + length > len(data):
            raise ValueError(f"a field of kind {kind} that is cut short")
        yield key >> 3, data[at : at + length]
        at += length


# What bench and --help say.


def view_bench_json(text):
    """A report of bench without its figures: they are times."""
    report = json.loads(text)
    for figure in report["feed"]:
        figure["mb_per_s"] = None if figure["mb_per_s"] is None else "RATE"
        figure["rounds"] = [sorted(figures) for figures in figure["rounds"]]
    report["bottleneck"] = type(report["bottleneck"]).__name__
    return json.dumps(report, indent=1)


def view_bench_text(text):
    """The table of bench without its figures, and so without the width of its columns."""
    head, _, table = text.partition("\n\n")
    table = re.sub(r"(?<!\w)\d[\d,.]*", "N", re.sub(r" +", " ", table))
    return head + "\n\n" + re.sub(r"^bottleneck .*", "bottleneck WORDS", table, flags=re.MULTILINE)


def help_entries(text):
    """The entries of a help text, a flag with all that is said of it or a paragraph, without how they are set."""
    entries = []
    for line in text.splitlines():
        starts = re.match(r" {2,6}-", line)
        goes_on = entries and line.startswith(" ") and not starts
        if not line.strip():
            # What belongs to a flag is indented, so a blank line ends nothing but a paragraph.
            if entries and not entries[-1].startswith("-"):
                entries.append("")
        elif goes_on or (entries and entries[-1] and not entries[-1].startswith("-") and not starts):
            entries[-1] = f"{entries[-1]} {line.strip()}".strip()
        else:
            entries.append(line.strip())
    return [entry for entry in entries if entry]
