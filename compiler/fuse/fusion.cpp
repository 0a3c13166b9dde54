#include "compiler/fuse/fusion.h"

#include <algorithm>

#include "compiler/fuse/siblings.h"
#include "compiler/ops/leaves.h"

namespace arete {

namespace {

std::int64_t elements(const Node& n) {
    return count(concrete(n.types[0].shape));
}

class Fuser {
  public:
    Fuser(const Graph& graph, std::span<const Expr> keep) : graph_(graph) {
        const std::size_t n = graph.size();
        out_.graph = &graph;
        out_.is_stored.assign(n, 0);
        out_.reasons.resize(n);
        root_.assign(n, -1);
        iterations_.assign(n, 0);
        kept_.assign(n, 0);
        reduction_of_.assign(n, -1);
        evaluations_.assign(n, 0);
        depth_.assign(n, 0);
        for (const Expr& e : keep) kept_[id(e)] = 1;
    }

    Fusion run() {
        const int n = static_cast<int>(graph_.size());
        for (int i = 0; i < n; ++i) iterations_[static_cast<std::size_t>(i)] = iterations(i);
        // Readers first, so that each producer knows the kernels it could join.
        for (int i = n - 1; i >= 0; --i) decide(i);
        for (int i = 0; i < n; ++i)
            if (!node(i).is_leaf() && out_.is_stored[static_cast<std::size_t>(i)])
                for (std::size_t k = 0; k < node(i).types.size(); ++k)
                    out_.groups.push_back(
                        {{Expr(graph_.nodes()[static_cast<std::size_t>(i)], static_cast<int>(k))}});
        return std::move(out_);
    }

  private:
    const Node& node(int i) const { return *graph_.nodes()[static_cast<std::size_t>(i)]; }
    std::size_t id(const Expr& e) const { return static_cast<std::size_t>(graph_.id(e)); }

    // Iterations of a node's own loops: elements of the result times the reduction's.
    std::int64_t iterations(int i) const {
        const Node& n = node(i);
        if (n.is_leaf() || !n.op->has(Trait::Reduces)) return n.is_leaf() ? 0 : elements(n);
        Expr root(graph_.nodes()[static_cast<std::size_t>(i)]);
        LoweredNest l = lower_nest(
            {&root, 1}, [](const Expr&) { return true; }, "probe");
        std::int64_t total = elements(n);
        for (loops::Var v : l.nest.reduce_axes)
            total *= l.nest.extents[static_cast<std::size_t>(v)];
        return total;
    }

    void store(int i, std::string reason) {
        out_.is_stored[static_cast<std::size_t>(i)] = 1;
        out_.reasons[static_cast<std::size_t>(i)] = std::move(reason);
        root_[static_cast<std::size_t>(i)] = i;
        if (node(i).op->has(Trait::Reduces)) reduction_of_[static_cast<std::size_t>(i)] = i;
    }

    void join(int i, int root) {
        root_[static_cast<std::size_t>(i)] = root;
        std::int64_t most = 0;
        for (int u : graph_.users(i)) most = std::max(most, reads(u));
        evaluations_[static_cast<std::size_t>(i)] = most;
        depth_[static_cast<std::size_t>(i)] = depth_below(i) + 1;
    }

    // Nodes between i and the root of its kernel. Kernels stay of a size that compiles quickly.
    int depth_below(int i) const {
        int most = 0;
        for (int u : graph_.users(i)) most = std::max(most, depth_[static_cast<std::size_t>(u)]);
        return most;
    }

    void decide(int i) {
        const Node& n = node(i);
        if (n.is_leaf()) {
            out_.is_stored[static_cast<std::size_t>(i)] = 1;
            return;
        }
        const std::vector<int>& users = graph_.users(i);
        if (kept_[static_cast<std::size_t>(i)]) return store(i, "result of the function");
        if (n.op->has(Trait::Checks)) return store(i, "checked before it is used");
        if (n.op->has(Trait::Scatters)) return store(i, "scatter");
        if (n.types.size() > 1) return store(i, "several results");
        for (int u : users)
            if (node(u).op->has(Trait::Scatters))
                return store(i, fmt::format("read by {}", node(u).op->name));
        // In a kernel of their own random numbers are made four from a block; unless so many that
        // memory would cost more.
        constexpr std::int64_t most_drawn = std::int64_t{1} << 20;
        if (n.op->has(Trait::Random) && elements(n) <= most_drawn)
            return store(i, "random numbers");
        if (n.op->has(Trait::Reduces)) return decide_reduction(i);
        if (n.op->has(Trait::View)) return join(i, only_root(users));
        const bool cheap = n.op->has(Trait::Cheap);
        for (int u : users) {
            double times = static_cast<double>(reads(u)) /
                           static_cast<double>(std::max<std::int64_t>(1, elements(n)));
            if (times <= 1 || (cheap && node(u).op->has(Trait::Cheap) && !feeds_contraction(u)))
                continue;
            return store(i, fmt::format("%{} = {} reads each element {:.3g} times", u,
                                        node(u).op->name, times));
        }
        if (users.size() > 1 && !(cheap && recomputing_is_loading(n)))
            return store(
                i, fmt::format("{} readers, and recomputing costs more than a load", users.size()));
        for (int u : users)
            if (feeds_contraction(u)) return store(i, "operand of a contraction");
        constexpr int deepest = 100;
        if (depth_below(i) >= deepest) return store(i, "the kernel that reads it is long enough");
        const int root = only_root(users);
        if (root < 0 && !cheap) return store(i, "its reader is in several kernels");
        join(i, root);
    }

