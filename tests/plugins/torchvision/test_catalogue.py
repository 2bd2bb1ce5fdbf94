from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torchvision
from torchvision.models import get_model_weights, list_models

from ft import FtError, Settings
from ft_torchvision import catalogue, facts, regenerate

HOW = "torchvision and the catalogue differ; run `python -m ft_torchvision.regenerate` and read the diff"


def test_every_classifier_of_torchvision_is_listed() -> None:
    assert list(catalogue.models(Settings())) == list_models(module=torchvision.models), HOW


def test_the_catalogue_says_what_the_installed_torchvision_publishes() -> None:
    listed = json.loads(catalogue.ENTRIES_FILE.read_text(encoding="utf-8"))
    published = json.loads(json.dumps(regenerate.entries()))
    assert {name: published.get(name) for name in listed} == listed, HOW
    assert published.keys() == listed.keys(), HOW
    assert catalogue.CLASSES_FILE.read_text(encoding="utf-8").splitlines() == regenerate.classes(), HOW


def test_the_facts_are_those_that_the_installed_torchvision_publishes() -> None:
    assert json.loads(facts.FACTS_FILE.read_text(encoding="utf-8")) == regenerate.facts(), HOW
    resnet50 = facts.facts("resnet50")
    assert (resnet50.parameters, resnet50.flops, resnet50.accuracy) == (25_557_032, 4_089_000_000, 80.858)


@pytest.mark.parametrize(("name", "gmacs"), [("efficientnet_b3", 2), ("efficientnet_v2_s", 10)])
def test_what_is_said_to_be_most_accurate_is(name: str, gmacs: int) -> None:
    known = {each: facts.facts(each) for each in catalogue.models(Settings())}
    affordable = [each for each in known if (known[each].flops or 0) < gmacs * 10**9]
    assert max(affordable, key=lambda each: known[each].accuracy or 0) == name
    assert f"below {gmacs} GMACs" in known[name].recommended


def test_what_is_recommended_is_there() -> None:
    assert facts.RECOMMENDED.keys() <= set(catalogue.models(Settings()))


def test_listing_models_and_weights_imports_neither_torch_nor_torchvision() -> None:
    code = (
        "import sys, ft_torchvision\n"
        "from ft_torchvision.catalogue import models, weights\n"
        "assert len(models(None)) == 80\n"
        "assert all(weights(name) for name in models(None))\n"
        "import ft_torchvision.build, ft_torchvision.families\n"
        "print([name for name in ('torch', 'torchvision') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("model_name", catalogue.models(Settings()))
def test_the_first_entry_is_the_default_of_torchvision(model_name: str) -> None:
    assert catalogue.weights(model_name)[0].name == get_model_weights(model_name).DEFAULT.name


def test_an_entry_says_all_that_is_published_about_a_file() -> None:
    newest, oldest = catalogue.weights("resnet50")
    assert (newest.name, oldest.name) == ("IMAGENET1K_V2", "IMAGENET1K_V1")
    assert newest.url == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert (newest.file_name, newest.sha256) == ("resnet50-11ad3fa6.pth", "11ad3fa6")
    assert newest.size is None
    assert newest.approximate_size == round(97.79 * 2**20)
    assert newest.source == "official"
    assert (newest.preprocessing.resize_size, newest.preprocessing.crop_size) == (232, 224)
    assert newest.preprocessing.mean == (0.485, 0.456, 0.406)
    assert newest.num_classes == len(newest.classes) == 1000
    assert (newest.classes[0], newest.classes[-1]) == ("tench", "toilet tissue")
    assert newest.note == "ImageNet top-1 80.9 %"


def test_every_file_name_is_plain_and_every_digest_is_a_hexadecimal_prefix() -> None:
    for model_name in catalogue.models(Settings()):
        for entry in catalogue.weights(model_name):
            assert entry.url.startswith("https://download.pytorch.org/models/")
            assert entry.url.endswith("/" + entry.file_name)
            assert 8 <= len(entry.sha256) <= 64
            assert int(entry.sha256, 16) >= 0
            assert entry.sha256 in entry.file_name


def test_weights_under_another_licence_or_for_another_image_size_say_so() -> None:
    note = {entry.name: entry.note for entry in catalogue.weights("vit_b_16")}
    assert "image_size" not in note["IMAGENET1K_V1"]
    assert "needs --set backbone.image_size=384" in note["IMAGENET1K_SWAG_E2E_V1"]
    assert "SWAG/blob/main/LICENSE" in note["IMAGENET1K_SWAG_E2E_V1"]


def test_weights_without_a_usable_classifier_are_not_offered() -> None:
    assert [entry.name for entry in catalogue.weights("vgg16")] == ["IMAGENET1K_V1"]


@pytest.mark.parametrize(("typed", "meant"), [("resnt18", "resnet18"), ("vgg_16", "vgg16"), ("vit_b16", "vit_b_16")])
def test_an_unknown_name_is_answered_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(FtError) as error:
        catalogue.weights(typed)
    assert str(error.value) == f"no torchvision model named '{typed}'. Did you mean '{meant}'?"
