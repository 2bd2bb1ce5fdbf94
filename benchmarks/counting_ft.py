"""The command `ft`, which leaves a byte in the file $DECODED for every image that Pillow decodes, in any process."""

from __future__ import annotations

import os
from typing import Any

from PIL import ImageFile

from ft.cli import main

FILE = os.open(os.environ["DECODED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
load = ImageFile.ImageFile.load


def counted(image: ImageFile.ImageFile) -> Any:
    if image.tile:  # it is not decoded yet
        os.write(FILE, b".")
    return load(image)


ImageFile.ImageFile.load = counted  # type: ignore[method-assign]
if __name__ == "__main__":
    main()
