"""The beginning of a program in which torch cannot be imported."""

BARRED = """
import sys

class Barred:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise SystemExit(f"{name} was imported")

sys.meta_path.insert(0, Barred())
"""
