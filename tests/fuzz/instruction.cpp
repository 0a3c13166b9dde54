#include "tests/fuzz/instruction.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "tests/fuzz/scalar.h"

namespace arete::fuzz {

namespace {

using loops::Instr;
using loops::Op;
using loops::Reduction;

// Most operations are rounded once; what is a polynomial in native code is given more.
constexpr double function_ulps = 3;

bool is_function(Op op) {
    return loops::is_transcendental(op) && op != Op::Fmod;
}

// Results that must be exact wherever their operands are.
bool rounds(Op op) {
    switch (op) {
        case Op::Neg:
        case Op::Abs:
        case Op::Floor:
        case Op::Ceil:
        case Op::Trunc:
        case Op::Round:
        case Op::Min:
        case Op::Max:
        case Op::Fmod: return false;
        default: return true;
    }
}

// Arguments for which a function has a value that nobody computes otherwise.
bool trivial(Op op, long double a, long double b) {
    if (op == Op::Log) return a == 1;
    if (op == Op::Pow)
        return a == 1 || b == 0 || b == 1 || a == 0 || std::isinf(a) || std::isinf(b);
    return a == 0 || std::isinf(a);
}

// Do the values that rounding leaves possible overlap?
bool near(DType t, const Slot& a, const Slot& b) {
    long double low[2] = {0, 0}, high[2] = {0, 0};
    for (std::size_t k = 0; k < 2; ++k) {
        const Slot& s = k ? b : a;
        for (std::size_t l = 0; l < lanes; ++l) {
            if (std::isnan(s.f[l])) return false;
            low[k] = l ? std::min(low[k], s.f[l]) : s.f[l];
            high[k] = l ? std::max(high[k], s.f[l]) : s.f[l];
        }
        const long double more =
            8 * epsilon(t) * std::max(std::fabs(low[k]), std::fabs(high[k])) + (high[k] - low[k]);
        if (!std::isfinite(more) || !s.inexact) continue;
        low[k] -= more;
        high[k] += more;
    }
    return low[0] <= high[1] && low[1] <= high[0] && std::isfinite(low[0]) && std::isfinite(low[1]);
}

// What becomes of a value that is too small even for a long double.
enum class Faint { stays, goes, unknown };
Faint faint_through(Op op) {
    switch (op) {
        case Op::Neg:
        case Op::Abs:
        case Op::Sqrt:
        case Op::Mul:
        case Op::Tanh:
        case Op::Sin:
        case Op::Erf:
        case Op::Expm1:
        case Op::Log1p: return Faint::stays;
        case Op::Add:
        case Op::Sub:
        case Op::Exp:
        case Op::Max:
        case Op::Min:
        case Op::Cos: return Faint::goes;
        default: return Faint::unknown;
    }
}

}  // namespace

std::uint64_t Arithmetic::random() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ * 0x2545f4914f6cdd1dULL;
}

double Arithmetic::signed_unit() {
    return static_cast<double>(static_cast<std::int64_t>(random())) * 0x1p-63;
}

long double Arithmetic::settle(DType t, long double v, int lane, double ulps, bool inexact) {
    if (lane == 0 || v == 0 || !std::isfinite(v)) return v;
    if (fine_) return v * (1 + static_cast<long double>(signed_unit()) * 0x1p-63L);
    if (exact_) return v;
    if (lane == nearest) return round_to(t, v);
    if (lane < first_own)
        return fits(t, v) && !inexact ? v
                                      : v * (1 + signed_unit() * epsilon(t) * ulps * amplitude_);
    if (!inexact && round_to(t, v) == v) return v;
    // Below the smallest normal number units are absolute.
    const long double unit = t == DType::F32 ? std::numeric_limits<float>::denorm_min()
                                             : std::numeric_limits<double>::denorm_min();
    long double off = v + v * (signed_unit() * 0.75 * epsilon(t) * ulps * amplitude_) +
                      unit * (signed_unit() * 0.5 * ulps);
    // Rounding is monotonic: what is at most 1 stays so.
    if (std::fabs(v) <= 1 && std::fabs(off) > 1) off = std::copysign(1.0L, v);
    return round_to(t, off);
}

