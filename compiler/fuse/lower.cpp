#include "compiler/fuse/lower.h"

#include <algorithm>
#include <unordered_map>

#include "compiler/fuse/kernel_name.h"
#include "compiler/ops/leaves.h"

namespace arete {

using loops::BufferId;
using loops::Index;
using loops::Value;

namespace {

class NestBuilder {
  public:
    NestBuilder(std::span<const Expr> roots, const IsStored& stored, const IsShared& shared)
        : stored_(stored), shared_(shared) {
        for (const Expr& r : roots) roots_.push_back(r);
    }

    LoweredNest build(std::string name) {
        nest().name = std::move(name);
        const Node& first = roots_[0].node();
        scatters_ = first.op->has(Trait::Scatters);
        const Shape space = scatters_ ? first.inputs.back().shape() : roots_[0].shape();
        const Sizes sizes = concrete(space), loops = scatters_ ? sizes : finest(roots_[0], sizes);
        std::vector<Index> index;
        for (std::int64_t extent : loops) index.push_back(axis(extent));
        if (loops != sizes) index = delinear(linear(index, loops), sizes, nest().extents);
        for (const Expr& r : roots_) {
            ARETE_CHECK(scatters_ || r.shape() == space, "roots of different shapes: {} and {}",
                        r.type().str(), roots_[0].type().str());
            Value v = compute(r, index);
            loops::StoreTo store{buffer(r), 0, v.id, {}};
            Sizes sizes = concrete(r.shape());
            if (scatters_) {
                store.index = linear(scattering_.index, sizes).simplified(nest().extents);
                store.combine = scattering_.combine;
            } else {
                store.index = linear(index, sizes);
            }
            nest().stores.push_back(store);
        }
        if (nest().name.empty()) nest().name = kernel_name_.text();
        nest().sequential = scatters_ && !scattering_.distinct;
        nest().partial = scatters_;
        out_.zero_first = scatters_ && scattering_.onto == Scattering::zeros;
        if (scatters_ && scattering_.onto >= 0)
            out_.onto = first.inputs[static_cast<std::size_t>(scattering_.onto)];
        return std::move(out_);
    }

    // Of a root that joins its inputs: the nest that stores input k, which starts there.
    LoweredNest build_piece(std::string name, std::size_t k, std::int64_t start) {
        nest().name = std::move(name);
        const Node& joined = roots_[0].node();
        const Expr& piece = joined.inputs[k];
        std::vector<Index> index;
        for (std::int64_t extent : concrete(piece.shape())) index.push_back(axis(extent));
        add_lines(joined);
        const Value v = element(piece, index);
        const auto along = static_cast<std::size_t>(joined.attrs.get<std::int64_t>("axis"));
        index[along] = index[along] + start;
        nest().stores.push_back(
            {buffer(roots_[0]), linear(index, concrete(roots_[0].shape())), v.id, {}});
        kernel_name_.add(joined);
        if (nest().name.empty()) nest().name = kernel_name_.text();
        return std::move(out_);
    }

    loops::Nest& nest() { return out_.nest; }

    // The element of a value: loaded, or computed in place.
    Value element(const Expr& e, std::span<const Index> index) {
        if (std::optional<Value> c = uniform(e)) return *c;
        if (is_stored(e)) return read(e, linear(index, concrete(e.shape())));
        return compute(e, index);
    }

    // The element where `guard` holds, else 0. Whatever is loaded for it is guarded, too.
    Value element_if(Value guard, const Expr& e, std::span<const Index> index) {
        const Value outer = guard_, inside = outer ? outer & guard : guard;
        guard_ = inside;
        Value v = element(e, index);
        guard_ = outer;
        return is_zero_unless(inside, v) ? v : select(guard, v, loops::literal(v, 0));
    }

    // Is v read under this guard, perhaps through views and conversions?
    bool is_zero_unless(Value guard, Value v) {
        const loops::Instr* i = &nest().values[v.id];
        while (i->op == loops::Op::Cast) i = &nest().values[i->args[0]];
        return i->op == loops::Op::LoadIf && i->args[0] == guard.id;
    }

    Value read(const Expr& e, const Index& address) {
        // Of nothing only an index is read that a check has refused, and there may be no memory.
        if (count(concrete(e.shape())) == 0)
            return is_float(e.dtype()) ? nest().constant(e.dtype(), 0.0)
                                       : nest().constant(e.dtype(), std::int64_t{0});
        const BufferId b = buffer(e);
        const Index at = address.simplified(nest().extents);
        return guard_ ? nest().load_if(guard_, b, at) : nest().load(b, at);
    }

    Value element_linear(const Expr& e, const Index& address) {
        if (std::optional<Value> c = uniform(e)) return *c;
        if (is_stored(e)) return read(e, address);
        return compute(e, delinear(address, concrete(e.shape()), nest().extents));
    }

