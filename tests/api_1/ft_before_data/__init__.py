"""The data source before-data for ft: `ft run --data before-data:./photos`."""

from collections.abc import Iterator

from ft import DataSource, hookimpl

FT_API = 1  # the version of ft's plugin API that this is made for


@hookimpl
def ft_data_sources() -> Iterator[DataSource]:
    yield DataSource(
        "before-data",
        "A folder of images named after their class, as in cat_001.jpg",
        load="ft_before_data.before_data:load",
        settings="ft_before_data.before_data:Settings",
        example="before-data:./photos",
    )