void Arithmetic::apply(const Instr& instr, std::span<const Slot* const> args,
                       std::span<const Instr* const> of, Slot& out) {
    compute(instr, args, of, out);
    // Where the graph as written has lost a number that even long doubles do not know, and what is
    // made of it is finite again, nothing is known in any lane.
    const std::size_t arity =
        instr.op == Op::Const ? 0 : static_cast<std::size_t>(loops::arity(instr.op));
    for (std::size_t a = 0; a < arity; ++a) {
        if (!is_float(of[a]->dtype) || !(args[a]->wild & wide_lanes)) continue;
        for (std::size_t l = first_own; l < lanes; ++l)
            if (!std::isfinite(args[a]->f[l]) &&
                (!is_float(instr.dtype) || std::isfinite(out.f[l])))
                out.wild = all_lanes;
    }
}

void Arithmetic::compute(const Instr& instr, std::span<const Slot* const> args,
                         std::span<const Instr* const> of, Slot& out) {
    out.wild = out.faint = 0;
    out.inexact = false;
    for (std::size_t a = 0; a < static_cast<std::size_t>(loops::arity(instr.op)); ++a) {
        if (instr.op == Op::Select) break;
        out.wild = static_cast<Mask>(out.wild | args[a]->wild);
        out.inexact = out.inexact || args[a]->inexact;
    }
    // No default: a new instruction has to find its place here.
    switch (instr.op) {
        case Op::Const: return constant(instr, out);
        case Op::Select: return select(args, out);
        case Op::Eq:
        case Op::Ne:
        case Op::Lt:
        case Op::Le: return compare(instr, of[0]->dtype, args, out);
        case Op::Cast:
        case Op::Bitcast: return convert(instr, of[0]->dtype, *args[0], out);
        case Op::Add:
        case Op::Sub:
        case Op::Mul:
        case Op::Div:
        case Op::Rem:
        case Op::Min:
        case Op::Max:
        case Op::Neg:
        case Op::Abs:
        case Op::MulAdd:
        case Op::Fma:
        case Op::Scale:
        case Op::Sqrt:
        case Op::Floor:
        case Op::Ceil:
        case Op::Trunc:
        case Op::Round:
        case Op::Exp:
        case Op::Expm1:
        case Op::Log:
        case Op::Log1p:
        case Op::Tanh:
        case Op::Sin:
        case Op::Cos:
        case Op::Erf:
        case Op::Pow:
        case Op::Fmod:
        case Op::And:
        case Op::Or:
        case Op::Xor:
        case Op::Not:
        case Op::Shl:
        case Op::Shr:
            if (is_float(instr.dtype)) return floats(instr, args, of, out);
            return integers(instr, args, out);
        case Op::SinIf:
        case Op::CosIf:
        case Op::FmodIf: return rare(instr, args, out);
        case Op::IndexOf:  // of the walk
        case Op::Load:
        case Op::LoadIf:
        case Op::Acc: break;
    }
    throw InternalError(fmt::format("fuzz: {} in a nest", name(instr.op)));
}

void Arithmetic::rare(const Instr& instr, std::span<const Slot* const> args, Slot& out) {
    for (std::size_t l = 0; l < lanes; ++l) {
        const long double a = args[1]->f[l];
        const bool wanted = args[0]->i[l] != 0;
        out.f[l] = !wanted                 ? 0
                   : instr.op == Op::SinIf ? unary(Op::Sin, a)
                   : instr.op == Op::CosIf ? unary(Op::Cos, a)
                                           : binary(Op::Fmod, a, args[2]->f[l]);
        if (wanted && instr.op != Op::FmodIf)
            out.f[l] = settle(instr.dtype, out.f[l], static_cast<int>(l), function_ulps, true);
        out.raw[l] = out.f[l];
    }
    out.inexact = out.inexact || instr.op != Op::FmodIf;
}

