// Signs, neighbours, truncating division and shifts.
#include "compiler/loops/functions.h"
#include "compiler/loops/math_parts.h"

namespace arete::loops {

Value copysign(Value magnitude, Value sign) {
    Value a = abs(magnitude);
    return select(eq(sign, sign), math::copy_sign(a, sign), a);
}

Value signbit(Value x) {
    Value b = math::bits(x);
    return lt(b, math::integer(b, 0)) & eq(x, x);
}

// Of numbers of one sign the bits are in their order.
Value nextafter(Value x, Value y) {
    Value b = math::bits(x), one = math::integer(b, 1);
    Value grows = !(lt(x, y) ^ gt(x, 0.0));
    Value next = math::from_bits(select(grows, b + one, b - one), x.dtype());
    Value smallest = math::copy_sign(math::from_bits(one, x.dtype()), y);
    next = select(eq(x, 0.0), smallest, next);
    Value known = eq(x, x) & eq(y, y);
    return select(known, select(eq(x, y), y, next), x + y);
}

Value trunc_remainder(Value a, Value b) {
    if (is_float(a.dtype())) return fmod(a, b);
    if (a.dtype() == DType::U8 || a.dtype() == DType::Bool) return rem(a, b);
    // rem has the sign of b.
    Value r = rem(a, b), zero = literal(r, 0);
    Value other = ne(r, zero) & (lt(r, zero) ^ lt(a, zero));
    return select(other, r - b, r);
}

Value trunc_quotient(Value a, Value b) {
    Value r = trunc_remainder(a, b);
    if (!is_float(a.dtype())) {
        if (a.dtype() == DType::U8 || a.dtype() == DType::Bool) return a / b;
        Value up = ne(rem(a, b), r);
        Value q = a / b;
        return select(up, q + literal(q, 1), q);
    }
    // Nearly an integer: what is off is the rounding of the difference and of the division.
    Value plain = a / b, q = round((a - r) / b);
    Value zero = math::from_bits(math::sign_bit(a) ^ math::sign_bit(b), a.dtype());
    return select(lt(abs(plain), math::infinity), select(eq(q, 0.0), zero, q), plain);
}

// Euclid's algorithm with remainders of least magnitude, as many steps as the largest numbers take:
// of numbers below 2^n that is (n + 1.5) log(2) / log(1 + sqrt(2)), and one. Then steps change
// nothing more.
Value greatest_divisor(Value a, Value b) {
    const DType t = a.dtype();
    const int steps = t == DType::U8 ? 10 : t == DType::I32 ? 28 : 54;
    for (int k = 0; k < steps; ++k) {
        // r has the sign of b, the other remainder that of -b.
        Value r = rem(a, b);
        Value other = t == DType::U8 ? b - r : r - b;
        Value next = select(lt(abs(other), abs(r)), other, r);
        a = select(ne(b, literal(b, 0)), b, a);
        b = next;
    }
    return abs(a);
}

namespace {

// Is a shift by this count one by less than the width? And the count, or 0.
struct Shift {
    Value some, count;
};
Shift shift_by(Value count) {
    const auto width = static_cast<double>(8 * size_of(count.dtype()));
    Value some = lt(count, width);
    if (count.dtype() != DType::U8) some = some & ge(count, 0.0);
    return {some, select(some, count, literal(count, 0))};
}

Value shifted(Op op, Value a, Value count) {
    Value args[] = {a, count};
    return a.code->make(op, a.dtype(), args);
}

}  // namespace

Value shift_left(Value a, Value count) {
    const Shift s = shift_by(count);
    return select(s.some, shifted(Op::Shl, a, s.count), literal(a, 0));
}

Value shift_right(Value a, Value count) {
    const Shift s = shift_by(count);
    if (a.dtype() == DType::U8) return select(s.some, shifted(Op::Shr, a, s.count), literal(a, 0));
    // Of a negative one the complement is moved: zeros for ones.
    Value sign = select(lt(a, 0.0), literal(a, -1), literal(a, 0));
    Value moved = shifted(Op::Shr, a ^ sign, s.count) ^ sign;
    return select(s.some, moved, sign);
}

}  // namespace arete::loops
