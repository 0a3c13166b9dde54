#include "compiler/ops/einsum.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>

#include "compiler/ops/elementwise.h"
#include "compiler/ops/gather.h"
#include "compiler/ops/linalg.h"
#include "compiler/ops/movement.h"
#include "compiler/ops/rearrange.h"
#include "compiler/ops/reduction.h"
#include "compiler/ops/rows.h"

namespace arete {

namespace {

// Letters; axes of "..." are negative: -1 the last one.
using Letters = std::vector<int>;

bool in(const Letters& all, int letter) {
    return std::find(all.begin(), all.end(), letter) != all.end();
}

struct Factor {
    Expr value;
    Letters letters;  // by axis
};

class Einsum {
  public:
    Einsum(std::string_view text, const std::vector<Operand>& operands, Loc loc)
        : text_(text), loc_(loc) {
        read(operands);
    }

    Expr run() {
        std::vector<Factor> factors;
        for (const Factor& f : factors_) factors.push_back(without_repeats(f));
        factors_ = std::move(factors);
        find_sizes();
        const std::size_t n = factors_.size();
        constexpr std::size_t most_tried = 10;
        Factor all = n <= most_tried ? best_order() : in_order();
        all = summed(all, result_);
        return permuted(all, result_).value;
    }

  private:
    template <class... T>
    [[noreturn]] void wrong(fmt::format_string<T...> text, T&&... args) const {
        fail<GraphError>(loc_, "einsum \"{}\": {}", text_,
                         fmt::format(text, std::forward<T>(args)...));
    }

    Operand on(const Expr& e) const { return at(e, loc_); }

    // The letters of one operand of so many axes, or of the result (-1: any number).
    Letters parse(std::string_view part, int rank) {
        Letters out;
        std::optional<std::size_t> dots;
        for (std::size_t k = 0; k < part.size(); ++k) {
            const char c = part[k];
            if (c == ' ') continue;
            if (c == '.') {
                if (part.substr(k, 3) != "..." || dots) wrong("'{}'", part);
                dots = out.size();
                k += 2;
            } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
                out.push_back(c);
            } else {
                wrong("'{}' is no letter", c);
            }
        }
        if (rank >= 0) {
            const int rest = rank - static_cast<int>(out.size());
            if (rest < 0 || (rest > 0 && !dots)) wrong("'{}' for a tensor of rank {}", part, rank);
            dots_ = std::max(dots_, rest);
            for (int k = 1; dots && k <= rest; ++k)
                out.insert(out.begin() + static_cast<std::ptrdiff_t>(*dots), -k);
        } else if (dots) {
            for (int k = 1; k <= dots_; ++k)
                out.insert(out.begin() + static_cast<std::ptrdiff_t>(*dots), -k);
        }
        return out;
    }

    void read(const std::vector<Operand>& operands) {
        std::string_view left = text_, right;
        const std::size_t arrow = text_.find("->");
        if (arrow != std::string_view::npos) {
            left = text_.substr(0, arrow);
            right = text_.substr(arrow + 2);
        }
        std::vector<std::string_view> parts;
        for (std::size_t from = 0;;) {
            const std::size_t comma = left.find(',', from);
            parts.push_back(left.substr(from, comma - from));
            if (comma == std::string_view::npos) break;
            from = comma + 1;
        }
        if (parts.size() != operands.size() || operands.empty())
            wrong("{} operands", operands.size());
        // One dtype for all.
        Expr common;
        for (const Operand& o : operands)
            common = common.empty() ? o.expr() : unify(on(common), o, "einsum").first;
        for (const Operand& o : operands) {
            const Expr e =
                o.is_literal() ? o.beside(common.dtype(), "einsum") : cast(o, common.dtype());
            const std::size_t k = factors_.size();
            factors_.push_back({e, parse(parts[k], e.rank())});
        }
        if (arrow != std::string_view::npos) {
            result_ = parse(right, -1);
            for (std::size_t k = 0; k < result_.size(); ++k) {
                if (std::count(result_.begin(), result_.end(), result_[k]) > 1)
                    wrong("'{}' twice in the result", static_cast<char>(result_[k]));
                if (!std::any_of(factors_.begin(), factors_.end(),
                                 [&](const Factor& f) { return in(f.letters, result_[k]); }))
                    wrong("'{}' is in no operand", static_cast<char>(result_[k]));
            }
            return;
        }
        for (int k = dots_; k > 0; --k) result_.push_back(-k);
        std::map<int, int> times;
        for (const Factor& f : factors_)
            for (int letter : f.letters) ++times[letter];
        for (const auto& [letter, n] : times)
            if (letter > 0 && n == 1) result_.push_back(letter);
    }

