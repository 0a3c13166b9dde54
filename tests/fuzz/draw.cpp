#include "tests/fuzz/draw.h"
#include "tests/targets.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "frontend/shared.h"
#include "frontend/variables.h"

#include <arete/arete.h>

namespace arete::fuzz {

namespace {

// Zero, one, primes, powers of two and their neighbours.
const std::vector<std::int64_t> small_sizes{0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 15, 16, 17};
const std::vector<std::int64_t> larger_sizes{19, 23, 31, 32, 33,  37,  47,
                                             63, 64, 65, 97, 127, 128, 129};

enum Style { Plain, Few, Corners, Wild };

double corner(DType t, std::mt19937_64& random) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    static const std::vector<double> f32{
        0.,        -0.,           1.,    -1.,          1e-45,
        -1e-45,    1.1754944e-38, 5e-39, 3.4028235e38, -3.4028235e38,
        inf,       -inf,          NAN,   16777217,     16777216,
        -16777215, 0.5,           1.5,   2.5,          88.7,
        -87.3,     103,           1e-10, 1e10,         17,
        30,        -30,           1e20,  0.1,          1. / 3};
    static const std::vector<double> f64{0.,
                                         -0.,
                                         1.,
                                         -1.,
                                         5e-324,
                                         -5e-324,
                                         2.2250738585072014e-308,
                                         1e-309,
                                         1.7976931348623157e308,
                                         -1.7976931348623157e308,
                                         inf,
                                         -inf,
                                         NAN,
                                         9007199254740993.,
                                         9007199254740992.,
                                         0.5,
                                         1.5,
                                         2.5,
                                         709.7,
                                         -745.1,
                                         1e-17,
                                         1e17,
                                         37,
                                         40,
                                         -40,
                                         1e150,
                                         0.1,
                                         1. / 3};
    const auto& from = t == DType::F32 ? f32 : f64;
    return from[random() % from.size()];
}

std::int64_t integer_corner(DType t, std::mt19937_64& random) {
    static const std::vector<std::int64_t> u8{0, 1, 2, 127, 128, 129, 200, 254, 255};
    static const std::vector<std::int64_t> i32{
        0,    1,     -1,       2,     127,        255,         256,
        -128, 65536, 16777217, 46341, 2147483647, -2147483647, -2147483648LL};
    static const std::vector<std::int64_t> i64{0,
                                               1,
                                               -1,
                                               2,
                                               255,
                                               2147483647,
                                               2147483648LL,
                                               -2147483649LL,
                                               16777217,
                                               9007199254740993LL,
                                               4294967296LL,
                                               3037000500LL,
                                               INT64_MAX,
                                               INT64_MIN,
                                               INT64_MIN + 1};
    const auto& from = t == DType::U8 ? u8 : t == DType::I32 ? i32 : i64;
    return from[random() % from.size()];
}

}  // namespace

Drawer::Drawer(std::uint64_t seed, const DrawOptions& options)
    : random_(seed * 0x9e3779b97f4a7c15ULL + 1), options_(options) {
    case_.seed = seed;
    for (int k = 0; k < 3; ++k) sizes_.push_back(one_of(once_in(6) ? larger_sizes : small_sizes));
    const bool large = once_in(100);
    most_ = large        ? options.elements_of_large
            : once_in(8) ? options.elements * 6
                         : options.elements;
    if (large) sizes_.push_back(one_of(larger_sizes));
    style_ = options.floats_only ? Plain : std::vector<int>{Plain, Plain,   Plain, Few,
                                                            Few,   Corners, Wild}[below(7)];
    main_ = options.floats_only || once_in(2) ? DType::F64 : DType::F32;
}

int Drawer::below(std::int64_t n) {
    return n < 2 ? 0 : static_cast<int>(random_() % static_cast<std::uint64_t>(n));
}

double Drawer::uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(random_() >> 11) * 0x1p-53;
}

std::int64_t Drawer::size() {
    if (!once_in(4)) return one_of(sizes_);
    return one_of(once_in(6) ? larger_sizes : small_sizes);
}

