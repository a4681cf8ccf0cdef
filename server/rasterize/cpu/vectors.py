# SPDX-License-Identifier: GPL-3.0-or-later
"""Vectors of float32 as a numba type, so that kernels read as formulas and nothing is left to the vectoriser's luck.

Kernels hold `LANES` float32 at a time and add, subtract, multiply, compare and select them. LLVM splits or joins them to what the
processor has: AVX2, AVX-512, NEON; on any other they become several shorter registers and nothing else changes.

Everything here is an intrinsic with its types in the signature: no helper function is compiled for it, and kernels can be cached.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import binding, ir
from numba import extending
from numba.core import cgutils, types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from .compiling import inner

LANES = 16 if binding.get_host_cpu_features().get("avx512f") else 8
"""Length of a vector. Sixteen pay only where the registers are as long."""

_I1, _I32, _I64, _F32 = ir.IntType(1), ir.IntType(32), ir.IntType(64), ir.FloatType()
_VECTOR, _MASK, _INTS = (ir.VectorType(lane, LANES) for lane in (_F32, _I1, _I32))
_FLAGS = ("contract",)  # a * b + c may become one instruction; NaN and infinity keep their meaning

intrinsic: Any = extending.intrinsic  # no types to check against here, nor in llvmlite
Builder = Any
Value = Any


class VectorType(types.Type):
    """LANES float32."""

    def __init__(self) -> None:
        super().__init__(name=f"float32 x {LANES}")


class MaskType(types.Type):
    """LANES truth values."""

    def __init__(self) -> None:
        super().__init__(name=f"bool x {LANES}")


vector, mask = VectorType(), MaskType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _MASK)


def _constant(value: float) -> Value:
    return ir.Constant(_VECTOR, [float(value)] * LANES)


def _broadcast(b: Builder, scalar: Value) -> Value:
    one = b.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return b.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(_INTS, [0] * LANES))


def _call(b: Builder, name: str, arguments: Sequence[Value]) -> Value:
    """An LLVM intrinsic of vectors, as llvm.fabs.v8f32."""
    kind = ir.FunctionType(arguments[0].type, [argument.type for argument in arguments])
    function = cgutils.get_or_insert_function(b.module, kind, f"llvm.{name}.v{LANES}f32")
    return b.call(function, arguments)


def _operator(of: Callable[..., Any], emit: Callable[[Builder, Value, Value], Value], result: types.Type) -> None:
    """`of` for two vectors and for a vector and a float32 scalar."""
    cases = [
        signature(result, vector, vector),
        signature(result, vector, types.float32),
        signature(result, types.float32, vector),
    ]
    infer_global(of)(type("Vectors", (ConcreteTemplate,), {"cases": cases}))

    def lower(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        left, right = (a if kind == vector else _broadcast(b, a) for a, kind in zip(args, sig.args, strict=True))
        return emit(b, left, right)

    for case in cases:
        lower_builtin(of, *case.args)(lower)


_operator(operator.add, lambda b, x, y: b.fadd(x, y, flags=_FLAGS), vector)
_operator(operator.sub, lambda b, x, y: b.fsub(x, y, flags=_FLAGS), vector)
_operator(operator.mul, lambda b, x, y: b.fmul(x, y, flags=_FLAGS), vector)
_operator(operator.truediv, lambda b, x, y: b.fdiv(x, y), vector)
_operator(operator.ge, lambda b, x, y: b.fcmp_ordered(">=", x, y), mask)
_operator(operator.gt, lambda b, x, y: b.fcmp_ordered(">", x, y), mask)
_operator(operator.lt, lambda b, x, y: b.fcmp_ordered("<", x, y), mask)


@infer_global(operator.and_)
class _And(ConcreteTemplate):
    cases = (signature(mask, mask, mask),)


@lower_builtin(operator.and_, mask, mask)
def _and(context: Any, b: Builder, sig: Any, args: Any) -> Value:
    return b.and_(*args)


@intrinsic
def counting(context: Any) -> Any:
    """0, 1, 2 ... LANES - 1."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        return ir.Constant(_VECTOR, [float(lane) for lane in range(LANES)])

    return vector(), emit


@intrinsic
def all_of(context: Any, scalar: Any) -> Any:
    """A float32 in every lane."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        return _broadcast(b, args[0])

    return vector(types.float32), emit


@intrinsic
def least(context: Any, x: Any, y: Any) -> Any:
    """The smaller of each lane."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        return b.select(b.fcmp_ordered("<", args[0], args[1]), args[0], args[1])

    return vector(vector, vector), emit


