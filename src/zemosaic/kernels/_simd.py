"""The interpolations' inner sums in vector instructions, which the compiler does not find in loops over arrays.

Numba cannot tell LLVM that arrays do not overlap, so a loop over the taps stays scalar or is shuffled to pieces: 117 ms for a
frame of 1080 x 1920 px, 20 ms with the vectors written down. They are LLVM's own, of any length, and become what the
processor has.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["four_by_four", "six_by_six"]

TAPS = 6
LANES = 4
FLAGS = ("contract", "reassoc", "nsz")  # as in `_jit`
FLOAT = ir.FloatType()
INDEX = ir.IntType(32)


def _shuffled(builder: Any, vector: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(INDEX, len(places)), places))


def _loaded(builder: Any, data: Any, index: Any, length: int) -> Any:
    place = builder.bitcast(builder.gep(data, [index]), ir.VectorType(FLOAT, length).as_pointer())
    return builder.load(place, align=4)


@intrinsic
def six_by_six(
    _typing: Any,
    image: Any,
    _start: Any,
    _stride: Any,
    across: Any,
    _a: Any,
    down: Any,
    _d: Any,
    out: Any,
    _o: Any,
) -> Any:
    """out[o + c] = sum over k, m of down[d + k] * across[a + 4 m + c] * image[start + k * stride + 4 m + c], c = 0..3.

    Arguments (image, start, stride, across, a, down, d, out, o); all arrays one-dimensional, contiguous float32: six rows of
    six pixels with four lanes each. `across` holds every weight four times. Nothing is checked.
    """
    index = types.intp
    signature = types.void(image, index, index, across, index, down, index, out, index)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels, wx, wy, result = (
            context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 3, 5, 7)
        )
        total = None
        for k in range(TAPS):
            at = builder.add(args[1], builder.mul(args[2], ir.Constant(args[2].type, k)))
            row = _loaded(builder, pixels, at, TAPS * LANES)
            weight = _loaded(builder, wy, builder.add(args[6], ir.Constant(args[6].type, k)), 1)
            product = builder.fmul(row, _shuffled(builder, weight, [0] * (TAPS * LANES)), flags=FLAGS)
            total = product if total is None else builder.fadd(total, product, flags=FLAGS)
        total = builder.fmul(total, _loaded(builder, wx, args[4], TAPS * LANES), flags=FLAGS)
        parts = [_shuffled(builder, total, list(range(8 * k, 8 * k + 8))) for k in range(3)]
        eight = builder.fadd(builder.fadd(parts[0], parts[1], flags=FLAGS), parts[2], flags=FLAGS)
        halves = [_shuffled(builder, eight, list(range(4 * k, 4 * k + 4))) for k in range(2)]
        place = builder.bitcast(builder.gep(result, [args[8]]), ir.VectorType(FLOAT, LANES).as_pointer())
        builder.store(builder.fadd(*halves, flags=FLAGS), place, align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def four_by_four(
    _typing: Any,
    image: Any,
    _start: Any,
    _stride: Any,
    across: Any,
    _a: Any,
    down: Any,
    _d: Any,
    out: Any,
    _o: Any,
) -> Any:
    """out[o] = sum over k, m of down[d + k] * across[a + m] * image[start + k * stride + m]; out[o + 1] largest less smallest.

    Arguments as of `six_by_six`, with one lane and four rows of four pixels. The corners do not count for the largest and the
    smallest pixel. With NaN among the pixels out[o] is NaN and out[o + 1] anything.
    """
    index = types.intp
    signature = types.void(image, index, index, across, index, down, index, out, index)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels, wx, wy, result = (
            context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 3, 5, 7)
        )
        rows = []
        for k in range(4):
            at = builder.add(args[1], builder.mul(args[2], ir.Constant(args[2].type, k)))
            rows.append(_loaded(builder, pixels, at, 4))
        weights = _loaded(builder, wy, args[6], 4)
        total = builder.fmul(rows[0], _shuffled(builder, weights, [0] * 4), flags=FLAGS)
        for k in range(1, 4):
            product = builder.fmul(rows[k], _shuffled(builder, weights, [k] * 4), flags=FLAGS)
            total = builder.fadd(total, product, flags=FLAGS)
        total = builder.fmul(total, _loaded(builder, wx, args[4], 4), flags=FLAGS)
        middles = builder.shuffle_vector(rows[0], rows[3], ir.Constant(ir.VectorType(INDEX, 4), [1, 2, 5, 6]))

        def add(a: Any, b: Any) -> Any:
            return builder.fadd(a, b, flags=FLAGS)

        def larger(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        def smaller(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered("<", a, b), a, b)

        def folded(vector: Any, fold: Any) -> Any:
            two = fold(vector, _shuffled(builder, vector, [2, 3, 2, 3]))
            return builder.extract_element(fold(two, _shuffled(builder, two, [1, 1, 1, 1])), ir.Constant(INDEX, 0))

        high = folded(larger(larger(rows[1], rows[2]), middles), larger)
        low = folded(smaller(smaller(rows[1], rows[2]), middles), smaller)
        place = builder.gep(result, [args[8]])
        builder.store(folded(total, add), place)
        builder.store(builder.fsub(high, low), builder.gep(place, [ir.Constant(args[8].type, 1)]))
        return context.get_dummy_value()

    return signature, generate
