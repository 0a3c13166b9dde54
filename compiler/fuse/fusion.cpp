#include "compiler/fuse/fusion.h"

#include <algorithm>
#include <unordered_map>

#include "compiler/fuse/costs.h"
#include "compiler/fuse/evaluations.h"
#include "compiler/fuse/lower.h"
#include "compiler/fuse/recompute.h"
#include "compiler/fuse/siblings.h"
#include "compiler/ops/leaves.h"

namespace arete {

namespace {

// In a round the kernels are fixed: stored values, and reductions, which are computed once wherever
// they end up. Each other value is read by the kernels that it reaches through values that are not
// stored. What one kernel needs once an element is part of it; the rest is a problem of
// keeping or recomputing. What that stores are further kernels in the next round; in the last round
// nothing is stored any more.
class Fuser {
  public:
    Fuser(const Graph& graph, std::span<const Expr> keep, const FusionCosts& costs)
        : graph_(graph), costs_(costs) {
        const std::size_t n = graph.size();
        out_.graph = &graph;
        out_.is_stored.assign(n, 0);
        out_.reasons.resize(n);
        kept_.assign(n, 0);
        joins_.assign(n, 0);
        straight_.assign(n, 0);
        reduction_of_.resize(n);
        readers_.resize(n);
        value_of_.assign(n, -1);
        for (const auto& node : graph.nodes()) {
            elements_.push_back(elements(*node));
            iterations_.push_back(iterations(*node));
        }
        for (const Expr& e : keep) kept_[graph.id(e)] = 1;
    }

    Fusion run() {
        store_always();
        do {
            stored_now_ = 0;
            find_readers();
            for (const std::vector<NodeId>& region : regions()) decide_in_windows(region);
        } while (stored_now_ > 0);
        for (NodeId i : graph_.ids())
            if (!node(i).is_leaf() && stored(i)) add_groups(i);
        return std::move(out_);
    }

  private:
    // How often a kernel evaluates a value.
    struct Reader {
        NodeId kernel;  // the node that it stores
        std::int64_t evaluations;
    };

    // One group for each result, or one for all that a step of its own has.
    void add_groups(NodeId i) {
        std::vector<Expr> results = outputs_of(graph_.nodes()[i]);
        if (is(i, Trait::Step)) return out_.groups.push_back({std::move(results)});
        for (Expr& e : results) out_.groups.push_back({{std::move(e)}});
    }

    const Node& node(NodeId i) const { return *graph_.nodes()[i]; }
    bool is(NodeId i, Trait t) const { return node(i).op->has(t); }
    bool stored(NodeId i) const { return out_.is_stored[i] != 0; }
    // What is read by a kernel whatever else holds.
    bool is_kernel(NodeId i) const { return stored(i) || is(i, Trait::Reduces); }
    // In memory, or an address of what is.
    bool given(NodeId i) const { return stored(i) || (is(i, Trait::View) && joins_[i]); }
    bool uniform(const Expr& e) const { return is_constant_scalar(e); }

    void store(NodeId i, std::string reason) {
        out_.is_stored[i] = 1;
        out_.reasons[i] = std::move(reason);
        ++stored_now_;
    }

    // The boundaries that no cost can move.
    void store_always() {
        // In a kernel of their own random numbers are made four from a block; unless so many that
        // memory would cost more.
        constexpr std::int64_t most_drawn = std::int64_t{1} << 20;
        const IdVector<NodeId, char> places = read_in_scatters(graph_);
        IdVector<NodeId, int> depth(
            graph_.size());  // nodes between a value and its kernel's result
        for (NodeId i : graph_.ids().reversed()) {
            const Node& n = node(i);
            if (n.is_leaf()) {
                out_.is_stored[i] = 1;
                continue;
            }
            for (NodeId u : graph_.users(i)) depth[i] = std::max(depth[i], depth[u] + 1);
            const auto scatter =
                std::find_if(graph_.users(i).begin(), graph_.users(i).end(), [&](NodeId u) {
                    return is(u, Trait::Step) || (is(u, Trait::Scatters) && !places[i]);
                });
            if (kept_[i])
                store(i, "result of the function");
            else if (is(i, Trait::Checks))
                store(i, "checked before it is used");
            else if (is(i, Trait::Scatters))
                store(i, "scatter");
            else if (is(i, Trait::Step))
                store(i, "a step of its own");
            else if (by_pieces(n))
                store(i, fmt::format("made of {} pieces", n.inputs.size()));
            else if (is(i, Trait::Stored))
                store(i, "for the order of its elements");
            else if (n.types.size() > 1)
                store(i, "several results");
            else if (scatter != graph_.users(i).end())
                store(i, fmt::format("read by {}", node(*scatter).op->name));
            else if (is(i, Trait::Random) && elements_[i] <= most_drawn)
                store(i, "random numbers");
            else if (depth[i] > Bounds::depth * (is(i, Trait::View) ? 2 : 1) &&
                     !is(i, Trait::Reduces))
                // What walks a kernel's nodes may be recursive. Views go on for a while.
                store(i, "the kernel that reads it is long enough");
            if (is_kernel(i)) depth[i] = 0;
        }
    }

