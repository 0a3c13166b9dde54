#include "compiler/fuse/evaluations.h"

#include <algorithm>
#include <unordered_map>

#include "compiler/fuse/lower.h"
#include "compiler/ops/leaves.h"

namespace arete {

using loops::Index;
using loops::Value;
using loops::ValueId;

struct Evaluations::Place {
    ValueId guard;
    std::vector<Index> index;

    friend bool operator==(const Place& a, const Place& b) {
        return a.guard == b.guard && a.index == b.index;
    }
};

// What the lowering rules of a kernel's nodes build addresses and guards from.
struct Evaluations::Kernel {
    explicit Kernel(NodeId of, const Sizes& sizes) : result(of) {
        for (std::int64_t extent : sizes)
            index.push_back(extent == 1 ? Index(0) : Index::var(code.add_var("", extent)));
    }

    NodeId result;
    std::int64_t iterations = -1;
    loops::Code code;
    std::vector<Index> index;        // of the result
    std::vector<loops::Var> reduce;  // reduction axes
    std::unordered_map<NodeId, loops::BufferId> buffers;
};

namespace {

std::size_t mix(std::size_t seed, std::size_t v) {
    return (seed ^ v) * 0x9e3779b97f4a7c15u + (seed >> 7);
}

std::size_t hash(const Index& e) {
    std::size_t h = static_cast<std::size_t>(e.constant());
    for (const Index::Term& t : e.terms()) {
        h = mix(h, static_cast<std::size_t>(t.kind));
        h = mix(h, static_cast<std::size_t>(t.number));
        h = mix(h, static_cast<std::size_t>(t.coefficient));
        h = mix(h, static_cast<std::size_t>(t.divisor));
        if (t.inner) h = mix(h, hash(*t.inner));
    }
    return h;
}

// Counts no further than `most`: what is nested in several places is counted in each.
std::int64_t terms_of(const Index& e, std::int64_t most) {
    std::int64_t out = static_cast<std::int64_t>(e.terms().size());
    for (const Index::Term& t : e.terms())
        if (t.inner && out <= most) out += terms_of(*t.inner, most - out);
    return out;
}

// Every element of an operand is read where the same element of the result is.
bool same_elements(const Expr& operand, const Node& node) {
    return operand.shape() == node.types[0].shape &&
           std::none_of(operand.shape().begin(), operand.shape().end(),
                        [](const Dim& d) { return d == Dim(1); });
}

}  // namespace

// Runs a lowering rule at one place, for what it reads.
class Evaluations::Probe final : public Lowering {
  public:
    Probe(const Graph& graph, Kernel& kernel, const Node& node, const Place& place)
        : Lowering(kernel.code, node),
          graph_(graph),
          kernel_(kernel),
          reads_(node.inputs.size()),
          place_(place) {
        if (place.guard) guard_ = {&kernel.code, place.guard};
    }

    std::vector<Places> run() {
        if (const ScalarFn scalar = def(node).scalar; scalar) {
            for (std::size_t k = 0; k < node.inputs.size(); ++k) {
                const Shape& shape = node.inputs[k].shape();
                std::vector<Index> index;
                const std::size_t skip = place_.index.size() - shape.size();
                for (std::size_t a = 0; a < shape.size(); ++a)
                    index.push_back(shape[a] == Dim(1) ? Index(0) : place_.index[skip + a]);
                note(static_cast<int>(k), std::move(index));
            }
        } else {
            ARETE_CHECK(def(node).lower, "{} has neither a scalar body nor a lowering",
                        node.op->name);
            def(node).lower(*this, place_.index);
        }
        return std::move(reads_);
    }

    Value load(int i, std::span<const Index> index) override {
        note(i, {index.begin(), index.end()});
        return value(i, loops::linear(index, shape(i)));
    }
    Value load_if(Value guard, int i, std::span<const Index> index) override {
        const Value outer = guard_;
        guard_ = outer ? outer & guard : guard;
        const Value v = load(i, index);
        guard_ = outer;
        return loops::select(guard, v, loops::literal(v, 0));
    }
    Value load_linear(int i, const Index& address) override {
        note(i, loops::delinear(address, shape(i), code.extents));
        return value(i, address);
    }
    Index reduce_axis(std::string name, std::int64_t extent) override {
        if (extent == 1) return 0;
        if (axes_ == kernel_.reduce.size())
            kernel_.reduce.push_back(code.add_var(std::move(name), extent));
        return Index::var(kernel_.reduce[axes_++]);
    }
    Value reduce(loops::Reduction r, Value element) override {
        const bool position = r == loops::Reduction::ArgMax || r == loops::Reduction::ArgMin;
        return code.acc(loops::AccId(0), position ? DType::I64 : element.dtype());
    }
    void check(Value, const Index&, std::string) override {}
    void scatter_to(Scattering) override {}

  private:
    void note(int i, std::vector<Index> index) {
        Places& to = reads_[i];
        Place p{guard_.id, std::move(index)};
        if (std::find(to.begin(), to.end(), p) == to.end()) to.push_back(std::move(p));
    }

    // Something that differs where the elements do.
    Value value(int i, const Index& address) {
        const Expr& e = node.inputs[i];
        if (const Array* a = constant_value(e); a && is_constant_scalar(e))
            return is_float(a->dtype()) ? code.constant(a->dtype(), a->as_double())
                                        : code.constant(a->dtype(), a->as_int());
        const auto [at, fresh] = kernel_.buffers.try_emplace(graph_.id(e));
        if (fresh || code.buffers[at->second].dtype != e.dtype())
            at->second = code.add_buffer({"", e.dtype(), concrete(e.shape())});
        return code.load(at->second, address);
    }

