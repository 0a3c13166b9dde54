#include "tests/fuzz/instruction.h"

#include <bit>
#include <cmath>
#include <limits>

#include "tests/fuzz/scalar.h"

namespace arete::fuzz {

namespace {

using loops::Instr;
using loops::Op;
using loops::Reduction;

constexpr Mask wide_lanes = (1 << first_own) - 1, all_lanes = 0xff;

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
    if (lane == 0 || exact_ || v == 0 || !std::isfinite(v)) return v;
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
        case Op::IndexOf:  // of the walk
        case Op::Load:
        case Op::LoadIf:
        case Op::Acc:
        case Op::SinIf:  // of native code alone
        case Op::CosIf:
        case Op::FmodIf: break;
    }
    throw InternalError(fmt::format("fuzz: {} in a nest", name(instr.op)));
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
    for (int a = 0; a < arity; ++a)
        faint = static_cast<Mask>(faint | args[static_cast<std::size_t>(a)]->faint);
    out.inexact = out.inexact || faint;
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
        for (int a = 0; a < arity; ++a)
            finite = finite && std::isfinite(args[static_cast<std::size_t>(a)]->f[l]);
        const auto bit = static_cast<Mask>(1 << l);
        if (finite && std::isinf(out.f[l]) &&
            (op == Op::Exp || op == Op::Expm1 || op == Op::Mul || op == Op::Add || op == Op::Sub ||
             op == Op::Pow))
            out.wild |= bit;
        if (finite && op == Op::Div && std::isinf(out.f[l]) && args[1]->f[l] != 0) out.wild |= bit;
        // A logarithm of what only rounding made 0.
        if (op == Op::Log1p && args[0]->f[l] == -1 && args[0]->inexact) out.wild |= bit;
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
                (op == Op::Div && args[0]->f[l] != 0 && finite) || (op == Op::Pow && !zero))
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
            if (zeros && any_zero(l)) out.f[l] = -out.f[l];
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
    for (std::size_t l = 0; l < lanes; ++l)
        out.i[l] =
            is_float(t) ? of(args[0]->f[l], args[1]->f[l]) : of(args[0]->i[l], args[1]->i[l]);
    if (!is_float(t)) return;
    // What rounding has brought close together may be on any side.
    if ((args[0]->inexact || args[1]->inexact) && !exact_ && near(t, *args[0], *args[1]))
        for (std::size_t l = nearest + 1; l < lanes; ++l) out.i[l] = random() >> 40 & 1;
    const auto faint = static_cast<Mask>(args[0]->faint | args[1]->faint);
    for (std::size_t l = 0; l < lanes; ++l)
        if ((faint >> l & 1) && args[0]->f[l] == args[1]->f[l])
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
            out.f[l] = to == DType::F64 || exact_ ? x.f[l] : round_to(to, x.f[l]);
        } else if (is_float(to)) {
            out.f[l] = exact_ ? static_cast<long double>(x.i[l])
                              : round_to(to, static_cast<long double>(x.i[l]));
        } else if (!is_float(from)) {
            out.i[l] =
                to == DType::Bool ? x.i[l] != 0 : wrapped(to, static_cast<std::uint64_t>(x.i[l]));
        } else if (to == DType::Bool) {
            out.i[l] = x.f[l] != 0;
            if (x.faint >> l & 1) out.wild = static_cast<Mask>(out.wild | 1 << l);
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

// In the order of the lane: one after another; backwards; in several partial sums.
long double Arithmetic::sum(DType t, std::span<const Slot> terms, int lane, bool fused) {
    const auto l = static_cast<std::size_t>(lane);
    const std::size_t n = terms.size();
    const auto term = [&](std::size_t k) { return fused ? terms[k].raw[l] : terms[k].f[l]; };
    const bool plain = exact_ || lane <= first_fused;
    const std::size_t parts = plain ? 1 : std::size_t{1} << (random() >> 32) % 6;
    const bool backwards = !plain && (random() >> 33 & 1);
    partial_.assign(std::min(parts, std::max<std::size_t>(1, n)), 0);
    for (std::size_t k = 0; k < n; ++k) {
        long double& to = partial_[k % partial_.size()];
        const long double x = term(backwards ? n - 1 - k : k), next = to + x;
        // What long doubles lose is rounding, too.
        to = settle(t, next, lane, 1, (next == to && x != 0) || (next == x && to != 0));
    }
    while (partial_.size() > 1) {
        const std::size_t half = (partial_.size() + 1) / 2;
        for (std::size_t k = half; k < partial_.size(); ++k)
            partial_[k - half] = settle(t, partial_[k - half] + partial_[k], lane);
        partial_.resize(half);
    }
    const long double total = partial_[0];
    return total == 0 && any_zero(l) ? -total : total;
}

namespace {

long double size_of_terms(std::span<const Slot> terms, std::size_t lane) {
    long double size = 0;
    for (const Slot& s : terms) size += std::fabs(s.f[lane]);
    return size;
}

// Did numbers that cancel in the end take away what is left of a sum? What comes out is any part of
// their rounding then, by the order.
bool rounded_away(DType t, std::span<const Slot> terms, std::size_t lane, long double total) {
    const long double size = size_of_terms(terms, lane);
    if (!std::isfinite(size) || size <= 0x1p16L * std::fabs(total)) return false;
    long double sum = 0;
    for (const Slot& s : terms) {
        const long double x = s.f[lane], next = sum + x, of_x = next - sum;
        const bool exact = (sum - (next - of_x)) + (x - of_x) == 0 && round_to(t, next) == next;
        if (!exact) return true;
        sum = next;
    }
    return false;
}

}  // namespace

Slot Arithmetic::fold(Reduction r, const Instr& element, std::span<const Slot> terms) {
    Slot out;
    const DType t = element.dtype;
    const bool position = r == Reduction::ArgMax || r == Reduction::ArgMin;
    for (const Slot& s : terms) {
        out.wild = static_cast<Mask>(out.wild | s.wild);
        out.inexact = out.inexact || s.inexact;
        if (is_float(t)) out.faint = static_cast<Mask>(out.faint | s.faint);
    }
    for (int lane = 0; lane < lanes; ++lane) {
        const auto l = static_cast<std::size_t>(lane);
        const auto bit = static_cast<Mask>(1 << lane);
        if (!is_float(t)) {
            const loops::Scalar start = position ? loops::Scalar{} : identity(r, t);
            std::int64_t v = position ? 0 : start.as_int();
            for (std::size_t k = 0; k < terms.size(); ++k) {
                const std::int64_t x = terms[k].i[l];
                if (!position) {
                    v = integer(r == Reduction::Sum    ? Op::Add
                                : r == Reduction::Prod ? Op::Mul
                                : r == Reduction::Max  ? Op::Max
                                                       : Op::Min,
                                t, v, x);
                } else {
                    const std::int64_t best = terms[static_cast<std::size_t>(v)].i[l];
                    if (r == Reduction::ArgMax ? x > best : x < best)
                        v = static_cast<std::int64_t>(k);
                }
            }
            out.i[l] = v;
            continue;
        }
        if (position) {
            std::size_t best = 0;
            for (std::size_t k = 1; k < terms.size(); ++k) {
                const long double x = terms[k].f[l], b = terms[best].f[l];
                if (std::isnan(b)) break;
                if (std::isnan(x) || (r == Reduction::ArgMax ? x > b : x < b)) best = k;
            }
            out.i[l] = static_cast<std::int64_t>(best);
            if (out.faint & bit) out.wild |= bit;
            if ((out.wild & wide_lanes) && !terms.empty() && !std::isfinite(terms[best].f[l]))
                out.wild = all_lanes;
            continue;
        }
        if (r == Reduction::Mean) {
            // Added up in twice the precision, and rounded once: what a huge number absorbs comes
            // back when another one takes it away.
            long double total = 0, lost = 0;
            bool beyond = false;  // the range of doubles, which f64 add up in
            for (const Slot& s : terms) {
                const long double x = s.f[l], next = total + x, of_x = next - total;
                lost += (total - (next - of_x)) + (x - of_x);
                total = next;
                beyond = beyond || (std::isfinite(x) &&
                                    std::fabs(total) > std::numeric_limits<double>::max());
            }
            if (std::isfinite(lost)) total += lost;
            // What is promised is a part of the sum of the absolute values.
            const long double size = size_of_terms(terms, l);
            if (own(l) && std::isfinite(size) && size > 16 * std::fabs(total))
                total += size * static_cast<long double>(signed_unit() * 2 * epsilon(t));
            out.f[l] = settle(t, total / static_cast<long double>(terms.size()), lane);
            if (out.f[l] == 0 && any_zero(l)) out.f[l] = -out.f[l];
            out.inexact = out.inexact || (lane == 0 && round_to(t, out.f[l]) != out.f[l]);
            if (beyond) out.wild = all_lanes;
            if (out.f[l] != 0 || own(l)) out.faint = static_cast<Mask>(out.faint & ~bit);
        } else if (r == Reduction::Sum) {
            const bool fused = fuses(l) && element.op == Op::Mul;
            out.f[l] = sum(t, terms, lane, fused);
            if (own(l) && rounded_away(t, terms, l, out.f[l]))
                out.f[l] += size_of_terms(terms, l) *
                            static_cast<long double>(signed_unit() * 2 * epsilon(t));
            out.inexact = out.inexact || (lane == 0 && round_to(t, out.f[l]) != out.f[l]);
            if (out.f[l] != 0 || own(l)) out.faint = static_cast<Mask>(out.faint & ~bit);
        } else {
            long double v = r == Reduction::Prod  ? 1
                            : r == Reduction::Max ? -std::numeric_limits<long double>::infinity()
                                                  : std::numeric_limits<long double>::infinity();
            // Products are taken in any order, of which these come closest to the ends of the
            // range.
            ordered_.resize(terms.size());
            for (std::size_t k = 0; k < terms.size(); ++k) ordered_[k] = terms[k].f[l];
            if (r == Reduction::Prod && lane > nearest) {
                const bool large_first = lane % 2 == 0;
                std::sort(ordered_.begin(), ordered_.end(), [&](long double a, long double b) {
                    const bool less = std::fabs(a) < std::fabs(b);
                    return large_first ? std::fabs(b) < std::fabs(a) : less;
                });
            }
            for (const long double x : ordered_) {
                v = r == Reduction::Prod ? settle(t, v * x, lane)
                                         : extreme(r == Reduction::Max, v, x);
            }
            out.f[l] = v;
            if (r != Reduction::Prod && (out.faint & bit) && v == 0)
                out.faint |= bit;
            else if (r != Reduction::Prod)
                out.faint = static_cast<Mask>(out.faint & ~bit);
        }
        // Infinite by overflow of the long doubles themselves.
        if (!own(l) && std::isinf(out.f[l])) {
            bool finite = true;
            for (const Slot& s : terms) finite = finite && std::isfinite(s.f[l]);
            if (finite && !terms.empty()) out.wild |= bit;
        }
    }
    if (r == Reduction::Sum || r == Reduction::Mean || r == Reduction::Prod)
        for (std::size_t l = 1; l < lanes && is_float(t); ++l)
            out.inexact = out.inexact || out.f[l] != out.f[0];
    out.raw = out.f;
    return out;
}

void Arithmetic::combine(Reduction r, DType t, const Slot& old, Slot& value, int lane) {
    const auto l = static_cast<std::size_t>(lane);
    const Op op = r == Reduction::Sum    ? Op::Add
                  : r == Reduction::Prod ? Op::Mul
                  : r == Reduction::Max  ? Op::Max
                                         : Op::Min;
    if (is_float(t))
        value.f[l] = settle(t, binary(op, old.f[l], value.f[l]), lane);
    else
        value.i[l] = integer(op, t, old.i[l], value.i[l]);
    const auto bit = static_cast<Mask>(1 << lane);
    value.wild = static_cast<Mask>(value.wild | (old.wild & bit));
    if (is_float(t) && value.f[l] == 0)
        value.faint = static_cast<Mask>(value.faint | (old.faint & bit));
}

}  // namespace arete::fuzz
