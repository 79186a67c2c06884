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

__all__ = ["PHASES", "REST", "SHIFT", "four_by_four", "prefetch", "six_by_six"]

READ, SOON, DATA = 0, 2, 1  # arguments of llvm.prefetch: for reading, into the second cache, no instructions
SHIFT = 10  # binary digits of a place below the pixel: a quantisation of 0.0005 px
PHASES, REST = 1 << SHIFT, (1 << SHIFT) - 1  # sub-pixel positions in a table of taps
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
def prefetch(_typing: Any, array: Any, _index: Any) -> Any:
    """Have the processor fetch what lies around array[index] of a contiguous array; any index will do, nothing is read."""
    signature = types.void(array, types.intp)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte = ir.IntType(8).as_pointer()
        place = builder.bitcast(builder.gep(data, [args[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, INDEX, INDEX, INDEX])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(fetch, [place, *(ir.Constant(INDEX, each) for each in (READ, SOON, DATA))])
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def four_by_four(
    _typing: Any,
    image: Any,
    _start: Any,
    _other: Any,
    _stride: Any,
    weights: Any,
    _across: Any,
    _down: Any,
    _other_across: Any,
    _other_down: Any,
    out: Any,
) -> Any:
    """Two sums of four rows of four pixels, and the spread of the pixels in each.

    out[0] = sum over k, m of weights[down + k] * weights[across + m] * image[start + k * stride + m], out[1] largest less
    smallest of these pixels without the corners; out[2] and out[3] the same of the other place. With NaN among the pixels
    the sum is NaN and the spread anything.

    Arguments (image, start, other start, stride, weights, across, down, other across, other down, out); all arrays
    one-dimensional, contiguous float32. Nothing is checked. Two at once take little longer than one.
    """
    index = types.intp
    signature = types.void(image, index, index, index, weights, index, index, index, index, out)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels, table, result = (
            context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 4, 9)
        )

        def both(data: Any, one: Any, other: Any) -> Any:
            four, more = (_loaded(builder, data, at, 4) for at in (one, other))
            return builder.shuffle_vector(four, more, ir.Constant(ir.VectorType(INDEX, 8), list(range(8))))

        def in_each(vector: Any, places: list[int]) -> Any:
            return _shuffled(builder, vector, [*places, *(k + 4 for k in places)])

        def add(a: Any, b: Any) -> Any:
            return builder.fadd(a, b, flags=FLAGS)

        def larger(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        def smaller(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered("<", a, b), a, b)

        def folded(vector: Any, fold: Any) -> Any:
            two = fold(vector, in_each(vector, [2, 3, 2, 3]))
            return fold(two, in_each(two, [1, 1, 1, 1]))

        skips = [builder.mul(args[3], ir.Constant(args[3].type, k)) for k in range(4)]
        rows = [both(pixels, builder.add(args[1], skip), builder.add(args[2], skip)) for skip in skips]
        across, down = both(table, args[5], args[7]), both(table, args[6], args[8])
        total = builder.fmul(rows[0], in_each(down, [0] * 4), flags=FLAGS)
        for k in range(1, 4):
            total = add(total, builder.fmul(rows[k], in_each(down, [k] * 4), flags=FLAGS))
        total = folded(builder.fmul(total, across, flags=FLAGS), add)
        middles = [1, 2, 9, 10, 5, 6, 13, 14]
        ends = builder.shuffle_vector(rows[0], rows[3], ir.Constant(ir.VectorType(INDEX, 8), middles))
        high = folded(larger(larger(rows[1], rows[2]), ends), larger)
        low = folded(smaller(smaller(rows[1], rows[2]), ends), smaller)
        order = ir.Constant(ir.VectorType(INDEX, 4), [0, 8, 4, 12])
        found = builder.shuffle_vector(total, builder.fsub(high, low), order)
        builder.store(found, builder.bitcast(result, ir.VectorType(FLOAT, 4).as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, generate
