#include "compiler/fuse/siblings.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "compiler/fuse/group_order.h"
#include "compiler/graph/order.h"

namespace arete {

namespace {

using loops::Index;
using loops::Nest;
using loops::Reduction;
using loops::ValueId;

// More values than this want more registers, and pointers, than there are.
constexpr std::size_t most_roots = 4;
// Kernels stay of a size that compiles quickly.
constexpr std::size_t most_instructions = 200;
// A value that very many groups read is not compared with all pairs of them: each group with this
// many after it, and of those with this many of its own shape.
constexpr std::size_t most_beside = 256, most_compared = 64;

// What a nest loads in its innermost loops, by values of the graph.
struct Read {
    Expr from;
    const Index* at;
};

std::vector<Read> innermost_reads(const LoweredNest& l) {
    const Nest& n = l.nest;
    const std::vector<ValueId> roots = n.accumulators.empty() ? stored(n) : accumulated(n);
    std::vector<Read> out;
    for (ValueId id : needed(n, roots)) {
        const loops::Instr& i = n.values[id];
        if (i.op == loops::Op::Load || i.op == loops::Op::LoadIf)
            out.push_back({l.buffers[i.buffer], &i.index});
    }
    return out;
}

std::vector<std::int64_t> extents_of(const Nest& n, const std::vector<loops::Var>& axes) {
    std::vector<std::int64_t> out;
    for (loops::Var v : axes) out.push_back(n.extents[v]);
    return out;
}

// Another element in each iteration of all loops: no operand of a contraction has that.
bool walks_all(const Nest& n, const Index& at) {
    auto used = [&](loops::Var v) { return at.uses(v); };
    bool known = true;  // the addresses of two nests can be compared
    at.for_each_value([&](ValueId) { known = false; });
    return known && std::all_of(n.axes.begin(), n.axes.end(), used) &&
           std::all_of(n.reduce_axes.begin(), n.reduce_axes.end(), used);
}

bool is_position(Reduction r) {
    return r == Reduction::ArgMax || r == Reduction::ArgMin;
}

// Neighbours are computed together, as many as the widest result allows: narrow ones must not pay
// for a wide one.
std::size_t widest(const Nest& n) {
    std::size_t out = 4;
    for (const loops::StoreTo& s : n.stores)
        out = std::max(out, size_of(n.buffers[s.buffer].dtype));
    for (const loops::Accumulator& a : n.accumulators)
        out = std::max(out, size_of(n.values[a.element].dtype));
    return out;
}

class Merger {
  public:
    Merger(Fusion& fusion, std::span<const Expr> keep)
        : f_(fusion), g_(*fusion.graph), order_(fusion.groups.size()) {
        owners_.resize(g_.size());
        seen_by_.resize(g_.size());
        IdVector<NodeId, char> kept(g_.size(), 0);
        for (const Expr& e : keep) kept[id(e)] = 1;
        for (const Group& group : f_.groups) {
            Item item;
            item.roots = group.roots;
            for (const Expr& r : group.roots) {
                owners_[id(r)].push_back(GroupId(items_.size()));
                item.kept = item.kept || kept[id(r)];
            }
            collect(item);
            items_.push_back(std::move(item));
        }
    }

    void run() {
        IdVector<NodeId, std::vector<GroupId>> readers(g_.size());
        for (GroupId k : items_.ids()) {
            if (!items_[k].apart)
                for (NodeId operand : items_[k].inputs) readers[operand].push_back(k);
            for (NodeId operand : items_[k].inputs)
                for (GroupId owner : owners_[operand]) {
                    items_[owner].last_result = false;
                    order_.add_edge(owner, k);
                }
        }
        bool merged = false;
        for (const std::vector<GroupId>& who : readers) merged = merge_readers(who) || merged;
        if (!merged) return;
        count_readers();
        // Later ones first: what they are computed from may be of use to them alone, then.
        for (GroupId k : items_.ids().reversed())
            if (!items_[k].gone && items_[k].roots.size() > 1) compute_operands(k);
        rebuild();
    }

  private:
    struct Item {
        std::vector<Expr> roots;
        std::vector<NodeId> inputs;  // stored values, ascending
        bool kept = false;
        bool apart = false;       // can have no siblings
        bool last_result = true;  // no other group reads it
        bool gone = false;        // part of another
        std::optional<LoweredNest> nest;
        std::vector<Read> reads;  // of the nest's innermost loops
    };

    NodeId id(const Expr& e) const { return g_.id(e); }
    const Node& node(NodeId i) const { return *g_.nodes()[i]; }

