"""For PyTorch: batches as tensors, normalisation in torch, and networks of ``train`` as torchvision has them."""

from __future__ import annotations

import collections
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from ._errors import ForkedError, RefusedError
from ._loader import Loader
from ._normalize import CLIP, LEAST_SPREAD, MAD_TO_STD, Normalization, check_plates

#: What holds a network as its ``module``.
WRAPPERS = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
__all__ = ["TorchLoader", "load_model", "load_weights", "new_model", "normalize_tensor", "save_weights"]


class TorchLoader(Loader, IterableDataset):
    """What :class:`cellshard.Loader` is where torch is installed: batches are dictionaries of tensors."""

    _format = "torch"

    def _memory(self, n_bytes):
        is_pinned = self._pin_memory or self._device is not None
        # One more is on its way to the device.
        n = self._n_buffers + (self._device is not None)
        return [torch.zeros(n_bytes, dtype=torch.uint8, pin_memory=is_pinned).numpy() for _ in range(n)]

    def _batch_of(self, pixels, index):
        batch = super()._batch_of(pixels, index)
        return {name: torch.from_numpy(values) for name, values in batch.items()}

    def _batches_of(self, iteration):
        read = super()._batches_of(iteration)
        return read if self._device is None else OnDevice(read, self._device).next

    def _check_place(self):
        if self._device is not None:
            try:
                device = torch.device(self._device)
            except RuntimeError:
                raise RefusedError(f"device: expected cpu or cuda:N, found {self._device!r}") from None
            self._device = None if device.type == "cpu" else device
        is_there = torch.cuda.is_available()
        if self._device is not None and (self._device.type != "cuda" or not is_there):
            found = f"{self._device} (torch.cuda.is_available(): {is_there})"
            raise RefusedError(f"device: expected cpu, or a CUDA device that is there, found {found}")
        if self._pin_memory and not is_there:
            raise RefusedError("pin_memory: expected a CUDA device, found none")

    def _check_worker(self):
        if (worker := get_worker_info()) is not None:
            raise ForkedError(
                f"expected num_workers=0, found a worker of {worker.num_workers}: each would read all of it again. The "
                "loader reads ahead by threads of its own, which wait for nothing of Python"
            )


class OnDevice:
    """Batches on a device: each is copied while the one before it is computed with, and its memory kept until then."""

    def __init__(self, read, device):
        self._read, self._device = read, device
        self._stream = torch.cuda.Stream(device)
        # What is copied, each with the event behind its copy; the last of them is not handed out yet.
        self._held = collections.deque()
        self._coming = None
        self._error = None
        self._is_over = False

    def next(self):
        """The next batch; nothing after the last."""
        if self._coming is None:
            self._coming = self._fetch()
        coming = self._coming
        if coming is None:
            self._settle()
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return None
        try:
            self._coming = self._fetch()
        except Exception as error:
            # The batch before is whole, and comes first.
            self._coming, self._error, self._is_over = None, error, True
        moved, copied = coming
        current = torch.cuda.current_stream(self._device)
        current.wait_event(copied)
        for values in moved.values():
            values.record_stream(current)
        return moved

    def _fetch(self):
        """Reads the next batch, and begins its copy."""
        while self._held and self._held[0][0].query():
            self._held.popleft()
        if len(self._held) > 1:
            self._held.popleft()[0].synchronize()
        if self._is_over or (batch := self._read()) is None:
            self._is_over = True
            return None
        event = torch.cuda.Event()
        # Held from before its copy begins: whatever happens, its memory goes back when that is over.
        self._held.append((event, batch))
        with torch.cuda.stream(self._stream):
            moved = {name: values.to(self._device, non_blocking=True) for name, values in batch.items()}
            event.record(self._stream)
        return moved, event

    def _settle(self):
        """Waits for all copies, and lets their memory go."""
        self._stream.synchronize()
        self._held.clear()

    def __del__(self):
        if self._held:
            self._settle()


