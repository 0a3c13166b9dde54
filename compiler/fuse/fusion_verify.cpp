// The verifier of fusion, and its text.
#include <algorithm>
#include <unordered_set>

#include "compiler/fuse/evaluations.h"
#include "compiler/fuse/fusion.h"

namespace arete {

namespace {

std::vector<NodeId> computed(const Fusion& fusion, std::span<const Expr> roots) {
    const Graph& g = *fusion.graph;
    std::vector<NodeId> out;
    std::unordered_set<NodeId> seen;
    const auto add = [&](const Expr& e) {
        const NodeId i = g.id(e);
        if (seen.insert(i).second) out.push_back(i);
    };
    for (const Expr& r : roots) add(r);
    for (std::size_t k = 0; k < out.size(); ++k)
        for (const Expr& e : g.nodes()[out[k]]->inputs)
            if (!fusion.stored(e)) add(e);
    std::sort(out.begin(), out.end());
    return out;
}

class Verifier {
  public:
    Verifier(const Fusion& fusion, std::span<const Expr> keep)
        : f_(fusion),
          g_(*fusion.graph),
          in_scatters_(read_in_scatters(g_)),
          group_of_(g_.size()),
          home_(g_.size()) {
        ARETE_CHECK(f_.is_stored.size() == g_.size() && f_.reasons.size() == g_.size(),
                    "fuse: {} nodes of {}", f_.is_stored.size(), g_.size());
        for (NodeId i : g_.ids()) group_of_[i].resize(node(i).types.size());
        for (const Expr& e : keep)
            ARETE_CHECK(f_.stored(e), "fuse: %{}, a result, is not stored", g_.id(e));
    }

    void run() {
        for (NodeId i : g_.ids()) check_node(i);
        for (GroupId k : f_.groups.ids()) check_group(k);
        for (NodeId i : g_.ids()) {
            if (node(i).is_leaf()) continue;
            ARETE_CHECK(home_[i], "fuse: {} is neither stored nor computed", str(i));
            if (f_.is_stored[i])
                for (GroupId k : group_of_[i])
                    ARETE_CHECK(k, "fuse: {} is stored by no group", str(i));
        }
        check_bounds();
    }

  private:
    const Node& node(NodeId i) const { return *g_.nodes()[i]; }
    NodeId id(const Expr& e) const { return g_.id(e); }
    std::string str(NodeId i) const { return fmt::format("%{} = {}", i, node(i).op->name); }

    void check_node(NodeId i) const {
        const Node& n = node(i);
        if (f_.is_stored[i]) {
            ARETE_CHECK(n.is_leaf() || !f_.reasons[i].empty(),
                        "fuse: {} is stored without a reason", str(i));
            return;
        }
        ARETE_CHECK(!n.is_leaf(), "fuse: {}, a leaf, is not stored", str(i));
        ARETE_CHECK(f_.reasons[i].empty(), "fuse: {} is not stored, for a reason", str(i));
        for (Trait t : {Trait::Checks, Trait::Scatters, Trait::Step})
            ARETE_CHECK(!n.op->has(t), "fuse: {}, a check, a scatter or a step, is not stored",
                        str(i));
        ARETE_CHECK(n.types.size() == 1, "fuse: {}, which has several results, is not stored",
                    str(i));
        for (NodeId u : g_.users(i))
            for (Trait t : {Trait::Scatters, Trait::Step})
                ARETE_CHECK((t == Trait::Scatters && in_scatters_[i]) || !g_.nodes()[u]->op->has(t),
                            "fuse: {}, which a scatter or a step reads, is not stored", str(i));
    }

    void check_group(GroupId k) {
        const Group& group = f_.groups[k];
        ARETE_CHECK(!group.roots.empty(), "fuse: group {} stores nothing", k);
        for (const Expr& root : group.roots) {
            ARETE_CHECK(f_.stored(root) && !root.node().is_leaf(),
                        "fuse: group {} ends in {}, which is not stored by a kernel", k,
                        str(id(root)));
            GroupId& of = group_of_[id(root)][root.output()];
            ARETE_CHECK(!of, "fuse: groups {} and {} store {}", of, k, str(id(root)));
            of = k;
        }
        for (const Expr& root : group.roots) check_root(k, root);
    }

