"""Python reads this at the start of every process that has this folder on its path: it builds one thing of the desk wrong on purpose.

`TVAPP_MUTANT` names which one (`wrong`). Nothing of the product knows about it.
"""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

import wrong


class Finder(MetaPathFinder):
    """Changes one module right after it was loaded."""

    def __init__(self, module: str, change):
        self.module, self.change = module, change

    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target) if name == self.module else None
        if spec is not None:
            load, change = spec.loader.exec_module, self.change

            def load_and_change(module):
                load(module)
                change(module)

            spec.loader.exec_module = load_and_change
        return spec


sys.meta_path.insert(0, Finder(*wrong.WAYS[os.environ["TVAPP_MUTANT"]]))