    // How often kernels evaluate an operand of node u: once an iteration of u's own loops, times
    // the evaluations of u where it is inlined into others.
    std::int64_t reads(int u) const {
        const std::size_t k = static_cast<std::size_t>(u);
        if (out_.is_stored[k]) return iterations_[k];
        return evaluations_[k] * iterations_[k] / std::max<std::int64_t>(1, elements(node(u)));
    }

    // True where u, read through views, ends in a kernel that reads its operands more than once.
    bool feeds_contraction(int u) const {
        if (out_.is_stored[static_cast<std::size_t>(u)] && !node(u).op->has(Trait::Reduces))
            return false;
        if (node(u).op->has(Trait::Reduces)) {
            for (const Expr& x : node(u).inputs)
                if (elements(x.node()) > 1 && reads(u) > elements(x.node())) return true;
            return false;
        }
        if (!node(u).op->has(Trait::View)) return false;
        const std::vector<int>& users = graph_.users(u);
        return std::any_of(users.begin(), users.end(), [&](int v) { return feeds_contraction(v); });
    }

    // A cheap node of at most one stored operand besides scalars: loading it costs the same.
    bool recomputing_is_loading(const Node& n) const {
        int loads = 0;
        for (const Expr& x : n.inputs)
            if (!is_constant_scalar(x) && elements(x.node()) > 1) ++loads;
        return loads <= 1;
    }

    int only_root(const std::vector<int>& users) const {
        int root = -1;
        for (int u : users) {
            int r = root_[static_cast<std::size_t>(u)];
            if (r < 0 || (root >= 0 && r != root)) return -1;
            root = r;
        }
        return root;
    }

    // A reduction joins the kernel of the elementwise work that follows it.
    void decide_reduction(int i) {
        const Node& n = node(i);
        const std::vector<int>& users = graph_.users(i);
        if (users.size() != 1)
            return store(i, fmt::format("reduction with {} readers", users.size()));
        int u = users[0];
        const int root = root_[static_cast<std::size_t>(u)];
        if (root < 0) return store(i, "its reader is in several kernels");
        // Walk to the root: every step must keep the elements one to one.
        for (int at = u;;) {
            const Node& a = node(at);
            if (a.op->has(Trait::Reduces) || a.op->has(Trait::Scatters) || a.op->has(Trait::Checks))
                return store(i, fmt::format("reduction read by %{} = {}", at, a.op->name));
            if (a.op->has(Trait::View) && !a.op->has(Trait::Alias))
                return store(i, fmt::format("reduction read through %{} = {}", at, a.op->name));
            if (elements(a) != elements(n) || !def(a).scalar) {
                if (!a.op->has(Trait::Alias))
                    return store(i, "reduction whose reader broadcasts it");
            }
            if (at == root) break;
            if (graph_.users(at).size() != 1) return store(i, "its reader has several readers");
            at = graph_.users(at)[0];
        }
        if (reduction_of_[static_cast<std::size_t>(root)] >= 0)
            return store(i, "the kernel that reads it has a reduction already");
        reduction_of_[static_cast<std::size_t>(root)] = i;
        join(i, root);
    }

    const Graph& graph_;
    Fusion out_;
    std::vector<char> kept_;
    std::vector<int> root_;          // kernel that an inlined node is part of, -1: several
    std::vector<int> reduction_of_;  // the reduction in a root's kernel
    std::vector<std::int64_t> iterations_;
    std::vector<int> depth_;                 // of an inlined node below its root
    std::vector<std::int64_t> evaluations_;  // of an inlined node, by its most eager reader
};

}  // namespace

bool Fusion::stored(const Expr& e) const {
    return is_stored[static_cast<std::size_t>(graph->id(e))] != 0;
}

Fusion fuse(const Graph& graph, std::span<const Expr> keep) {
    Fusion out = Fuser(graph, keep).run();
    merge_siblings(out, keep);
    return out;
}

std::string to_string(const Fusion& fusion) {
    std::string out;
    const Graph& g = *fusion.graph;
    for (std::size_t k = 0; k < fusion.groups.size(); ++k) {
        const Group& group = fusion.groups[k];
        // The group's nodes: from the roots down to stored values.
        std::vector<int> members, stack;
        std::vector<char> seen(g.size(), 0);
        for (const Expr& r : group.roots) stack.push_back(g.id(r));
        while (!stack.empty()) {
            int i = stack.back();
            stack.pop_back();
            if (seen[static_cast<std::size_t>(i)]++) continue;
            members.push_back(i);
            for (const Expr& e : g.nodes()[static_cast<std::size_t>(i)]->inputs)
                if (!fusion.stored(e)) stack.push_back(g.id(e));
        }
        std::sort(members.begin(), members.end());
        out += fmt::format("group {} ->", k);
        for (const Expr& r : group.roots)
            out += fmt::format("{} {} {}", &r == group.roots.data() ? "" : ",", r.type().str(),
                               r.node().op->name);
        out += "\n";
        for (int i : members)
            out += fmt::format("    %{} = {} : {}\n", i,
                               g.nodes()[static_cast<std::size_t>(i)]->op->name,
                               g.nodes()[static_cast<std::size_t>(i)]->types[0].str());
        for (const Expr& r : group.roots)
            out += fmt::format("  stored: {}\n", fusion.reasons[static_cast<std::size_t>(g.id(r))]);
    }
    return out;
}

}  // namespace arete