    // What one root needs is stored before, or computed with it.
    void check_root(GroupId k, const Expr& root) {
        const std::vector<NodeId> all = computed(f_, {&root, 1});
        NodeId reduction;
        std::unordered_set<NodeId> after;  // the reduction
        for (NodeId i : all) {
            const Node& n = node(i);
            const bool is_root = i == id(root), reduces = n.op->has(Trait::Reduces);
            ARETE_CHECK(is_root || !reduces || !home_[i] || home_[i] == k,
                        "fuse: groups {} and {} compute {}, a reduction", home_[i], k, str(i));
            home_[i] = k;
            bool follows = false;
            for (const Expr& e : n.inputs) {
                const NodeId x = id(e);
                if (!f_.stored(e)) {
                    follows |= after.count(g_.id(e)) != 0;
                    continue;
                }
                if (node(x).is_leaf()) continue;
                const GroupId from = group_of_[x][e.output()];
                ARETE_CHECK(from && from < k,
                            "fuse: group {} reads {}, which no group before it stores", k, str(x));
            }
            if (reduces) {
                ARETE_CHECK(!reduction, "fuse: group {} computes two reductions, {} and {}", k,
                            str(reduction), str(i));
                reduction = i;
                after.insert(i);
            } else if (follows) {
                const Node& first = node(reduction);
                ARETE_CHECK(
                    (def(n).scalar || n.op->has(Trait::Alias)) &&
                        count(concrete(n.types[0].shape)) == count(concrete(first.types[0].shape)),
                    "fuse: {} does not follow {} one to one", str(i), str(reduction));
                after.insert(i);
            }
        }
    }

    // Nothing is computed often. What merging the results of groups into one has saved is not
    // counted: each result may evaluate a value as often as a kernel of its own would.
    void check_bounds() const {
        Evaluations evaluations(g_);
        for (NodeId n : g_.ids().reversed()) {
            if (node(n).is_leaf()) continue;
            if (f_.is_stored[n]) {
                for (std::size_t k = 0; k < group_of_[n].size(); ++k) {
                    const Group& group = f_.groups[group_of_[n][k]];
                    evaluations.start(n, g_.id(group.roots[0]));
                }
                continue;
            }
            if (!node(n).op->has(Trait::View)) {
                std::int64_t all = 0;
                for (const Evaluations::Need& need : evaluations.needs(n)) {
                    const NodeId k = need.result;
                    const auto roots =
                        static_cast<std::int64_t>(f_.groups[group_of_[k][0]].roots.size());
                    ARETE_CHECK(need.places <= Bounds::in_one_kernel * 2 * roots,
                                "fuse: {} is evaluated at {} places by the kernel of {}", str(n),
                                need.places, str(k));
                    all += need.places;
                }
                ARETE_CHECK(all <= Bounds::in_all_kernels, "fuse: {} is evaluated {} times", str(n),
                            all);
            }
            evaluations.pass_on(n);
        }
    }

    const Fusion& f_;
    const Graph& g_;
    const IdVector<NodeId, char> in_scatters_;
    IdVector<NodeId, std::vector<GroupId>> group_of_;  // that stores an output of a node
    IdVector<NodeId, GroupId> home_;                   // a group that computes a node
};

}  // namespace

std::vector<NodeId> members(const Fusion& fusion, const Group& group) {
    return computed(fusion, group.roots);
}

void verify(const Fusion& fusion, std::span<const Expr> keep) {
    Verifier(fusion, keep).run();
}

std::string to_string(const Fusion& fusion) {
    std::string out;
    const Graph& g = *fusion.graph;
    for (GroupId k : fusion.groups.ids()) {
        const Group& group = fusion.groups[k];
        out += fmt::format("group {} ->", k);
        for (const Expr& r : group.roots)
            out += fmt::format("{} {} {}", &r == group.roots.data() ? "" : ",", r.type().str(),
                               r.node().op->name);
        out += "\n";
        for (NodeId i : members(fusion, group))
            out += fmt::format("    %{} = {} : {}\n", i, g.nodes()[i]->op->name,
                               g.nodes()[i]->types[0].str());
        for (const Expr& r : group.roots)
            out += fmt::format("  stored: {}\n", fusion.reasons[g.id(r)]);
    }
    return out;
}

}  // namespace arete
