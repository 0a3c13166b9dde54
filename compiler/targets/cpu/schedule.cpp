// From a nest to its kernel: the choice of tiles and blocks, then the loops that they mean.
#include "compiler/targets/cpu/schedule.h"

#include "compiler/core/error.h"
#include "compiler/loops/math.h"
#include "compiler/targets/cpu/blocking.h"
#include "compiler/targets/cpu/emitter.h"
#include "compiler/targets/cpu/sequential.h"
#include "compiler/targets/cpu/split.h"

namespace arete {

using namespace loops;

namespace {

struct Plan {
    Tiling tiling;
    Blocking blocking;
};

// Tiles that are best in the nearest cache are not always so with the way there: the cheapest few
// are tried with the blocks that suit them, until the next would be dearer even without that way.
Plan plan(const Nest& nest, const Machine& machine) {
    constexpr std::size_t candidates = 8;
    const bool large = outgrows_nearest_cache(nest, machine);
    const Tilings tilings = choose_tiling(nest, machine, large ? candidates : 1);
    Plan out;
    for (const Tiling& t : tilings.plain) {
        if (&t != &tilings.plain.front() && t.cycles >= out.blocking.cycles) break;
        Plan p{t, choose_blocking(nest, t, machine)};
        if (&t == &tilings.plain.front() || p.blocking.cycles < out.blocking.cycles)
            out = std::move(p);
    }
    for (const Tiling& t : tilings.packed) {
        if (t.cycles >= out.blocking.cycles) break;
        const std::optional<Blocking> packed = choose_packing(nest, t, machine);
        if (packed && packed->cycles < out.blocking.cycles) out = {t, *packed};
    }
    return out;
}

}  // namespace

Kernel schedule(const Nest& nest, const Machine& machine, Var block) {
    if (nest.sequential) return schedule_sequential(collapse_axes(nest), machine);
    std::vector<Nest> parts{collapse_axes(machine.scales ? with_scale(nest) : nest)};
    std::vector<Plan> plans{plan(parts[0], machine)};
    if (auto split = split_remainder(parts[0], plans[0].tiling, machine)) {
        const Nest &main = split->first, &rest = split->second;
        const Plan a = plan(main, machine), b = plan(rest, machine);
        if (a.blocking.cycles + b.blocking.cycles < 0.95 * plans[0].blocking.cycles) {
            plans = {a, b};
            parts = {main, rest};
        }
    }
    Kernel kernel;
    std::string comment;
    for (std::size_t k = 0; k < parts.size(); ++k) {
        const auto& [tiling, blocking] = plans[k];
        kernel = Emitter(parts[k], tiling, blocking, machine, block, std::move(kernel)).run();
        if (k) comment += "; then ";
        comment += to_string(tiling, parts[k]);
        if (std::string blocks = to_string(blocking, parts[k]); !blocks.empty())
            comment += "; " + blocks;
    }
    kernel.comment = std::move(comment);
    return kernel;
}

double estimated_cycles(const Nest& nest, const Machine& machine) {
    return choose_tiling(collapse_axes(nest), machine).best().cycles;
}

}  // namespace arete