@intrinsic
def most(context: Any, x: Any, y: Any) -> Any:
    """The greater of each lane."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        return b.select(b.fcmp_ordered(">", args[0], args[1]), args[0], args[1])

    return vector(vector, vector), emit


@intrinsic
def exp2_over_255(context: Any, x: Any) -> Any:
    """2 ** x / 255 for x from -100 to 100, relative error 2e-7; anything at all outside.

    x = n + f with f in -0.5..0.5: a polynomial in f (least squares, reweighted until its relative error was even), and n into the
    exponent's bits.
    """
    # 2**f = sum of coefficient * f**k, highest first
    coefficients = (1.32764692e-03, 9.67554131e-03, 5.55071328e-02, 2.40221197e-01, 6.93146967e-01, 1.00000007)

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        n = _call(b, "rint", [args[0]])
        f = b.fsub(args[0], n)
        power = _constant(coefficients[0] / 255)
        for coefficient in coefficients[1:]:
            power = b.fadd(b.fmul(power, f, flags=_FLAGS), _constant(coefficient / 255), flags=_FLAGS)
        exponent = b.shl(b.fptosi(n, _INTS), ir.Constant(_INTS, [23] * LANES))
        return b.bitcast(b.add(b.bitcast(power, _INTS), exponent), _VECTOR)

    return vector(vector), emit


@intrinsic
def select(context: Any, which: Any, x: Any, y: Any) -> Any:
    """x where `which`, else y."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        return b.select(*args)

    return vector(mask, vector, vector), emit


@intrinsic
def bits(context: Any, which: Any) -> Any:
    """A mask as an int64, lane 0 in the lowest bit."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        return b.zext(b.bitcast(args[0], ir.IntType(LANES)), _I64)

    return types.int64(mask), emit


@intrinsic
def total(context: Any, x: Any) -> Any:
    """The sum of all lanes, halves added to halves."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        x, width = args[0], LANES
        while width > 1:
            width //= 2
            nothing = ir.Constant(x.type, ir.Undefined)
            low, high = (
                b.shuffle_vector(x, nothing, ir.Constant(ir.VectorType(_I32, width), list(range(first, first + width))))
                for first in (0, width)
            )
            x = b.fadd(low, high)
        return b.extract_element(x, ir.Constant(_I32, 0))

    return types.float32(vector), emit


def _address(context: Any, b: Builder, kind: Any, array: Value, place: Value) -> Value:
    return b.gep(context.make_array(kind)(context, b, array).data, [place])


@intrinsic
def load(context: Any, array: Any, place: Any) -> Any:
    """LANES values of a flat float32 array from `place` on. Nothing checks the bounds."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        pointer = b.bitcast(_address(context, b, sig.args[0], *args), _VECTOR.as_pointer())
        return b.load(pointer, align=4)

    return vector(array, types.intp), emit


@intrinsic
def store(context: Any, array: Any, place: Any, values: Any) -> Any:
    """Write LANES values into a flat float32 array from `place` on. Nothing checks the bounds."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        pointer = b.bitcast(_address(context, b, sig.args[0], *args[:2]), _VECTOR.as_pointer())
        b.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), emit


@intrinsic
def trailing_zeros(context: Any, x: Any) -> Any:
    """The place of the lowest set bit of an int64 that is not 0."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        return b.cttz(args[0], ir.Constant(_I1, 1))

    return types.int64(types.int64), emit


@intrinsic
def prefetch(context: Any, array: Any, place: Any) -> Any:
    """Ask for the cache line of array[place] (flat array): the walk knows what it will want, the processor does not."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
        read, keep, data = ir.Constant(_I32, 0), ir.Constant(_I32, 3), ir.Constant(_I32, 1)
        b.call(function, [b.bitcast(_address(context, b, sig.args[0], *args), byte), read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


@intrinsic
def _add_one(context: Any, counter: Any, place: Any) -> Any:
    """counter[place]++ for an int64 array that several threads share; gives the value before."""

    def emit(context: Any, b: Builder, sig: Any, args: Any) -> Value:
        pointer = _address(context, b, sig.args[0], *args)
        return b.atomic_rmw("add", pointer, ir.Constant(_I64, 1), "monotonic")

    return types.int64(counter, types.intp), emit


@inner
def take_ticket(tickets, part, parts):
    """The number of the next piece of work for this thread. tickets: [1] int64 for whoever comes first, or [parts] for a fixed share."""
    if len(tickets) == 1:
        return _add_one(tickets, 0)
    return _add_one(tickets, part) * parts + part