void Arithmetic::select(std::span<const Slot* const> args, Slot& out) {
    for (std::size_t l = 0; l < lanes; ++l) {
        const Slot& chosen = args[0]->i[l] ? *args[1] : *args[2];
        out.f[l] = chosen.f[l];
        out.raw[l] = chosen.raw[l];
        out.i[l] = chosen.i[l];
        const auto bit = static_cast<Mask>(1 << l);
        out.wild = static_cast<Mask>(out.wild | ((args[0]->wild | chosen.wild) & bit));
        out.faint = static_cast<Mask>(out.faint | (chosen.faint & bit));
    }
    out.inexact = args[0]->inexact || args[1]->inexact || args[2]->inexact;
}

void Arithmetic::constant(const Instr& instr, Slot& out) {
    const bool number = is_float(instr.dtype);
    out.f.fill(number ? instr.constant.as_double() : 0);
    out.raw = out.f;
    out.i.fill(number ? 0 : instr.constant.as_int());
}

void Arithmetic::floats(const Instr& instr, std::span<const Slot* const> args,
                        std::span<const Instr* const> of, Slot& out) {
    const Op op = instr.op;
    const int arity = loops::arity(op);
    Mask faint = 0;
    Mask infinite[2] = {0, 0};  // limits of exponentials
    for (std::size_t a = 0; a < static_cast<std::size_t>(arity); ++a)
        for (std::size_t l = 0; l < lanes; ++l)
            if (const auto bit = static_cast<Mask>(args[a]->faint & 1 << l))
                (std::isinf(args[a]->f[l]) && a < 2 ? infinite[a] : faint) |= bit;
    out.inexact = out.inexact || faint;
    // Does rounding decide on which side of 0 a divisor is?
    bool near_zero = false;
    if (op == Op::Div && args[1]->inexact && !exact_) {
        const auto& b = args[1]->f;
        near_zero =
            *std::min_element(b.begin(), b.end()) < 0 && *std::max_element(b.begin(), b.end()) > 0;
    }
    if (near_zero) out.wild = all_lanes;
    const bool function = is_function(op);
    bool absorbed[lanes] = {};  // the long double has lost something, too
    for (std::size_t l = 0; l < lanes; ++l) {
        const bool own = this->own(l);
        if (arity == 1) {
            out.f[l] = unary(op, args[0]->f[l]);
        } else if (op == Op::Fma || op == Op::MulAdd) {
            long double product = args[0]->f[l] * args[1]->f[l];
            if (op == Op::MulAdd && own && l < static_cast<std::size_t>(first_fused))
                product = settle(instr.dtype, product, static_cast<int>(l));
            out.f[l] = product + args[2]->f[l];
        } else {
            // The sum of a product may be rounded once.
            const bool fused = (op == Op::Add || op == Op::Sub) && fuses(l);
            const long double a = fused && of[0]->op == Op::Mul ? args[0]->raw[l] : args[0]->f[l];
            const long double b = fused && of[1]->op == Op::Mul ? args[1]->raw[l] : args[1]->f[l];
            out.f[l] = binary(op, a, b);
            if (op == Op::Add || op == Op::Sub) {
                const long double c = op == Op::Add ? b : -b, part = out.f[l] - a;
                absorbed[l] = (a - (out.f[l] - part)) + (c - part) != 0;
            }
        }
        if (function) absorbed[l] = !trivial(op, args[0]->f[l], arity > 1 ? args[1]->f[l] : 0);
        if (own) continue;
        // Beyond the range of long doubles nothing is known.
        bool finite = true;
        for (int a = 0; a < arity; ++a) finite = finite && std::isfinite(args[a]->f[l]);
        const auto bit = static_cast<Mask>(1 << l);
        if (finite && std::isinf(out.f[l]) &&
            (op == Op::Exp || op == Op::Expm1 || op == Op::Mul || op == Op::Add || op == Op::Sub ||
             op == Op::Pow))
            out.wild |= bit;
        if (finite && op == Op::Div && std::isinf(out.f[l]) && args[1]->f[l] != 0) out.wild |= bit;
        // A logarithm of what only rounding made 0.
        if (op == Op::Log1p && args[0]->f[l] == -1 && args[0]->inexact) out.wild |= bit;
        if (op == Op::Exp && std::isinf(out.f[l])) out.faint |= bit;
        if (((infinite[0] | infinite[1]) & bit) && std::isinf(out.f[l]) &&
            (op == Op::Neg || op == Op::Add || op == Op::Sub || op == Op::Mul))
            out.faint |= bit;
        // A limit that may exist.
        if (std::isnan(out.f[l]) && !finite) out.wild |= bit;
        if (out.f[l] == 0) {
            const bool zero = args[0]->f[l] == 0 || (arity > 1 && args[1]->f[l] == 0);
            // Equal, as far as long doubles tell.
            const bool cancelled = (op == Op::Add || op == Op::Sub) && out.inexact && !zero;
            // A logarithm of what only rounding made 1; an exponential is no zero at infinity
            // either, where a quotient of such has a limit.
            const bool near_one = op == Op::Log && args[0]->inexact;
            if (cancelled || near_one || op == Op::Exp || (op == Op::Mul && !zero) ||
                (op == Op::Div && args[0]->f[l] != 0 && (finite || (infinite[1] & bit))) ||
                (op == Op::Pow && !zero))
                out.faint |= bit;
        }
        if (!(faint & bit)) continue;
        switch (faint_through(op)) {
            case Faint::stays: out.faint |= bit; break;
            case Faint::goes:
                if (out.f[l] == 0) out.faint |= bit;
                break;  // else it is lost in the other
            case Faint::unknown:
                if (op == Op::Div && !(args[1]->faint & bit))
                    out.faint |= bit;
                else
                    out.wild |= bit;
                break;
        }
    }
    if (op == Op::Mul || op == Op::Div)
        for (std::size_t l = 0; l < lanes; ++l)
            if (!own(l) && (faint >> l & 1) && !std::isfinite(out.f[l]))
                out.wild = static_cast<Mask>(out.wild | 1 << l);
    const bool rounded = rounds(op);
    // log(1 - x) of 0 as log1p(-x) is -0, too.
    const bool zeros =
        op == Op::Add || op == Op::Sub || op == Op::Mul || op == Op::Neg || op == Op::Log;
    for (std::size_t l = 0; l < lanes; ++l) {
        // An exponent may be a rounded difference: exp(x) / sum(exp(x)) is exp(x - max) over
        // theirs.
        const double exponent =
            op == Op::Exp && own(l) ? static_cast<double>(std::fabs(args[0]->f[l])) : 0;
        const double ulps =
            function ? std::max(function_ulps, std::isfinite(exponent) ? exponent : 0) : 1;
        out.raw[l] = out.f[l];
        if (out.f[l] == 0) {
            const bool either =
                (op == Op::Min || op == Op::Max) && args[0]->f[l] == 0 && args[1]->f[l] == 0;
            if ((zeros || either) && any_zero(l)) out.f[l] = -out.f[l];
        } else if (rounded) {
            out.inexact = out.inexact || absorbed[l] || round_to(instr.dtype, out.f[l]) != out.f[l];
            const long double all = out.f[l];
            out.f[l] = settle(instr.dtype, all, static_cast<int>(l), ulps, absorbed[l]);
            // In a sum that it is fused with, a product cannot overflow by itself.
            if (op == Op::Mul && fuses(l) && std::isinf(out.f[l])) out.f[l] = all;
        }
    }
}