Sizes Drawer::sizes(int rank, std::int64_t most) {
    Sizes out;
    for (int k = 0; k < rank; ++k) {
        std::int64_t s = size();
        // An empty tensor computes nothing: few are enough.
        if (s == 0 && !once_in(6)) s = 1 + below(4);
        // An axis without elements may become one of size 1 elsewhere.
        std::int64_t others = 1;
        for (const std::int64_t n : out) others *= std::max<std::int64_t>(n, 1);
        while (others * s > most) s = 1 + s / 3 - (s < 3);
        out.push_back(s);
    }
    return out;
}

DType Drawer::float_dtype() {
    if (options_.floats_only) return DType::F64;
    return once_in(8) ? (main_ == DType::F32 ? DType::F64 : DType::F32) : main_;
}

DType Drawer::dtype() {
    if (options_.floats_only) return DType::F64;
    static const std::vector<DType> others{DType::Bool, DType::U8, DType::I32, DType::I64};
    return once_in(3) ? one_of(others) : float_dtype();
}

Array Drawer::values_in(DType t, const Sizes& sizes, double low, double high) {
    Array out(t, sizes);
    for (std::int64_t i = 0; i < out.size(); ++i)
        visit(t, [&](auto tag) {
            using T = decltype(tag);
            if constexpr (std::is_floating_point_v<T>)
                out.data<T>()[i] = static_cast<T>(uniform(low, high));
            else if constexpr (std::is_same_v<T, bool>)
                out.data<T>()[i] = once_in(2);
            else
                out.data<T>()[i] = static_cast<T>(
                    static_cast<std::int64_t>(low) +
                    below(static_cast<std::int64_t>(high) - static_cast<std::int64_t>(low) + 1));
        });
    return out;
}

Array Drawer::values(DType t, const Sizes& sizes) {
    if (t == DType::Bool) return values_in(t, sizes, 0, 1);
    const double low = t == DType::U8 ? 0 : -3;
    Array out = values_in(t, sizes, is_float(t) ? -2 : low, is_float(t) ? 2 : 6);
    const int style = style_ == Few && once_in(3) ? Corners : style_;
    const bool same = style != Plain && once_in(10);
    for (std::int64_t i = 0; i < out.size(); ++i)
        visit(t, [&](auto tag) {
            using T = decltype(tag);
            T& v = out.data<T>()[i];
            const int dice = below(100);
            if constexpr (std::is_floating_point_v<T>) {
                if (style == Few && dice < 25) v = static_cast<T>(below(7) - 3);  // ties and zeros
                if (style == Corners && dice < 15) v = static_cast<T>(corner(t, random_));
                if (style == Corners && dice > 80) v = static_cast<T>(std::exp(uniform(-40, 40)));
                if (style == Wild && dice < 60) v = static_cast<T>(corner(t, random_));
            } else if constexpr (!std::is_same_v<T, bool>) {
                if ((style == Corners && dice < 20) || (style == Wild && dice < 70))
                    v = static_cast<T>(integer_corner(t, random_));
            }
            if (same) v = out.data<T>()[0];
        });
    return out;
}

Item Drawer::leaf(DType t, const Sizes& sizes) {
    return leaf(t, values(t, sizes));
}

Item Drawer::leaf(DType t, const Array& value) {
    const int kind = below(10);
    if (kind == 0) return item(constant(value));
    if (kind < 4) {
        const Shared s = shared(value, fmt::format("s{}", case_.shared.size()));
        case_.shared.push_back(s);
        case_.state.push_back(value.copy());
        return item(s);
    }
    Ints known = value.shape();
    if (options_.unknown_sizes && once_in(2))
        for (std::int64_t& s : known)
            if (!once_in(3)) s = -1;
    const Expr x = tensor(t, value.rank(), fmt::format("x{}", case_.inputs.size()), known);
    case_.inputs.push_back(x);
    case_.values.push_back(value);
    return item(x);
}

Item Drawer::item(const Expr& e) const {
    if (e.empty()) return {};
    return {e, sizes_of(e, case_.inputs, case_.values)};
}

Item Drawer::any() {
    // Mostly what was made last, so that graphs are deep.
    return once_in(2) ? pool_.back() : one_of(pool_);
}