    Index new_reduce_axis(std::string name, std::int64_t extent, std::size_t& position) {
        if (extent == 1) return 0;
        if (position < nest().reduce_axes.size()) {
            loops::Var v = nest().reduce_axes[position++];
            ARETE_CHECK(nest().extents[v] == extent, "{}: reductions over different axes",
                        nest().name);
            return Index::var(v);
        }
        ARETE_CHECK(nest().accumulators.empty(), "{}: reductions over different axes", nest().name);
        loops::Var v = nest().add_var(std::move(name), extent);
        nest().reduce_axes.push_back(v);
        ++position;
        return Index::var(v);
    }

    Value new_reduction(loops::Reduction r, Value element) {
        // Positions are kept in 32 bits, so that their vectors are as long as f32's.
        bool position = r == loops::Reduction::ArgMax || r == loops::Reduction::ArgMin;
        loops::Accumulator a{r, element.id, position ? DType::I32 : element.dtype()};
        auto result = [&](loops::AccId i) {
            Value v = nest().acc(i, a.dtype);
            return position ? loops::cast(v, DType::I64) : v;
        };
        for (loops::AccId i : nest().accumulators.ids()) {
            const loops::Accumulator& old = nest().accumulators[i];
            if (old.reduction == r && old.element == a.element) return result(i);
        }
        return result(nest().accumulators.add(a));
    }

    void new_check(const Node& node, Value ok, const Index& element, std::string message) {
        for (const loops::CheckThat& c : nest().checks)
            if (c.ok == ok.id) return;
        nest().checks.push_back({ok.id, static_cast<int>(out_.checks.size()), element});
        out_.checks.push_back({node.loc(), std::move(message)});
    }

    void set_scatter(Scattering to) { scattering_ = std::move(to); }

  private:
    struct Done {
        int output;
        loops::ValueId guard;
        std::vector<Index> index;
        Value value;
    };

    // `sizes` of the root, or, where it reads its reduction through a reshape that merges axes, the
    // sizes of that: merged axes leave sums in the addresses, split ones quotients.
    Sizes finest(const Expr& root, const Sizes& sizes) const {
        const Node* at = &root.node();
        while (!at->op->has(Trait::Reduces)) {
            const Expr* next = nullptr;
            for (const Expr& e : at->inputs)
                if (!is_stored(e) && size_of(e.shape()) == Dim(count(sizes))) next = &e;
            if (!next || (at->op->has(Trait::View) && !at->op->has(Trait::Alias))) return sizes;
            at = &next->node();
        }
        const Sizes fine = concrete(at->types[0].shape);
        std::size_t k = 0;
        for (std::int64_t size : sizes) {
            std::int64_t product = 1;
            while (product < size && k < fine.size()) product *= fine[k++];
            if (product != size) return sizes;
        }
        return count(fine) == count(sizes) && count(sizes) > 0 ? fine : sizes;
    }

    Index axis(std::int64_t extent) {
        if (extent == 1) return 0;
        static constexpr char names[] = "ijklmnop";
        std::size_t n = nest().axes.size();
        std::string name = n < 8 ? std::string(1, names[n]) : fmt::format("i{}", n);
        nest().axes.push_back(nest().add_var(std::move(name), extent));
        return Index::var(nest().axes.back());
    }

    bool is_root(const Expr& e) const {
        return std::any_of(roots_.begin(), roots_.end(), [&](const Expr& r) { return same(r, e); });
    }

    bool is_stored(const Expr& e) const {
        return !is_root(e) && (e.node().is_leaf() || stored_(e));
    }

    std::optional<Value> uniform(const Expr& e) {
        const Array* a = constant_value(e);
        if (!a || !is_constant_scalar(e)) return std::nullopt;
        if (is_float(a->dtype())) return nest().constant(a->dtype(), a->as_double());
        return nest().constant(a->dtype(), a->as_int());
    }

    BufferId buffer(const Expr& e) {
        for (BufferId b : out_.buffers.ids())
            if (same(out_.buffers[b], e)) return b;
        out_.buffers.push_back(e);
        const Node& n = e.node();
        std::string label =
            n.name.empty() ? fmt::format("{}{}", n.op->name, out_.buffers.size() - 1) : n.name;
        return nest().add_buffer({label, e.dtype(), concrete(e.shape())});
    }

    void add_lines(const Node& node) {
        for (Loc l : node.locs)
            if (std::find(out_.lines.begin(), out_.lines.end(), l) == out_.lines.end())
                out_.lines.push_back(l);
    }

    Value compute(const Expr& e, std::span<const Index> index);

    LoweredNest out_;
    std::vector<Expr> roots_;
    const IsStored& stored_;
    const IsShared& shared_;
    std::unordered_map<const Node*, std::vector<Done>> done_;
    Value guard_;  // of the loads being made; empty: none
    KernelName kernel_name_;
    bool scatters_ = false;
    Scattering scattering_;
};

class NodeLowering final : public Lowering {
  public:
    NodeLowering(NestBuilder& builder, const Node& node)
        : Lowering(builder.nest(), node), builder_(builder) {}

