"""The page of a service: an image is dropped there, and its answer, probabilities and map are seen."""

from __future__ import annotations

from ft.pages.templating import environment, script_hash, template
from ft.serving.limits import Limits
from ft.serving.served import Served
from ft.text.counting import number_of

_OWN = "ft.serving"


def draw_page(served: Served, limits: Limits) -> str:
    """The whole page as HTML. It holds its style and its script, and asks nobody but its service for anything."""
    from markupsafe import Markup

    names = number_of(len(served.space.names), *served.noun)
    return (
        environment(_OWN)
        .get_template("page.html.j2")
        .render(served=served, names=names, limits=limits, style=Markup(_style()), script=Markup(_script()))
    )


def policy() -> str:
    """The content security policy of the page: its own style and script, images that it holds, and its service."""
    return (
        f"default-src 'none'; img-src data: blob:; style-src 'sha256-{script_hash(_style())}'; "
        f"script-src 'sha256-{script_hash(_script())}'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _style() -> str:
    return template("ft.pages", "page.css") + template(_OWN, "page.css")


def _script() -> str:
    return template(_OWN, "page.js")
