#include "compiler/loops/math.h"

#include <limits>

#include "compiler/core/error.h"
#include "compiler/loops/kernel.h"
#include "compiler/loops/math_parts.h"

namespace arete::loops {

namespace math {

const Format& format(DType t) {
    static const Format f32{DType::I32, 23, 127, 0x3f3504f3, 0x1.62e43p-1, -0x1.05c61p-29,
                            0x1.8p23, 0x1p-126};
    static const Format f64{DType::I64, 52, 1023, 0x3fe6a09e667f3bcd, 0x1.62e42fefa39efp-1,
                            0x1.abc9e3b39803fp-56, 0x1.8p52, 0x1p-1022};
    ARETE_CHECK(is_float(t), "transcendental function of {}", name(t));
    return t == DType::F32 ? f32 : f64;
}

Value integer(Value like, std::int64_t v) { return like.code->constant(like.dtype(), v); }
Value bits(Value a) { return bitcast(a, format(a.dtype()).bits); }
Value from_bits(Value a, DType t) { return bitcast(a, t); }

Value sign_bit(Value a) {
    Value b = bits(a);
    return b & integer(b, a.dtype() == DType::F32 ? std::numeric_limits<std::int32_t>::min()
                                                  : std::numeric_limits<std::int64_t>::min());
}

Value copy_sign(Value magnitude, Value sign) {
    return from_bits(bits(magnitude) | sign_bit(sign), magnitude.dtype());
}

Value at_most(Value x, double high) { return select(lt(high, x), literal(x, high), x); }
Value at_least(Value x, double low) { return select(lt(x, low), literal(x, low), x); }

Value polynomial(Value x, std::span<const double> c) {
    Value sum = literal(x, c.back());
    for (std::size_t k = c.size() - 1; k-- > 0;) sum = muladd(sum, x, literal(x, c[k]));
    return sum;
}

Value polynomial(Value x, std::span<const double> c, double below) {
    return muladd(polynomial(x, c), x, literal(x, below));
}

}  // namespace math

Value expand(Op op, std::span<const Value> args) {
    ARETE_CHECK(is_transcendental(op) && static_cast<int>(args.size()) == arity(op),
                "expansion of {} with {} operands", name(op), args.size());
    Value x = args[0];
    switch (op) {
        case Op::Exp: return math::expand_exp(x);
        case Op::Expm1: return math::expand_expm1(x);
        case Op::Log: return math::expand_log(x);
        case Op::Log1p: return math::expand_log1p(x);
        case Op::Tanh: return math::expand_tanh(x);
        case Op::Sin: return math::expand_sin(x);
        case Op::Cos: return math::expand_cos(x);
        case Op::Erf: return math::expand_erf(x);
        case Op::Pow: return math::expand_pow(x, args[1]);
        case Op::Fmod: return math::expand_fmod(x, args[1]);
        case Op::Const: case Op::IndexOf: case Op::Load: case Op::LoadIf: case Op::Acc: case Op::Add: case Op::Sub:
        case Op::Mul: case Op::Div: case Op::Rem: case Op::Min: case Op::Max: case Op::Neg:
        case Op::Abs: case Op::MulAdd: case Op::Fma: case Op::Scale: case Op::Sqrt: case Op::Floor: case Op::Ceil: case Op::Trunc:
        case Op::Round: case Op::Eq: case Op::Ne: case Op::Lt: case Op::Le: case Op::And:
        case Op::Or: case Op::Xor: case Op::Not: case Op::Shl: case Op::Shr: case Op::Select:
        case Op::Cast: case Op::Bitcast: case Op::SinIf: case Op::CosIf: case Op::FmodIf: break;
    }
    throw InternalError(fmt::format("{} has no expansion", name(op)));
}

void expand_math(Nest& nest) {
    bool any = false;
    for (const Instr& i : nest.values) any = any || is_transcendental(i.op);
    if (!any) return;
    nest = with_values(nest, [](const Instr& old, std::span<const Value> args) {
        return is_transcendental(old.op) ? expand(old.op, args) : Value{};
    });
}

}  // namespace arete::loops