    // The diagonal of two axes, which goes last. Sizes that are not known must turn out equal.
    Expr diagonal_of(const Expr& e, std::size_t k, std::size_t l) const {
        const Dim& n = e.shape()[k];
        if (n.is_const() && e.shape()[l].is_const())
            return diagonal(on(e), 0, static_cast<int>(k), static_cast<int>(l));
        Shape square = e.shape();
        square[l] = n;
        std::vector<int> order{static_cast<int>(k), static_cast<int>(l)}, back;
        for (int axis = 0; axis < e.rank(); ++axis)
            if (axis != order[0] && axis != order[1]) order.push_back(axis);
        const Expr turned = transpose(on(specify_shape(on(e), square)), order);
        const Expr picked = advanced_index(on(turned), {count_up(n, loc_), count_up(n, loc_)});
        for (int axis = 1; axis < picked.rank(); ++axis) back.push_back(axis);
        back.push_back(0);
        return transpose(on(picked), back);
    }

    // A letter twice is a diagonal.
    Factor without_repeats(Factor f) const {
        for (std::size_t k = 0; k < f.letters.size(); ++k)
            for (std::size_t l = k + 1; l < f.letters.size(); ++l) {
                if (f.letters[k] != f.letters[l]) continue;
                if (differ(f.value.shape()[k], f.value.shape()[l]))
                    wrong("'{}' is {} and {}", static_cast<char>(f.letters[k]),
                          f.value.shape()[k].str(), f.value.shape()[l].str());
                f.value = diagonal_of(f.value, k, l);
                const int letter = f.letters[k];
                f.letters.erase(f.letters.begin() + static_cast<std::ptrdiff_t>(l));
                f.letters.erase(f.letters.begin() + static_cast<std::ptrdiff_t>(k));
                f.letters.push_back(letter);
                return without_repeats(std::move(f));
            }
        return f;
    }

    // What is broadcast along an axis of size 1 does without it.
    void find_sizes() {
        for (const Factor& f : factors_)
            for (std::size_t k = 0; k < f.letters.size(); ++k) {
                const Dim& size = f.value.shape()[k];
                const auto [known, fresh] = sizes_.try_emplace(f.letters[k], size);
                if (fresh) continue;
                if (known->second == Dim(1))
                    known->second = size;
                else if (differ(known->second, size) && !(size == Dim(1)))
                    wrong("sizes {} and {} of '{}'", known->second.str(), size.str(),
                          f.letters[k] > 0 ? std::string(1, static_cast<char>(f.letters[k]))
                                           : std::string("..."));
            }
        for (Factor& f : factors_) {
            Factor out{f.value, {}};
            Shape shape;
            for (std::size_t k = 0; k < f.letters.size(); ++k) {
                const Dim& size = f.value.shape()[k];
                if (size == Dim(1) && !(sizes_.at(f.letters[k]) == Dim(1))) continue;
                shape.push_back(size);
                out.letters.push_back(f.letters[k]);
            }
            if (shape.size() != f.letters.size()) out.value = reshape(on(f.value), shape);
            f = std::move(out);
        }
    }

    double size(int letter) const {
        constexpr double unknown = 64;
        const Dim& d = sizes_.at(letter);
        return d.is_const() ? std::max(1.0, static_cast<double>(d.value())) : unknown;
    }

    // Letters that a product of some factors must keep: those of the result and of the others.
    Letters kept(std::size_t some) const {
        Letters out;
        for (std::size_t k = 0; k < factors_.size(); ++k) {
            if (!(some >> k & 1)) continue;
            for (int letter : factors_[k].letters) {
                bool needed = in(result_, letter);
                for (std::size_t o = 0; o < factors_.size(); ++o)
                    needed = needed || (!(some >> o & 1) && in(factors_[o].letters, letter));
                if (needed && !in(out, letter)) out.push_back(letter);
            }
        }
        return out;
    }

    // Of all sets of factors the cheapest way to their product.
    Factor best_order() const {
        struct Way {
            double cost = 0;
            std::size_t first = 0;
        };
        const std::size_t n = factors_.size();
        std::vector<Way> ways(std::size_t{1} << n);
        std::vector<Letters> keeps(ways.size());
        for (std::size_t some = 1; some < ways.size(); ++some) {
            keeps[some] = kept(some);
            if (std::has_single_bit(some)) continue;
            Way best{-1, 0};
            for (std::size_t a = (some - 1) & some; a > 0; a = (a - 1) & some) {
                const std::size_t b = some ^ a;
                if (a > b) continue;
                double product = 1;
                for (int letter : keeps[a]) product *= size(letter);
                for (int letter : keeps[b])
                    if (!in(keeps[a], letter)) product *= size(letter);
                const double cost = ways[a].cost + ways[b].cost + product;
                if (best.cost < 0 || cost < best.cost) best = {cost, a};
            }
            ways[some] = best;
        }
        const auto product = [&](const auto& self, std::size_t some) -> Factor {
            if (std::has_single_bit(some))
                return summed(factors_[static_cast<std::size_t>(std::countr_zero(some))],
                              keeps[some]);
            const std::size_t a = ways[some].first;
            return multiplied(self(self, a), self(self, some ^ a), keeps[some]);
        };
        return product(product, ways.size() - 1);
    }