Item Drawer::floats() {
    for (int tries = 0; tries < 4; ++tries) {
        const Item x = any();
        if (is_float(x.e.dtype())) return x;
        if (once_in(3)) return item(cast(x.e, float_dtype()));
    }
    return leaf(float_dtype(), sizes(below(4), most_));
}

Item Drawer::of_rank(int least, int most) {
    for (int tries = 0; tries < 4; ++tries) {
        const Item x = any();
        if (x.rank() >= least && x.rank() <= most) return x;
    }
    return leaf(dtype(), sizes(least + below(most - least + 1), most_));
}

Item Drawer::beside(const Item& x) {
    if (once_in(6)) return x;  // twice the same
    std::vector<Item> fitting;
    for (const Item& i : pool_) {
        bool fits = true;
        std::int64_t elements = 1;
        for (int k = 1; k <= std::max(i.rank(), x.rank()); ++k) {
            const auto at = [&](const Item& t) { return k > t.rank() ? 1 : t.sizes[t.rank() - k]; };
            fits = fits && (at(i) == at(x) || at(i) == 1 || at(x) == 1);
            elements *= at(i) == 1 ? at(x) : at(i);
        }
        if (fits && elements <= 2 * most_) fitting.push_back(i);
    }
    if (!fitting.empty() && !once_in(4)) return one_of(fitting);
    Sizes sizes = x.sizes;
    for (std::int64_t& s : sizes)
        if (once_in(4) && s >= 0) s = 1;
    if (!sizes.empty() && once_in(3))
        sizes.erase(sizes.begin(), sizes.begin() + below(static_cast<std::int64_t>(sizes.size())));
    for (std::int64_t& s : sizes) s = std::max<std::int64_t>(s, 0);
    return leaf(once_in(2) ? x.e.dtype() : dtype(), sizes);
}

Expr Drawer::fit(const Item& x, const Sizes& sizes) {
    const std::int64_t n = count(sizes);
    Shape shape(sizes.begin(), sizes.end());
    if (x.sizes == sizes && is_static(x.e.shape())) return x.e;
    if (!is_static(x.e.shape()) || x.size() <= 0) return leaf(x.e.dtype(), sizes).e;
    Expr flat = flatten(x.e);
    if (x.rank() == 0) return broadcast_to(x.e, shape);
    if (x.size() < n) {
        const std::int64_t times = (n + x.size() - 1) / x.size();
        flat = flatten(broadcast_to(flat, Shape{times, x.size()}));
    }
    const std::int64_t start = below(size_of(flat.shape()).value() - n + 1);
    return reshape(flat(slice(start, start + n)), shape);
}

Expr Drawer::integers(const Sizes& sizes, std::int64_t low, std::int64_t high) {
    const DType t = once_in(4) && low >= INT32_MIN && high <= INT32_MAX ? DType::I32 : DType::I64;
    if (!pool_.empty() && once_in(5)) {
        // Computed: whatever it is, brought into the range.
        const Expr x = cast(fit(any(), sizes), DType::I64);
        return low + mod(x, high - low + 1);
    }
    return leaf(t, values_in(t, sizes, static_cast<double>(low), static_cast<double>(high))).e;
}

std::vector<Expr> Drawer::float_leaves() const {
    std::vector<Expr> out;
    for (const auto* leaves : {&case_.inputs, &case_.shared})
        for (const Expr& e : *leaves)
            if (is_float(e.dtype())) out.push_back(e);
    return out;
}

Expr Drawer::within(const Item& x, double low, double high) {
    const bool often = style_ == Plain;
    if (!is_float(x.e.dtype()) || (low == -2 && high == 2) || !(often ? !once_in(5) : once_in(4)))
        return x.e;
    const double middle = (low + high) / 2, half = (high - low) / 2;
    return middle + half * tanh(x.e);
}

Expr Drawer::elementwise(const Sample& sample) {
    std::vector<Expr> operands;
    Item x = sample.floats_only ? floats() : any();
    for (const SampleInput& in : sample.inputs) {
        if (!operands.empty()) x = beside(item(operands.front()));
        operands.push_back(in.integer ? integers(x.sizes, static_cast<std::int64_t>(in.low),
                                                 static_cast<std::int64_t>(in.high))
                                      : within(x, in.low, in.high));
    }
    return sample.build(operands);
}

