"""Lightning's DDP in two processes: processes_lightning.py TRAINS EPOCHS."""

from __future__ import annotations

import sys

import lightning
import torch
from lightning.pytorch.strategies import DDPStrategy
from processes_job import BATCH, images, network, set_modes
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset


class Classifier(lightning.LightningModule):
    def __init__(self, trains: str) -> None:
        super().__init__()
        self.trains, self.net = trains, network(trains)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def on_train_epoch_start(self) -> None:
        set_modes(self.net, self.trains)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([each for each in self.parameters() if each.requires_grad], 0.001, momentum=0.9)


def main() -> None:
    trains, epochs = sys.argv[1], int(sys.argv[2])
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=2,
        strategy=DDPStrategy(process_group_backend="gloo"),
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(TensorDataset(*images()), batch_size=BATCH // 2, shuffle=True)
    trainer.fit(Classifier(trains), loader)


if __name__ == "__main__":
    main()
