"""Lets CloudFormation be imported without the sixty services that it deploys: each is loaded when first used."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from ministack import services


class Later(ModuleType):
    """Stands for a module that is imported when something is first asked of it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def postponed() -> Iterator[None]:
    """While inside, `import ministack.services.x as y` binds a stand-in, unless x was imported before.

    Half of the engine's start and a fifth of its memory went into services that no pipeline has. Afterwards the
    stand-ins are known only to those who imported them: what is loaded, and so has something to save, stays plain.
    """
    names = (f"{services.__name__}.{one.name}" for one in pkgutil.iter_modules(services.__path__) if not one.ispkg)
    stand_ins = {name: Later(name) for name in names if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