    // What the group reads, and whether it is of a kind that stays alone.
    void collect(Item& item) {
        std::vector<NodeId> stack;
        std::size_t members = 0;
        const GroupId number(items_.size());
        for (const Expr& r : item.roots) {
            stack.push_back(g_.id(r));
            item.apart = item.apart || by_pieces(r.node());
        }
        while (!stack.empty()) {
            const NodeId i = stack.back();
            stack.pop_back();
            GroupId& by = seen_by_[i];
            if (by == number) continue;
            by = number;
            ++members;
            const OpInfo& op = *node(i).op;
            item.apart = item.apart || op.has(Trait::Checks) || op.has(Trait::Scatters) ||
                         op.has(Trait::Random) || op.has(Trait::Step);
            for (const Expr& e : node(i).inputs) {
                if (f_.stored(e))
                    item.inputs.push_back(g_.id(e));
                else
                    stack.push_back(g_.id(e));
            }
        }
        sort_inputs(item);
        item.apart = item.apart || members > most_instructions;
    }

    static void sort_inputs(Item& item) {
        std::sort(item.inputs.begin(), item.inputs.end());
        item.inputs.erase(std::unique(item.inputs.begin(), item.inputs.end()), item.inputs.end());
    }

    GroupId final(GroupId k) const { return order_.find(k); }

    // Of one operand, groups of the same shape in pairs, in the order of the groups.
    bool merge_readers(const std::vector<GroupId>& who) {
        const auto item = [&](std::size_t i) -> const Item& { return items_[final(who[i])]; };
        bool merged = false;
        for (std::size_t i = 0; i < who.size(); ++i) {
            const std::size_t end = std::min(who.size(), i + 1 + most_beside);
            std::size_t compared = 0;
            for (std::size_t j = i + 1; j < end && compared < most_compared; ++j) {
                if (item(i).roots.size() == most_roots) break;
                if (!(item(i).roots[0].shape() == item(j).roots[0].shape())) continue;
                ++compared;
                merged = merge(who[i], who[j]) || merged;
            }
        }
        return merged;
    }

    const LoweredNest& nest(Item& item) const {
        if (!item.nest) set_nest(item, lower(item.roots));
        return *item.nest;
    }
    static void set_nest(Item& item, LoweredNest now) {
        item.nest = std::move(now);
        item.reads = innermost_reads(*item.nest);
    }
    LoweredNest lower(std::span<const Expr> roots) const {
        return lower_nest(
            roots, [this](const Expr& e) { return f_.stored(e); }, "siblings");
    }

    bool merge(GroupId one, GroupId other) {
        const GroupId a = final(one), b = final(other);
        if (a == b) return false;
        Item &x = items_[a], &y = items_[b];
        if (x.roots.size() + y.roots.size() > most_roots ||
            !(x.roots[0].shape() == y.roots[0].shape()))
            return false;
        // Two groups may share many operands; what kept them apart once keeps them apart until
        // either has grown.
        if (!tried_.insert(pair_key(a, b)).second) return false;
        // A new value is written over the old one after all that read the old one, which must not
        // wait for what is made beside the new value.
        if ((x.kept && !y.last_result) || (y.kept && !x.last_result)) return false;
        if (!same_loops(x, y) || !order_.independent(a, b)) return false;
        std::vector<Expr> roots = x.roots;
        roots.insert(roots.end(), y.roots.begin(), y.roots.end());
        LoweredNest both = lower(roots);
        if (!worth(both.nest, x.nest->nest, y.nest->nest)) return false;
        order_.merge(a, b);
        x.roots = std::move(roots);
        x.inputs.insert(x.inputs.end(), y.inputs.begin(), y.inputs.end());
        sort_inputs(x);
        x.kept = x.kept || y.kept;
        x.last_result = x.last_result && y.last_result;
        set_nest(x, std::move(both));
        y.gone = true;
        return true;
    }

    std::uint64_t pair_key(GroupId a, GroupId b) const {
        const auto roots = [&](GroupId k) { return items_[k].roots.size(); };
        return ((std::uint64_t{a.index()} << 32 | std::uint64_t{b.index()}) * (most_roots + 1) +
                roots(a)) *
                   (most_roots + 1) +
               roots(b);
    }

    // The same iterations, and an operand of which both read the same element in each of them.
    bool same_loops(Item& x, Item& y) const {
        const Nest &a = nest(x).nest, &b = nest(y).nest;
        if (a.axes.empty() && a.reduce_axes.empty()) return false;
        if (std::max(a.values.size(), b.values.size()) > most_instructions) return false;
        if (extents_of(a, a.axes) != extents_of(b, b.axes) ||
            extents_of(a, a.reduce_axes) != extents_of(b, b.reduce_axes))
            return false;
        for (const Read& r : x.reads)
            for (const Read& s : y.reads)
                if (same(r.from, s.from) && *r.at == *s.at && walks_all(a, *r.at)) return true;
        return false;
    }

