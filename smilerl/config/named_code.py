"""Code that a recipe names by a dotted path or a file: may what is there be called to see whether it makes what is
wanted?

A recipe with `name: os.system` and `args: {command: ...}` is well formed, and calling it to see whether a reward comes
out would run the command. So nothing of the standard library and nothing in C is called. A function of an installed
library is called only if it is annotated to return a callable. A function in the user's own module is called unless it
is annotated to return something that is not callable.
"""

from __future__ import annotations

import functools
import inspect
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PLAIN = {"None", "bool", "int", "float", "str", "bytes", "dict", "list", "set", "tuple", "Path"}


def why_not_module(name: str) -> str | None:
    """Why code of this dotted name is not imported, to follow `'NAME' is ...`; None: it may be."""
    root = name.partition(".")[0]
    return "part of Python itself" if root in sys.stdlib_module_names or root == "builtins" else None


def module_name(file: str | Path) -> str:
    """The name under which a user's file is imported: that of the file, unless it is one of Python's own modules."""
    name = Path(file).stem
    return name if why_not_module(name) is None else f"{name}_"


def why_not(target: Any) -> str | None:
    """Why an object cannot be a reward, chat model or the like, nor make one; to follow `'NAME' is ...`. None: it may
    be.

    Aliases are seen through: `system` in a module that says `from os import system` is still part of Python.
    """
    target = _behind(target)
    if not callable(target):
        return f"a {type(target).__name__}, not a callable"
    if inspect.isbuiltin(target) or inspect.ismethoddescriptor(target):
        return "a function in C"
    if (wrong := why_not_module(_module_of(target))) is not None:
        return wrong
    try:
        inspect.signature(target)
    except (ValueError, TypeError):
        return "a callable whose parameters are not known"
    return None


def may_make(target: Any) -> bool:
    """Whether a function or class may be called to make a callable: see the rules at the top of this file."""
    target = _behind(target)
    if inspect.isclass(target):
        return inspect.isfunction(getattr(target, "__call__", None))  # noqa: B004 - defined in Python, for its instances
    said = _said(inspect.signature(target).return_annotation)
    if is_library(target):
        return "Callable" in said
    return said not in _PLAIN


def is_library(target: Any) -> bool:
    """Whether an object is of an installed library, or of smilerl, and not of a module that the user wrote."""
    module = sys.modules.get(_module_of(_behind(target)))
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return False
    libraries = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    return module.__name__.partition(".")[0] == "smilerl" or any(Path(file).is_relative_to(one) for one in libraries)


def takes(target: Any, *names: str) -> bool:
    """Whether a callable takes these arguments by name, or any (`**kwargs`)."""
    parameters = inspect.signature(target).parameters
    return all(name in parameters for name in names) or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def _behind(target: Any) -> Any:
    while isinstance(target, functools.partial):
        target = target.func
    return target


def _module_of(target: Any) -> str:
    """The module that an object was written in; of an instance, its class's."""
    named = target if inspect.isroutine(target) or inspect.isclass(target) else type(target)
    wrapped: Callable[..., Any] = inspect.unwrap(target) if callable(target) else named
    module = getattr(wrapped, "__module__", None) if inspect.isroutine(wrapped) else getattr(named, "__module__", None)
    return str(module or "")


def _said(annotation: Any) -> str:
    """A return annotation as text; empty where there is none."""
    if annotation is inspect.Signature.empty:
        return ""
    if annotation is None or annotation is type(None):
        return "None"
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return text.partition("[")[0].strip()
