"""What arguments are checked by, and what stands for those that are not given."""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Iterable
from typing import Any

from ._errors import RefusedError

#: As many as can be counted.
LAST_EPOCH = (1 << 63) - 1


def one_of(name, value, known):
    if value not in known:
        expected = " or ".join(str(one) for one in known if one is not None)
        raise RefusedError(f"{name}: expected {expected}, found {value!r}")


def whole_number(name, value, least, most=(1 << 64) - 1):
    """A whole number as one of Python's, whatever type it is of."""
    try:
        number = operator.index(value)
    except TypeError:
        raise RefusedError(f"{name}: expected a whole number, found {value!r}") from None
    if not least <= number <= most:
        expected = f"{least} or more" if most >= LAST_EPOCH else f"{least} to {most}"
        raise RefusedError(f"{name}: expected {expected}, found {value}")
    return number


def threads_of_this_process():
    """As many as there are cores for this process, of those that torchrun started on this machine."""
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1")
    cores = len(os.sched_getaffinity(0))
    return max(1, min(1024, cores // max(1, int(beside) if beside.isdecimal() else 1)))


def has_torch():
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True


def this_process():
    """Rank and number of the processes that train together."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def without_commas(name: str, values: Iterable[Any]) -> str:
    """A list as a flag takes it that has no way to say that a comma is part of a text."""
    texts = list(map(str, values))
    if wrong := [text for text in texts if "," in text]:
        raise RefusedError(f"{name}: expected texts without a comma, found {wrong[0]!r}")
    return ",".join(texts)