Expr Drawer::as_sampled(const Sample& sample) {
    std::vector<Expr> operands;
    const DType t = sample.floats_only ? float_dtype() : dtype();
    for (const SampleInput& in : sample.inputs) {
        if (in.integer) {
            operands.push_back(cast(integers(in.sizes, static_cast<std::int64_t>(in.low),
                                             static_cast<std::int64_t>(in.high)),
                                    DType::I64));
            continue;
        }
        const bool fresh = pool_.empty() || once_in(3);
        Expr e = fresh ? leaf(t, in.sizes).e : fit(any(), in.sizes);
        if (e.dtype() != t && !once_in(5)) e = cast(e, t);
        operands.push_back(within(item(e), in.low, in.high));
    }
    return sample.build(operands);
}

Item Drawer::row() {
    static const std::vector<std::pair<const OpDef*, Sample>> samples = [] {
        std::vector<std::pair<const OpDef*, Sample>> out;
        for (const OpDef* op : test::ops_of_all_targets())
            // Nobody has checks by themselves: indexing makes them. What LAPACK computes is known
            // in its own precision only.
            if (op->samples && !op->info.has(Trait::Checks) && !op->host)
                for (const Sample& s : op->samples()) out.emplace_back(op, s);
        return out;
    }();
    static const std::vector<std::pair<std::size_t, std::size_t>> rows = [] {
        std::vector<std::pair<std::size_t, std::size_t>> out;
        for (std::size_t k = 0; k < samples.size(); ++k) {
            if (out.empty() || samples[out.back().first].first != samples[k].first)
                out.emplace_back(k, 0);
            ++out.back().second;
        }
        return out;
    }();
    const auto& [first, n] = one_of(rows);
    const auto& [op, sample] =
        samples[first + static_cast<std::size_t>(below(static_cast<std::int64_t>(n)))];
    return item(op->scalar && !once_in(6) ? elementwise(sample) : as_sampled(sample));
}

void Drawer::step() {
    static const std::vector<const Composition*> weighted = [] {
        std::vector<const Composition*> out;
        for (const Composition& c : compositions()) out.insert(out.end(), c.weight, &c);
        return out;
    }();
    Item made;
    try {
        const int kind = below(20);
        if (kind < 9)
            made = row();
        else if (kind < 11)
            made = item(one_of(formulas()).build(*this));
        else
            made = item(one_of(weighted)->build(*this));
    } catch (const GraphError&) {
        return;  // refused, with reason
    }
    if (made.e.empty() || made.rank() > 5) return;
    for (const std::int64_t s : made.sizes)
        if (s < 0) return;
    if (made.size() > 4 * most_) return;
    pool_.push_back(made);
}

void Drawer::finish() {
    const int wanted = 1 + below(3);
    case_.outputs.push_back(pool_.back().e);
    for (int k = 1; k < wanted; ++k) case_.outputs.push_back(any().e);
    // Simultaneous updates: computed, swapped, or with what another one was.
    for (std::size_t k = 0; k < case_.shared.size(); ++k) {
        const Expr s = case_.shared[k];
        if (!s.node().name.starts_with('s') || once_in(2)) continue;
        const Sizes sizes = sizes_of(s, case_.inputs, case_.values);
        std::vector<Expr> same_type;
        for (const Item& i : pool_)
            if (i.sizes == sizes && i.e.dtype() == s.dtype() && !same(i.e, s))
                same_type.push_back(i.e);
        Expr next;
        if (!same_type.empty() && !once_in(4))
            next = one_of(same_type);
        else if (count(sizes) > 0)
            next = cast(s + cast(fit(any(), sizes), s.dtype()), s.dtype());
        if (next.empty() || next.dtype() != s.dtype()) continue;
        case_.updates.emplace_back(s, next);
    }
    case_.note_shared();
}

Case Drawer::draw() {
    const int first = 1 + below(3);
    for (int k = 0; k < first; ++k) pool_.push_back(leaf(dtype(), sizes(below(6), most_)));
    const int steps = 1 + below(once_in(4) ? 14 : 6);
    for (int k = 0; k < steps; ++k) step();
    finish();
    return std::move(case_);
}

}  // namespace arete::fuzz
