"""Arithmetic as people write it, worked out without running it as code. Pure, and bounded in size and time."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable

_LONGEST = 200
_LARGEST = 10**50
_MOST_POWER = 256
_Number = int | float
_BINARY: dict[type[ast.operator], Callable[[_Number, _Number], _Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_NAMES = {"pi": math.pi, "e": math.e}
_FUNCTIONS: dict[str, Callable[[_Number], _Number]] = {"sqrt": math.sqrt, "abs": abs, "round": round}


def calculated(expression: str) -> str:
    """Raises ValueError, which says what is not understood."""
    if len(expression) > _LONGEST:
        raise ValueError(f"an expression has at most {_LONGEST} signs")
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
        value = _value(tree.body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{expression!r} is no expression") from error
    except (ZeroDivisionError, OverflowError) as error:
        raise ValueError(str(error)) from error
    return repr(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else repr(value)


def _value(node: ast.expr) -> _Number:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _bounded(value)
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner)
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _value(inner)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _bounded(_BINARY[type(op)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](_value(argument)))
    known = ", ".join((*_NAMES, *_FUNCTIONS))
    raise ValueError(f"{ast.unparse(node)!r} is not understood: numbers, + - * / // % **, parentheses, {known}")


def _power(base: _Number, exponent: _Number) -> _Number:
    if abs(exponent) > _MOST_POWER:
        raise ValueError(f"an exponent is at most {_MOST_POWER}")
    if base < 0 and not float(exponent).is_integer():
        raise ValueError("a root of a negative number is no number here")
    return _bounded(base**exponent)


def _bounded(value: _Number) -> _Number:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("the result is no finite number")
    if abs(value) > _LARGEST:
        raise ValueError("the result is too large")
    return value
