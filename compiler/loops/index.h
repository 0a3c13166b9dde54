// Quasi-affine integer expressions over loop variables: the addresses of the loop IR.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compiler/core/id.h"

namespace arete::loops {

/// A loop variable, by its number in Code::extents.
using Var = Id<struct VarTag>;
/// A scalar instruction, by its number in Code::values.
using ValueId = Id<struct ValueTag>;
/// A buffer, by its number in Code::buffers. A kernel's parameters are the first of its buffers.
using BufferId = Id<struct BufferTag>;
/// An accumulator, by its number in Nest::accumulators.
using AccId = Id<struct AccTag>;

/// Inclusive bounds of an integer expression.
struct Range {
    std::int64_t low, high;
};

/// Extents of the loop variables by number; a variable runs from 0 to its extent - 1.
using Extents = IdSpan<Var, const std::int64_t>;

/// How far part of the loops goes along each variable.
using Box = IdVector<Var, std::int64_t>;

/// constant + sum of coefficient * term, where a term is a loop variable, a run-time integer (a
/// gathered index, a slice's start), or floor(e / k) or e mod k of another Index by a positive
/// constant. Kept in a normal form in which equal sums of terms compare equal, and in which
/// `k * floor(e / k) + e mod k` becomes `e` again, so that a chain of reshapes costs nothing.
class Index {
  public:
    enum class Kind : std::uint8_t { Var, Value, Div, Mod };
    struct Term {
        std::int64_t coefficient = 1;
        Kind kind = Kind::Var;
        int number = 0;                      // of the Var or ValueId
        std::shared_ptr<const Index> inner;  // of Div and Mod
        std::int64_t divisor = 1;            // of Div and Mod
        Var var() const { return Var(number); }
        ValueId value() const { return ValueId(number); }
    };

    Index(std::int64_t constant = 0) : constant_(constant) {}
    Index(int constant) : constant_(constant) {}
    static Index var(Var v) { return from_term({1, Kind::Var, v.number(), nullptr, 1}); }
    static Index value(ValueId v) { return from_term({1, Kind::Value, v.number(), nullptr, 1}); }

    std::int64_t constant() const { return constant_; }
    const std::vector<Term>& terms() const { return terms_; }
    bool is_const() const { return terms_.empty(); }
    /// Coefficient of the plain term `v` (0 where it has none).
    std::int64_t coefficient(Var v) const;
    /// True where v occurs anywhere, and where it occurs inside a Div or Mod.
    bool uses(Var v) const;
    bool uses_nested(Var v) const;
    /// Calls f for each run-time value, nested ones included.
    void for_each_value(const std::function<void(ValueId)>& f) const;

    friend Index operator+(const Index& a, const Index& b);
    friend Index operator-(const Index& a, const Index& b) { return a + b * -1; }
    friend Index operator*(const Index& a, std::int64_t k);
    friend bool operator==(const Index& a, const Index& b);

    /// floor(e / k) and e mod k (never negative) for k > 0, simplified with the variables' extents.
    friend Index floordiv(const Index& e, std::int64_t k, Extents extents);
    friend Index mod(const Index& e, std::int64_t k, Extents extents);

    /// The same with fewer quotients and remainders, where those of one operand are found to belong
    /// together for variables of these extents.
    Index simplified(Extents extents) const;
    /// How many of these there are, nested ones included.
    int divisions() const;

    /// Bounds; run-time values count as unbounded.
    Range range(Extents extents) const;
    /// Replaces variables and values, as f says of their terms.
    Index substitute(const std::function<Index(const Term&)>& f, Extents extents) const;

    /// Text with names for the terms that are variables and values.
    std::string str(const std::function<std::string(const Term&)>& name) const;

  private:
    struct Parts;
    static Index from_term(Term t);
    std::optional<Parts> split(std::int64_t k, Extents extents) const;
    std::optional<Var> only_bit(Extents extents) const;
    void add_term(const Term& t);
    void recombine();

    std::int64_t constant_ = 0;
    std::vector<Term> terms_;  // sorted, no two alike, no zero coefficients
};

/// unit * whole + rest
struct Index::Parts {
    std::int64_t unit = 1;
    Index whole, rest;
};

Index floordiv(const Index& e, std::int64_t k, Extents extents);
Index mod(const Index& e, std::int64_t k, Extents extents);

/// Row-major address of `index` in a tensor with these sizes.
Index linear(std::span<const Index> index, std::span<const std::int64_t> sizes);
/// The inverse of `linear`.
std::vector<Index> delinear(const Index& address, std::span<const std::int64_t> sizes,
                            Extents extents);

}  // namespace arete::loops
