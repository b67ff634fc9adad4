"""Trains a torchvision network on a store with Lightning, on one GPU or several; batches are divided by the loader.

python train_lightning.py shards --model resnet50 --epochs 15
"""

import argparse

import lightning
import torch
from torch.nn.functional import cross_entropy

import cellshard
import cellshard.torch


class Sites(lightning.LightningDataModule):
    """Both parts of a store's split."""

    def __init__(self, store, batch_size):
        super().__init__()
        self.store, self.batch_size = cellshard.Store(store), batch_size
        self.split = self.store.split()

    def loader(self, part, **order):
        """Made where the processes are known, so that each reads its share."""
        return cellshard.Loader(self.store, split=self.split, part=part, batch_size=self.batch_size, **order)

    def train_dataloader(self):
        return self.loader("train", drop_last=True, epoch=self.trainer.current_epoch)

    def val_dataloader(self):
        return self.loader("validation")


class Network(lightning.LightningModule):
    """A network on images that are normalised by the controls of their plates."""

    def __init__(self, store, split, model, lr):
        super().__init__()
        self.normalization = store.normalization("plate-controls")
        self.model = cellshard.torch.new_model(model, len(store.channels), len(split.classes))
        self.lr = lr

    def logits(self, batch):
        return self.model(cellshard.normalize(batch, self.normalization))

    def training_step(self, batch):
        loss = cross_entropy(self.logits(batch), batch["label"])
        self.log("loss", loss, prog_bar=True, batch_size=len(batch["label"]))
        return loss

    def validation_step(self, batch):
        right = (self.logits(batch).argmax(1) == batch["label"]).float().mean()
        self.log("accuracy", right, prog_bar=True, batch_size=len(batch["label"]), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.lr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", help="the store")
    parser.add_argument("--model", default="resnet50", help="a network of torchvision's [default: resnet50]")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=6e-4)
    args = parser.parse_args()
    sites = Sites(args.store, args.batch_size)
    network = Network(sites.store, sites.split, args.model, args.lr)
    precision = "bf16-mixed" if torch.cuda.is_available() else "32-true"
    # The loader knows its rank: Lightning is not to divide it again.
    trainer = lightning.Trainer(max_epochs=args.epochs, precision=precision, use_distributed_sampler=False)
    trainer.fit(network, datamodule=sites)
    print({name: round(float(value), 3) for name, value in trainer.callback_metrics.items()})


if __name__ == "__main__":
    main()
