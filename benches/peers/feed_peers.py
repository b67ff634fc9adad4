"""Other readers of the plate that `cellshard` feeds, each set up as its own documentation advises: batches of whole
sites [N, 6, 512, 512] uint8 in a fresh random order every epoch, contiguous on the host, by 2 threads or worker
processes, from a warm page cache.

usage: feed_peers.py list
       feed_peers.py prepare NAME --plate PNG_FOLDER --raw STORE --zstd STORE --work FOLDER
       feed_peers.py read NAME (the same flags) [--batch 64] [--workers 2] [--epochs 8] [--way WAY]

`prepare` writes the reader's own format to FOLDER/NAME, once. `read` prints one line of JSON. Where a reader can be
used in several ways, each is given two epochs, and the fastest is then measured: "tried" has the MB/s of all. What is
timed is one run over 1 + epochs epochs, from the end of its first epoch, so that no start of a process, compilation or
first touch of memory counts. MB/s are 1e6 bytes of raw pixels. "crc_sum" is the sum, modulo 2**64, of zlib.crc32 of
every site of an epoch that was not timed: the same number for every reader that gave each site of the plate once.
"""

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import sys
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
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


class PngCv2:
    package = "torch"
    settings = "torch DataLoader, cv2.imread of six PNGs a site, cv2 at one thread a worker"

    def prepare(self, args, folder):
        pass

    def ways(self, args, folder):
        return {f"{args.workers} workers": lambda n_epochs: self.batches(args, n_epochs)}

    def batches(self, args, n_epochs):
        import cv2

        cv2.setNumThreads(1)
        sites = list_sites(args.plate)
        dataset = Sites(lambda i: read_site(sites[i]), len(sites))
        order = shuffled(len(sites), n_epochs).tolist()
        yield from torch_loader(dataset, args, batch_size=args.batch, sampler=order)


class Ffcv:
    """A pass of the loader is an epoch, as its documentation has it. The loader allocates and touches batches_ahead + 2
    buffers anew in every pass, which weighs on a plate of ten batches; with all epochs in one pass, by indices that name
    each site several times, that is spared as it would be on a large data set."""

    package = "ffcv"

    def __init__(self, one_pass):
        self.one_pass = one_pass
        passes = "all epochs in one pass" if one_pass else "a pass an epoch"
        self.settings = f"NDArrayField uint8, Loader(order=RANDOM, os_cache=True), {passes}"

    def prepare(self, args, folder):
        from ffcv.fields import NDArrayField
        from ffcv.writer import DatasetWriter

        sites = list_sites(args.plate)
        dataset = Sites(lambda i: (read_site(sites[i]),), len(sites))
        writer = DatasetWriter(str(folder / "plate.beton"), {"pixels": NDArrayField(np.dtype("uint8"), SITE_SHAPE)})
        writer.from_indexed_dataset(dataset)

    def ways(self, args, folder):
        def way(ahead):
            if self.one_pass:
                return lambda n_epochs: self.batches(args, folder, 1, n_epochs, ahead)
            return lambda n_epochs: self.batches(args, folder, n_epochs, 1, ahead)

        return {f"num_workers={args.workers}, batches_ahead={ahead}": way(ahead) for ahead in (1, 2, 3)}

    def batches(self, args, folder, n_passes, epochs_a_pass, ahead):
        from ffcv.fields.decoders import NDArrayDecoder
        from ffcv.loader import Loader, OrderOption
        from ffcv.transforms import ToTensor

        loader = Loader(
            str(folder / "plate.beton"),
            batch_size=args.batch,
            num_workers=args.workers,
            os_cache=True,
            order=OrderOption.RANDOM,
            indices=np.tile(np.arange(len(list_sites(args.plate)), dtype=np.uint64), epochs_a_pass),
            drop_last=False,
            batches_ahead=ahead,
            pipelines={"pixels": [NDArrayDecoder(), ToTensor()]},
        )
        for _ in range(n_passes):
            for (pixels,) in loader:
                yield pixels