    void add_reader(NodeId i, Reader r) {
        std::vector<Reader>& all = readers_[i];
        auto it =
            std::lower_bound(all.begin(), all.end(), r.kernel,
                             [](const Reader& a, NodeId kernel) { return a.kernel < kernel; });
        if (it == all.end() || it->kernel != r.kernel)
            all.insert(it, r);
        else
            it->evaluations = std::max(it->evaluations, r.evaluations);
    }

    // What no cost may decide: kernels stay of a size that compiles quickly, and no value is
    // computed often. All readers of node i have been visited.
    void bound(NodeId i, Evaluations& evaluations) {
        if (is(i, Trait::Reduces)) return;  // is computed once in any case
        if (is(i, Trait::View)) {
            if (evaluations.long_address(i, Bounds::address_terms))
                store(i, "its address would be long");
            return;
        }
        const std::int64_t own = costs_.instructions(node(i));
        std::int64_t all = 0;
        bool full = false;
        for (const Evaluations::Need& need : evaluations.needs(i)) {
            if (need.places > Bounds::in_one_kernel) {
                store(i, fmt::format("%{} = {} reads it at {} places", need.result,
                                     node(need.result).op->name, need.places));
                return;
            }
            all += need.places;
            full = full || instructions_[need.kernel] + own * need.places > Bounds::instructions;
        }
        if (all > Bounds::in_all_kernels) {
            store(i, fmt::format("kernels would compute it {} times", all));
        } else if (full) {
            store(i, "the kernel that reads it is long enough");
        } else {
            for (const Evaluations::Need& need : evaluations.needs(i))
                instructions_[need.kernel] += own * need.places;
        }
    }

    // The kernels that read each value, and what is part of its only reader's kernel.
    void find_readers() {
        Evaluations evaluations(graph_);
        std::fill(reduction_of_.begin(), reduction_of_.end(), NodeId());
        instructions_.clear();
        for (NodeId i : graph_.ids().reversed()) {
            joins_[i] = straight_[i] = 0;
            readers_[i].clear();
            if (!stored(i)) bound(i, evaluations);
            if (stored(i)) {
                straight_[i] = !node(i).is_leaf() && one_to_one(i);
                if (!node(i).is_leaf()) start(i, evaluations);
                continue;
            }
            bool alone = true, straight = true;
            for (NodeId u : graph_.users(i)) {
                if (is_kernel(u))
                    add_reader(i, {u, iterations_[u]});
                else
                    for (const Reader& r : readers_[u])
                        add_reader(i, {r.kernel, iterations_[r.kernel]});
                alone &= is_kernel(u) || joins_[u];
                straight &= straight_[u] && elements_[u] == elements_[i];
            }
            std::vector<Reader>& readers = readers_[i];
            count_evaluations(readers, evaluations.needs(i));
            if (is(i, Trait::Reduces))
                start(i, evaluations);
            else
                evaluations.pass_on(i);
            straight_[i] = straight && one_to_one(i);
            if (!alone || readers.size() != 1) continue;
            const Reader& r = readers[0];
            if (is(i, Trait::Reduces)) {
                NodeId& taken = reduction_of_[r.kernel];
                if (!straight || is(r.kernel, Trait::Reduces) || taken) continue;
                taken = i;
                joins_[i] = 1;
            } else {
                joins_[i] = is(i, Trait::View) || r.evaluations <= elements_[i];
            }
        }
        for (NodeId i : graph_.ids()) {
            const Node& n = *graph_.nodes()[i];
            if (!n.is_leaf() && n.op->has(Trait::View) && !out_.is_stored[i])
                joins_[i] |= std::all_of(n.inputs.begin(), n.inputs.end(),
                                         [&](const Expr& e) { return given(graph_.id(e)); });
        }
    }