void Arithmetic::integers(const Instr& instr, std::span<const Slot* const> args, Slot& out) {
    const int arity = loops::arity(instr.op);
    for (std::size_t l = 0; l < lanes; ++l) {
        const std::int64_t a = args[0]->i[l];
        if (arity == 1) {
            const auto minus = std::uint64_t{0} - static_cast<std::uint64_t>(a);
            switch (instr.op) {
                case Op::Not:
                    out.i[l] = instr.dtype == DType::Bool
                                   ? !a
                                   : wrapped(instr.dtype, ~static_cast<std::uint64_t>(a));
                    break;
                case Op::Neg: out.i[l] = wrapped(instr.dtype, minus); break;
                case Op::Abs: out.i[l] = a < 0 ? wrapped(instr.dtype, minus) : a; break;
                default: out.i[l] = a; break;  // rounding an integer
            }
        } else {
            out.i[l] = integer(instr.op, instr.dtype, a, args[1]->i[l]);
        }
    }
}

void Arithmetic::compare(const Instr& instr, DType t, std::span<const Slot* const> args,
                         Slot& out) {
    const auto of = [&](const auto& a, const auto& b) {
        switch (instr.op) {
            case Op::Eq: return a == b;
            case Op::Ne: return a != b;
            case Op::Lt: return a < b;
            default: return a <= b;
        }
    };
    const auto seen = [&](std::size_t a, std::size_t l) {
        return decides_narrow(l) ? round_to(t, args[a]->f[l]) : args[a]->f[l];
    };
    for (std::size_t l = 0; l < lanes; ++l)
        out.i[l] = is_float(t) ? of(seen(0, l), seen(1, l)) : of(args[0]->i[l], args[1]->i[l]);
    if (!is_float(t)) return;
    // What rounding has brought close together may be on any side.
    if ((args[0]->inexact || args[1]->inexact) && !exact_ && near(t, *args[0], *args[1]))
        for (std::size_t l = nearest + 1; l < lanes; ++l) out.i[l] = random() >> 40 & 1;
    const auto faint = static_cast<Mask>(args[0]->faint | args[1]->faint);
    for (std::size_t l = 0; l < lanes; ++l)
        if ((faint >> l & 1) && args[0]->f[l] == args[1]->f[l] && std::isfinite(args[0]->f[l]))
            out.wild = static_cast<Mask>(out.wild | 1 << l);
}