    Factor in_order() const {
        Factor all = factors_[0];
        for (std::size_t k = 1; k < factors_.size(); ++k) {
            Letters needed = result_;
            for (std::size_t o = k + 1; o < factors_.size(); ++o)
                needed.insert(needed.end(), factors_[o].letters.begin(), factors_[o].letters.end());
            all = multiplied(all, factors_[k], needed);
        }
        return all;
    }

    // Without the letters that are not among these.
    Factor summed(const Factor& f, const Letters& needed) const {
        Ints axes;
        Factor out{f.value, {}};
        for (std::size_t k = 0; k < f.letters.size(); ++k)
            if (in(needed, f.letters[k]))
                out.letters.push_back(f.letters[k]);
            else
                axes.push_back(static_cast<std::int64_t>(k));
        if (!axes.empty()) {
            const DType t = f.value.dtype();
            out.value = cast(on(sum(on(f.value), axes)), t);
        }
        return out;
    }

    Factor permuted(const Factor& f, const Letters& order) const {
        std::vector<int> axes;
        for (int letter : order)
            axes.push_back(static_cast<int>(std::find(f.letters.begin(), f.letters.end(), letter) -
                                            f.letters.begin()));
        Factor out{f.value, order};
        if (!std::is_sorted(axes.begin(), axes.end())) out.value = transpose(on(f.value), axes);
        return out;
    }

    Shape shape_of(const Letters& letters) const {
        Shape out;
        for (int letter : letters) out.push_back(sizes_.at(letter));
        return out;
    }

    Factor multiplied(Factor a, Factor b, const Letters& needed) const {
        Letters of_a = needed, of_b = needed;
        of_a.insert(of_a.end(), b.letters.begin(), b.letters.end());
        of_b.insert(of_b.end(), a.letters.begin(), a.letters.end());
        a = summed(a, of_a);
        b = summed(b, of_b);
        Letters batch, inner, left, right;
        for (int letter : a.letters) {
            if (!in(b.letters, letter))
                left.push_back(letter);
            else
                (in(needed, letter) ? batch : inner).push_back(letter);
        }
        for (int letter : b.letters)
            if (!in(a.letters, letter)) right.push_back(letter);
        Factor out;
        out.letters = batch;
        out.letters.insert(out.letters.end(), left.begin(), left.end());
        out.letters.insert(out.letters.end(), right.begin(), right.end());
        const auto joined = [](Letters x, const Letters& y) {
            x.insert(x.end(), y.begin(), y.end());
            return x;
        };
        if (inner.empty()) {
            // Every element of the one with those of the other that have its letters.
            const Expr x = permuted(a, joined(batch, left)).value;
            const Expr y = permuted(b, joined(batch, right)).value;
            Shape wide = shape_of(joined(batch, left)), far = shape_of(batch);
            wide.resize(wide.size() + right.size(), 1);
            far.resize(far.size() + left.size(), 1);
            for (int letter : right) far.push_back(sizes_.at(letter));
            out.value = on(reshape(on(x), wide)) * on(reshape(on(y), far));
            return out;
        }
        const Dim batches = size_of(shape_of(batch)), rows = size_of(shape_of(left)),
                  columns = size_of(shape_of(right)), terms = size_of(shape_of(inner));
        const Expr x = permuted(a, joined(joined(batch, left), inner)).value;
        const Expr y = permuted(b, joined(joined(batch, inner), right)).value;
        const Expr product = batch.empty()
                                 ? dot(on(reshape(on(x), Shape{rows, terms})),
                                       on(reshape(on(y), Shape{terms, columns})))
                                 : batched_dot(on(reshape(on(x), Shape{batches, rows, terms})),
                                               on(reshape(on(y), Shape{batches, terms, columns})));
        out.value = reshape(on(product), shape_of(out.letters));
        return out;
    }

    const std::string_view text_;
    const Loc loc_;
    std::vector<Factor> factors_;
    Letters result_;
    std::map<int, Dim> sizes_;
    int dots_ = 0;
};

}  // namespace

Expr einsum(std::string_view letters, const std::vector<Operand>& operands, const char* file,
            int line) {
    return Einsum(letters, operands, {file, line}).run();
}

}  // namespace arete
