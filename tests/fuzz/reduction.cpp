// Reductions and scatters in all lanes, in the orders that are allowed.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/fuzz/instruction.h"
#include "tests/fuzz/scalar.h"

namespace arete::fuzz {

using loops::Instr;
using loops::Op;
using loops::Reduction;

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

bool has_zeros_of_both_signs(std::span<const Slot> terms, std::size_t lane) {
    bool found[2] = {false, false};
    for (const Slot& s : terms)
        if (s.f[lane] == 0) found[std::signbit(s.f[lane])] = true;
    return found[0] && found[1];
}

// May partial sums be infinite in both directions? Then NaN and both infinities come out, by the
// order.
bool overflows_both_ways(DType t, std::span<const Slot> terms, std::size_t lane) {
    long double up = 0, down = 0;
    for (const Slot& s : terms) (s.f[lane] > 0 ? up : down) += s.f[lane];
    return std::isinf(round_to(t, up)) && std::isinf(round_to(t, down));
}

// The same for products: may one part be infinite, or very large, and another 0?
bool leaves_range(DType t, std::span<const Slot> terms, std::size_t lane) {
    long double large = 1, small = 1;
    for (const Slot& s : terms) (std::fabs(s.f[lane]) > 1 ? large : small) *= s.f[lane];
    return std::isinf(round_to(t, large)) && round_to(t, small) == 0;
}

}  // namespace

Slot Arithmetic::fold(Reduction r, const Instr& element, std::span<const Slot> terms) {
    Slot out;
    const DType t = element.dtype;
    const bool position = r == Reduction::ArgMax || r == Reduction::ArgMin;
    for (const Slot& s : terms) {
        out.wild = static_cast<Mask>(out.wild | s.wild);
        out.inexact = out.inexact || s.inexact;
        for (std::size_t l = 0; l < lanes && is_float(t); ++l)
            if (s.f[l] == 0) out.faint = static_cast<Mask>(out.faint | (s.faint & 1 << l));
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
                    const std::int64_t best = terms[v].i[l];
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
            // Equal by rounding, as two of what saturates: the larger may be any of them.
            const auto is_best = [&](const Slot& s) {
                return s.inexact && s.f[l] == terms[best].f[l];
            };
            if (!terms.empty() && std::count_if(terms.begin(), terms.end(), is_best) > 1)
                out.wild = all_lanes;
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
            if (own(l) && std::isfinite(size) && size > 16 * std::fabs(total)) {
                const long double bound = size * static_cast<long double>(2 * epsilon(t));
                if (std::fabs(total) <= bound && (random() >> 40 & 3) == 0)
                    total = 0;
                else
                    total += bound * static_cast<long double>(signed_unit());
            }
            out.f[l] = settle(t, total / static_cast<long double>(terms.size()), lane);
            if (out.f[l] == 0 && any_zero(l)) out.f[l] = -out.f[l];
            out.inexact = out.inexact || (lane == 0 && round_to(t, out.f[l]) != out.f[l]);
            if (beyond) out.wild = all_lanes;
            if (out.f[l] != 0 || own(l)) out.faint = static_cast<Mask>(out.faint & ~bit);
        } else if (r == Reduction::Sum) {
            const bool fused = fuses(l) && element.op == Op::Mul;
            out.f[l] = sum(t, terms, lane, fused);
            if (lane > 0 && !exact_ && rounded_away(t, terms, l, out.f[l])) {
                const long double bound =
                    size_of_terms(terms, l) * static_cast<long double>(2 * epsilon(t));
                // Nothing at all may be left.
                if (std::fabs(out.f[l]) <= bound && (random() >> 40 & 3) == 0)
                    out.f[l] = 0;
                else
                    out.f[l] += bound * static_cast<long double>(signed_unit());
            }
            if (own(l) && overflows_both_ways(t, terms, l)) out.wild = all_lanes;
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
            if (r != Reduction::Prod && v == 0 && has_zeros_of_both_signs(terms, l) && any_zero(l))
                v = -v;
            out.f[l] = v;
            if (r == Reduction::Prod && own(l) && leaves_range(t, terms, l)) out.wild = all_lanes;
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