    void start(NodeId i, Evaluations& evaluations) {
        evaluations.start(i);
        if (!by_pieces(node(i)) && !is(i, Trait::Step))
            instructions_[Evaluations::kernel_of(i)] += costs_.instructions(node(i));
    }

    void count_evaluations(std::vector<Reader>& readers,
                           const std::vector<Evaluations::Need>& needs) const {
        std::unordered_map<NodeId, std::int64_t> by_result;
        for (const Evaluations::Need& need : needs)
            by_result[need.result] +=
                need.places * (need.iterations < 0 ? iterations_[need.result] : need.iterations);
        for (Reader& r : readers)
            if (const auto at = by_result.find(r.kernel); at != by_result.end())
                r.evaluations = at->second;
    }

    // Work after a reduction that can follow it in its kernel.
    bool one_to_one(NodeId i) const {
        return !is(i, Trait::Reduces) && (def(node(i)).scalar || is(i, Trait::Alias));
    }

    // What is to be decided, in parts that do not depend on each other.
    std::vector<std::vector<NodeId>> regions() {
        const IdRange<NodeId> all = graph_.ids();
        IdVector<NodeId, NodeId> leader(all.begin(), all.end());
        const auto find = [&](NodeId i) {
            while (leader[i] != i) i = leader[i] = leader[leader[i]];
            return i;
        };
        const auto open = [&](NodeId i) { return !stored(i) && !joins_[i]; };
        for (NodeId i : graph_.ids())
            if (open(i))
                for (NodeId u : graph_.users(i))
                    if (open(u) && !is(u, Trait::Reduces)) leader[find(u)] = find(i);
        std::vector<std::vector<NodeId>> out;
        IdVector<NodeId, int> number(graph_.size(), -1);
        for (NodeId i : graph_.ids()) {
            if (!open(i)) continue;
            int& k = number[find(i)];
            if (k < 0) {
                k = static_cast<int>(out.size());
                out.emplace_back();
            }
            out[k].push_back(i);
        }
        return out;
    }

    // Evaluations of a value by a kernel that runs: a single number is computed before the loops.
    std::int64_t evaluated(NodeId i, const Reader& r) const {
        return elements_[i] == 1 ? 1 : r.evaluations;
    }

    // Arithmetic of a kernel that recomputes a value. A contraction's loops are full of its own
    // arithmetic, and work on an operand there keeps it from the best of register tiles: twice as
    // much.
    std::int64_t compute_cost(NodeId i, const Reader& r) {
        const bool often = is(r.kernel, Trait::Reduces) && r.evaluations > elements_[i];
        return costs_.work(node(i)) * evaluated(i, r) * (often ? 2 : 1);
    }

    std::int64_t load_cost(NodeId i, const Reader& r) const {
        return costs_.move(node(i), std::min(elements_[i], r.evaluations), rows(i)) +
               costs_.load(node(i)) * evaluated(i, r);
    }

    // Rows along the first axis, where every kernel that reads value i works row by row and reads
    // each element once: what makes a row can hand it on then, as softmax does its exponentials.
    std::int64_t rows(NodeId i) const {
        const Node& n = node(i);
        if (!def(n).scalar || n.types[0].rank() < 2 || readers_[i].empty()) return 1;
        const Dim& first = n.types[0].shape[0];
        const auto by_rows = [&](const Reader& r) {
            const Node& k = node(r.kernel);
            const Shape& shape = k.types[0].shape;
            if (r.evaluations != elements_[i] || shape.empty() || !(shape[0] == first))
                return false;
            if (!k.op->has(Trait::Reduces)) return shape == n.types[0].shape;
            return k.op->has(Trait::Fold) && iterations_[r.kernel] == elements_[i];
        };
        const std::vector<Reader>& all = readers_[i];
        return std::all_of(all.begin(), all.end(), by_rows)
                   ? std::max<std::int64_t>(1, first.value())
                   : 1;
    }

