// Products that one sum reads become fused multiply-adds with it.
#include "compiler/loops/kernel.h"
#include "compiler/loops/math.h"

namespace arete::loops {

namespace {

class FmaFormer {
  public:
    FmaFormer(const Nest& nest, std::span<const ValueId> apart)
        : nest_(nest), uses_(nest.values.size(), 0) {
        for (ValueId id : apart) ++uses_[id];
        const std::vector<ValueId> all = roots(nest);
        for (ValueId id : all) ++uses_[id];
        for (ValueId id : needed(nest, all)) {
            const Instr& i = at(id);
            for (ValueId a : operands(i)) ++uses_[a];
            i.index.for_each_value([&](ValueId v) { ++uses_[v]; });
        }
    }

    /// The operand of a sum that is fused with it, or -1. Of two products neither is: a * b - b * a
    /// stays zero, and what is symmetric stays so.
    int product(const Instr& i) const {
        if ((i.op != Op::Add && i.op != Op::Sub) || !is_float(i.dtype)) return -1;
        const bool first = at(i.args[0]).op == Op::Mul, second = at(i.args[1]).op == Op::Mul;
        if (first == second) return -1;
        const int k = first ? 0 : 1;
        return uses_[i.args[k]] == 1 ? k : -1;
    }

    bool any() const {
        for (ValueId id : nest_.values.ids())
            if (uses_[id] > 0 && product(nest_.values[id]) >= 0) return true;
        return false;
    }

  private:
    const Instr& at(ValueId id) const { return nest_.values[id]; }

    const Nest& nest_;
    IdVector<ValueId, int> uses_;
};

}  // namespace

void form_fma(Nest& nest, std::span<const ValueId> apart) {
    const FmaFormer former(nest, apart);
    if (!former.any()) return;
    nest = with_values(nest, [&](const Instr& old, std::span<const Value> args) -> Value {
        const int k = former.product(old);
        if (k < 0) return {};
        Code& code = *args[0].code;
        const Instr product = code.values[args[k].id];
        if (product.op != Op::Mul) return {};
        Value a{&code, product.args[0]}, b{&code, product.args[1]}, c = args[1 - k];
        if (old.op == Op::Sub && k == 0) c = -c;
        if (old.op == Op::Sub && k == 1) {
            const bool constant = code.values[b.id].op == Op::Const;
            (constant ? b : a) = constant ? -b : -a;
        }
        return muladd(a, b, c);
    });
}

}  // namespace arete::loops
