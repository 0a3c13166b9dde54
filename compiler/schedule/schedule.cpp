// From a nest to its kernel: the choice of tiles and blocks, then the loops that they mean.
#include "compiler/schedule/schedule.h"

#include "compiler/core/error.h"
#include "compiler/schedule/blocking.h"
#include "compiler/schedule/emitter.h"

namespace arete {

using namespace loops;

Kernel schedule(const Nest& nest, const Machine& machine, Var block) {
    if (nest.sequential) return naive(nest);
    Nest flat = collapse_axes(nest);
    const Tilings tilings = choose_tiling(flat, machine);
    Tiling tiling = tilings.plain;
    Blocking blocking = choose_blocking(flat, tiling, machine);
    if (tilings.packed)
        if (std::optional<Blocking> packed = choose_packing(flat, *tilings.packed, machine);
            packed && packed->cycles < blocking.cycles) {
            tiling = *tilings.packed;
            blocking = *packed;
        }
    Kernel kernel = Emitter(flat, tiling, blocking, machine, block).run();
    kernel.comment = to_string(tiling, flat);
    if (std::string blocks = to_string(blocking, flat); !blocks.empty())
        kernel.comment += "; " + blocks;
    return kernel;
}

double estimated_cycles(const Nest& nest, const Machine& machine) {
    return choose_tiling(collapse_axes(nest), machine).best().cycles;
}

}  // namespace arete