    // What a kernel of its own would cost that stores value i.
    std::int64_t store_cost(NodeId i) {
        if (is(i, Trait::View)) return KeepOrRecompute::never;
        const std::int64_t own = elements_[i];
        std::int64_t total = costs_.nest() + costs_.move(node(i), own, rows(i));
        if (is(i, Trait::Reduces)) return total;  // is computed once in any case
        constexpr std::size_t most = 64;
        std::vector<NodeId> seen{i};
        for (std::size_t k = 0; k < seen.size() && seen.size() < most; ++k) {
            if (k > 0 && is(seen[k], Trait::Reduces)) continue;
            if (k > 0 && given(seen[k])) {
                total += load_cost(seen[k], {i, own});
                continue;
            }
            total += compute_cost(seen[k], {i, own});
            for (const Expr& e : node(seen[k]).inputs) {
                const NodeId id = graph_.id(e);
                if (!uniform(e) && std::find(seen.begin(), seen.end(), id) == seen.end())
                    seen.push_back(id);
            }
        }
        return total;
    }

    bool always_reads(const Reader& r, NodeId i) const {
        return std::any_of(graph_.users(i).begin(), graph_.users(i).end(), [&](NodeId u) {
            if (is_kernel(u)) return u == r.kernel;
            return (joins_[u] || (windows_ && value_of_[u] < 0)) &&
                   std::any_of(readers_[u].begin(), readers_[u].end(),
                               [&](const Reader& of) { return of.kernel == r.kernel; });
        });
    }

    // A cut of very many values is taken in parts, from the results' side: what one of them stores
    // changes who reads the values below, which are decided in the next round then.
    void decide_in_windows(const std::vector<NodeId>& region) {
        constexpr std::size_t most = 100;
        windows_ = region.size() > most;
        const int before = stored_now_;
        for (std::size_t end = region.size(); end > 0 && stored_now_ == before;) {
            const std::size_t begin = end - std::min(end, most);
            decide(std::span<const NodeId>(region).subspan(begin, end - begin));
            end = begin;
        }
        windows_ = false;
    }

    void decide(std::span<const NodeId> region) {
        KeepOrRecompute problem;
        std::vector<NodeId> ids;
        std::vector<std::vector<Reader>> readers;
        const auto add = [&](NodeId i, bool is_given) {
            value_of_[i] = static_cast<int>(ids.size());
            ids.push_back(i);
            problem.values.emplace_back().given = is_given;
        };
        for (NodeId i : region) add(i, false);
        const std::size_t open = ids.size();
        for (std::size_t k = 0; k < open; ++k) {
            const NodeId i = ids[k];
            KeepOrRecompute::Value v;
            v.store = store_cost(i);
            for (const Reader& r : readers_[i]) {
                v.loads.push_back({r.kernel.number(), load_cost(i, r), always_reads(r, i)});
                v.compute += is(i, Trait::Reduces) ? KeepOrRecompute::never : compute_cost(i, r);
            }
            v.compute = std::min(v.compute, KeepOrRecompute::never);
            v.readers = std::move(problem.values[k].readers);
            problem.values[k] = std::move(v);
            if (is(i, Trait::Reduces)) continue;
            for (const Expr& e : node(i).inputs) {
                const NodeId x = graph_.id(e);
                if (uniform(e)) continue;
                if (value_of_[x] < 0) add(x, true);
                problem.values[value_of_[x]].readers.push_back(static_cast<int>(k));
            }
        }
        for (std::size_t k = open; k < ids.size(); ++k) load_given(problem, k, ids);
        const std::vector<char> recomputed = minimum_cost(problem);
        const std::int64_t least = problem.cost(recomputed);
        for (std::size_t k = 0; k < open; ++k)
            if (!recomputed[k] && problem.loads(k, recomputed) > 0)
                store(ids[k], reason(problem, k, recomputed, least, ids[k]));
        for (NodeId i : ids) value_of_[i] = -1;
    }

    // Kernels that would load a given value only for what they recompute.
    void load_given(KeepOrRecompute& problem, std::size_t k, const std::vector<NodeId>& ids) {
        constexpr std::size_t most_users = 64;
        KeepOrRecompute::Value& v = problem.values[k];
        const NodeId i = ids[k];
        std::vector<Reader> all;
        for (int reader : v.readers)
            for (const Reader& r : readers_[ids[reader]]) all.push_back(r);
        std::sort(all.begin(), all.end(), [](const Reader& a, const Reader& b) {
            return a.kernel != b.kernel ? a.kernel < b.kernel : a.evaluations > b.evaluations;
        });
        for (const Reader& r : all)
            if (v.loads.empty() || v.loads.back().kernel != r.kernel.number())
                v.loads.push_back({r.kernel.number(), load_cost(i, r),
                                   graph_.users(i).size() <= most_users && always_reads(r, i)});
    }

