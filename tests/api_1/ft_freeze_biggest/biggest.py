from ft import Backbone, FtError


class Biggest:
    """Freeze the largest parameter tensors"""

    example = "biggest:5"

    def select(self, backbone: Backbone, argument: str | None, settings: object) -> set[str]:
        """Return the names of the N largest, N being the argument. Raises FtError for an N that is no such number."""
        sizes = {n: p.numel() for n, p in backbone.module.named_parameters() if not backbone.in_head(n)}
        if not argument or not argument.isdecimal() or not 1 <= int(argument) <= len(sizes):
            raise FtError(f"biggest needs a number from 1 to {len(sizes)} for {backbone}, as in 'biggest:5'")
        ordered = sorted(sizes, key=lambda name: sizes[name], reverse=True)
        return set(ordered[: int(argument)])
