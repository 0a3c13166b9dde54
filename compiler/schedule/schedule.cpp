// From a nest to its kernel: the choice of tiles and blocks, then the loops that they mean.
#include "compiler/schedule/schedule.h"

#include "compiler/core/error.h"
#include "compiler/schedule/blocking.h"
#include "compiler/schedule/emitter.h"
#include "compiler/schedule/split.h"

namespace arete {

using namespace loops;

namespace {

struct Plan {
    Tiling tiling;
    Blocking blocking;
};

Plan plan(const Nest& nest, const Tilings& tilings, const Machine& machine) {
    Plan out{tilings.plain, choose_blocking(nest, tilings.plain, machine)};
    if (tilings.packed)
        if (std::optional<Blocking> packed = choose_packing(nest, *tilings.packed, machine);
            packed && packed->cycles < out.blocking.cycles)
            out = {*tilings.packed, *packed};
    return out;
}

}  // namespace

Kernel schedule(const Nest& nest, const Machine& machine, Var block) {
    if (nest.sequential) return naive(nest);
    std::vector<Nest> parts{collapse_axes(nest)};
    std::vector<Plan> plans{plan(parts[0], choose_tiling(parts[0], machine), machine)};
    if (auto split = split_remainder(parts[0], plans[0].tiling, machine)) {
        const Nest &main = split->first, &rest = split->second;
        const Plan a = plan(main, choose_tiling(main, machine), machine),
                   b = plan(rest, choose_tiling(rest, machine), machine);
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
