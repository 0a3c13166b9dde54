// fmod, and Python's division and remainder that are made of it.
#include "compiler/loops/math.h"
#include "compiler/loops/math_parts.h"

namespace arete::loops {

namespace math {

// Let t = floor(|a| / |b|). Below 2^(fraction bits) the rounded quotient is in [t, t + 1], since
// both are numbers of the type. If its integer part is t, then |a| - t |b| is the remainder, and a
// number of the type; if it is t + 1, the difference is that less |b|: a multiple of the last place
// of |b| and at most as large, or, where |a| < |b|, the difference of two numbers within a factor
// of 2. So the fma is exact, and so is the sum that corrects it. Larger quotients are rare.
Value expand_fmod(Value a, Value b) {
    const DType t = a.dtype();
    Value x = abs(a), y = abs(b), zero = literal(a, 0.0);
    Value quotient = abs(a / b);
    Value r = fma(-trunc(quotient), y, x);
    r = select(lt(r, zero), r + y, r);
    r = select(lt(x, y), x, r);  // an infinite b too
    Value far = le(literal(a, t == DType::F32 ? 0x1p23 : 0x1p52), quotient);
    Value args[] = {a, b};
    return select(far, rarely(Op::FmodIf, far, args), copy_sign(r, a));
}

}  // namespace math

namespace {

// The remainder of the truncating division has the sign of a, and is not zero: b is added to it, 1
// taken from the quotient, where that of b is another.
Value signs_differ(Value remainder, Value b) {
    return lt(b, 0.0) ^ lt(remainder, 0.0);
}

}  // namespace

Value floor_remainder(Value a, Value b) {
    Value r = fmod(a, b);
    Value zero = math::from_bits(math::sign_bit(b), a.dtype());
    return select(eq(r, 0.0), zero, select(signs_differ(r, b), r + b, r));
}

Value floor_quotient(Value a, Value b) {
    Value r = fmod(a, b);
    Value plain = a / b;
    // Nearly an integer: what is off is the rounding of the difference and of the division.
    Value q = (a - r) / b;
    q = select(ne(r, 0.0) & signs_differ(r, b), q - 1.0, q);
    Value f = floor(q);
    Value near = select(gt(q - f, 0.5), f + 1.0, f);
    Value zero = math::from_bits(math::sign_bit(a) ^ math::sign_bit(b), a.dtype());
    return select(eq(b, 0.0), plain, select(eq(q, 0.0), zero, near));
}

}  // namespace arete::loops
