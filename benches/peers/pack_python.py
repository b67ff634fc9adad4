"""The packer that a Python user would write: cv2 decodes, zarr-python writes shards of 77 sites at zstd 3, one process a
core, each with its own shards. No checksums of sources, no statistics, no resume.

usage: pack_python.py PLATE_FOLDER STORE PROCESSES    prints JSON: sites, seconds (imports not counted)
"""

import json
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import zarr

SITES_PER_SHARD = 77


def pack_shard(task):
    store, first, names = task
    cv2.setNumThreads(1)
    array = zarr.open_array(store, mode="r+")
    sites = np.stack([np.stack([cv2.imread(path, cv2.IMREAD_UNCHANGED) for path in paths]) for paths in names])
    array[first : first + len(sites)] = sites
    return len(sites)


def warm_up(_):
    return None


def main():
    folder, store, processes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(warm_up, range(processes)))
        start = time.perf_counter()
        by_site = {}
        for path in sorted(folder.iterdir()):
            well, site, channel = re.fullmatch(r"([A-Z]+\d+)_s(\d+)_w(\d+)\.png", path.name).groups()
            by_site.setdefault((well, int(site)), {})[int(channel)] = str(path)
        sites = [[channels[c] for c in sorted(channels)] for _, channels in sorted(by_site.items())]
        first = cv2.imread(sites[0][0], cv2.IMREAD_UNCHANGED)
        image = (len(sites[0]), *first.shape)
        zarr.create_array(
            store,
            shape=(len(sites), *image),
            shards=(SITES_PER_SHARD, *image),
            chunks=(1, *image),
            dtype="uint8",
            compressors=zarr.codecs.ZstdCodec(level=3),
        )
        tasks = [(store, i, sites[i : i + SITES_PER_SHARD]) for i in range(0, len(sites), SITES_PER_SHARD)]
        done = sum(pool.map(pack_shard, tasks))
        seconds = time.perf_counter() - start
    print(json.dumps({"sites": done, "seconds": seconds, "zarr": zarr.__version__, "cv2": cv2.__version__}))


if __name__ == "__main__":
    main()
