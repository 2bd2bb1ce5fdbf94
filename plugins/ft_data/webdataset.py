"""webdataset:PATTERN: tar archives in which files of one name are an image and what is said of it, read in place.

An image is read where it lies, by its offset, so images are drawn in any order and by any process. What an archive
holds is listed once and kept in ft's cache folder, under what the archive was then.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

import ft
from ft import DataCache, FtError, Remark, Sample, is_image, number_of, publish_text, read_bytes
from ft_data.shards import Shard, all_or_none, find_shards

FORMAT = 1  # of what is kept of an archive
_MOST_SAID = 10**6  # bytes of what is said of an image
_MOST_LISTED = 10**9
_LABELS = ("label", "cls", "class", "class_name", "label_name", "category", "target")


class Settings(ft.Settings):
    image: str | None = Field(
        None, description="ending of the images, as jpg or left.png; default: those that name an image format"
    )
    label: str = Field("auto", description="ending of what says the class: cls, txt, json; auto: the first of these")
    label_key: str | None = Field(
        None, description="where a .json has the class; default: label, or the one called cls, class, category, target"
    )
    classes: tuple[str, ...] = Field((), description="names of classes that are given as numbers, from 0 on")


@dataclass(frozen=True, slots=True)
class Member:
    """Reads one file of an archive where it lies."""

    shard: Shard
    begins: int
    size: int

    def __call__(self) -> bytes:
        with self.shard.path.open("rb", buffering=0) as file:
            self.shard.check_same(os.fstat(file.fileno()))
            file.seek(self.begins)
            content = file.read(self.size)
        if len(content) != self.size:
            raise ValueError(f"{self.shard.path} ends in it")
        return content


@dataclass(frozen=True)
class _Said:
    """An image as an archive has it: name and place of its file, and what is said of it, by ending."""

    name: str
    begins: int
    size: int
    says: Mapping[str, str]


def load(argument: str | None, settings: Settings, cache: DataCache, group: str | None = None) -> Iterator[Any]:
    """Yield the images of the archives that a pattern names, with what the key `group` of their .json says. Raises
    FtError for an archive that cannot be read, and for an image without a label."""
    shards = all_or_none(find_shards(argument, "webdataset", ".tar"))
    ending, count = "", 0
    for shard in shards:
        for said in _listed(shard, settings, cache):
            ending = ending or _ending(said, shard, settings)
            where = f"{shard.name}:{said.name}"
            label = _label(said, ending, where, settings)
            of = None if group is None else _group(said, where, group)
            count += 1
            yield Sample(
                None, label, shard.split, Member(shard, said.begins, said.size), where, group=of, state=shard.state
            )
    yield Remark(f"{number_of(count, 'image')} in {number_of(len(shards), 'archive')}, read where they lie")


def _ending(said: _Said, shard: Shard, settings: Settings) -> str:
    """What ending says the class, as the first image shows."""
    if settings.label != "auto":
        return settings.label.removeprefix(".")
    found = next((each for each in ("cls", "json", "txt") if each in said.says), None)
    if found is None:
        has = ", ".join(f".{each}" for each in said.says) or "nothing else"
        raise FtError(
            f"nothing says the class of {shard.path}:{said.name}: beside it there is {has}. Name its ending with "
            "--set data.label=ENDING"
        )
    return found


def _label(said: _Said, ending: str, where: str, settings: Settings) -> str:
    text = said.says.get(ending)
    if text is None:
        raise FtError(f"{where} has no .{ending} beside it, which says the class of other images")
    if ending.split(".")[-1] == "json":
        record = _record(text, where)
        key = settings.label_key or next((each for each in _LABELS if each in record), None)
        if key is None or key not in record:
            has = ", ".join(record) or "nothing"
            raise FtError(
                f"the .{ending} of {where} has no '{key or 'label'}', but {has}; name the one with the class with "
                "--set data.label_key=KEY"
            )
        text = str(record[key])
    text = text.strip()
    if not text:
        raise FtError(f"{where} has an empty label")
    if settings.classes:
        if not text.isdecimal() or int(text) >= len(settings.classes):
            raise FtError(
                f"{where} is of class '{text}', and data.classes names those from 0 to {len(settings.classes) - 1}"
            )
        return settings.classes[int(text)]
    return text


def _group(said: _Said, where: str, key: str) -> str:
    record = next((_record(text, where) for name, text in said.says.items() if name.endswith("json")), {})
    if key not in record:
        raise FtError(f"{where} has no .json with '{key}' in it, by which images are to be grouped")
    return str(record[key])


def _record(text: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise FtError(f"the .json of {where} cannot be read: {error}") from error
    if not isinstance(record, dict):
        raise FtError(f"the .json of {where} is no object with named values")
    return record


def _listed(shard: Shard, settings: Settings, cache: DataCache) -> Iterator[_Said]:
    """What an archive holds, from what is kept of it, if it has not changed since."""
    if not shard.state:  # changed just now: it may change again within the same tick
        yield from _grouped(shard, settings)
        return
    about = json.dumps([FORMAT, str(shard.path.absolute()), shard.state, settings.image])
    name = f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.json"

    def write(path: Path) -> None:
        found = [[one.name, one.begins, one.size, one.says] for one in _grouped(shard, settings)]
        publish_text(path, json.dumps(found))

    for entry in json.loads(read_bytes(cache.make(name, write), _MOST_LISTED)):
        yield _Said(*entry)


def _grouped(shard: Shard, settings: Settings) -> Iterator[_Said]:
    """The images of an archive, each with the files of its name, which stand beside it. Raises FtError."""
    files: dict[str, tarfile.TarInfo] = {}
    before, seen = "", set[str]()
    try:
        with shard.path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # which keeps a kilobyte of each otherwise
                key, ending = _parts(member.name)
                if not member.isreg() or key is None:
                    continue
                if key != before:
                    yield from _image(shard, before, files, settings, archive)
                    if key in seen:
                        raise FtError(f"files called {key} do not stand together in {shard.path}; pack it anew")
                    seen.add(key)
                    before, files = key, {}
                files[ending] = member
            yield from _image(shard, before, files, settings, archive)
    except (FtError, MemoryError):
        raise
    except Exception as error:  # whatever a damaged archive makes of what reads it
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        packed = " It may be compressed; unpack it to a plain .tar" if "invalid header" in why else ""
        raise FtError(f"cannot read the archive {shard.path}: {why}.{packed}") from error


def _parts(name: str) -> tuple[str | None, str]:
    """The key of a file, and its ending, from the first dot of its name on; no key for hidden ones."""
    folder, _, last = name.rpartition("/")
    stem, dot, ending = last.partition(".")
    if not stem or not dot or any(part.startswith(".") and part != "." for part in folder.split("/")):
        return None, ""
    return (f"{folder}/{stem}" if folder else stem).removeprefix("./"), ending


def _image(
    shard: Shard, key: str, files: Mapping[str, tarfile.TarInfo], settings: Settings, archive: tarfile.TarFile
) -> Iterator[_Said]:
    if not files:
        return
    wanted = settings.image.removeprefix(".") if settings.image else None
    found = [each for each in files if (each == wanted if wanted else is_image(f"x.{each.split('.')[-1]}"))]
    if len(found) > 1:
        raise FtError(
            f"{shard.path}:{key} has several images: {_all(found)}; say which with --set data.image={found[0]}"
        )
    if not found:
        wants = f"no .{wanted}" if wanted else "no image"
        raise FtError(f"{shard.path}:{key} has {wants}, but {_all(list(files))}")
    says = {}
    for ending, member in files.items():
        if ending != found[0] and ending.split(".")[-1] in ("cls", "txt", "json", "text") and member.size <= _MOST_SAID:
            taken = archive.extractfile(member)
            assert taken is not None, "it is a plain file"
            says[ending] = taken.read().decode()
    image = files[found[0]]
    yield _Said(f"{key}.{found[0]}", image.offset_data, image.size, says)


def _all(endings: Sequence[str]) -> str:
    return ", ".join(f".{each}" for each in endings)
