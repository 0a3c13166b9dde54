// Draws graphs: rows as their samples build them, on whatever was drawn before, and compositions of
// what users call. Equal seeds give equal graphs.
#pragma once

#include <functional>
#include <random>
#include <vector>

#include "tests/fuzz/case.h"

namespace arete::fuzz {

struct DrawOptions {
    /// Elements of most tensors, and of one in a hundred cases.
    std::int64_t elements = 120, elements_of_large = 20'000;
    bool unknown_sizes = true;  ///< half of the inputs have sizes that are known late
    bool floats_only = false;   ///< of dtype f64, of middling values: for plain comparisons
};

/// An expression with the sizes that it has for the inputs drawn.
struct Item {
    Expr e;
    Sizes sizes;
    int rank() const { return static_cast<int>(sizes.size()); }
    std::int64_t size() const { return count(sizes); }
};

/// What is being drawn. Compositions draw their operands and parameters from it.
class Drawer {
  public:
    Drawer(std::uint64_t seed, const DrawOptions& options);
    Case draw();

    /// Uniform in 0..n-1; 0 where n is less than 2.
    int below(std::int64_t n);
    /// True once in n.
    bool once_in(int n) { return below(n) == 0; }
    double uniform(double low, double high);
    template <class T>
    const T& one_of(const std::vector<T>& all) {
        return all[below(static_cast<std::int64_t>(all.size()))];
    }

    std::int64_t size();
    Sizes sizes(int rank, std::int64_t most);
    DType dtype();
    DType float_dtype();
    Array values(DType t, const Sizes& sizes);
    Array values_in(DType t, const Sizes& sizes, double low, double high);

    /// A new leaf: an input, a shared variable or a constant.
    Item leaf(DType t, const Sizes& sizes);
    Item leaf(DType t, const Array& value);
    /// Something that was drawn before, most often the last; of floats; of some rank at least.
    Item any();
    Item floats();
    Item of_rank(int least, int most);
    /// Something that broadcasts against these sizes, of x's dtype where `like` says so.
    Item beside(const Item& x);
    /// x with these sizes: cut off, repeated, under another shape.
    Expr fit(const Item& x, const Sizes& sizes);
    /// An i64 tensor with elements in [low, high].
    Expr integers(const Sizes& sizes, std::int64_t low, std::int64_t high);
    /// The expression as an item; its sizes follow from its type.
    Item item(const Expr& e) const;
    /// Leaves of floats, for gradients.
    std::vector<Expr> float_leaves() const;
    const std::vector<Item>& pool() const { return pool_; }
    std::int64_t most() const { return most_; }
    Case& made() { return case_; }

  private:
    Item row();
    Expr elementwise(const Sample& sample);
    Expr as_sampled(const Sample& sample);
    Expr within(const Item& x, double low, double high);
    void step();
    void finish();

    std::mt19937_64 random_;
    DrawOptions options_;
    Case case_;
    std::vector<Item> pool_;
    std::vector<std::int64_t> sizes_;  // that are drawn again and again, so that shapes agree
    std::int64_t most_ = 0;
    int style_ = 0;  // of values
    DType main_ = DType::F32;
};

/// A composition: what users write with several calls or with arguments that rows' samples fix.
struct Composition {
    const char* name;
    int weight;
    std::function<Expr(Drawer&)> build;
};
const std::vector<Composition>& compositions();
/// Formulas of floats that are delicate: the kind that stabilising rules look for.
const std::vector<Composition>& formulas();

}  // namespace arete::fuzz