    std::string reason(const KeepOrRecompute& problem, std::size_t k, std::vector<char> choice,
                       std::int64_t least, NodeId i) const {
        if (is(i, Trait::Reduces)) return why_apart(i);
        const Reader& r = readers_[i][0];
        int loads = problem.loads(k, choice);
        for (int u : problem.values[k].readers) loads += !choice[u];
        std::string text = fmt::format("{} kernels read it", loads);
        if (loads == 1 && r.evaluations > elements_[i])
            text = fmt::format("%{} = {} reads each element {:.3g} times", r.kernel,
                               node(r.kernel).op->name,
                               static_cast<double>(r.evaluations) /
                                   static_cast<double>(std::max<std::int64_t>(1, elements_[i])));
        choice[k] = 1;
        const std::int64_t saved = problem.cost(choice) - least;
        return saved >= KeepOrRecompute::never / 2
                   ? text
                   : fmt::format("{}; saves {} bytes over computing it there", text, saved);
    }

    // Why a reduction is not part of its reader's kernel.
    std::string why_apart(NodeId i) const {
        const std::vector<NodeId>& users = graph_.users(i);
        if (readers_[i].size() > 1)
            return fmt::format("reduction that {} kernels read", readers_[i].size());
        for (NodeId u : users) {
            if (is(u, Trait::Reduces) || is(u, Trait::Scatters) || is(u, Trait::Checks))
                return fmt::format("reduction read by %{} = {}", u, node(u).op->name);
            if (is(u, Trait::View) && !is(u, Trait::Alias))
                return fmt::format("reduction read through %{} = {}", u, node(u).op->name);
            if (elements_[u] != elements_[i]) return "reduction whose reader broadcasts it";
        }
        if (reduction_of_[readers_[i][0].kernel])
            return "the kernel that reads it has a reduction already";
        return "reduction whose reader is not computed with it";
    }

    const Graph& graph_;
    Fusion out_;
    Costs costs_;
    int stored_now_ = 0;
    bool windows_ = false;  // values above those that are decided are computed by their readers
    IdVector<NodeId, char> kept_;
    IdVector<NodeId, char> joins_;     // part of its only reader's kernel, or an address
    IdVector<NodeId, char> straight_;  // keeps elements one to one up to the kernel's result
    IdVector<NodeId, NodeId> reduction_of_;
    IdVector<NodeId, int> value_of_;
    std::unordered_map<Evaluations::KernelId, std::int64_t> instructions_;  // of one iteration
    IdVector<NodeId, std::int64_t> elements_, iterations_;
    IdVector<NodeId, std::vector<Reader>> readers_;  // by kernel
};

}  // namespace

bool Fusion::stored(const Expr& e) const {
    return is_stored[graph->id(e)] != 0;
}

IdVector<NodeId, char> read_in_scatters(const Graph& graph) {
    IdVector<NodeId, char> out(graph.size(), 0);
    for (NodeId i : graph.ids()) {
        const Node& n = *graph.nodes()[i];
        if (n.is_leaf() || n.types.size() != 1) continue;
        const bool view = n.op->has(Trait::View), integers = n.types[0].dtype == DType::I64;
        if (n.inputs.empty()) {
            out[i] = integers && def(n).lower && !n.op->has(Trait::Random);
            continue;
        }
        if (!view && !(def(n).scalar && integers)) continue;
        out[i] = std::all_of(n.inputs.begin(), n.inputs.end(), [&](const Expr& e) {
            const bool one = count(concrete(e.shape())) == 1;
            const bool loaded = e.node().is_leaf() || e.node().op->has(Trait::Checks);
            return out[graph.id(e)] || (one && loaded);
        });
    }
    // What a scatter writes to a copy of is in memory.
    for (const auto& n : graph.nodes()) {
        if (!n->op->has(Trait::Scatters)) continue;
        const Expr root(n);
        const LoweredNest alone =
            lower_nest({&root, 1}, [](const Expr&) { return true; }, std::string(n->op->name));
        if (!alone.onto.empty()) out[graph.id(alone.onto)] = 0;
    }
    return out;
}

Fusion choose_stored(const Graph& graph, std::span<const Expr> keep, const FusionCosts& costs) {
    return Fuser(graph, keep, costs).run();
}

Fusion fuse(const Graph& graph, std::span<const Expr> keep, const FusionCosts& costs) {
    Fusion out = choose_stored(graph, keep, costs);
    merge_siblings(out, keep);
    return out;
}

}  // namespace arete