class TensorStore:
    package = "tensorstore"
    settings = "zarr3 driver on the store as it is, two reused buffers of a batch, the next batch under way"

    def __init__(self, store):
        self.store = store

    def prepare(self, args, folder):
        pass

    def ways(self, args, folder):
        limit = {"limit": args.workers}
        limited = {"file_io_concurrency": limit, "data_copy_concurrency": limit}
        # Room for the shards' indices and not for pixels.
        pooled = {"cache_pool": {"total_bytes_limit": 1 << 20}}
        mapped = {"file_io_mode": {"mode": "memmap"}}
        n = args.workers
        chosen = {
            f"{n} threads, pread, a copy a site": ({**limited, **pooled}, self.copy_each),
            f"{n} threads, pread, a copy a batch": ({**limited, **pooled}, self.copy_indexed),
            f"{n} threads, memmap, a copy a site": ({**limited, **pooled, **mapped}, self.copy_each),
            f"{n} threads, memmap, a copy a batch": ({**limited, **pooled, **mapped}, self.copy_indexed),
            f"{n} threads, memmap, ts.Batch of reads": ({**limited, **pooled, **mapped}, self.read_batch),
            "default context, a copy a batch": ({}, self.copy_indexed),
        }
        return {
            name: lambda n_epochs, context=context, start=start: self.batches(args, n_epochs, context, start)
            for name, (context, start) in chosen.items()
        }

    @staticmethod
    def copy_each(array, rows, buffer):
        import tensorstore as ts

        target = ts.array(buffer)
        return [target[i].write(array[int(row)]).commit for i, row in enumerate(rows)]

    @staticmethod
    def copy_indexed(array, rows, buffer):
        import tensorstore as ts

        return [ts.array(buffer)[: len(rows)].write(array[rows]).commit]

    @staticmethod
    def read_batch(array, rows, buffer):
        import tensorstore as ts

        with ts.Batch() as batch:
            return [array[int(row)].read(batch=batch) for row in rows]

    def batches(self, args, n_epochs, context, start):
        import tensorstore as ts

        array = ts.open(
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{getattr(args, self.store)}/{ARRAY}/"}},
            context=ts.Context(context),
            read=True,
            recheck_cached_data="open",
        ).result()
        buffers = [np.empty((args.batch, *SITE_SHAPE), np.uint8) for _ in range(2)]
        order = shuffled(array.shape[0], n_epochs)
        under_way = None
        for i, rows in enumerate(in_batches(order, args.batch)):
            buffer = buffers[i % 2][: len(rows)]
            following = buffer, start(array, rows, buffer)
            if under_way:
                yield self.finish(*under_way)
            under_way = following
        yield self.finish(*under_way)

    @staticmethod
    def finish(buffer, futures):
        results = [future.result() for future in futures]
        if results[0] is not None:
            np.stack(results, out=buffer)
        return buffer


