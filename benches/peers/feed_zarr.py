"""Readers of our own stores: TensorStore and zarr-python, with and without zarrs."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from feed_common import ARRAY, SITE_SHAPE, Sites, in_batches, shuffled, torch_loader


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
