// Products with powers of two in one instruction, for machines that have one.
#include <algorithm>
#include <optional>

#include "compiler/loops/kernel.h"
#include "compiler/loops/math.h"
#include "compiler/loops/math_parts.h"

namespace arete::loops {

namespace {

// What a value is made by.
struct Maker {
    const Code& code;

    const Instr& of(ValueId v) const { return code.values[v]; }
    // The operands of v if it is made by op, none otherwise.
    std::span<const ValueId> by(Op op, ValueId v) const {
        return of(v).op == op ? operands(of(v)) : std::span<const ValueId>();
    }
    bool is_integer(ValueId v, std::int64_t n) const {
        const Instr& i = of(v);
        return i.op == Op::Const && !is_float(i.dtype) && i.constant.as_int() == n;
    }
    bool is_number(ValueId v, double n) const {
        const Instr& i = of(v);
        return i.op == Op::Const && is_float(i.dtype) && i.constant.as_double() == n;
    }
    // The integer whose low bits are the exponent of the power of two that v is (power_of_two).
    std::optional<ValueId> exponent(ValueId v, DType t) const {
        const auto bits = by(Op::Bitcast, v);
        if (bits.empty()) return {};
        const auto shifted = by(Op::Shl, bits[0]);
        if (shifted.empty() || !is_integer(shifted[1], math::format(t).fraction)) return {};
        return shifted[0];
    }
};

// p * 2^n1 * 2^(n - n1) of n1 = n / 2, as exp_of writes it, the second factor apart: p, and the
// number whose low bits n + 2 bias is.
struct Scaled {
    ValueId p, shifted;
};
std::optional<Scaled> scaled(const Code& code, DType t, ValueId product, ValueId last) {
    const Maker m{code};
    const auto first = m.by(Op::Mul, product);
    if (first.empty()) return {};
    const auto half = m.exponent(first[1], t), rest = m.exponent(last, t);
    if (!half || !rest) return {};
    const auto difference = m.by(Op::Sub, *rest), shift = m.by(Op::Shr, *half);
    if (difference.empty() || shift.empty() || difference[1] != *half ||
        difference[0] != shift[0] || !m.is_integer(shift[1], 1))
        return {};
    const auto bits = m.by(Op::Bitcast, difference[0]);
    if (bits.empty() || m.of(bits[0]).dtype != t) return {};
    const auto sum = m.by(Op::Fma, bits[0]);
    const math::Format& f = math::format(t);
    if (sum.empty() || !m.is_number(sum[2], f.magic + static_cast<double>(2 * f.bias))) return {};
    return Scaled{first[0], bits[0]};
}

}  // namespace

Nest with_scale(const Nest& nest) {
    const bool any = std::any_of(nest.values.begin(), nest.values.end(),
                                 [](const Instr& i) { return i.op == Op::Bitcast; });
    if (!any) return nest;
    return with_values(nest, [](const Instr& old, std::span<const Value> args) -> Value {
        if (old.op != Op::Mul || !is_float(old.dtype)) return {};
        const auto found = scaled(*args[0].code, old.dtype, args[0].id, args[1].id);
        if (!found) return {};
        const math::Format& f = math::format(old.dtype);
        const Value shifted{args[0].code, found->shifted};
        return scale({args[0].code, found->p},
                     shifted - (f.magic + static_cast<double>(2 * f.bias)));
    });
}

}  // namespace arete::loops