class ZarrPython:
    package = "zarr"

    def __init__(self, store, pipeline=None):
        self.store, self.pipeline = store, pipeline
        self.settings = "LocalStore on the store as it is, site by site into a reused buffer"
        if pipeline:
            self.package, self.settings = "zarrs", f"zarr-python with {pipeline}, {self.settings}"

    def prepare(self, args, folder):
        pass

    def ways(self, args, folder):
        n = args.workers
        chosen = {
            "one thread": self.one_thread,
            f"{n} threads": self.threads,
            f"asyncio.gather of a batch, threading.max_workers={n}": self.gather,
            f"DataLoader, {n} workers": self.data_loader,
        }
        return {name: lambda n_epochs, way=way: way(args, n_epochs) for name, way in chosen.items()}

    def open(self, args):
        import zarr

        zarr.config.set({"threading.max_workers": args.workers})
        if self.pipeline:
            import zarrs  # noqa: F401  (registers the pipeline)

            zarr.config.set({"codec_pipeline.path": self.pipeline})
        return zarr.open_array(f"{getattr(args, self.store)}/{ARRAY}", mode="r")

    def one_thread(self, args, n_epochs):
        return self.filled(args, n_epochs, lambda array, rows, fill: list(map(fill, range(len(rows)), rows)))

    def threads(self, args, n_epochs):
        with ThreadPoolExecutor(args.workers) as pool:
            yield from self.filled(
                args, n_epochs, lambda array, rows, fill: list(pool.map(fill, range(len(rows)), rows))
            )

    def filled(self, args, n_epochs, fill_all):
        array = self.open(args)
        buffer = np.empty((args.batch, *SITE_SHAPE), np.uint8)

        def fill(i, row):
            buffer[i] = array[int(row)]

        for rows in in_batches(shuffled(array.shape[0], n_epochs), args.batch):
            fill_all(array, rows, fill)
            yield buffer[: len(rows)]

    def gather(self, args, n_epochs):
        import asyncio

        from zarr.core.sync import sync

        array = self.open(args)
        buffer = np.empty((args.batch, *SITE_SHAPE), np.uint8)

        async def fill(i, row):
            buffer[i] = await array.async_array.getitem(int(row))

        async def fill_all(rows):
            await asyncio.gather(*(fill(i, row) for i, row in enumerate(rows)))

        for rows in in_batches(shuffled(array.shape[0], n_epochs), args.batch):
            sync(fill_all(rows))
            yield buffer[: len(rows)]

    def data_loader(self, args, n_epochs):
        n_sites = self.open(args).shape[0]
        order = shuffled(n_sites, n_epochs).tolist()
        # zarr-python runs a thread of its own, which a forked worker would not have.
        yield from torch_loader(
            Sites(ZarrRow(self, args), n_sites),
            args,
            batch_size=args.batch,
            sampler=order,
            multiprocessing_context="spawn",
        )


class ZarrRow:
    def __init__(self, peer, args):
        self.peer, self.args, self.array = peer, args, None

    def __call__(self, row):
        if self.array is None:
            self.array = self.peer.open(self.args)
        return self.array[row]


class WebDataset:
    package = "webdataset"
    settings = (
        "tar shards of raw bytes, shardshuffle=100, shuffle(128), batched in the worker, WebLoader(batch_size=None)"
    )

    def prepare(self, args, folder):
        import webdataset as wds

        with wds.ShardWriter(str(folder / "%06d.tar"), maxcount=SITES_PER_SHARD, maxsize=1 << 40) as writer:
            for i, paths in enumerate(list_sites(args.plate)):
                writer.write({"__key__": f"{i:06d}", "u8": read_site(paths).tobytes()})

    def ways(self, args, folder):
        return {
            f"{args.workers} workers": lambda n_epochs: self.batches(args, folder, n_epochs),
            "no workers": lambda n_epochs: self.batches(with_workers(args, 0), folder, n_epochs),
        }

    def batches(self, args, folder, n_epochs):
        import torch
        import webdataset as wds
        from torch.utils.data import default_collate

        warnings.filterwarnings("ignore", message="The given buffer is not writable")

        def to_tensor(sample):
            return torch.frombuffer(sample["u8"], dtype=torch.uint8).view(SITE_SHAPE)

        dataset = (
            wds.WebDataset(sorted(map(str, folder.glob("*.tar"))), shardshuffle=100)
            .shuffle(2 * args.batch)
            .map(to_tensor)
            # torch's collation stacks in shared memory, where webdataset's own would be copied there.
            .batched(args.batch, collation_fn=default_collate)
            .repeat(n_epochs)
        )
        kwargs = {"prefetch_factor": 2} if args.workers else {}
        yield from wds.WebLoader(dataset, batch_size=None, num_workers=args.workers, **kwargs)


