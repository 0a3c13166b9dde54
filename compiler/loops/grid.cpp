#include "compiler/loops/grid.h"

#include "compiler/core/cases.h"
#include "compiler/core/error.h"

namespace arete::loops {

namespace {

bool has_grid_barrier(const std::vector<Stmt>& body) {
    for (const Stmt& s : body) {
        if (const Barrier* b = s.get_if<Barrier>(); b && b->scope == Scope::Grid) return true;
        if (const Loop* l = s.get_if<Loop>(); l && has_grid_barrier(l->body)) return true;
        if (const If* i = s.get_if<If>(); i && has_grid_barrier(i->body)) return true;
    }
    return false;
}

}  // namespace

void Launch::set_block(std::int64_t number, IdSpan<Var, std::int64_t> vars) const {
    for (std::size_t d = 0; d < 3; ++d) {
        if (grid[d]) vars[grid[d]] = number % blocks[d];
        number /= blocks[d];
    }
}

void Launch::set_thread(std::int64_t number, IdSpan<Var, std::int64_t> vars) const {
    if (warp) vars[warp] = number % lanes;
    number /= lanes;
    for (std::size_t d = 0; d < 3; ++d) {
        const std::int64_t extent = d == 0 ? block_size[d] / lanes : block_size[d];
        if (block[d]) vars[block[d]] = number % extent;
        number /= extent;
    }
}

std::optional<Launch> launch(const Kernel& kernel) {
    Launch out;
    out.body = &kernel.body;
    bool any = false;
    while (out.body->size() == 1) {
        const Loop* l = out.body->front().get_if<Loop>();
        if (!l) break;
        const std::int64_t extent = kernel.extents[l->var];
        const auto d = static_cast<std::size_t>(l->dimension);
        if (l->kind == LoopKind::Grid) {
            out.grid.at(d) = l->var;
            out.blocks[d] = extent;
        } else if (l->kind == LoopKind::Block) {
            out.block.at(d) = l->var;
            out.block_size[d] = extent;
        } else if (l->kind == LoopKind::Warp) {
            out.warp = l->var;
            out.lanes = extent;
        } else {
            break;
        }
        any = true;
        out.body = &l->body;
    }
    if (!any) return std::nullopt;
    out.block_size[0] *= out.lanes;
    out.cooperative = has_grid_barrier(*out.body);
    for (const Buffer& b : kernel.buffers) {
        // Each begins where vectors of 16 bytes may.
        const std::int64_t bytes = b.elements() * static_cast<std::int64_t>(size_of(b.dtype));
        if (b.space == Space::Shared) out.shared_bytes += (bytes + 15) / 16 * 16;
    }
    return out;
}

}  // namespace arete::loops
