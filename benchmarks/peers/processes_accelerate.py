"""accelerate in two processes: processes_accelerate.py TRAINS EPOCHS."""

from __future__ import annotations

import sys

import torch
from accelerate import Accelerator
from processes_job import BATCH, images, network, set_modes
from torch.utils.data import DataLoader, TensorDataset


def main() -> None:
    trains, epochs = sys.argv[1], int(sys.argv[2])
    accelerator = Accelerator(cpu=True)
    net = network(trains)
    optimizer = torch.optim.SGD([each for each in net.parameters() if each.requires_grad], 0.001, momentum=0.9)
    loader = DataLoader(TensorDataset(*images()), batch_size=BATCH // accelerator.num_processes, shuffle=True)
    ready, optimizer, loader = accelerator.prepare(net, optimizer, loader)
    set_modes(net, trains)
    for _ in range(epochs):
        for pixels, labels in loader:
            optimizer.zero_grad()
            accelerator.backward(torch.nn.functional.cross_entropy(ready(pixels), labels))
            optimizer.step()


if __name__ == "__main__":
    main()
