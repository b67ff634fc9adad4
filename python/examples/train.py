"""Trains a torchvision network on a store in plain PyTorch: whole experiments validate, images are normalised by the
controls of their plates, and a run that was stopped goes on where it was, in the middle of an epoch.

    python train.py shards --run run --model resnet50 --epochs 15
"""

import argparse
import csv
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

import cellshard
import cellshard.torch


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="the store")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints; a run that is there goes on")
    parser.add_argument("--model", default="resnet50", help="a network of torchvision's [default: resnet50]")
    parser.add_argument("--init-from", help="weights to begin with, as safetensors")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=6e-4, help="learning rate of Adam, or with --momentum of SGD")
    parser.add_argument("--momentum", type=float, help="train by SGD with this momentum")
    parser.add_argument("--no-flip", action="store_true", help="do not flip and turn images at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--checkpoint-every", type=float, default=600, metavar="SECONDS")
    parser.add_argument("--max-steps", type=int, help="stop after so many steps of this process, and save")
    return parser.parse_args()


def flipped_and_turned(images):
    """All images of a batch flipped and turned the same way, by chance."""
    for side in (2, 3):
        if torch.rand(()) < 0.5:
            images = images.flip(side)
    return images.rot90(int(torch.randint(4, ())), (2, 3))


@torch.no_grad()
def accuracy(model, loader, normalization, device):
    """The share of sites that are told right."""
    model.eval()
    right = n = 0
    for batch in loader:
        found = model(cellshard.normalize(batch, normalization)).argmax(1)
        right += (found == batch["label"].to(device)).sum().item()
        n += len(found)
    return right / n


def main():
    args = arguments()
    args.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    store = cellshard.Store(args.store)
    split = store.split()
    for warning in split.warnings:
        print("warning:", warning)
    reads = {"split": split, "batch_size": args.batch_size, "device": args.device}
    loader = cellshard.Loader(store, part="train", seed=args.seed, drop_last=True, **reads)
    validation = cellshard.Loader(store, part="validation", **reads)
    normalization = store.normalization("plate-controls")

    model = cellshard.torch.new_model(args.model, len(store.channels), len(split.classes))
    if args.init_from:
        cellshard.torch.load_weights(model, args.init_from)
    # What convolutions on a GPU are fastest in.
    is_cuda = torch.device(args.device).type == "cuda"
    layout = torch.channels_last if is_cuda else torch.contiguous_format
    model.to(args.device, memory_format=layout)
    if args.momentum is None:
        optimizer = torch.optim.Adam(model.parameters(), args.lr)
    else:
        optimizer = torch.optim.SGD(model.parameters(), args.lr, args.momentum)
    checkpoint, step = args.run / "checkpoint.pt", 0

    def save():
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "loader": loader.state_dict(),
            "random": torch.get_rng_state(),
            "step": step,
        }
        # Whole or not at all, whenever it is stopped.
        torch.save(state, args.run / "checkpoint.new")
        (args.run / "checkpoint.new").rename(checkpoint)

    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        loader.load_state_dict(state["loader"])
        torch.set_rng_state(state["random"])
        # What a kill left behind the checkpoint is trained again.
        rows = (args.run / "losses.csv").read_text().splitlines(keepends=True)
        (args.run / "losses.csv").write_text("".join(rows[: state["step"]]))
        step = state["step"]
        print("is finished" if loader.epoch >= args.epochs else f"goes on in epoch {loader.epoch + 1} of {args.epochs}")

    amp = torch.autocast("cuda", torch.bfloat16, enabled=is_cuda)
    n_steps, saved = 0, time.monotonic()
    with open(args.run / "losses.csv", "a", newline="") as file:
        losses = csv.writer(file)
        while (epoch := loader.epoch) < args.epochs:
            model.train()
            for batch in loader:
                images = cellshard.normalize(batch, normalization)
                if not args.no_flip:
                    images = flipped_and_turned(images)
                with amp:
                    loss = cross_entropy(model(images.contiguous(memory_format=layout)), batch["label"])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.writerow([epoch, loss.item()])
                n_steps, step = n_steps + 1, step + 1
                file.flush()
                if n_steps == args.max_steps or time.monotonic() - saved > args.checkpoint_every:
                    save()
                    saved = time.monotonic()
                if n_steps == args.max_steps:
                    return
            with amp:
                found = accuracy(model, validation, normalization, args.device)
            print(f"epoch {epoch + 1}  validation: sites {found:.1%}", flush=True)
            save()
    cellshard.torch.save_weights(model, args.run / "weights.safetensors")


if __name__ == "__main__":
    main()
