// Sizes of tensor dimensions as integer expressions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace arete {

/// An unknown integer that a Dim may depend on: the size of one axis of an input (axis >= 0), or
/// the value of an integer scalar input (axis = -1). `variable` is the leaf's id.
struct DimSymbol {
    std::uint64_t variable = 0;
    int axis = -1;
    friend auto operator<=>(const DimSymbol&, const DimSymbol&) = default;
};

/// An integer expression in normal form: a polynomial with integer coefficients over symbols, floor
/// divisions, broadcast sizes and maxima with 0. Equal polynomials compare equal, so
/// `(i + 1) * 10 - i * 10` *is* 10: that is how the length of a symbolic slice is proved. Immutable
/// and cheap to copy when constant.
///
/// Some expressions have no value: a division by zero, a broadcast of 2 and 3, a number beyond 64
/// bits. They are not constant, whatever is computed of them is not either, and each equals itself
/// only; whoever needs a number reports the expression's text.
class Dim {
  public:
    Dim(std::int64_t value = 0) : constant_(value) {}
    Dim(int value) : constant_(value) {}

    /// A free symbol, printed as `label`.
    static Dim symbol(DimSymbol s, std::string label);

    bool is_const() const { return !terms_; }
    /// True where no values of the symbols give it a value.
    bool impossible() const;
    /// The value; an InternalError where the dimension is not constant.
    std::int64_t value() const;

    friend Dim operator+(const Dim& a, const Dim& b);
    friend Dim operator-(const Dim& a, const Dim& b);
    friend Dim operator*(const Dim& a, const Dim& b);
    /// floor(a / b), exact division where the polynomial allows it.
    friend Dim floordiv(const Dim& a, const Dim& b);
    /// The size of axes of these sizes together, by NumPy's rule: the one that is not 1. Two that
    /// are neither 1 nor equal have no value. Beside a number other than 1 it is that number,
    /// whatever the other is: who broadcasts checks that it fits.
    friend Dim broadcast(const Dim& a, const Dim& b);
    /// The larger of d and 0. d itself where it is a sum of sizes.
    friend Dim not_negative(const Dim& d);
    friend bool operator==(const Dim& a, const Dim& b);

    /// Replaces symbols for which `binding` has a value, which may be symbolic itself.
    Dim bind(const std::function<std::optional<Dim>(DimSymbol)>& binding) const;
    /// Calls f for each symbol, nested ones included (in order, possibly repeated).
    void for_each_symbol(const std::function<void(DimSymbol)>& f) const;

    std::string str() const;

  private:
    struct Atom;
    enum class Kind : std::uint8_t { Symbol, Division, Broadcast, NotNegative, Overflow };
    using AtomPtr = std::shared_ptr<const Atom>;
    struct Term {
        std::int64_t coefficient;
        std::vector<AtomPtr> atoms;  // sorted by key, a product
    };
    using Terms = std::vector<Term>;
    static Dim from_terms(std::int64_t constant, Terms terms);
    static Dim from_atom(AtomPtr atom);
    static Dim apply(Kind kind, std::vector<Dim> operands);
    static Dim overflow(const Dim& a, char op, const Dim& b);
    static bool is_sum_of_sizes(const Dim& d);
    bool has_symbols() const;

    std::int64_t constant_ = 0;
    std::shared_ptr<const Terms> terms_;  // null where constant
};

/// Sizes of a tensor, outermost first.
using Shape = std::vector<Dim>;

/// "[64,784]", "[x.shape(0),10]".
std::string to_string(const Shape& shape);
/// True where every size is known.
bool is_static(const Shape& shape);
/// The sizes of a static shape, as integers.
std::vector<std::int64_t> concrete(const Shape& shape);
/// Product of the sizes.
Dim size_of(const Shape& shape);

}  // namespace arete
