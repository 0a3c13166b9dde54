// Threads of a block that share a reduction.
#include <algorithm>

#include "compiler/core/error.h"
#include "compiler/core/integers.h"
#include "compiler/targets/cuda/accumulators.h"
#include "compiler/targets/cuda/forms.h"

namespace arete::cuda {

Kernel thread_team(const Nest& nest, const Team& team) {
    const std::vector<Var> axes = coalesced(nest, nest.axes);
    const std::int64_t all = iterations(nest, axes), count = reduced_elements(nest);
    const std::int64_t blocks = ceil_div(all, team.outputs), steps = ceil_div(count, team.members);
    Kernel k = kernel_for(nest, fmt::format("{} threads for each of {} iterations, {} of these in "
                                            "a block, neighbours along the {}",
                                            team.members, all, team.outputs,
                                            team.outputs_first ? "results" : "reduction"));
    const Var block = k.add_var("block", blocks), member = k.add_var("member", team.members),
              output = k.add_var("output", team.outputs);
    const Shape shape{
        block, {}, {}, team.outputs_first ? output : member, team.outputs_first ? member : output};
    if (all == 0) {
        set_body(k, shape, {});
        return k;
    }
    Cloner clone = cloner_for(nest, k);
    const Index result = Index::var(block) * team.outputs + Index::var(output);
    spread(nest, axes, result, k, clone.vars);
    const Value inside = below(k, result, all);

    // Each member takes every so manieth element.
    const Chains chains = chains_of(nest, std::max<std::int64_t>(steps, 1), false);
    Accumulators acc(nest, k, chains);
    std::vector<Stmt> body = acc.start();
    const auto append = [&](std::vector<Stmt> more) {
        for (Stmt& s : more) body.push_back(std::move(s));
    };
    if (count > 0) {
        const bool parts = acc.in_chains();
        const Var part = parts ? k.add_var("part", ceil_div(steps, chains.length)) : Var(),
                  step = k.add_var("step", parts ? chains.length : steps);
        Index number = Index::var(step);
        if (parts) number = number + Index::var(part) * chains.length;
        const Index at = number * team.members + Index::var(member);
        spread(nest, nest.reduce_axes, at, k, clone.vars);
        std::vector<Stmt> one = guarded(both(inside, below(k, at, count)), acc.fold(clone, at));
        std::vector<Stmt> loop;
        if (parts) loop = acc.start_chain();
        loop.push_back(Loop{step, LoopKind::Serial, std::move(one)});
        if (parts) {
            for (Stmt& s : acc.end_chain()) loop.push_back(std::move(s));
            Loop l{part, LoopKind::Serial, std::move(loop)};
            loop.clear();
            loop.push_back(std::move(l));
        }
        append(std::move(loop));
    }

    // A tree: half of the members, then a quarter, ... take what another one has found.
    const std::int64_t to_next = team.outputs_first ? team.outputs : 1;
    const Index own = team.outputs_first ? Index::var(member) * team.outputs + Index::var(output)
                                         : Index::var(output) * team.members + Index::var(member);
    append(acc.share(team.members * team.outputs, own));
    for (std::int64_t distance = team.members / 2; distance >= 1; distance /= 2) {
        append({Barrier{Scope::Block}});
        append(guarded(below(k, Index::var(member), distance),
                       acc.fold_shared(own, own + Index(distance * to_next))));
    }
    clone.accs = acc.shared_results(own);
    append(guarded(both(below(k, Index::var(member), 1), inside), results(nest, clone)));
    set_body(k, shape, std::move(body));
    return k;
}

}  // namespace arete::cuda
