// Which elements of a gradient are zero because something was not chosen.
#pragma once

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "compiler/ops/movement.h"

namespace arete {

/// Conditions under which an element of a gradient was chosen, all of which must hold: bool
/// expressions that broadcast to the gradient. Elsewhere the gradient is zero, whatever is
/// multiplied by it.
class Mask {
  public:
    /// One condition, or its negation.
    struct Condition {
        Expr e;
        bool holds = true;
        /// Leaves out what nothing has read, beside a slice or an index, not what a choice left.
        bool unread = false;
    };

    bool empty() const { return all_.empty(); }
    const std::vector<Condition>& conditions() const { return all_; }
    /// Requires one more condition; negations are taken off, and of a conjunction each part is
    /// required, so that conditions on whole rows can be told.
    void require(const Condition& c);
    void require(const Mask& m);
    /// Requires one more as it is.
    void add(const Condition& c);
    /// The same without the conditions on what was read.
    Mask choices() const;
    /// Of a sum: empty where the two leave nothing out.
    static Mask either(const Mask& a, const Mask& b);
    /// The same conditions.
    static bool equal(const Mask& a, const Mask& b);
    /// The same with one condition for all of one shape.
    Mask joined(Loc loc) const;
    /// As one bool expression; the mask must not be empty.
    Expr expr(Loc loc) const;

  private:
    std::vector<Condition> all_;
};

/// A gradient on its way. Masks are applied as late as possible: the pullback of an elementwise op
/// is given `g` as it is, and what it makes of elements that are masked does not matter.
struct Masked {
    Expr g;
    Mask pending;  ///< still to be applied
    Mask applied;  ///< of zeros that g has already
    Loc loc;       ///< of the op whose gradient this is

    Mask chosen() const;
    /// g with its zeros.
    Expr value() const;
    /// The gradient of something that is used twice.
    static Masked sum(const Masked& a, const Masked& b, Loc loc);
    /// The gradient of an operand that was broadcast, or may have been (see Fit).
    Masked sum_to(const TensorType& type, Fit fit = Fit::broadcast) const;
};

/// What becomes of masks in one op's pullback.
class Carrier {
  public:
    using IsNew = std::function<bool(const Node&)>;

    /// The pullback was given `values`, one for each of `from`. `is_new` tells nodes that it made
    /// from those that were there before.
    Carrier(const std::vector<Masked>& from, const std::vector<Expr>& values, IsNew is_new, Loc loc)
        : from_(from), values_(values), is_new_(std::move(is_new)), loc_(loc) {}

    /// The result of an elementwise op's pullback, to which g was given without its pending mask.
    Masked elementwise(const Expr& e) const;
    /// The result of any other pullback, to which values were given.
    Masked other(const Expr& e);

  private:
    // What is known of an expression that is computed from a gradient.
    struct Found {
        bool any = false;   // it is
        bool exact = true;  // zero where it is masked, even where other operands are not finite
        Mask mask;
    };
    const Found& find(const Expr& e);
    Found find_new(const Expr& e);
    Found find_elementwise(const Node& n);
    Found moved(const Node& n, std::size_t operand, const Mask& mask) const;
    Found placed(const Node& n, std::size_t operand, const Mask& mask) const;
    Mask contracted(const Node& n, std::size_t operand, const Mask& mask) const;
    Expr spared(const Expr& e);
    bool keeps_zeros(const Expr& e) const;

    const std::vector<Masked>& from_;
    const std::vector<Expr>& values_;
    IsNew is_new_;
    Loc loc_;
    std::map<std::pair<const Node*, int>, Found> found_;
};

}  // namespace arete
