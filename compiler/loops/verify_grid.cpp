// Well-formedness of kernels for GPUs.
#include <algorithm>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/loops/grid.h"

namespace arete::loops {

namespace {

constexpr std::string_view dimensions[] = {"x", "y", "z"};

bool is_head(const Stmt& s) {
    const Loop* l = s.get_if<Loop>();
    return l &&
           (l->kind == LoopKind::Grid || l->kind == LoopKind::Block || l->kind == LoopKind::Warp);
}

class GridVerifier {
  public:
    GridVerifier(const Kernel& k, const GridLimits& limits) : k_(k), limits_(limits) {}

    void run() {
        const std::vector<Stmt>* body = &k_.body;
        while (body->size() == 1 && is_head(body->front())) {
            const Stmt& s = body->front();
            head(s, *s.get_if<Loop>());
            body = &s.get_if<Loop>()->body;
        }
        const std::optional<Launch> launch = loops::launch(k_);
        threads_ = !block_.empty() || !warp_.empty();
        for (const Buffer& b : k_.buffers) {
            if (b.space != Space::Shared) continue;
            ARETE_CHECK(threads_, "{}: shared '{}' in a kernel without block loops", k_.name,
                        b.name);
            ARETE_CHECK(b.elements() > 0, "{}: shared '{}' without elements", k_.name, b.name);
        }
        if (launch) fits(*launch);
        statements(*body, launch.has_value());
    }

  private:
    // Loops of the head come in the order of their kinds, each dimension once.
    void head(const Stmt& s, const Loop& l) {
        ARETE_CHECK(
            l.dimension >= 0 && l.dimension < 3 && (l.kind != LoopKind::Warp || l.dimension == 0),
            "{}: {} has no dimension {}", k_.name, kind_of(l), l.dimension);
        for (const Stmt* outer : head_) {
            const Loop& o = *outer->get_if<Loop>();
            ARETE_CHECK(o.kind < l.kind || (o.kind == l.kind && o.dimension != l.dimension),
                        "{}: '{}' inside of '{}'", k_.name, line_of(k_, s), line_of(k_, *outer));
        }
        head_.push_back(&s);
        (l.kind == LoopKind::Grid    ? grid_
         : l.kind == LoopKind::Block ? block_
                                     : warp_)
            .push_back(l.var);
    }

    static std::string_view kind_of(const Loop& l) {
        return l.kind == LoopKind::Grid ? "grid" : l.kind == LoopKind::Block ? "block" : "warp";
    }

    void fits(const Launch& l) const {
        for (std::size_t d = 0; d < 3; ++d) {
            ARETE_CHECK(l.blocks[d] <= limits_.blocks[d], "{}: {} blocks in {}, at most {}",
                        k_.name, l.blocks[d], dimensions[d], limits_.blocks[d]);
            ARETE_CHECK(l.block_size[d] > 0 && l.block_size[d] <= limits_.block[d],
                        "{}: {} threads in {}, at most {}", k_.name, l.block_size[d], dimensions[d],
                        limits_.block[d]);
        }
        ARETE_CHECK(l.thread_count() <= limits_.threads, "{}: {} threads in a block, at most {}",
                    k_.name, l.thread_count(), limits_.threads);
        ARETE_CHECK(!l.warp || l.lanes == limits_.warp, "{}: a warp of {} threads instead of {}",
                    k_.name, l.lanes, limits_.warp);
        ARETE_CHECK(l.shared_bytes <= limits_.shared_bytes,
                    "{}: {} bytes of shared memory, at most {}", k_.name, l.shared_bytes,
                    limits_.shared_bytes);
    }

    void statements(const std::vector<Stmt>& body, bool in_grid) {
        for (const Stmt& s : body) {
            around_.push_back(&s);
            std::visit(Cases{[&](const Loop& l) { loop(s, l, in_grid); },
                             [&](const If& i) { statements(i.body, in_grid); },
                             [&](const Barrier& b) { barrier(s, b); }, [](const StoreTo&) {},
                             [](const CheckThat&) {}, [](const FoldLanes&) {},
                             [](const PrefetchAt&) {}, [](const TransposeTile&) {}},
                       s);
            around_.pop_back();
        }
    }

    void loop(const Stmt& s, const Loop& l, bool in_grid) {
        ARETE_CHECK(
            !is_head(s),
            "{}: '{}' is not at the head of the kernel, where the loops of a grid are alone",
            k_.name, line_of(k_, s));
        ARETE_CHECK(!in_grid || l.kind != LoopKind::Parallel, "{}: '{}' in a grid", k_.name,
                    line_of(k_, s));
        for (const auto* vars : {&grid_, &block_, &warp_})
            ARETE_CHECK(std::find(vars->begin(), vars->end(), l.var) == vars->end(),
                        "{}: '{}' over a variable of the grid", k_.name, line_of(k_, s));
        statements(l.body, in_grid);
    }

    // All threads of the scope must come to it, and as often. Loops have constant extents, so only
    // conditions tell threads apart.
    void barrier(const Stmt& s, const Barrier& b) const {
        const bool there = b.scope == Scope::Grid    ? !grid_.empty()
                           : b.scope == Scope::Block ? threads_
                                                     : !warp_.empty();
        ARETE_CHECK(there, "{}: '{}' in a kernel without {} loops", k_.name, line_of(k_, s),
                    name(b.scope));
        for (const Stmt* outer : around_) {
            if (const Loop* l = outer->get_if<Loop>())
                ARETE_CHECK(l->kind != LoopKind::Vector, "{}: '{}' in '{}'", k_.name,
                            line_of(k_, s), line_of(k_, *outer));
            if (const If* i = outer->get_if<If>())
                ARETE_CHECK(uniform(i->condition, b.scope),
                            "{}: '{}' under '{}', which threads of the {} may answer differently",
                            k_.name, line_of(k_, s), line_of(k_, *outer), name(b.scope));
        }
    }

    // Is the value the same for all threads of the scope? What others can write is when they read
    // it at one place, for the conflicts between threads are found elsewhere.
    bool uniform(ValueId id, Scope scope) const {
        std::vector<Var> differ = warp_;
        if (scope != Scope::Warp) differ.insert(differ.end(), block_.begin(), block_.end());
        if (scope == Scope::Grid) differ.insert(differ.end(), grid_.begin(), grid_.end());
        for (ValueId v : needed(k_, {&id, 1})) {
            const Instr& i = k_.values[v];
            for (Var d : differ)
                if (i.index.uses(d)) return false;
            if (i.op != Op::Load && i.op != Op::LoadIf) continue;
            switch (k_.buffers[i.buffer].space) {
                case Space::Parameter: break;
                case Space::Shared:
                    if (scope == Scope::Grid) return false;
                    break;
                case Space::Private:
                case Space::Register: return false;
            }
        }
        return true;
    }

    const Kernel& k_;
    const GridLimits& limits_;
    std::vector<const Stmt*> head_;
    std::vector<Var> grid_, block_, warp_;
    bool threads_ = false;
    std::vector<const Stmt*> around_;  // the statement and those around it
};

}  // namespace

void verify_grid(const Kernel& kernel, const GridLimits& limits) {
    GridVerifier(kernel, limits).run();
}

}  // namespace arete::loops