    static bool worth(const Nest& both, const Nest& m, const Nest& n) {
        if (both.values.size() > most_instructions) return false;
        // Positions are found element by element. An extreme of the same elements comes with them;
        // anything else is better off with several partial results at a time.
        bool positions = false, others = false;
        for (loops::AccId k : both.accumulators.ids()) {
            const bool p = is_position(both.accumulators[k].reduction);
            positions = positions || p;
            others = others || (!p && loops::best_of(both, k) == k);
        }
        if (positions && others) return false;
        return positions || widest(m) == widest(n);
    }

    // What was stored because several groups read it, all of which are siblings now, and only they,
    // is computed by them.
    void compute_operands(GroupId k) {
        for (std::size_t n = items_[k].inputs.size(); n-- > 0;) {
            const NodeId operand = items_[k].inputs[n];
            const std::vector<GroupId>& owners = owners_[operand];
            if (owners.size() != 1 || readers_of_[operand] != 1) continue;
            Item &item = items_[k], &maker = items_[final(owners[0])];
            if (maker.apart || maker.kept || maker.roots.size() != 1 || !node_is_free(operand) ||
                !nest(maker).nest.accumulators.empty() ||
                !once_an_iteration(item, maker.roots[0]) || (item.kept && reads_variable(maker)))
                continue;
            char& stored = f_.is_stored[operand];
            stored = 0;
            LoweredNest both = lower(item.roots);
            if (both.nest.values.size() > most_instructions ||
                both.nest.accumulators.size() != item.nest->nest.accumulators.size()) {
                stored = 1;
                continue;
            }
            f_.reasons[operand].clear();
            set_nest(item, std::move(both));
            item.inputs.erase(item.inputs.begin() + static_cast<std::ptrdiff_t>(n));
            for (NodeId x : maker.inputs)
                if (std::binary_search(item.inputs.begin(), item.inputs.end(), x)) --readers_of_[x];
            item.inputs.insert(item.inputs.end(), maker.inputs.begin(), maker.inputs.end());
            sort_inputs(item);
            maker.gone = true;
            n = item.inputs.size();
        }
    }

    // What is a result may be written where a variable is that must have been read by then.
    bool reads_variable(const Item& item) const {
        return std::any_of(item.inputs.begin(), item.inputs.end(),
                           [&](NodeId i) { return node(i).op->kind == OpInfo::Kind::Shared; });
    }

    // Elementwise, and stored for no other reason than to be read.
    bool node_is_free(NodeId i) const {
        const Node& n = node(i);
        return !n.is_leaf() && def(n).scalar && n.types.size() == 1;
    }

    // How many groups read each stored value.
    void count_readers() {
        readers_of_.assign(g_.size(), 0);
        for (const Item& item : items_)
            if (!item.gone)
                for (NodeId operand : item.inputs) ++readers_of_[operand];
    }

    // Whether a nest reads one element of a value in each iteration of all its loops, another each.
    static bool once_an_iteration(const Item& item, const Expr& value) {
        const Index* at = nullptr;
        for (const Read& r : item.reads) {
            if (!same(r.from, value)) continue;
            if (!walks_all(item.nest->nest, *r.at) || (at && !(*at == *r.at))) return false;
            at = r.at;
        }
        return at != nullptr;
    }

    void rebuild() {
        IdVector<GroupId, int> position(items_.size(), -1);
        std::vector<Group> groups;
        for (GroupId k : items_.ids()) {
            if (items_[k].gone) continue;
            position[k] = static_cast<int>(groups.size());
            groups.push_back({items_[k].roots});
        }
        Edges edges;
        for (GroupId k : items_.ids()) {
            if (items_[k].gone) continue;
            for (NodeId operand : items_[k].inputs)
                for (GroupId owner : owners_[operand])
                    edges.emplace_back(position[final(owner)], position[k]);
        }
        const std::vector<int> order = topological_order(static_cast<int>(groups.size()), edges);
        ARETE_CHECK(order.size() == groups.size(), "fuse: groups need each other");
        f_.groups.clear();
        for (int k : order) f_.groups.push_back(std::move(groups[k]));
    }

    Fusion& f_;
    const Graph& g_;
    IdVector<GroupId, Item> items_;
    GroupOrder order_;
    std::unordered_set<std::uint64_t> tried_;        // pairs that were refused
    IdVector<NodeId, std::vector<GroupId>> owners_;  // the groups that store a node's results
    IdVector<NodeId, GroupId> seen_by_;  // the last group that was found to compute a node
    IdVector<NodeId, int> readers_of_;   // how many groups read it
};

}  // namespace

void merge_siblings(Fusion& fusion, std::span<const Expr> keep) {
    Merger(fusion, keep).run();
}

}  // namespace arete
