"""The service's description is true: schemathesis makes requests of it, right and wrong ones, and judges what comes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from faults.repetitions import times
from ft.extension.tasks import LabelSpace
from serving import Client, brightness, serving


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(brightness()) as client:
        yield client


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize(
    ("label", "mode"),
    [
        *((label, mode) for label in ("POST /predict", "POST /explain") for mode in GenerationMode),
        *((label, GenerationMode.POSITIVE) for label in ("GET /", "GET /health", "GET /metrics")),
    ],
)
def test_every_answer_is_one_that_the_description_names(client: Client, label: str, mode: GenerationMode) -> None:
    load_all_checks()
    described = schemathesis.openapi.from_url(f"{client.address}/openapi.json")
    [operation] = [each for found in described.get_all_operations() if (each := found.ok()).label == label]
    came: Counter[int] = Counter()

    @settings(max_examples=times(500, 15), deadline=None, suppress_health_check=[*HealthCheck], database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        answer = case.call()
        came[answer.status_code] += 1
        # No schema says which bytes are an image; everything else is checked, also that nothing wrong is taken.
        case.validate_response(answer, excluded_checks=[positive_data_acceptance])

    ask()
    if mode == GenerationMode.NEGATIVE:
        assert came[422]
    elif label != "GET /":
        assert came[200]


def test_a_name_may_be_bytes_that_are_no_text_or_markup() -> None:
    name = os.fsdecode(b"caf\xe9</title><b>")
    served = replace(brightness(), name=name, space=LabelSpace((name,)))
    with serving(served) as client:
        said = client.get("/openapi.json").json()
        assert said["info"]["title"] == "ft serve caf\\udce9</title><b>"
        assert said["paths"]["/explain"]["post"]["parameters"][0]["schema"]["enum"] == ["", name]
        assert "<title>ft serve caf\\udce9&lt;/title&gt;&lt;b&gt;</title>" in client.get("/").text
        assert client.get("/health").json()["model"] == name


def test_the_description_names_what_this_model_can_be_asked(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {each["name"] for each in paths["/predict"]["post"]["parameters"]} == {"top", "bad_images"}
    [of] = paths["/explain"]["post"]["parameters"]
    assert of["schema"]["enum"] == ["", "brightness"]
    record = paths["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]["items"]
    assert {*record["properties"]} == {"path", "value", "error"} == {*record["required"]}
    statuses = {"200", "400", "408", "413", "415", "422", "500", "503", "504"}
    assert {*paths["/predict"]["post"]["responses"]} == statuses
