"""Readers of PNGs and of formats of their own: cv2, FFCV, WebDataset, MosaicML streaming, LitData, NumPy."""

import warnings

import numpy as np

from feed_common import (
    SITES_PER_SHARD, SITE_BYTES, SITE_SHAPE, Sites, in_batches, list_sites, read_site, shuffled, torch_loader, with_workers,
)


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