    using Lowering::load;
    Value load(int i, std::span<const Index> index) override {
        return builder_.element(node.inputs[i], index);
    }
    Value load_if(Value guard, int i, std::span<const Index> index) override {
        return builder_.element_if(guard, node.inputs[i], index);
    }
    Value load_linear(int i, const Index& address) override {
        return builder_.element_linear(node.inputs[i], address);
    }
    Index reduce_axis(std::string name, std::int64_t extent) override {
        return builder_.new_reduce_axis(std::move(name), extent, position_);
    }
    Value reduce(loops::Reduction r, Value element) override {
        return builder_.new_reduction(r, element);
    }
    void check(Value ok, const Index& element, std::string message) override {
        builder_.new_check(node, ok, element, std::move(message));
    }
    void scatter_to(Scattering to) override { builder_.set_scatter(std::move(to)); }

  private:
    NestBuilder& builder_;
    std::size_t position_ = 0;
};

Value NestBuilder::compute(const Expr& e, std::span<const Index> index) {
    const Node& node = e.node();
    for (const Done& d : done_[&node])
        if (d.output == e.output() && d.guard == guard_.id &&
            std::equal(d.index.begin(), d.index.end(), index.begin(), index.end()))
            return d.value;
    const OpDef& op = def(node);
    add_lines(node);
    Value value;
    if (op.scalar) {
        std::vector<Value> args;
        for (const Expr& input : node.inputs) {
            // Align right; an axis of size 1 is read at 0 throughout.
            std::vector<Index> at;
            std::size_t skip = index.size() - static_cast<std::size_t>(input.rank());
            for (std::size_t k = 0; k < static_cast<std::size_t>(input.rank()); ++k)
                at.push_back(input.shape()[k] == Dim(1) ? Index(0) : index[skip + k]);
            args.push_back(element(input, at));
        }
        value = op.scalar({args, e.dtype(), node.attrs});
    } else {
        ARETE_CHECK(op.lower, "{} has neither a scalar body nor a lowering", node.op->name);
        NodeLowering lowering(*this, node);
        lowering.output = e.output();
        value = op.lower(lowering, index);
    }
    ARETE_CHECK(value.dtype() == e.dtype(), "{}: lowered to {}, typed {}", node.op->name,
                name(value.dtype()), e.type().str());
    kernel_name_.add(node);
    if (shared_ && nest().values[value.id].op == loops::Op::Mul && is_float(e.dtype()) &&
        shared_(e))
        out_.shared_products.push_back(value.id);
    done_[&node].push_back({e.output(), guard_.id, {index.begin(), index.end()}, value});
    return value;
}

}  // namespace

void CheckSite::raise(std::int64_t element) const {
    throw RangeError(loc, fmt::format(fmt::runtime(message), element));
}

std::string host_name(const Node& node) {
    return std::string(node.payload ? node.payload->name() : node.op->name);
}

bool LoweredStep::checks() const {
    if (def(*node).host) return true;
    for (const LoweredBody& body : bodies) {
        for (const LoweredNest& nest : body.graph.nests)
            if (!nest.checks.empty()) return true;
        for (const LoweredStep& step : body.graph.steps)
            if (step.checks()) return true;
    }
    return false;
}

std::string LoweredStep::lines() const {
    std::string out;
    for (Loc loc : node->locs) out += (out.empty() ? "" : " ") + loc.str();
    return out;
}

LoweredNest lower_nest(std::span<const Expr> roots, const IsStored& stored, std::string name,
                       const IsShared& shared) {
    return NestBuilder(roots, stored, shared).build(std::move(name));
}

bool by_pieces(const Node& node) {
    constexpr std::size_t most_chosen_from = 4;
    return node.op->has(Trait::Joins) && node.inputs.size() > most_chosen_from;
}

std::vector<LoweredNest> lower_nests(std::span<const Expr> roots, const IsStored& stored,
                                     const std::string& name, const IsShared& shared) {
    std::vector<LoweredNest> out;
    const Node& node = roots[0].node();
    if (roots.size() == 1 && by_pieces(node)) {
        const auto axis = static_cast<std::size_t>(node.attrs.get<std::int64_t>("axis"));
        std::int64_t start = 0;
        for (std::size_t k = 0; k < node.inputs.size(); ++k) {
            const Sizes sizes = concrete(node.inputs[k].shape());
            if (count(sizes) > 0)
                out.push_back(NestBuilder(roots, stored, shared).build_piece(name, k, start));
            start += sizes[axis];
        }
    }
    // Nothing but empty pieces is one empty nest.
    if (out.empty()) out.push_back(lower_nest(roots, stored, name, shared));
    return out;
}

}  // namespace arete
