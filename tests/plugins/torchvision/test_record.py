from __future__ import annotations

from ft.extension.installed import implementation, load_plugins, read_settings
from ft.extension.references import parse_reference


def test_the_provider_is_found_and_what_it_names_exists() -> None:
    component = load_plugins().get("backbone", parse_reference("torchvision:resnet18"))
    settings = read_settings(component, {"aux": "keep"}, "backbone")
    assert "resnet18" in implementation(component, "models")(settings)
    assert implementation(component, "weights")("resnet18")
    assert implementation(component, "build")("resnet18", settings).feature_dim == 512
