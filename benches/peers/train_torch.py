"""The training that a PyTorch user would write for these images: a ResNet on [N, 6, 512, 512] uint8, 1108 classes,
bfloat16 autocast, channels last, fused AdamW; on the device what the recipe resnet50 of `train` does: normalisation with
a clip, gain and offset of each channel, flips and quarter turns. No loss is read back while steps are timed: the clock
stops after one synchronisation at the end.

usage: train_torch.py --source resident                            batches that already lie on the device, as uint8
       train_torch.py --source png --plate FOLDER --workers N      DataLoader, cv2, pinned memory, asynchronous copies

Prints one line of JSON: sites_per_s, ms_per_step, peak_memory_bytes, device, torch, settings. `--profile FILE` writes
the CUDA kernels that take the most time, and the share of each category, over ten steps after the timed ones.
"""

import argparse
import itertools
import json
import re
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

N_CHANNELS = 6
N_CLASSES = 1108
# Round levels (0 to 255) such as this microscopy has, by channel; the speed does not hang on them.
MEAN = [6.0, 15.0, 10.0, 10.0, 5.0, 10.0]
STD = [7.0, 12.0, 7.0, 8.0, 5.0, 6.0]
RESIDENT_BATCHES = 4
PROFILED_STEPS = 10
# Patterns of kernels' names, tried in this order.
KERNELS = {
    "copy": r"memcpy|memset|copy_kernel|CatArray|nchwToNhwc|nhwcToNchw|transpose",
    "optimizer": r"adam|multi_tensor",
    "bn": r"batch_?norm|bn_fw|bn_bw|bnorm",
    "conv": r"triton_tem|^(?!triton).*(conv|xmma|gemm|cutlass|wgrad|dgrad|fprop|cudnn|nvjet)",
    "elementwise": r"elementwise|triton|reduce|softmax|nll|pool|flip|index|gather|random",
}


