#include "compiler/fuse/recompute.h"

#include <algorithm>

#include "compiler/graph/order.h"

namespace arete {

namespace {

using Load = KeepOrRecompute::Load;

bool loaded_in(const KeepOrRecompute::Value& v, int kernel) {
    return std::any_of(v.loads.begin(), v.loads.end(),
                       [&](const Load& l) { return l.kernel == kernel; });
}

// True where a kernel loads value i, which is not recomputed.
bool happens(const KeepOrRecompute& p, std::size_t i, const Load& l,
             const std::vector<char>& recomputed) {
    const std::vector<int>& readers = p.values[i].readers;
    return l.always || std::any_of(readers.begin(), readers.end(), [&](int u) {
               const auto k = static_cast<std::size_t>(u);
               return recomputed[k] && loaded_in(p.values[k], l.kernel);
           });
}

}  // namespace

int KeepOrRecompute::loads(std::size_t i, const std::vector<char>& recomputed) const {
    return static_cast<int>(
        std::count_if(values[i].loads.begin(), values[i].loads.end(),
                      [&](const Load& l) { return happens(*this, i, l, recomputed); }));
}

std::int64_t KeepOrRecompute::cost(const std::vector<char>& recomputed) const {
    std::int64_t total = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const KeepOrRecompute::Value& v = values[i];
        if (recomputed[i]) {
            total += v.given ? never : v.compute;
            continue;
        }
        for (const Load& l : v.loads)
            if (happens(*this, i, l, recomputed)) total += l.cost;
        if (!v.given && loads(i, recomputed) > 0) total += v.store;
    }
    return total;
}

std::vector<char> minimum_cost(const KeepOrRecompute& problem) {
    constexpr std::int64_t unbounded = std::int64_t{1} << 56;
    constexpr int source = 0, sink = 1;
    const std::vector<KeepOrRecompute::Value>& values = problem.values;
    const std::size_t n = values.size();
    int vertices = 2;
    std::vector<int> vertex;
    for (const KeepOrRecompute::Value& v : values) vertex.push_back(v.given ? source : vertices++);
    std::vector<CutEdge> edges;
    for (std::size_t i = 0; i < n; ++i) {
        const KeepOrRecompute::Value& v = values[i];
        if (!v.given) edges.push_back({source, vertex[i], v.compute});
        // What a value costs once any of these readers is recomputed.
        const auto shared = [&](std::int64_t cost, const auto& reads) {
            const int pulled = vertices++;
            edges.push_back({vertex[i], pulled, cost});
            for (int u : v.readers)
                if (reads(values[u])) edges.push_back({pulled, vertex[u], unbounded});
        };
        std::int64_t whatever = 0;
        bool always = false;
        for (const Load& l : v.loads) {
            always |= l.always;
            if (l.always)
                whatever += l.cost;
            else
                shared(l.cost,
                       [&](const KeepOrRecompute::Value& u) { return loaded_in(u, l.kernel); });
        }
        if (v.given) continue;
        if (always)
            whatever += v.store;
        else
            shared(v.store, [](const KeepOrRecompute::Value&) { return true; });
        if (whatever > 0) edges.push_back({vertex[i], sink, whatever});
    }
    const std::vector<char> cut = minimum_cut(vertices, edges, source, sink);
    std::vector<char> recomputed;
    for (std::size_t i = 0; i < n; ++i) recomputed.push_back(cut[vertex[i]]);
    return recomputed;
}

}  // namespace arete
