"""The module of a run behind LitServe: python litserve_server.py RUN PORT BATCH WAIT_SECONDS"""

import sys
from typing import Any

import litserve
import torch
from fastapi import UploadFile

import ft


class Classify(litserve.LitAPI):
    """Decodes as ft does, and asks the module about all that wait."""

    run: str

    def setup(self, device: str) -> None:
        self.model = ft.load(self.run, device="cpu", precision="fp32")

    def decode_request(self, request: UploadFile) -> torch.Tensor:
        return self.model.prepare(request.file.read())[0]

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(inputs)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.model.module(x).softmax(1)

    def unbatch(self, output: torch.Tensor) -> list[torch.Tensor]:
        return list(output)

    def encode_response(self, output: torch.Tensor) -> dict[str, Any]:
        best = output.topk(min(3, len(output)))
        names = [self.model.classes[place] for place in best.indices.tolist()]
        return {"classes": names, "probabilities": best.values.tolist()}


if __name__ == "__main__":
    run, port, batch, wait = sys.argv[1:]
    api = Classify(max_batch_size=int(batch), batch_timeout=float(wait))
    api.run = run
    server = litserve.LitServer(api, accelerator="cpu", timeout=60)
    server.run(host="127.0.0.1", port=int(port), log_level="warning", generate_client_file=False)
