"""What the readers of feed_peers.py share: sites, orders, batches."""

import argparse
import re
from pathlib import Path

import numpy as np

SITE_SHAPE = (6, 512, 512)
SITE_BYTES = 6 * 512 * 512
ARRAY = "pixels.zarr/BENCH-01/Plate1"
# As many sites as a shard of cellshard holds, for every format that is cut into files.
SITES_PER_SHARD = 77
TRIAL_EPOCHS = 2
LEAST_SECONDS = 3.0


def list_sites(plate):
    """The paths of each site's PNGs by channel, sites in the order of their names."""
    by_site = {}
    for path in sorted(Path(plate).iterdir()):
        site, channel = re.fullmatch(r"(.+)_w(\d+)\.png", path.name).groups()
        by_site.setdefault(site, {})[int(channel)] = str(path)
    return [[channels[c] for c in sorted(channels)] for _, channels in sorted(by_site.items())]


def read_site(paths):
    """[6, 512, 512] u8 from six PNGs."""
    import cv2

    pixels = np.empty(SITE_SHAPE, np.uint8)
    for channel, path in enumerate(paths):
        pixels[channel] = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    return pixels


def shuffled(n_sites, n_epochs):
    """Every site once an epoch, in a fresh order each time."""
    rng = np.random.default_rng()
    return np.concatenate([rng.permutation(n_sites) for _ in range(n_epochs)])


def in_batches(order, batch):
    return (order[i : i + batch] for i in range(0, len(order), batch))


def torch_loader(dataset, args, **kwargs):
    from torch.utils.data import DataLoader

    if args.workers:
        kwargs = {"num_workers": args.workers, "prefetch_factor": 2, **kwargs}
    return DataLoader(dataset, **kwargs)


def with_workers(args, workers):
    return argparse.Namespace(**{**vars(args), "workers": workers})


class Sites:
    """A map-style torch dataset of sites; `read` opens what it needs on first use, in the worker."""

    def __init__(self, read, n_sites):
        self.read, self.n_sites = read, n_sites

    def __len__(self):
        return self.n_sites

    def __getitem__(self, i):
        return self.read(i)
