#include "compiler/core/dim.h"

#include <algorithm>

#include "compiler/core/error.h"
#include "compiler/core/integers.h"

namespace arete {

// A symbol, or floor(numerator / denominator). The key orders and identifies atoms.
struct Dim::Atom {
    std::string key;
    std::string label;
    DimSymbol symbol;
    bool is_division = false;
    Dim numerator, denominator;
};

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

Dim Dim::from_terms(std::int64_t constant, Terms terms) {
    auto less = [](const AtomPtr& a, const AtomPtr& b) { return a->key < b->key; };
    auto compare = [&](const Term& a, const Term& b) {
        return std::lexicographical_compare(a.atoms.begin(), a.atoms.end(), b.atoms.begin(),
                                            b.atoms.end(), less);
    };
    std::sort(terms.begin(), terms.end(), compare);
    Terms merged;
    for (Term& t : terms) {
        if (!merged.empty() && !compare(merged.back(), t))
            merged.back().coefficient += t.coefficient;
        else
            merged.push_back(std::move(t));
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
    if (a.is_const() && b.is_const()) return a.constant_ + b.constant_;
    Dim::Terms terms = a.terms_ ? *a.terms_ : Dim::Terms{};
    if (b.terms_) terms.insert(terms.end(), b.terms_->begin(), b.terms_->end());
    return Dim::from_terms(a.constant_ + b.constant_, std::move(terms));
}

Dim operator-(const Dim& a, const Dim& b) {
    return a + b * Dim(-1);
}

Dim operator*(const Dim& a, const Dim& b) {
    if (a.is_const() && b.is_const()) return a.constant_ * b.constant_;
    Dim::Terms terms;
    auto scaled = [&](const Dim& d, std::int64_t by) {
        if (d.terms_)
            for (const Dim::Term& t : *d.terms_) terms.push_back({t.coefficient * by, t.atoms});
    };
    scaled(a, b.constant_);
    scaled(b, a.constant_);
    if (a.terms_ && b.terms_)
        for (const Dim::Term& s : *a.terms_)
            for (const Dim::Term& t : *b.terms_) {
                Dim::Term product{s.coefficient * t.coefficient, s.atoms};
                product.atoms.insert(product.atoms.end(), t.atoms.begin(), t.atoms.end());
                std::sort(product.atoms.begin(), product.atoms.end(),
                          [](const auto& x, const auto& y) { return x->key < y->key; });
                terms.push_back(std::move(product));
            }
    return Dim::from_terms(a.constant_ * b.constant_, std::move(terms));
}

Dim floordiv(const Dim& a, const Dim& b) {
    if (b == Dim(1)) return a;
    if (a == b) return 1;
    if (b.is_const() && b.constant_ != 0) {
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
        if (s.coefficient % t.coefficient == 0 &&
            std::includes(s.atoms.begin(), s.atoms.end(), t.atoms.begin(), t.atoms.end(), by_key)) {
            Dim::Term rest{s.coefficient / t.coefficient, {}};
            std::set_difference(s.atoms.begin(), s.atoms.end(), t.atoms.begin(), t.atoms.end(),
                                std::back_inserter(rest.atoms), by_key);
            if (rest.atoms.empty()) return rest.coefficient;
            return Dim::from_terms(0, {rest});
        }
    }
    auto atom = std::make_shared<Dim::Atom>();
    atom->is_division = true;
    atom->numerator = a;
    atom->denominator = b;
    atom->label = fmt::format("floordiv({}, {})", a.str(), b.str());
    std::string keys;
    a.for_each_symbol([&](DimSymbol s) { keys += fmt::format("{}.{},", s.variable, s.axis); });
    b.for_each_symbol([&](DimSymbol s) { keys += fmt::format("{}.{},", s.variable, s.axis); });
    atom->key = fmt::format("d{}|{}", atom->label, keys);
    return Dim::from_atom(std::move(atom));
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
    Dim sum(constant_);
    for (const Term& t : *terms_) {
        Dim product(t.coefficient);
        for (const AtomPtr& atom : t.atoms) {
            if (atom->is_division) {
                product = product *
                          floordiv(atom->numerator.bind(binding), atom->denominator.bind(binding));
            } else {
                auto v = binding(atom->symbol);
                product = product * (v ? *v : from_atom(atom));
            }
        }
        sum = sum + product;
    }
    return sum;
}

void Dim::for_each_symbol(const std::function<void(DimSymbol)>& f) const {
    if (is_const()) return;
    for (const Term& t : *terms_)
        for (const AtomPtr& atom : t.atoms) {
            if (!atom->is_division) {
                f(atom->symbol);
                continue;
            }
            atom->numerator.for_each_symbol(f);
            atom->denominator.for_each_symbol(f);
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
