#include "compiler/loops/index.h"

#include <algorithm>
#include <compare>
#include <functional>
#include <limits>
#include <numeric>

#include "compiler/core/error.h"
#include "compiler/core/integers.h"

namespace arete::loops {

namespace {

constexpr std::int64_t unbounded = std::int64_t{1} << 60;

// A bound times a coefficient, no further out than what is unbounded.
std::int64_t clamped(std::int64_t bound, std::int64_t coefficient) {
    return std::clamp(saturating_product(bound, coefficient), -unbounded, unbounded);
}

std::strong_ordering compare(const Index& a, const Index& b);

// Order of terms without their coefficients.
std::strong_ordering compare(const Index::Term& a, const Index::Term& b) {
    if (auto c = a.kind <=> b.kind; c != 0) return c;
    if (auto c = a.number <=> b.number; c != 0) return c;
    if (auto c = a.divisor <=> b.divisor; c != 0) return c;
    if (!a.inner || !b.inner) return std::strong_ordering::equal;
    return compare(*a.inner, *b.inner);
}

std::strong_ordering compare(const Index& a, const Index& b) {
    if (auto c = a.constant() <=> b.constant(); c != 0) return c;
    if (auto c = a.terms().size() <=> b.terms().size(); c != 0) return c;
    for (std::size_t i = 0; i < a.terms().size(); ++i) {
        if (auto c = compare(a.terms()[i], b.terms()[i]); c != 0) return c;
        if (auto c = a.terms()[i].coefficient <=> b.terms()[i].coefficient; c != 0) return c;
    }
    return std::strong_ordering::equal;
}

}  // namespace

Index Index::from_term(Term t) {
    Index e;
    e.terms_.push_back(std::move(t));
    return e;
}

void Index::add_term(const Term& t) {
    auto at = std::lower_bound(terms_.begin(), terms_.end(), t,
                               [](const Term& a, const Term& b) { return compare(a, b) < 0; });
    if (at != terms_.end() && compare(*at, t) == 0) {
        at->coefficient += t.coefficient;
        if (at->coefficient == 0) terms_.erase(at);
    } else if (t.coefficient != 0) {
        terms_.insert(at, t);
    }
}

// c * (e mod k) + (c * k) * floor(e / k) = c * e.
void Index::recombine() {
    for (std::size_t i = 0; i < terms_.size(); ++i) {
        if (terms_[i].kind != Kind::Mod) continue;
        const Term m = terms_[i];
        Index quotient = floordiv(*m.inner, m.divisor, {});
        if (quotient.terms_.size() != 1 || quotient.constant_ != 0 ||
            quotient.terms_[0].coefficient != 1)
            continue;
        Term wanted = quotient.terms_[0];
        auto at = std::find_if(terms_.begin(), terms_.end(), [&](const Term& t) {
            return t.coefficient == m.coefficient * m.divisor && compare(t, wanted) == 0;
        });
        if (at == terms_.end()) continue;
        wanted.coefficient = -at->coefficient;
        add_term(wanted);
        Term gone = m;
        gone.coefficient = -m.coefficient;
        add_term(gone);
        *this = *this + *m.inner * m.coefficient;
        return;
    }
}

Index operator+(const Index& a, const Index& b) {
    Index sum = a;
    sum.constant_ += b.constant_;
    for (const Index::Term& t : b.terms_) sum.add_term(t);
    sum.recombine();
    return sum;
}

Index operator*(const Index& a, std::int64_t k) {
    if (k == 0) return 0;
    Index product = a;
    product.constant_ *= k;
    for (Index::Term& t : product.terms_) t.coefficient *= k;
    return product;
}

bool operator==(const Index& a, const Index& b) {
    return compare(a, b) == 0;
}

std::int64_t Index::coefficient(Var v) const {
    for (const Term& t : terms_)
        if (t.kind == Kind::Var && t.var() == v) return t.coefficient;
    return 0;
}

bool Index::uses_nested(Var v) const {
    return std::any_of(terms_.begin(), terms_.end(),
                       [&](const Term& t) { return t.inner && t.inner->uses(v); });
}

bool Index::uses(Var v) const {
    return coefficient(v) != 0 || uses_nested(v);
}

void Index::for_each_value(const std::function<void(ValueId)>& f) const {
    for (const Term& t : terms_) {
        if (t.kind == Kind::Value) f(t.value());
        if (t.inner) t.inner->for_each_value(f);
    }
}

// The variable, where it is the only term and has two values: any function of it is linear.
std::optional<Var> Index::only_bit(Extents extents) const {
    if (terms_.size() != 1 || terms_[0].kind != Kind::Var) return std::nullopt;
    const Var v = terms_[0].var();
    if (!extents.contains(v) || extents[v] != 2) return std::nullopt;
    return v;
}

// The largest unit g that divides k, and of which this is a multiple but for a rest that is known
// to carry nothing: this = g * whole + rest with 0 <= rest < g.
std::optional<Index::Parts> Index::split(std::int64_t k, Extents extents) const {
    std::vector<std::int64_t> units;
    std::int64_t common = k;
    for (const Term& t : terms_) {
        units.push_back(std::gcd(t.coefficient, k));
        common = std::gcd(common, t.coefficient);
    }
    units.push_back(common);
    std::sort(units.begin(), units.end(), std::greater<>());
    units.erase(std::unique(units.begin(), units.end()), units.end());
    for (const std::int64_t g : units) {
        if (g <= 1) break;
        Parts p{g, {}, Index(constant_)};
        for (const Term& t : terms_) {
            Term u = t;
            if (t.coefficient % g != 0) {
                p.rest.add_term(u);
                continue;
            }
            u.coefficient /= g;
            p.whole.add_term(u);
        }
        const Range r = p.rest.range(extents);
        if (r.low <= -unbounded || r.high >= unbounded) continue;
        const std::int64_t carried = floor_div(r.low, g);
        if (floor_div(r.high, g) != carried) continue;
        p.whole.constant_ += carried;
        p.rest.constant_ -= carried * g;
        return p;
    }
    return std::nullopt;
}

Index floordiv(const Index& e, std::int64_t k, Extents extents) {
    ARETE_CHECK(k > 0, "divisor {}", k);
    if (k == 1) return e;
    if (e.divisions() > 1)
        if (const Index fewer = e.simplified(extents); !(fewer == e))
            return floordiv(fewer, k, extents);
    // Pull out what k divides.
    Index whole(floor_div(e.constant_, k));
    Index rest(e.constant_ - whole.constant_ * k);
    for (const Index::Term& t : e.terms_) {
        Index::Term u = t;
        if (t.coefficient % k == 0) {
            u.coefficient /= k;
            whole.add_term(u);
        } else {
            rest.add_term(u);
        }
    }
    if (rest.is_const()) return whole;
    Range r = rest.range(extents);
    if (r.low >= 0 && r.high < k) return whole;
    // floor((g e + b) / (g k)) = floor(e / k) for 0 <= b < g.
    if (const std::optional<Index::Parts> p = rest.split(k, extents))
        return whole + floordiv(p->whole, k / p->unit, extents);
    // floor((d + floor(e / a)) / b) = floor((a d + e) / (a b)).
    const auto divides = [](const Index::Term& t) {
        return t.kind == Index::Kind::Div && t.coefficient == 1;
    };
    const auto first = std::find_if(rest.terms_.begin(), rest.terms_.end(), divides);
    if (first != rest.terms_.end() &&
        std::find_if(first + 1, rest.terms_.end(), divides) == rest.terms_.end()) {
        const Index::Term inner = *first;
        rest.terms_.erase(first);
        return whole + floordiv(rest * inner.divisor + *inner.inner, inner.divisor * k, extents);
    }
    if (const std::optional<Var> v = rest.only_bit(extents)) {
        const std::int64_t c = rest.terms_[0].coefficient, low = floor_div(rest.constant_, k);
        return whole + low + Index::var(*v) * (floor_div(rest.constant_ + c, k) - low);
    }
    Index::Term div{1, Index::Kind::Div, 0, std::make_shared<const Index>(rest), k};
    return whole + Index::from_term(div);
}

Index mod(const Index& e, std::int64_t k, Extents extents) {
    ARETE_CHECK(k > 0, "divisor {}", k);
    if (k == 1) return 0;
    if (e.divisions() > 1)
        if (const Index fewer = e.simplified(extents); !(fewer == e)) return mod(fewer, k, extents);
    Index rest(e.constant_ - floor_div(e.constant_, k) * k);
    for (const Index::Term& t : e.terms_)
        if (t.coefficient % k != 0) rest.add_term(t);
    if (rest.is_const()) return rest;
    Range r = rest.range(extents);
    if (r.low >= 0 && r.high < k) return rest;
    // (g e + b) mod (g k) = g (e mod k) + b for 0 <= b < g.
    if (const std::optional<Index::Parts> p = rest.split(k, extents))
        return mod(p->whole, k / p->unit, extents) * p->unit + p->rest;
    // (c (e mod m)) mod k = (c e) mod k where k divides c m.
    for (const Index::Term& t : rest.terms_)
        if (t.kind == Index::Kind::Mod && saturating_product(t.coefficient, t.divisor) % k == 0) {
            const Index inner = *t.inner * t.coefficient;
            Index::Term gone = t;
            gone.coefficient = -t.coefficient;
            rest.add_term(gone);
            return mod(rest + inner, k, extents);
        }
    if (const std::optional<Var> v = rest.only_bit(extents)) {
        const auto at = [&](std::int64_t x) { return x - floor_div(x, k) * k; };
        const std::int64_t low = at(rest.constant_);
        return low + Index::var(*v) * (at(rest.constant_ + rest.terms_[0].coefficient) - low);
    }
    return Index::from_term({1, Index::Kind::Mod, 0, std::make_shared<const Index>(rest), k});
}

int Index::divisions() const {
    int n = 0;
    for (const Term& t : terms_)
        if (t.inner) n += 1 + t.inner->divisions();
    return n;
}

Index Index::simplified(Extents extents) const {
    Index best = *this;
    for (bool again = best.divisions() > 1; again;) {
        again = false;
        for (const Term& t : best.terms_) {
            if (t.kind != Kind::Mod) continue;
            // c (e mod k) = c e - c k floor(e / k): shorter where a quotient is there already.
            Term gone = t;
            gone.coefficient = -t.coefficient;
            const Index other =
                best + from_term(gone) +
                (*t.inner - floordiv(*t.inner, t.divisor, extents) * t.divisor) * t.coefficient;
            if (other.divisions() >= best.divisions()) continue;
            // Nor may it be less known where it lies: remainders are bounded.
            const Range was = best.range(extents), now = other.range(extents);
            if (now.low < was.low || now.high > was.high) continue;
            best = other;
            again = true;
            break;
        }
    }
    // What is shorter may say less of where it lies: c (e mod k) is below c k, and nobody sees it of
    // the difference.
    const Range own = range(extents), found = best.range(extents);
    return found.low < own.low || found.high > own.high ? *this : best;
}

Range Index::range(Extents extents) const {
    Range sum{constant_, constant_};
    for (const Term& t : terms_) {
        Range r{-unbounded, unbounded};
        if (t.kind == Kind::Var && extents.contains(t.var())) {
            r = {0, std::max<std::int64_t>(0, extents[t.var()] - 1)};
        } else if (t.kind == Kind::Div) {
            Range i = t.inner->range(extents);
            // What is unbounded stays so: a smaller bound would only overflow later.
            if (i.low > -unbounded) r.low = floor_div(i.low, t.divisor);
            if (i.high < unbounded) r.high = floor_div(i.high, t.divisor);
        } else if (t.kind == Kind::Mod) {
            r = {0, t.divisor - 1};
        }
        std::int64_t a = clamped(r.low, t.coefficient), b = clamped(r.high, t.coefficient);
        if (r.low <= -unbounded || r.high >= unbounded) a = -unbounded, b = unbounded;
        sum.low = std::max(-unbounded, sum.low + std::min(a, b));
        sum.high = std::min(unbounded, sum.high + std::max(a, b));
    }
    return sum;
}

Index Index::substitute(const std::function<Index(const Term&)>& f, Extents extents) const {
    Index out(constant_);
    for (const Term& t : terms_) {
        Index e;
        switch (t.kind) {
            case Kind::Var:
            case Kind::Value: e = f(t); break;
            case Kind::Div:
                e = floordiv(t.inner->substitute(f, extents), t.divisor, extents);
                break;
            case Kind::Mod: e = mod(t.inner->substitute(f, extents), t.divisor, extents); break;
        }
        out = out + e * t.coefficient;
    }
    return out;
}

std::string Index::str(const std::function<std::string(const Term&)>& name) const {
    if (terms_.empty()) return std::to_string(constant_);
    std::string out;
    for (const Term& t : terms_) {
        std::string s = t.inner ? fmt::format("({}){}{}", t.inner->str(name),
                                              t.kind == Kind::Div ? "/" : "%", t.divisor)
                                : name(t);
        if (t.coefficient == -1)
            s = "-" + s;
        else if (t.coefficient != 1)
            s = fmt::format("{}*{}", t.coefficient, s);
        out += (out.empty() || s[0] == '-') ? s : "+" + s;
    }
    if (constant_ != 0) out += fmt::format("{:+}", constant_);
    return out;
}

Index linear(std::span<const Index> index, std::span<const std::int64_t> sizes) {
    ARETE_CHECK(index.size() == sizes.size(), "{} indices of {} axes", index.size(), sizes.size());
    Index address;
    for (std::size_t i = 0; i < sizes.size(); ++i) address = address * sizes[i] + index[i];
    return address;
}

std::vector<Index> delinear(const Index& address, std::span<const std::int64_t> sizes,
                            Extents extents) {
    std::vector<Index> index(sizes.size());
    std::int64_t below = 1;
    for (std::size_t i = sizes.size(); i-- > 0;) {
        Index e = floordiv(address, below, extents);
        index[i] = i == 0 ? e : mod(e, std::max<std::int64_t>(1, sizes[i]), extents);
        below *= std::max<std::int64_t>(1, sizes[i]);
    }
    return index;
}

}  // namespace arete::loops