def normalize_tensor(pixels: torch.Tensor, plate: torch.Tensor, normalization: Normalization) -> torch.Tensor:
    """The images of a batch as ``train`` gives them to a network; see :func:`cellshard.normalize`.

    Args:
        pixels: ``[N, C, H, W]`` uint8 or uint16.
        plate: ``[N] int64``.
        normalization: of the same store.

    Returns:
        ``[N, C, H, W] float32`` on the device of ``pixels``, clipped to -10 to 10.
    """
    levels = pixels if pixels.dtype == torch.uint8 else pixels.to(torch.float32)
    if normalization.by == "site":
        centre, spread = _of_each_image(levels.to(torch.float32), normalization.robust)
    else:
        centres, spreads = _tables(normalization, pixels.device)
        if pixels.device.type == "cpu":
            # On a GPU this would have the step wait for the device; plates without figures give NaN there.
            check_plates(plate, normalization)
        centre, spread = centres[plate][..., None, None], spreads[plate][..., None, None]
    factor = spread.reciprocal()
    return (-centre * factor).addcmul(levels, factor).clamp_(-CLIP, CLIP)


def _tables(normalization, device):
    if device not in normalization._tensors:
        nothing = np.where(normalization.known[:, None], np.float32(0), np.float32("nan"))
        tables = (normalization.centre + nothing, normalization.spread.copy())
        normalization._tensors[device] = tuple(torch.from_numpy(table).to(device) for table in tables)
    return normalization._tensors[device]


def _of_each_image(levels, robust):
    flat = levels.flatten(2)
    std = flat.std(-1, correction=0, keepdim=True)
    if robust:
        centre = flat.median(-1, keepdim=True).values
        mad = (flat - centre).abs().median(-1, keepdim=True).values * MAD_TO_STD
        spread = mad.where(mad > 0, std)
    else:
        centre, spread = flat.mean(-1, keepdim=True), std
    return centre[..., None], spread.clamp_min(LEAST_SPREAD)[..., None]


def load_model(run: str | os.PathLike[str], weights: str = "best-accuracy") -> torch.nn.Module:
    """A network that ``train`` trained, as torchvision's model of its name, with its weights, in ``eval`` mode.

    Args:
        run: the run folder, or that of a cell type of a second step.
        weights: ``best-accuracy``, ``best-loss`` or ``last``.

    Returns:
        The model: images ``[N, C, H, W] float32``, normalised, and cropped and resized, as the run's
        ``recipe.toml`` says, to logits ``[N, K]``, whose classes ``run.json`` lists.

    Raises:
        RefusedError: if torchvision has no such network (``base-cnn``).
    """
    run = Path(run)
    about = json.loads((run / "run.json").read_text())
    model = new_model(about["model"], len(about["channels"]), len(about["classes"]))
    load_weights(model, run / f"{weights}.safetensors")
    return model.eval()


def new_model(name: str, n_channels: int, n_classes: int) -> torch.nn.Module:
    """A network of torchvision's by its name, for images of so many channels, with random weights.

    Raises:
        RefusedError: if torchvision has no such network (``base-cnn``).
    """
    import torchvision

    if name not in torchvision.models.list_models(torchvision.models):
        raise RefusedError(f"model: expected a network of torchvision's, found {name!r}")
    model = torchvision.models.get_model(name, weights=None, num_classes=n_classes)
    _take_channels(model, n_channels)
    return model


def load_weights(model: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    """Has a network begin with the weights of a safetensors file, which must be those of one like it."""
    import safetensors.torch

    model.load_state_dict(safetensors.torch.load_file(os.fspath(path)))


def save_weights(model: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    """Writes a model's weights as ``train --init-from`` reads them."""
    import safetensors.torch

    # Whatever wraps it.
    model = getattr(model, "_orig_mod", model)
    model = model.module if isinstance(model, WRAPPERS) else model
    tensors = {name: values.detach().cpu().contiguous() for name, values in model.state_dict().items()}
    safetensors.torch.save_file(tensors, os.fspath(path))


def _take_channels(model: Any, n_channels: int) -> None:
    """Has a network's first convolution take so many channels, with weights drawn as torchvision draws its own."""
    import torchvision

    name, old = next((name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Conv2d))
    if old.in_channels == n_channels:
        return
    shape = (old.kernel_size, old.stride, old.padding)
    first = torch.nn.Conv2d(n_channels, old.out_channels, *shape, bias=old.bias is not None)
    is_densenet = isinstance(model, torchvision.models.DenseNet)
    torch.nn.init.kaiming_normal_(first.weight, mode="fan_in" if is_densenet else "fan_out", nonlinearity="relu")
    if first.bias is not None:
        torch.nn.init.zeros_(first.bias)
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, first)
