#include "compiler/core/dim.h"

#include <algorithm>
#include <limits>

#include "compiler/core/error.h"
#include "compiler/core/integers.h"

namespace arete {

// A symbol, or a function of its operands. The key orders and identifies atoms.
struct Dim::Atom {
    std::string key;
    std::string label;
    DimSymbol symbol;
    Kind kind = Kind::Symbol;
    std::vector<Dim> operands;
};

namespace {

// Each is empty where the result does not fit in 64 bits.
std::optional<std::int64_t> sum_of(std::int64_t a, std::int64_t b) {
    std::int64_t out = 0;
    if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
    return out;
}
std::optional<std::int64_t> product_of(std::int64_t a, std::int64_t b) {
    std::int64_t out = 0;
    if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
    return out;
}
// Does b divide a, with a quotient that fits in 64 bits?
bool divides(std::int64_t b, std::int64_t a) {
    return b == -1 ? a != std::numeric_limits<std::int64_t>::min() : a % b == 0;
}

}  // namespace

Dim Dim::from_atom(AtomPtr atom) {
    return from_terms(0, {Term{1, {std::move(atom)}}});
}

Dim Dim::symbol(DimSymbol s, std::string label) {
    auto atom = std::make_shared<Atom>();
    // Zero-padded so that the order of keys is the order of ids.
    atom->key = fmt::format("s{:020}.{:03}", s.variable, s.axis + 1);
    atom->label = std::move(label);
    atom->symbol = s;
    return from_atom(std::move(atom));
}

Dim Dim::apply(Kind kind, std::vector<Dim> operands) {
    static constexpr const char* names[] = {"symbol", "floordiv", "broadcast", "not_negative",
                                            "overflow"};
    auto atom = std::make_shared<Atom>();
    atom->kind = kind;
    std::string list, symbols;
    for (const Dim& d : operands) {
        list += (list.empty() ? "" : ", ") + d.str();
        d.for_each_symbol(
            [&](DimSymbol s) { symbols += fmt::format("{}.{},", s.variable, s.axis); });
    }
    atom->label = fmt::format("{}({})", names[static_cast<int>(kind)], list);
    atom->key = fmt::format("{}|{}", atom->label, symbols);
    atom->operands = std::move(operands);
    return from_atom(std::move(atom));
}

// a op b is beyond 64 bits.
Dim Dim::overflow(const Dim& a, char op, const Dim& b) {
    auto atom = std::make_shared<Atom>();
    atom->kind = Kind::Overflow;
    atom->label = fmt::format("({}){}({})", a.str(), op, b.str());
    atom->key = "o" + atom->label;
    atom->operands = {a, b};
    return from_atom(std::move(atom));
}

Dim Dim::from_terms(std::int64_t constant, Terms terms) {
    auto less = [](const AtomPtr& a, const AtomPtr& b) { return a->key < b->key; };
    auto compare = [&](const Term& a, const Term& b) {
        return std::lexicographical_compare(a.atoms.begin(), a.atoms.end(), b.atoms.begin(),
                                            b.atoms.end(), less);
    };
    std::sort(terms.begin(), terms.end(), compare);
    Terms merged;
    for (Term& t : terms) {
        if (merged.empty() || compare(merged.back(), t)) {
            merged.push_back(std::move(t));
            continue;
        }
        const auto sum = sum_of(merged.back().coefficient, t.coefficient);
        if (!sum) return overflow(merged.back().coefficient, '+', t.coefficient);
        merged.back().coefficient = *sum;
    }
    std::erase_if(merged, [](const Term& t) { return t.coefficient == 0; });
    Dim d(constant);
    if (!merged.empty()) d.terms_ = std::make_shared<const Terms>(std::move(merged));
    return d;
}

std::int64_t Dim::value() const {
    ARETE_CHECK(is_const(), "{} is not a constant size", str());
    return constant_;
}

Dim operator+(const Dim& a, const Dim& b) {
    const auto constant = sum_of(a.constant_, b.constant_);
    if (!constant) return Dim::overflow(a, '+', b);
    if (a.is_const() && b.is_const()) return *constant;
    Dim::Terms terms = a.terms_ ? *a.terms_ : Dim::Terms{};
    if (b.terms_) terms.insert(terms.end(), b.terms_->begin(), b.terms_->end());
    return Dim::from_terms(*constant, std::move(terms));
}

Dim operator-(const Dim& a, const Dim& b) {
    return a + b * Dim(-1);
}

Dim operator*(const Dim& a, const Dim& b) {
    const auto constant = product_of(a.constant_, b.constant_);
    bool fits = constant.has_value();
    if (fits && a.is_const() && b.is_const()) return *constant;
    Dim::Terms terms;
    auto coefficient = [&](std::int64_t x, std::int64_t y) {
        const auto p = product_of(x, y);
        fits = fits && p;
        return p.value_or(0);
    };
    auto scaled = [&](const Dim& d, std::int64_t by) {
        if (d.terms_)
            for (const Dim::Term& t : *d.terms_)
                terms.push_back({coefficient(t.coefficient, by), t.atoms});
    };
    scaled(a, b.constant_);
    scaled(b, a.constant_);
    if (a.terms_ && b.terms_)
        for (const Dim::Term& s : *a.terms_)
            for (const Dim::Term& t : *b.terms_) {
                Dim::Term product{coefficient(s.coefficient, t.coefficient), s.atoms};
                product.atoms.insert(product.atoms.end(), t.atoms.begin(), t.atoms.end());
                std::sort(product.atoms.begin(), product.atoms.end(),
                          [](const auto& x, const auto& y) { return x->key < y->key; });
                terms.push_back(std::move(product));
            }
    if (!fits) return Dim::overflow(a, '*', b);
    return Dim::from_terms(*constant, std::move(terms));
}

Dim floordiv(const Dim& a, const Dim& b) {
    if (b == Dim(0)) return 0;  // as the op
    if (b == Dim(1)) return a;
    if (b == Dim(-1)) return a * b;
    if (a == b) return 1;
    if (b.is_const()) {
        const std::int64_t k = b.constant_;
        if (a.is_const()) return floor_div(a.constant_, k);
        // floor((k * p + c) / k) = p + floor(c / k).
        bool divisible = std::all_of(a.terms_->begin(), a.terms_->end(),
                                     [&](const Dim::Term& t) { return t.coefficient % k == 0; });
        if (divisible) {
            Dim::Terms terms = *a.terms_;
            for (Dim::Term& t : terms) t.coefficient /= k;
            return Dim::from_terms(floor_div(a.constant_, k), std::move(terms));
        }
    }
    // One monomial divided by one monomial: cancel common factors.
    if (a.terms_ && b.terms_ && a.terms_->size() == 1 && b.terms_->size() == 1 &&
        a.constant_ == 0 && b.constant_ == 0) {
        const Dim::Term &s = a.terms_->front(), &t = b.terms_->front();
        auto by_key = [](const auto& x, const auto& y) { return x->key < y->key; };
        if (divides(t.coefficient, s.coefficient) &&
            std::includes(s.atoms.begin(), s.atoms.end(), t.atoms.begin(), t.atoms.end(), by_key)) {
            Dim::Term rest{s.coefficient / t.coefficient, {}};
            std::set_difference(s.atoms.begin(), s.atoms.end(), t.atoms.begin(), t.atoms.end(),
                                std::back_inserter(rest.atoms), by_key);
            if (rest.atoms.empty()) return rest.coefficient;
            return Dim::from_terms(0, {rest});
        }
    }
    return Dim::apply(Dim::Kind::Division, {a, b});
}

Dim broadcast(const Dim& a, const Dim& b) {
    if (a == b || b == Dim(1)) return a;
    if (a == Dim(1)) return b;
    // What has no symbols and is no number has no value.
    if (a.is_const() && b.has_symbols()) return a;
    if (b.is_const() && a.has_symbols()) return b;
    // Of several, in any order and nesting, one set.
    std::vector<Dim> all;
    auto add = [&](const Dim& d) {
        if (std::find(all.begin(), all.end(), d) == all.end()) all.push_back(d);
    };
    for (const Dim* d : {&a, &b}) {
        const Dim::Term* only = d->terms_ && d->terms_->size() == 1 ? &d->terms_->front() : nullptr;
        if (only && d->constant_ == 0 && only->coefficient == 1 && only->atoms.size() == 1 &&
            only->atoms[0]->kind == Dim::Kind::Broadcast)
            for (const Dim& o : only->atoms[0]->operands) add(o);
        else
            add(*d);
    }
    if (all.size() == 1) return all[0];
    auto key = [](const Dim& d) {
        return d.terms_ ? d.terms_->front().atoms.front()->key + "|" + d.str() : d.str();
    };
    std::stable_sort(all.begin(), all.end(),
                     [&](const Dim& x, const Dim& y) { return key(x) < key(y); });
    return Dim::apply(Dim::Kind::Broadcast, std::move(all));
}

bool Dim::impossible() const {
    if (is_const()) return false;
    auto no_value = [](const AtomPtr& a) {
        switch (a->kind) {
            case Kind::Symbol: return false;
            case Kind::NotNegative: break;
            case Kind::Overflow: return true;
            case Kind::Division: break;
            case Kind::Broadcast:  // numbers that go together are not kept
                if (std::any_of(a->operands.begin(), a->operands.end(),
                                [](const Dim& d) { return d.is_const(); }))
                    return true;
        }
        return std::any_of(a->operands.begin(), a->operands.end(),
                           [](const Dim& d) { return d.impossible(); });
    };
    return std::any_of(terms_->begin(), terms_->end(), [&](const Term& t) {
        return std::any_of(t.atoms.begin(), t.atoms.end(), no_value);
    });
}

bool Dim::has_symbols() const {
    bool found = false;
    for_each_symbol([&](DimSymbol) { found = true; });
    return found;
}

bool Dim::is_sum_of_sizes(const Dim& d) {
    if (d.constant_ < 0) return false;
    if (!d.terms_) return true;
    auto is_size = [](const AtomPtr& a) {
        switch (a->kind) {
            case Kind::Symbol: return a->symbol.axis >= 0;
            case Kind::NotNegative: return true;
            case Kind::Broadcast:
            case Kind::Division:
                return std::all_of(a->operands.begin(), a->operands.end(), is_sum_of_sizes);
            case Kind::Overflow: return false;
        }
        return false;
    };
    return std::all_of(d.terms_->begin(), d.terms_->end(), [&](const Term& t) {
        return t.coefficient >= 0 && std::all_of(t.atoms.begin(), t.atoms.end(), is_size);
    });
}

Dim not_negative(const Dim& d) {
    if (d.is_const()) return std::max<std::int64_t>(0, d.constant_);
    return Dim::is_sum_of_sizes(d) ? d : Dim::apply(Dim::Kind::NotNegative, {d});
}

bool operator==(const Dim& a, const Dim& b) {
    if (a.constant_ != b.constant_) return false;
    if (!a.terms_ || !b.terms_) return !a.terms_ && !b.terms_;
    return std::equal(a.terms_->begin(), a.terms_->end(), b.terms_->begin(), b.terms_->end(),
                      [](const Dim::Term& s, const Dim::Term& t) {
                          return s.coefficient == t.coefficient &&
                                 std::equal(
                                     s.atoms.begin(), s.atoms.end(), t.atoms.begin(), t.atoms.end(),
                                     [](const auto& x, const auto& y) { return x->key == y->key; });
                      });
}

Dim Dim::bind(const std::function<std::optional<Dim>(DimSymbol)>& binding) const {
    if (is_const()) return *this;
    auto bound = [&](const AtomPtr& atom) -> Dim {
        std::vector<Dim> operands;
        for (const Dim& d : atom->operands) operands.push_back(d.bind(binding));
        switch (atom->kind) {
            case Kind::Symbol: {
                const auto v = binding(atom->symbol);
                return v ? *v : from_atom(atom);
            }
            case Kind::Division: return floordiv(operands[0], operands[1]);
            case Kind::NotNegative: return not_negative(operands[0]);
            case Kind::Broadcast: {
                Dim all = 1;
                for (const Dim& d : operands) all = broadcast(all, d);
                return all;
            }
            case Kind::Overflow: break;
        }
        auto copy = std::make_shared<Atom>(*atom);
        copy->operands = std::move(operands);
        return from_atom(std::move(copy));
    };
    Dim sum(constant_);
    for (const Term& t : *terms_) {
        Dim product(t.coefficient);
        for (const AtomPtr& atom : t.atoms) {
            product = product * bound(atom);
        }
        sum = sum + product;
    }
    return sum;
}

void Dim::for_each_symbol(const std::function<void(DimSymbol)>& f) const {
    if (is_const()) return;
    for (const Term& t : *terms_)
        for (const AtomPtr& atom : t.atoms) {
            if (atom->kind == Kind::Symbol) f(atom->symbol);
            for (const Dim& d : atom->operands) d.for_each_symbol(f);
        }
}

std::string Dim::str() const {
    if (is_const()) return std::to_string(constant_);
    std::string out;
    for (const Term& t : *terms_) {
        std::string product;
        for (const AtomPtr& atom : t.atoms) product += (product.empty() ? "" : "*") + atom->label;
        if (t.coefficient == -1)
            product = "-" + product;
        else if (t.coefficient != 1)
            product = fmt::format("{}*{}", t.coefficient, product);
        if (!out.empty() && product[0] != '-') out += "+";
        out += product;
    }
    if (constant_ != 0) out += fmt::format("{:+}", constant_);
    return out;
}

std::string to_string(const Shape& shape) {
    std::string out = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? "," : "") + shape[i].str();
    return out + "]";
}

bool is_static(const Shape& shape) {
    return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_const(); });
}

std::vector<std::int64_t> concrete(const Shape& shape) {
    std::vector<std::int64_t> out;
    for (const Dim& d : shape) out.push_back(d.value());
    return out;
}

Dim size_of(const Shape& shape) {
    Dim n(1);
    for (const Dim& d : shape) n = n * d;
    return n;
}

}  // namespace arete