class MosaicStreaming:
    package = "mosaicml-streaming"
    settings = "MDS, no compression, local, shuffle=True (py1e), Stream(repeat=epochs), torch DataLoader"

    def prepare(self, args, folder):
        from streaming import MDSWriter

        column = "ndarray:uint8:" + ",".join(map(str, SITE_SHAPE))
        with MDSWriter(out=str(folder), columns={"pixels": column}, size_limit=SITES_PER_SHARD * SITE_BYTES) as writer:
            for paths in list_sites(args.plate):
                writer.write({"pixels": read_site(paths)})

    def ways(self, args, folder):
        return {
            f"{args.workers} workers": lambda n_epochs: self.batches(args, folder, n_epochs),
            "no workers": lambda n_epochs: self.batches(with_workers(args, 0), folder, n_epochs),
        }

    def batches(self, args, folder, n_epochs):
        from streaming import Stream, StreamingDataset
        from streaming.base.util import clean_stale_shared_memory

        clean_stale_shared_memory()
        dataset = StreamingDataset(
            streams=[Stream(local=str(folder), repeat=n_epochs)], shuffle=True, batch_size=args.batch
        )
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        for batch in torch_loader(dataset, args, batch_size=args.batch):
            yield batch["pixels"]


class LitData:
    package = "litdata"
    settings = "optimize() of tensors in chunks of 256 MB, StreamingDataset(shuffle=True), StreamingDataLoader"

    def prepare(self, args, folder):
        import litdata

        litdata.optimize(
            fn=litdata_sample,
            inputs=list_sites(args.plate),
            output_dir=str(folder),
            chunk_bytes="256MB",
            num_workers=1,
        )

    def ways(self, args, folder):
        return {
            f"{args.workers} workers": lambda n_epochs: self.batches(args, folder, n_epochs),
            "no workers": lambda n_epochs: self.batches(with_workers(args, 0), folder, n_epochs),
        }

    def batches(self, args, folder, n_epochs):
        import litdata

        dataset = litdata.StreamingDataset(str(folder), shuffle=True, subsample=float(n_epochs))
        kwargs = {"prefetch_factor": 2} if args.workers else {}
        loader = litdata.StreamingDataLoader(dataset, batch_size=args.batch, num_workers=args.workers, **kwargs)
        for batch in loader:
            yield batch["pixels"]


def litdata_sample(paths):
    import torch

    return {"pixels": torch.from_numpy(read_site(paths))}


class NumpyMemmap:
    package = "numpy"
    settings = "np.take of a batch's rows from np.memmap into a reused buffer, one thread, nothing checked"

    def prepare(self, args, folder):
        sites = list_sites(args.plate)
        array = np.memmap(folder / "plate.u8", np.uint8, "w+", shape=(len(sites), *SITE_SHAPE))
        for i, paths in enumerate(sites):
            array[i] = read_site(paths)
        array.flush()

    def ways(self, args, folder):
        return {"one thread": lambda n_epochs: self.batches(args, folder, n_epochs)}

    def batches(self, args, folder, n_epochs):
        array = np.memmap(folder / "plate.u8", np.uint8, "r").reshape(-1, *SITE_SHAPE)
        buffer = np.empty((args.batch, *SITE_SHAPE), np.uint8)
        for rows in in_batches(shuffled(len(array), n_epochs), args.batch):
            # Any mode but "raise" writes to `out` without a buffer between.
            yield np.take(array, rows, axis=0, out=buffer[: len(rows)], mode="clip")


ZARRS = "zarrs.ZarrsCodecPipeline"
PEERS = {
    "png-cv2": PngCv2(),
    "ffcv": Ffcv(one_pass=False),
    "ffcv-one-pass": Ffcv(one_pass=True),
    "tensorstore-raw": TensorStore("raw"),
    "tensorstore-zstd": TensorStore("zstd"),
    "zarr-raw": ZarrPython("raw"),
    "zarr-zstd": ZarrPython("zstd"),
    "zarrs-raw": ZarrPython("raw", ZARRS),
    "zarrs-zstd": ZarrPython("zstd", ZARRS),
    "webdataset": WebDataset(),
    "mosaic-streaming": MosaicStreaming(),
    "litdata": LitData(),
    "numpy-memmap": NumpyMemmap(),
}


