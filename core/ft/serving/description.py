"""What the service's description (OpenAPI) says of requests and answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ft.data.pictures import Picture
from ft.inference.form import Form
from ft.inference.prediction import Prediction
from ft.serving.refusals import RETRY_AFTER, SAID, Reason
from ft.serving.served import Served

_BINARY = {"type": "string", "format": "binary"}
IMAGES_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"images": {"type": "array", "items": _BINARY, "minItems": 1}},
                    "required": ["images"],
                }
            },
            "image/*": {"schema": _BINARY},
            "application/octet-stream": {"schema": _BINARY},
        },
    }
}
"""Images are the files of a form, whatever its fields are called, or one image is the body."""


class Asked(BaseModel):
    """What else is asked of answers, as by the flags of `ft predict`."""

    model_config = ConfigDict(extra="forbid")
    top: int = Field(3, ge=1, le=1_000_000, description="of many classes, how many to tell for each image")
    all: bool = Field(False, description="tell the probability of every class or label")
    bad_images: Literal["fail", "skip"] = Field(
        "fail",
        description="what images without an answer are: the status of the whole request, or records with an error",
    )


class AskedWhere(BaseModel):
    """What is to be explained of an image."""

    model_config = ConfigDict(extra="forbid")
    of: str = Field("", description="the class, label or target; without it, the answer")


class Problem(BaseModel):
    """Why there is no answer."""

    reason: Reason = Field(description="one word, which metrics count")
    error: str = Field(description="what is wrong, and what to do")
    images: list[dict[str, Any]] | None = Field(
        None, description="of several images, the record of each: an answer, or an error"
    )


class Health(BaseModel):
    """That the service answers."""

    status: Literal["ok", "stuck"] = Field(description="stuck where one batch takes longer than a request may")
    model: str
    computed_by: str = Field(description="the backbone of a run, the format of an exported model")
    task: str
    names: int = Field(description="classes, labels or targets")
    waiting: int = Field(description="images in this process")


class HeatMap(BaseModel):
    """Where in an image an output comes from."""

    overlay: str = Field(description="the map over the image in grey: a JPEG file as a data: address")
    of: str = Field(description="the class, label or target that is explained")
    output: float = Field(description="its output, before any softmax")
    method: str
    layer: str
    box: list[int] = Field(description="left, top, right and bottom of what the network saw, in pixels of the image")
    empty: bool = Field(description="whether nothing in the image speaks for it")


class Explained(BaseModel):
    """One answer as people read it, and where in the image it comes from."""

    path: str
    answer: dict[str, str] = Field(description="what stands at the head of a column, and the text below it")
    probabilities: dict[str, float] | None = Field(description="of every name; null for tasks that have none")
    map: HeatMap | None
    lacking: str = Field(description="why there is no map")


def parameters_of(asked: type[BaseModel], served: Served) -> list[dict[str, Any]]:
    """What may be said in the address: of a model whose answers have no probabilities not that all are wanted, and as
    the name of an output no other than those there are."""
    found = dict(asked.model_json_schema()["properties"])
    if served.like.every() is None:
        found.pop("all", None)
    if "of" in found:
        found["of"] |= {"enum": ["", *served.space.names]}
    return [
        {"name": name, "in": "query", "required": False, "description": schema.pop("description"), "schema": schema}
        for name, schema in found.items()
    ]


def records_of(served: Served) -> dict[str, Any]:
    """The schema of the answer to images: a list of the records of `ft predict --json`."""
    said = Form(3, served.like).said(Prediction(Picture("cat.jpg"), served.like))
    record = {name: _schema_of(value) for name, value in said.items()}
    record |= {"path": {"type": "string"}, "error": {"type": "string", "description": "why there is none, else empty"}}
    items = {"type": "object", "properties": record, "required": [*record]}
    return {"type": "array", "items": items}


def responses(good: Mapping[int | str, dict[str, Any]], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """What may come of a request: what is `good`, and these statuses with a problem."""
    problems: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        problems[status] = {"model": Problem, "description": SAID[status]}
        if status == 503:
            after = {"schema": {"type": "integer"}, "description": f"seconds, {RETRY_AFTER}"}
            problems[status]["headers"] = {"Retry-After": after}
    return {**good, **problems}


def _schema_of(value: Any) -> dict[str, Any]:
    """The schema of a value as it is, or of null, or an empty list, where there is no answer."""
    if isinstance(value, bool):
        return {"type": ["boolean", "null"]}
    if isinstance(value, str):
        return {"type": ["string", "null"]}
    if isinstance(value, int | float):
        return {"type": ["number", "null"]}
    if isinstance(value, list | tuple):
        return {"type": "array"}
    return {"type": "object"} if isinstance(value, Mapping) else {}
