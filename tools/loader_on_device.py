"""Python's loader with a device: that every batch that arrives there is the store's, and how many sites arrive a second,
beside a plain copy of each batch. Prints one line of JSON.

usage: loader_on_device.py STORE [--device cuda:0] [--batch-size 64]
"""

import argparse
import json
import time

import torch

import cellshard

EPOCHS = 3
SECONDS = 5.0


def settle(device):
    """Waits for whatever the device has to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def are_the_stores(loader):
    """How many sites came, each with the pixels that the store has of it."""
    n = 0
    for _ in range(EPOCHS):
        for batch in loader:
            # Something to compute with meanwhile, so that copies and computing overlap.
            square = batch["pixels"].float().square().mean()
            pixels = batch["pixels"].cpu()
            for found, index in zip(pixels, batch["index"].tolist(), strict=True):
                assert torch.equal(found, torch.from_numpy(loader.store.site(index))), f"site {index} is another"
            assert torch.isfinite(square)
            n += len(pixels)
        # Broken off in the middle, with copies on their way.
        next(iter(loader))
    return n


def rate(batches, device):
    """Sites a second that arrive."""
    n, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        for batch in batches():
            n += len(batch["index"])
        settle(device)
    return n / (time.perf_counter() - began)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    device = torch.device(args.device)
    store = cellshard.Store(args.store)
    loader = cellshard.Loader(store, batch_size=args.batch_size, device=device)
    n = are_the_stores(loader)
    plain = cellshard.Loader(store, batch_size=args.batch_size)

    def copied():
        for batch in plain:
            yield {name: values.to(device) for name, values in batch.items()}

    rates = {"loader": rate(lambda: loader, device), "plain_copy": rate(copied, device)}
    print(json.dumps({"device": str(device), "sites_compared": n, "sites_per_second": rates}))


if __name__ == "__main__":
    main()
