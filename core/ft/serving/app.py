"""The addresses of a service: what each takes, and what may come of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from ft._version import __version__
from ft.errors import did_you_mean
from ft.inference.form import Form
from ft.serving.counting import Counted
from ft.serving.description import (
    IMAGES_BODY,
    Asked,
    AskedWhere,
    Explained,
    Health,
    parameters_of,
    records_of,
    responses,
)
from ft.serving.maps import shown_map
from ft.serving.page import draw_page, policy
from ft.serving.refusals import Refused
from ft.serving.service import Service, Told
from ft.serving.uploads import Upload, uploads_of
from ft.text.terminal import as_json, visible

B = TypeVar("B", bound=BaseModel)
PATHS = ("/", "/predict", "/explain", "/health", "/metrics", "/openapi.json")
_REFUSALS = (400, 408, 413, 415, 422, 500, 503, 504)


def make_app(service: Service) -> FastAPI:
    """The application that answers by a service, which is open while it runs."""

    @asynccontextmanager
    async def open_service(_: FastAPI) -> AsyncIterator[None]:
        async with service.open():
            yield

    app = FastAPI(
        title=f"ft serve {visible(service.served.name)}",
        description=f"{service.served.task} by {service.served.computed_by}",
        version=__version__,
        lifespan=open_service,
        docs_url=None,  # these two pages are made of scripts from another machine
        redoc_url=None,
        openapi_url=None,  # it is ours, since a name may be bytes that are no text
    )
    app.add_middleware(Counted, metrics=service.metrics, paths=PATHS)
    _handle_errors(app, service)
    _add_answers(app, service)
    _add_state(app, service)
    return app


def _add_answers(app: FastAPI, service: Service) -> None:
    served = service.served

    @app.post(
        "/predict",
        summary="Ask about one image or many",
        response_model=None,
        responses=responses(
            {200: {"description": "The records of ft predict --json", "content": _json(records_of(served))}}, *_REFUSALS
        ),
        openapi_extra={"parameters": parameters_of(Asked, served), **IMAGES_BODY},
    )
    async def predict(request: Request) -> Response:
        asked = _read(Asked, request)
        form = Form(asked.top, served.like, every=asked.all)
        if asked.all and served.like.every() is None:
            raise Refused(
                "parameters", f"all tells the probability of every name; the answers of task '{served.task}' have none"
            )
        with service.room(1):
            found: list[Told] = await service.in_time(
                uploads_of(request, service.limits), lambda ups: _asked(ups), lambda: _left(request)
            )
        return _said(_checked(found, form, service, skip=asked.bad_images == "skip"))

    @app.post(
        "/explain",
        summary="Ask about one image, and where in it the answer comes from",
        response_model=None,
        responses=responses({200: {"model": Explained, "description": "The answer and its map"}}, *_REFUSALS),
        openapi_extra={"parameters": parameters_of(AskedWhere, served), **IMAGES_BODY},
    )
    async def explain(request: Request) -> Response:
        asked, names = _read(AskedWhere, request), served.space.names
        if asked.of and asked.of not in names:
            raise Refused("parameters", f"there is no '{asked.of}' to explain.{did_you_mean(asked.of, names)}")
        with service.room(1):
            found = await service.in_time(
                uploads_of(request, service.limits), lambda ups: _explained(ups, asked.of), lambda: _left(request)
            )
        return _said(found)

    async def _asked(uploads: Sequence[Upload]) -> list[Told]:
        with service.room(len(uploads) - 1):
            return await service.answers(uploads)

    async def _explained(uploads: Sequence[Upload], of: str) -> dict[str, Any]:
        if len(uploads) > 1:
            raise Refused("images", "one image is explained at a time")
        form = Form(len(served.space.names), served.like)
        told = await service.answers(uploads)
        _checked(told, form, service, skip=False)
        [answer] = [each.answer for each in told if each.answer is not None]
        every = answer.every()
        likeliest = max(every, key=lambda name: every[name]) if every else None
        shown = None
        if served.explain is not None:
            found = await service.explanation(uploads[0], of or likeliest)
            shown = await service.decoding(lambda: shown_map(found))
        return {
            "path": uploads[0].name,
            "answer": answer.cells(3),
            "probabilities": every,
            "map": shown,
            "lacking": served.lacking,
        }


def _add_state(app: FastAPI, service: Service) -> None:
    served = service.served
    text = draw_page(served, service.limits)

    @app.get("/", summary="A page on which to drop an image", response_class=Response, responses=_page("text/html"))
    async def page() -> Response:
        return Response(text, media_type="text/html", headers={"Content-Security-Policy": policy()})

    @app.get("/openapi.json", include_in_schema=False)
    async def description() -> Response:
        return _said(app.openapi())

    @app.get(
        "/health",
        summary="Whether it answers",
        response_model=None,
        responses={
            200: {"model": Health, "description": "It answers."},
            503: {"model": Health, "description": "One batch takes longer than a request may."},
        },
    )
    async def health() -> Response:
        said = {
            "status": "stuck" if service.stuck else "ok",
            "model": served.name,
            "computed_by": served.computed_by,
            "task": served.task,
            "names": len(served.space.names),
            "waiting": service.waiting,
        }
        return _said(said, 503 if service.stuck else 200)

    @app.get(
        "/metrics",
        summary="Counts, for Prometheus",
        response_class=Response,
        responses=_page("text/plain"),
    )
    def metrics() -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _read(model: type[B], request: Request) -> B:
    """What is said in the address of a request. Raises Refused for what is nothing to it, and what is said twice."""
    said = request.query_params.multi_items()
    if len(dict(said)) < len(said):
        raise Refused("parameters", "a parameter is given more than once")
    try:
        return model.model_validate(dict(said))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise Refused("parameters", wrong) from error


async def _left(request: Request) -> None:
    """Wait until the client of a request that was read has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _checked(found: Sequence[Told], form: Form, service: Service, skip: bool) -> list[dict[str, Any]]:
    """The records of images. Raises Refused for the first without an answer, unless such are to be skipped."""
    records = [form.said(each.prediction) for each in found]
    bad = [each.refused for each in found if each.refused is not None]
    for each in bad:
        service.metrics.errors.labels(each.reason).inc()
    if bad and not skip:
        first, more = bad[0], f" ({len(bad)} of {len(found)} images have no answer)" if len(found) > 1 else ""
        raise Refused(first.reason, f"{first}{more}", records)
    return records


def _handle_errors(app: FastAPI, service: Service) -> None:
    def problem(refused: Refused) -> Response:
        if refused.images is None:
            service.metrics.errors.labels(refused.reason).inc()
        said: dict[str, Any] = {"reason": refused.reason, "error": str(refused), "images": refused.images}
        return _said(said, refused.status, refused.headers)

    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return problem(error)

    async def no_such_path(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        service.metrics.errors.labels("path").inc()
        said = {"reason": "path", "error": f"{request.method} {request.url.path}: {error.detail}", "images": None}
        return _said(said, error.status_code, error.headers)

    async def bug(_: Request, error: Exception) -> Response:
        return problem(Refused("bug", "this is a bug of the service, whose stderr says more"))

    app.add_exception_handler(Refused, refuse)
    app.add_exception_handler(HTTPException, no_such_path)
    app.add_exception_handler(Exception, bug)


def _said(tree: Any, status: int = 200, headers: Any = None) -> Response:
    """JSON in which whatever came from outside is text."""
    return Response(as_json(tree, indent=None).encode(), status, headers, "application/json")


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _page(kind: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "The text", "content": {kind: {"schema": {"type": "string"}}}}}
