"""Data sources: a folder of images, a table, files of many images each, and a small set made on the spot."""

from __future__ import annotations

from collections.abc import Iterator

from ft import DataSource, hookimpl


@hookimpl
def ft_data_sources() -> Iterator[DataSource]:
    yield DataSource(
        "folder",
        "A folder with a folder of images for each class, inside train/, val/ and test/ or not",
        load="ft_data.folder:load",
        settings="ft_data.folder:Settings",
        example="folder:./photos",
    )
    yield DataSource(
        "csv",
        "A table that names each image and its class, and its split if it has one",
        load="ft_data.table:load",
        settings="ft_data.table:Settings",
        example="csv:./labels.csv",
    )
    yield DataSource(
        "webdataset",
        "Tar archives in which files of one name are an image and its class, read where they lie",
        load="ft_data.webdataset:load",
        settings="ft_data.webdataset:Settings",
        example="webdataset:./train-{000..012}.tar",
    )
    yield DataSource(
        "parquet",
        "Parquet files with a column of encoded images and one of classes (pip install 'ftkit[parquet]')",
        load="ft_data.parquet:load",
        settings="ft_data.parquet:Settings",
        example="parquet:./train-*.parquet",
    )
    yield DataSource(
        "hf",
        "A data set of the Hugging Face hub, or one in a folder (pip install 'ftkit[datasets]')",
        load="ft_data.hf:load",
        settings="ft_data.hf:Settings",
        example="hf:./saved",
    )
    yield DataSource(
        "demo",
        "Drawings of circles, crosses, squares and triangles, made on the spot to try ft with",
        load="ft_data.demo:load",
        settings="ft_data.demo:Settings",
        example="demo",
    )