    const Graph& graph_;
    Kernel& kernel_;
    std::vector<Places> reads_;  // by input
    const Place& place_;
    Value guard_;
    std::size_t axes_ = 0;
};

Evaluations::Evaluations(const Graph& graph)
    : graph_(graph), kernels_(graph.size()), demands_(graph.size()), settled_(graph.size(), 0) {}

Evaluations::~Evaluations() = default;

void Evaluations::ask(const Expr& e, KernelId kernel, std::shared_ptr<const Places> places) {
    if (e.node().is_leaf() || places->empty()) return;
    demands_[graph_.id(e)].push_back({kernel, std::move(places)});
}

// What node i reads at these places of a kernel.
void Evaluations::read(NodeId i, KernelId kernel, const std::shared_ptr<const Places>& places) {
    const Node& node = *graph_.nodes()[i];
    if (def(node).scalar && std::all_of(node.inputs.begin(), node.inputs.end(), [&](const Expr& e) {
            return e.node().is_leaf() || same_elements(e, node);
        })) {
        for (const Expr& e : node.inputs) ask(e, kernel, places);
        return;
    }
    std::vector<std::shared_ptr<Places>> reads;
    for (std::size_t k = 0; k < node.inputs.size(); ++k)
        reads.push_back(std::make_shared<Places>());
    for (const Place& place : *places) {
        std::vector<Places> found = Probe(graph_, *kernels_[kernel], node, place).run();
        for (std::size_t k = 0; k < found.size(); ++k)
            std::move(found[k].begin(), found[k].end(), std::back_inserter(*reads[k]));
    }
    for (std::size_t k = 0; k < node.inputs.size(); ++k) ask(node.inputs[k], kernel, reads[k]);
}

void Evaluations::settle(NodeId i) {
    if (settled_[i]) return;
    settled_[i] = 1;
    std::vector<Demand>& all = demands_[i];
    std::stable_sort(all.begin(), all.end(),
                     [](const Demand& a, const Demand& b) { return a.kernel < b.kernel; });
    std::vector<Demand> out;
    for (std::size_t k = 0; k < all.size();) {
        std::size_t end = k;
        bool shared = true;
        for (; end < all.size() && all[end].kernel == all[k].kernel; ++end)
            shared = shared && all[end].places == all[k].places;
        out.push_back(all[k]);
        if (!shared) {
            auto united = std::make_shared<Places>();
            const auto key = [](const Place& p) {
                std::size_t h = p.guard.index();
                for (const Index& e : p.index) h = mix(h, hash(e));
                return h;
            };
            std::unordered_multimap<std::size_t, std::size_t> known;
            for (; k < end; ++k)
                for (const Place& p : *all[k].places) {
                    const std::size_t h = key(p);
                    const auto [first, last] = known.equal_range(h);
                    if (std::any_of(first, last,
                                    [&](const auto& e) { return (*united)[e.second] == p; }))
                        continue;
                    known.emplace(h, united->size());
                    united->push_back(p);
                }
            out.back().places = std::move(united);
        }
        k = end;
    }
    all = std::move(out);
}

std::vector<Evaluations::Need> Evaluations::needs(NodeId i) {
    settle(i);
    std::vector<Need> out;
    for (const Demand& d : demands_[i]) {
        const Kernel& k = *kernels_[d.kernel];
        out.push_back(
            {d.kernel, k.result, static_cast<std::int64_t>(d.places->size()), k.iterations});
    }
    return out;
}

bool Evaluations::long_address(NodeId i, std::int64_t most) {
    settle(i);
    for (const Demand& d : demands_[i])
        for (const Place& p : *d.places)
            for (const Index& e : p.index)
                if (terms_of(e, most) > most) return true;
    return false;
}

void Evaluations::start(NodeId i, NodeId with) {
    demands_[i].clear();
    const Node& node = *graph_.nodes()[i];
    if (node.op->has(Trait::Step)) return;  // what it reads is stored
    const auto identity = [](const Kernel& k) {
        auto places = std::make_shared<Places>();
        places->push_back({{}, k.index});
        return places;
    };
    if (by_pieces(node)) {
        for (const Expr& piece : node.inputs) {
            if (piece.node().is_leaf()) continue;
            const KernelId own = kernels_.add(std::make_unique<Kernel>(i, concrete(piece.shape())));
            kernels_[own]->iterations = count(concrete(piece.shape()));
            ask(piece, own, identity(*kernels_[own]));
        }
        return;
    }
    const NodeId result = with ? with : i;
    const KernelId kernel = kernel_of(result);
    std::unique_ptr<Kernel>& own = kernels_[kernel];
    if (!own) {
        const bool scatters = node.op->has(Trait::Scatters);
        own = std::make_unique<Kernel>(
            result, concrete(scatters ? node.inputs.back().shape() : node.types[0].shape));
    }
    read(i, kernel, identity(*own));
}

void Evaluations::pass_on(NodeId i) {
    settle(i);
    const std::vector<Demand> demands = std::move(demands_[i]);
    demands_[i].clear();
    for (const Demand& d : demands) read(i, d.kernel, d.places);
}

}  // namespace arete