class Basic(nn.Module):
    """Two 3 x 3 convolutions with a short cut."""

    expansion = 1

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = short_cut(inputs, width, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x), inplace=True)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (with the stride, as in torchvision), 1 x 1, with a short cut."""

    expansion = 4

    def __init__(self, inputs, width, stride):
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = short_cut(inputs, outputs, stride)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x), inplace=True)


def short_cut(inputs, outputs, stride):
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """torchvision's ResNet, layer by layer, with six channels in; the first convolution sees more, of zeros."""

    def __init__(self, block, depths, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        blocks, inputs = [], 64
        for stage, depth in enumerate(depths):
            for i in range(depth):
                width = 64 << stage
                blocks.append(block(inputs, width, 2 if stage > 0 and i == 0 else 1))
                inputs = width * block.expansion
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, N_CLASSES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        if self.conv1.in_channels > N_CHANNELS:
            x = F.pad(x, (0, 0, 0, 0, 0, self.conv1.in_channels - N_CHANNELS))
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        return self.fc(self.blocks(x).mean((2, 3)))


MODELS = {"resnet18": (Basic, [2, 2, 2, 2]), "resnet50": (Bottleneck, [3, 4, 6, 3])}


class Prepare(nn.Module):
    """Turns each site of [N, C, H, W] u8 by one of the eight symmetries of the square, normalises it, and multiplies and
    shifts its channels, on the device."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, -1, 1, 1))

    def forward(self, pixels):
        # Turned as bytes, which are a quarter of the floats.
        flip_y, flip_x, turn = torch.rand(3, len(pixels), 1, 1, 1, device=pixels.device) < 0.5
        x = torch.where(flip_y, pixels.flip(2), pixels)
        x = torch.where(flip_x, x.flip(3), x)
        x = torch.where(turn, x.transpose(2, 3), x).contiguous(memory_format=torch.channels_last)
        x = ((x - self.mean) / self.std).clamp(-10, 10)
        gain, offset = torch.rand(2, *x.shape[:2], 1, 1, device=x.device) * 2 - 1
        return x * (1 + 0.2 * gain) + 0.1 * offset


class PngSites(torch.utils.data.Dataset):
    """Sites of six PNGs and made-up labels."""

    def __init__(self, plate):
        by_site = {}
        for path in sorted(Path(plate).iterdir()):
            site, channel = re.fullmatch(r"(.+)_w(\d+)\.png", path.name).groups()
            by_site.setdefault(site, {})[int(channel)] = str(path)
        self.sites = [[channels[c] for c in sorted(channels)] for channels in by_site.values()]

    def __len__(self):
        return len(self.sites)

    def __getitem__(self, i):
        import cv2
        import numpy as np

        cv2.setNumThreads(1)
        pixels = np.stack([cv2.imread(path, cv2.IMREAD_UNCHANGED) for path in self.sites[i]])
        return torch.from_numpy(pixels), i % N_CLASSES


def resident_batches(args):
    shape = (args.batch, N_CHANNELS, args.size, args.size)
    batches = [
        (
            torch.randint(0, 256, shape, dtype=torch.uint8, device=args.device),
            torch.randint(0, N_CLASSES, (args.batch,), device=args.device),
        )
        for _ in range(RESIDENT_BATCHES)
    ]
    return itertools.cycle(batches)


def png_batches(args):
    sites = PngSites(args.plate)
    if len(sites) == 0:
        sys.exit(f"{args.plate}: a site or more expected, none found")
    loader = torch.utils.data.DataLoader(
        sites,
        batch_size=args.batch,
        # Without end, as a DataLoader drains at the end of every epoch, which a plate of nine batches would show too
        # often.
        sampler=torch.utils.data.RandomSampler(sites, replacement=True, num_samples=args.batch * 10**6),
        num_workers=args.workers,
        prefetch_factor=4 if args.workers else None,
        pin_memory=args.device == "cuda",
    )
    for pixels, labels in loader:
        yield pixels.to(args.device, non_blocking=True), labels.to(args.device, non_blocking=True)


def make_step(args):
    """A function that takes a batch and makes one step of training."""
    model = ResNet(*MODELS[args.model], args.channels).to(args.device, memory_format=torch.channels_last)
    prepare = Prepare().to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def loss_of(pixels, labels):
        x = prepare(pixels)
        with torch.autocast(args.device, torch.bfloat16):
            return F.cross_entropy(model(x), labels)

    if args.compile != "off":
        loss_of = torch.compile(loss_of, mode=args.compile)

    def step(pixels, labels):
        loss = loss_of(pixels, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step


def synchronize(args):
    if args.device == "cuda":
        torch.cuda.synchronize()


def category(kernel):
    return next((name for name, pattern in KERNELS.items() if re.search(pattern, kernel, re.IGNORECASE)), "other")


def profile(args, step, batches):
    """Writes the operators or kernels that take the most time; the share of each category of kernels on a GPU."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if args.device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities, acc_events=True) as profiler:
        for _ in range(PROFILED_STEPS):
            step(*next(batches))
        synchronize(args)
    averages = profiler.key_averages()
    kernels = [
        event
        for event in averages
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
    ]
    total = sum(event.self_device_time_total for event in kernels)
    shares = dict.fromkeys([*KERNELS, "other"], 0.0) if kernels else {}
    for event in kernels:
        shares[category(event.key)] += event.self_device_time_total / total
    by = "self_device_time_total" if kernels else "self_cpu_time_total"
    lines = [f"{name:<12} {share:6.1%}" for name, share in shares.items()]
    lines.append(averages.table(sort_by=by, row_limit=40, max_name_column_width=100))
    Path(args.profile).write_text("\n".join(lines) + "\n")
    return shares


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=["resident", "png"], default="resident")
    parser.add_argument("--plate", type=Path, help="folder of one plate's PNGs, for --source png")
    parser.add_argument("--workers", type=int, default=8, help="processes that decode PNGs")
    parser.add_argument("--model", choices=MODELS, default="resnet50")
    parser.add_argument(
        "--channels", type=int, default=N_CHANNELS, help="inputs of the first convolution, those beyond six of zeros"
    )
    parser.add_argument("--batch", type=int, default=64, help="sites in a batch")
    parser.add_argument("--size", type=int, default=512, help="pixels a side, for --source resident")
    parser.add_argument("--steps", type=int, default=50, help="steps to time")
    parser.add_argument("--warmup", type=int, default=20, help="steps before")
    parser.add_argument("--compile", choices=["off", "default", "max-autotune-no-cudagraphs"], default="off")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--json", type=Path, help="file to write the report to as well")
    parser.add_argument("--profile", type=Path, help="file to write a profile to")
    args = parser.parse_args()
    if args.source == "png" and args.plate is None:
        parser.error("--source png needs --plate")
    if args.channels < N_CHANNELS:
        parser.error(f"--channels: {N_CHANNELS} or more expected, {args.channels} found")
    cuda = args.device == "cuda"
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")

    step = make_step(args)
    batches = resident_batches(args) if args.source == "resident" else png_batches(args)
    for _ in range(args.warmup):
        loss = step(*next(batches))
    synchronize(args)
    start = time.perf_counter()
    for _ in range(args.steps):
        loss = step(*next(batches))
    synchronize(args)
    seconds = time.perf_counter() - start
    if not torch.isfinite(loss):
        sys.exit(f"a finite loss expected, {loss.item()} found")
    report = {
        "sites_per_s": args.steps * args.batch / seconds,
        "ms_per_step": 1000 * seconds / args.steps,
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if cuda else None,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "settings": {name: value for name, value in vars(args).items() if name not in ("json", "profile", "plate")},
    }
    if args.profile:
        report["shares"] = profile(args, step, batches)
    print(json.dumps(report))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
