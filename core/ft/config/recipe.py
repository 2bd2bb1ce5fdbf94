"""How a config names its recipe and, in the folder of a run, says what came of it."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from ft.config.component import ComponentConfig


class RecipeConfig(ComponentConfig):
    """A recipe: its name or its file. A run's config holds what it came to, and whose it was, by which it is known that
    nothing is to be laid under it any more."""

    model_config = ConfigDict(extra="forbid")
    use: str = Field(min_length=1, description="a way to train, as lp-ft, or a file, ./my.yaml; all else goes over it")
    distribution: str = Field("", description="in a run's config: the distribution whose recipe it was")
    version: str = Field("", description="in a run's config: that distribution's version")
    sha256: str = Field("", description="in a run's config: the digest of the recipe's file as it was")
    says: tuple[str, ...] = Field((), description="in a run's config: what the recipe said and nothing went over")

    usual: bool = Field(False, description="in a run's config: nobody asked for it, as nobody said how to train")

    def __str__(self) -> str:
        """Whose it was, and what it said, as in "lp-ft of ftkit 0.1.0: phases"."""
        whose = f" of {self.distribution} {self.version}" if self.distribution else ""
        return f"{self.use}{whose}: {', '.join(self.says)}"
