"""Our own feed by way of Python: the wheel's loader, with as many buffers as the feed of Rust has in this run."""

from pathlib import Path


class Cellshard:
    package = "cellshard"
    settings = "Loader(prefetch=2), its own threads, every site's crc32c checked at first read"

    def __init__(self, store):
        self.store = store

    def prepare(self, args, folder):
        """Its stores are there already."""

    def ways(self, args, folder):
        return {
            format: lambda n_epochs, format=format: self.batches(args, format, n_epochs) for format in ("numpy", "torch")
        }

    def batches(self, args, format, n_epochs):
        import cellshard

        store = Path(getattr(args, self.store))
        loader = cellshard.Loader(store, batch_size=args.batch, threads=args.workers, prefetch=2, format=format)
        for _ in range(n_epochs):
            for batch in loader:
                yield batch["pixels"]
                del batch