def prepare(peer, args, folder):
    """Writes the reader's own format; a folder of that name is whole, because it is renamed into place last."""
    if folder.exists():
        return
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    peer.prepare(args, partial)
    partial.rename(folder)


def crc_sum(batches, n_sites):
    """The sum of the sites' CRC-32, over one epoch."""
    total = seen = 0
    for batch in batches:
        pixels = np.asarray(batch)
        assert pixels.dtype == np.uint8 and pixels.shape[1:] == SITE_SHAPE and pixels.flags.c_contiguous
        total += sum(zlib.crc32(site) for site in pixels)
        seen += len(pixels)
    assert seen == n_sites, f"{n_sites} sites an epoch expected, {seen} found"
    return total % 2**64


def measure(batches, n_sites):
    """Sites and seconds after the first epoch of a run over several."""
    warm = sites = 0
    for batch in batches:
        if warm < n_sites:
            warm += len(batch)
            start = time.perf_counter()
        else:
            sites += len(batch)
    return sites, time.perf_counter() - start


def read(name, peer, args, folder):
    n_sites = len(list_sites(args.plate))
    ways = peer.ways(args, folder)
    tried = {}
    if not args.way:
        for way, batches in ways.items():
            sites, seconds = measure(batches(1 + TRIAL_EPOCHS), n_sites)
            tried[way] = round(sites * SITE_BYTES / seconds / 1e6)
    fastest = args.way or max(tried, key=tried.get)
    checksum = crc_sum(ways[fastest](1), n_sites)
    sites, seconds = measure(ways[fastest](1 + args.epochs), n_sites)
    # A fast reader is done before a second is over: it gets more epochs.
    if seconds < LEAST_SECONDS:
        sites, seconds = measure(ways[fastest](1 + round(args.epochs * LEAST_SECONDS / seconds)), n_sites)
    return {
        "name": name,
        "version": importlib.metadata.version(peer.package),
        "mb_per_s": round(sites * SITE_BYTES / seconds / 1e6),
        "sites": sites,
        "seconds": seconds,
        "settings": f"{peer.settings}; {fastest}",
        "way": fastest,
        "tried": tried,
        "crc_sum": checksum,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    for command in ("prepare", "read"):
        flags = commands.add_parser(command)
        flags.add_argument("name", choices=PEERS)
        flags.add_argument("--plate", required=True, type=Path, help="folder of one plate's PNGs")
        flags.add_argument("--raw", required=True, type=Path, help="store of that plate, codec raw")
        flags.add_argument("--zstd", required=True, type=Path, help="store of that plate, codec zstd:3")
        flags.add_argument("--work", required=True, type=Path, help="folder for the readers' own formats")
        flags.add_argument("--batch", type=int, default=64, help="sites in a batch")
        flags.add_argument("--workers", type=int, default=2, help="threads or worker processes")
        flags.add_argument("--epochs", type=int, default=8, help="epochs to time, at least")
        flags.add_argument("--way", help="how to use the reader, as `tried` names it; without it the fastest is found")
    args = parser.parse_args()
    if args.command == "list":
        print("\n".join(PEERS))
        return
    # What the readers print goes to stderr: stdout is one line of JSON.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer, folder = PEERS[args.name], args.work / args.name
    try:
        prepare(peer, args, folder)
        report = read(args.name, peer, args, folder) if args.command == "read" else None
    except Exception as error:
        sys.exit(f"{args.name}: {type(error).__name__}: {' '.join(str(error).split())}")
    if report:
        print(json.dumps(report), file=out, flush=True)


if __name__ == "__main__":
    main()
