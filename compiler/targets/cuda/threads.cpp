// A thread for each iteration.
#include <algorithm>

#include "compiler/core/error.h"
#include "compiler/core/integers.h"
#include "compiler/targets/cuda/accumulators.h"
#include "compiler/targets/cuda/forms.h"

namespace arete::cuda {

namespace {

// The reduction, by one thread.
std::vector<Stmt> reduced(const Nest& nest, Kernel& k, Cloner& clone) {
    const std::int64_t count = reduced_elements(nest);
    const Chains chains = chains_of(nest, count, true);
    Accumulators acc(nest, k, chains);
    std::vector<Stmt> out = acc.start();
    const auto append = [&](std::vector<Stmt> more) {
        for (Stmt& s : more) out.push_back(std::move(s));
    };
    if (count > 0 && acc.in_chains()) {
        const std::int64_t parts = ceil_div(count, chains.length);
        const Var part = k.add_var("part", parts), step = k.add_var("step", chains.length);
        const Index at = Index::var(part) * chains.length + Index::var(step);
        spread(nest, nest.reduce_axes, at, k, clone.vars);
        std::vector<Stmt> body = acc.start_chain();
        body.push_back(
            Loop{step, LoopKind::Serial, guarded(below(k, at, count), acc.fold(clone, at))});
        for (Stmt& s : acc.end_chain()) body.push_back(std::move(s));
        append({Loop{part, LoopKind::Serial, std::move(body)}});
    } else if (count > 0) {
        Index at;
        std::vector<Var> loops;
        for (Var v : nest.reduce_axes) {
            loops.push_back(k.add_var(nest.var_names[v], nest.extents[v]));
            clone.vars[v] = Index::var(loops.back());
            at = at * nest.extents[v] + Index::var(loops.back());
        }
        std::vector<Stmt> body = acc.fold(clone, at);
        for (auto v = loops.rbegin(); v != loops.rend(); ++v) {
            Loop l{*v, chains.plain ? LoopKind::Unrolled : LoopKind::Serial, std::move(body)};
            body.clear();
            body.push_back(std::move(l));
        }
        append(std::move(body));
    }
    clone.accs = acc.results();
    return out;
}

}  // namespace

std::int64_t spread_iterations(const Nest& nest) {
    std::int64_t n = 1;
    for (Var v : nest.axes)
        if (independent(nest, v)) n *= nest.extents[v];
    return n;
}

Kernel thread_each(const Nest& nest, const Card& card, std::int64_t threads) {
    std::vector<Var> over, inside;
    for (Var v : nest.axes) (independent(nest, v) ? over : inside).push_back(v);
    over = coalesced(nest, over);
    const std::int64_t all = iterations(nest, over);
    if (threads == 0) threads = block_threads(all, card);
    Kernel k = kernel_for(nest, fmt::format("a thread for each of {} iterations", all));
    const Var block = k.add_var("block", ceil_div(all, threads)),
              thread = k.add_var("thread", threads);
    const Shape shape{block, {}, {}, thread, {}};
    if (iterations(nest, nest.axes) == 0) {
        set_body(k, shape, {});
        return k;
    }
    Cloner clone = cloner_for(nest, k);
    const Index at = Index::var(block) * threads + Index::var(thread);
    spread(nest, over, at, k, clone.vars);
    std::vector<Var> loops;
    for (Var v : inside) {
        loops.push_back(k.add_var(nest.var_names[v], nest.extents[v]));
        clone.vars[v] = Index::var(loops.back());
    }
    std::vector<Stmt> body;
    if (!nest.accumulators.empty()) body = reduced(nest, k, clone);
    for (Stmt& s : results(nest, clone)) body.push_back(std::move(s));
    for (auto v = loops.rbegin(); v != loops.rend(); ++v) {
        Loop l{*v, LoopKind::Serial, std::move(body)};
        body.clear();
        body.push_back(std::move(l));
    }
    set_body(k, shape, guarded(below(k, at, all), std::move(body)));
    return k;
}

}  // namespace arete::cuda