void Arithmetic::convert(const Instr& instr, DType from, const Slot& x, Slot& out) {
    const DType to = instr.dtype;
    if (instr.op == Op::Bitcast) {
        for (std::size_t l = 0; l < lanes; ++l) {
            const std::int64_t bits =
                from == DType::F32   ? std::bit_cast<std::int32_t>(static_cast<float>(x.f[l]))
                : from == DType::F64 ? std::bit_cast<std::int64_t>(static_cast<double>(x.f[l]))
                                     : x.i[l];
            if (to == DType::F32)
                out.f[l] = std::bit_cast<float>(static_cast<std::int32_t>(bits));
            else if (to == DType::F64)
                out.f[l] = std::bit_cast<double>(bits);
            else
                out.i[l] = wrapped(to, static_cast<std::uint64_t>(bits));
            out.raw[l] = out.f[l];
        }
        return;
    }
    for (std::size_t l = 0; l < lanes; ++l) {
        if (is_float(from) && is_float(to)) {
            // Written as a rounding, it is one in every lane.
            // What is wider now may have been too small, or too large, before.
            const bool narrow = to != DType::F64 || (from == DType::F32 && decides_narrow(l));
            out.f[l] = narrow && !exact_ ? round_to(to == DType::F64 ? from : to, x.f[l]) : x.f[l];
        } else if (is_float(to)) {
            out.f[l] = exact_ ? static_cast<long double>(x.i[l])
                              : round_to(to, static_cast<long double>(x.i[l]));
        } else if (!is_float(from)) {
            out.i[l] =
                to == DType::Bool ? x.i[l] != 0 : wrapped(to, static_cast<std::uint64_t>(x.i[l]));
        } else if (to == DType::Bool) {
            out.i[l] = (decides_narrow(l) ? round_to(from, x.f[l]) : x.f[l]) != 0;
            if ((x.faint >> l & 1) && x.f[l] == 0) out.wild = static_cast<Mask>(out.wild | 1 << l);
        } else {
            // Towards zero, at most to the ends of the range; NaN is 0.
            const long double low = to == DType::U8 ? 0 : to == DType::I32 ? -0x1p31L : -0x1p63L;
            const long double high = to == DType::U8    ? 255
                                     : to == DType::I32 ? 0x1p31L - 1
                                                        : 0x1p63L - 1;
            const long double v = std::trunc(x.f[l]);
            out.i[l] = std::isnan(v) ? 0
                       : v <= low    ? static_cast<std::int64_t>(low)
                       : v >= high   ? static_cast<std::int64_t>(high)
                                     : static_cast<std::int64_t>(v);
        }
        out.raw[l] = out.f[l];
        if (is_float(to) && !is_float(from) && out.f[l] != static_cast<long double>(x.i[l]))
            out.inexact = true;
        if (is_float(to) && is_float(from) && out.f[l] != x.f[l]) out.inexact = true;
    }
}

}  // namespace arete::fuzz
