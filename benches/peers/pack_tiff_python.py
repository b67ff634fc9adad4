"""The packer of 16-bit TIFFs that a Python user would write: tifffile decodes (by imagecodecs), zarr-python writes shards,
one process a core, each with its own shards. No checksums of sources, no statistics, no resume.

usage: pack_tiff_python.py PLATE_FOLDER STORE PROCESSES SITES_PER_SHARD LEVEL    prints JSON: sites, seconds (imports not
counted)
"""

import json
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import tifffile
import zarr


def pack_shard(task):
    store, first, names = task
    array = zarr.open_array(store, mode="r+")
    sites = np.stack([np.stack([tifffile.imread(path) for path in paths]) for paths in names])
    array[first : first + len(sites)] = sites
    return len(sites)


def warm_up(_):
    return None


def main():
    folder, store = Path(sys.argv[1]), sys.argv[2]
    processes, per_shard, level = map(int, sys.argv[3:6])
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(warm_up, range(processes)))
        start = time.perf_counter()
        by_site = {}
        for path in sorted(folder.iterdir()):
            image = re.match(r"r(\d+)c(\d+)f(\d+)p01-ch(\d+)", path.name)
            if not image:
                continue
            row, column, field, channel = image.groups()
            by_site.setdefault((row, column, field), {})[int(channel)] = str(path)
        sites = [[channels[c] for c in sorted(channels)] for _, channels in sorted(by_site.items())]
        first = tifffile.imread(sites[0][0])
        image = (len(sites[0]), *first.shape)
        zarr.create_array(
            store,
            shape=(len(sites), *image),
            shards=(per_shard, *image),
            chunks=(1, *image),
            dtype="uint16",
            compressors=zarr.codecs.ZstdCodec(level=level),
        )
        tasks = [(store, i, sites[i : i + per_shard]) for i in range(0, len(sites), per_shard)]
        done = sum(pool.map(pack_shard, tasks))
        seconds = time.perf_counter() - start
    print(json.dumps({"sites": done, "seconds": seconds, "zarr": zarr.__version__, "tifffile": tifffile.__version__}))


if __name__ == "__main__":
    main()
