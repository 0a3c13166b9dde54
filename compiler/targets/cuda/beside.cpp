#include "compiler/targets/cuda/beside.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/core/integers.h"
#include "compiler/loops/collapse.h"
#include "compiler/program/dependences.h"
#include "compiler/program/merge.h"
#include "compiler/targets/cuda/schedule.h"

namespace arete::cuda {

namespace {

// Parameters of a launch have 4 KB.
constexpr std::size_t most_parameters = 60;
constexpr double little_us = 0.3;

bool has_barrier(const std::vector<Stmt>& body) {
    return std::any_of(body.begin(), body.end(), [](const Stmt& s) {
        if (s.get_if<Barrier>()) return true;
        if (const auto* l = s.get_if<Loop>()) return has_barrier(l->body);
        if (const auto* i = s.get_if<If>()) return has_barrier(i->body);
        return false;
    });
}

// Puts kernels for grids into one, part after part of its blocks.
class Merger {
  public:
    Merger(const KernelStep& step, const Program& program, std::int64_t threads,
           std::int64_t blocks)
        : step_(step), threads_(threads) {
        k_.name = step.name();
        for (SlotId slot : step.slots) {
            const Slot& s = program.slots[slot];
            k_.add_buffer({s.name, s.dtype, s.sizes, Space::Parameter});
        }
        block_ = k_.add_var("block", blocks);
        thread_ = k_.add_var("thread", threads);
    }

    // The part's kernel, in the blocks that come next.
    void add(const Part& part, const Kernel& kernel) {
        const std::optional<Launch> head = launch(kernel);
        ARETE_CHECK(head && !head->cooperative, "{}: no kernel of a grid", kernel.name);
        Cloner clone(kernel, k_);
        clone.vars.resize(kernel.extents.size());
        const Index mine = Index::var(block_) - Index(first_);
        spread_head(head->grid, head->blocks, mine, clone);
        spread_head(head->block, head->block_size, Index::var(thread_), clone);
        for (BufferId b : kernel.buffers.ids())
            clone.buffers.push_back(buffer(part, kernel.buffers[b], b));

        const std::int64_t end = first_ + head->block_count();
        const Value active = below(k_, Index::var(thread_), head->thread_count());
        std::vector<Stmt> body = statements(kernel, *head->body, clone, active);
        // Of all blocks those from first_ on, and before end.
        const Value from = first_ > 0 ? le_first(first_) : Value();
        const Value until = below(k_, Index::var(block_), end);
        for (Stmt& s : guarded(both(from, until), std::move(body))) body_.push_back(std::move(s));
        k_.comment += fmt::format("{}blocks {} to {}: {}", k_.comment.empty() ? "" : "; ", first_,
                                  end - 1, kernel.comment);
        first_ = end;
    }

    Kernel run() {
        Shape shape;
        shape.grid_x = block_;
        shape.block_x = thread_;
        set_body(k_, shape, std::move(body_));
        return std::move(k_);
    }

  private:
    Value le_first(std::int64_t first) {
        return lt(k_.constant(DType::I64, first - 1), k_.index(Index::var(block_)));
    }

    // x varies first, in blocks as in threads.
    void spread_head(const std::array<Var, 3>& vars, const std::array<std::int64_t, 3>& sizes,
                     const Index& flat, Cloner& clone) const {
        Index rest = flat;
        for (std::size_t d = 0; d < 3; ++d) {
            const bool last = std::all_of(sizes.begin() + static_cast<std::ptrdiff_t>(d) + 1,
                                          sizes.end(), [](std::int64_t n) { return n == 1; });
            if (vars[d]) clone.vars[vars[d]] = last ? rest : mod(rest, sizes[d], k_.extents);
            if (last) return;
            rest = floordiv(rest, sizes[d], k_.extents);
        }
    }

    BufferId buffer(const Part& part, const Buffer& b, BufferId number) {
        if (!b.is_parameter()) return k_.add_buffer(b);
        const SlotId slot = part.slots[number];
        const auto at = std::find(step_.slots.begin(), step_.slots.end(), slot);
        return at == step_.slots.end() ? BufferId() : BufferId(at - step_.slots.begin());
    }

    // Threads that the part has not come to its barriers all the same.
    std::vector<Stmt> statements(const Kernel& from, const std::vector<Stmt>& body, Cloner& clone,
                                 Value active) {
        std::vector<Stmt> out, waiting;
        const auto flush = [&] {
            if (waiting.empty()) return;
            for (Stmt& s : guarded(active, std::move(waiting))) out.push_back(std::move(s));
            waiting.clear();
        };
        for (const Stmt& s : body) {
            const bool meets = has_barrier({s});
            if (meets) flush();
            const Value inner = meets ? active : Value();
            Stmt copy = statement(from, s, clone, inner);
            if (meets)
                out.push_back(std::move(copy));
            else
                waiting.push_back(std::move(copy));
        }
        flush();
        return out;
    }

    Stmt statement(const Kernel& from, const Stmt& s, Cloner& clone, Value active) {
        std::optional<Stmt> out;
        std::visit(Cases{[&](const Loop& l) {
                             Loop copy = l;
                             copy.var = k_.add_var(from.var_names[l.var], from.extents[l.var]);
                             clone.vars[l.var] = Index::var(copy.var);
                             copy.body = statements(from, l.body, clone, active);
                             out = std::move(copy);
                         },
                         [&](const If& i) {
                             If copy{clone.value(i.condition).id, {}};
                             copy.body = statements(from, i.body, clone, active);
                             out = std::move(copy);
                         },
                         [&](const StoreTo& to) { out = clone.store(to); },
                         [&](const CheckThat& c) { out = clone.check(c); },
                         [&](const Barrier& b) { out = b; },
                         [&](const FoldLanes&) { not_for_cards(from); },
                         [&](const PrefetchAt&) { not_for_cards(from); },
                         [&](const TransposeTile&) { not_for_cards(from); }},
                   s);
        return std::move(*out);
    }
    [[noreturn]] static void not_for_cards(const Kernel& k) {
        throw InternalError(fmt::format("{}: a statement that is for processors only", k.name));
    }

    const KernelStep& step_;
    std::int64_t threads_, first_ = 0;
    Kernel k_;
    Var block_, thread_;
    std::vector<Stmt> body_;
};

// A nest and the forms that it could have beside others.
struct Nested {
    Nest nest;
    std::vector<Candidate> forms;
    double alone_us = 0;
};

// A launch of several nests: threads of a block, each nest's form, and what it takes.
struct Together {
    double us = std::numeric_limits<double>::infinity();
    std::int64_t threads = 0;
    std::vector<Candidate> forms;
};

class Planner {
  public:
    Planner(Program& program, const Card& card)
        : program_(program), card_(card), dependences_(program) {}

    void run() {
        const IdRange<StepId> all_steps = program_.steps.ids();
        if (program_.steps.size() < 2) return;
        find_levels();
        nests_.resize(program_.steps.size());
        for (StepId i : all_steps) {
            const KernelStep* k = program_.steps[i].kernel();
            if (!k) continue;
            nests_[i] = std::make_unique<Nested>();
            nests_[i]->nest = collapse_axes(k->parts[0].nest);
            nests_[i]->forms = candidates(nests_[i]->nest, card_);
            nests_[i]->alone_us = nests_[i]->forms[0].us + card_.launch_us;
        }
        std::vector<std::vector<StepId>> launches;
        std::vector<Together> how;
        IdVector<StepId, char> placed(program_.steps.size(), 0);
        for (int level = 0; level < depth_; ++level) {
            // What must run now, longest first; then what may.
            std::vector<StepId> now;
            for (StepId i : all_steps)
                if (!placed[i] && is_ready(i, placed)) now.push_back(i);
            std::stable_sort(now.begin(), now.end(), [&](StepId a, StepId b) {
                const auto must = [&](StepId i) { return last_[i] <= level; };
                if (must(a) != must(b)) return must(a);
                return us(a) > us(b);
            });
            const std::size_t begin = launches.size();
            for (StepId i : now) {
                std::size_t best = launches.size();
                Together with;
                double gain = 0;
                for (std::size_t l = begin; nests_[i] && l < launches.size(); ++l) {
                    if (!nests_[launches[l][0]]) continue;
                    std::vector<StepId> all = launches[l];
                    all.push_back(i);
                    Together t = together(all);
                    // What may wait joins others that it delays hardly at all.
                    const double saved = how[l].us + us(i) - t.us;
                    const bool waits = last_[i] > level && t.us > how[l].us + little_us;
                    if (saved > gain && !waits) {
                        gain = saved;
                        best = l;
                        with = std::move(t);
                    }
                }
                if (best < launches.size()) {
                    launches[best].push_back(i);
                    how[best] = std::move(with);
                } else if (last_[i] <= level) {
                    launches.push_back({i});
                    how.push_back({us(i), 0, {}});
                } else {
                    continue;  // another time
                }
                placed[i] = 1;
            }
        }
        rebuild(launches, how);
    }

  private:
    double us(StepId step) const { return nests_[step] ? nests_[step]->alone_us : 0; }

    bool is_ready(StepId step, const IdVector<StepId, char>& placed) const {
        const std::vector<StepId>& after = dependences_.after[step];
        return std::all_of(after.begin(), after.end(), [&](StepId a) { return placed[a] != 0; });
    }

    // The first level that a step can be in, and the last one that delays nobody.
    void find_levels() {
        const std::size_t n = program_.steps.size();
        first_.assign(n, 0);
        depth_ = 0;
        for (StepId i : program_.steps.ids()) {
            for (StepId before : dependences_.after[i])
                first_[i] = std::max(first_[i], first_[before] + 1);
            depth_ = std::max(depth_, first_[i] + 1);
        }
        last_.assign(n, depth_ - 1);
        for (StepId i : program_.steps.ids().reversed()) {
            // What checks, and what the host does, is not put off.
            if (!program_.steps[i].kernel() || program_.steps[i].checks()) last_[i] = first_[i];
            for (StepId before : dependences_.after[i])
                last_[before] = std::min(last_[before], last_[i] - 1);
        }
    }

    Together together(const std::vector<StepId>& steps) const {
        Together best;
        std::vector<SlotId> slots;
        for (StepId i : steps)
            for (SlotId s : program_.steps[i].slots())
                if (std::find(slots.begin(), slots.end(), s) == slots.end()) slots.push_back(s);
        if (slots.size() > most_parameters) return best;
        const auto room = static_cast<double>(card_.processors * card_.threads);
        for (std::int64_t threads = 32; threads <= 1024; threads *= 2) {
            Together t;
            t.threads = threads;
            double longest = 0, work = 0;
            std::int64_t blocks = 0;
            for (StepId i : steps) {
                const Nested& nest = *nests_[i];
                const Candidate* form = nullptr;
                double fill = 0;
                for (const Candidate& c : nest.forms) {
                    const std::int64_t own =
                        c.any_threads ? std::min(threads, c.any_threads) : c.threads;
                    const std::int64_t count = ceil_div(c.blocks * c.threads, own);
                    fill = static_cast<double>(count * threads) / room;
                    // Threads that do nothing must not take the others' room.
                    if (own > threads || (own < threads && fill > 1) ||
                        c.registers * threads > card_.registers)
                        continue;
                    form = &c;
                    blocks += count;
                    break;
                }
                if (!form) break;
                t.forms.push_back(*form);
                longest = std::max(longest, form->us);
                work += std::max(form->work_us, form->us * std::min(1.0, fill));
            }
            if (t.forms.size() < steps.size() || blocks > std::numeric_limits<std::int32_t>::max())
                continue;
            t.us = std::max(longest, work) + card_.launch_us;
            if (t.us < best.us) best = std::move(t);
        }
        return best;
    }

    void rebuild(const std::vector<std::vector<StepId>>& launches, std::vector<Together>& how) {
        std::vector<StepId> order;
        for (const auto& l : launches) order.insert(order.end(), l.begin(), l.end());
        dependences_.check(program_, order);
        IdVector<StepId, Step> out;
        for (std::size_t l = 0; l < launches.size(); ++l) {
            std::vector<Kernel> kernels;
            std::int64_t blocks = 0, shared = 0;
            for (std::size_t k = 0; k < how[l].forms.size(); ++k) {
                kernels.push_back(how[l].forms[k].make(how[l].threads));
                const std::optional<Launch> head = launch(kernels.back());
                blocks += head->block_count();
                shared += head->shared_bytes +
                          16 * static_cast<std::int64_t>(kernels.back().buffers.size());
            }
            const bool one = kernels.empty() || blocks == 0 || shared > card_.block_shared_bytes;
            if (one) {
                for (StepId i : launches[l]) out.push_back(std::move(program_.steps[i]));
                continue;
            }
            std::vector<Member> members;
            for (StepId i : launches[l]) members.push_back({i, {}});
            Step step = merge_steps(program_, members, 1, dependences_, 0);
            KernelStep& kernel = *step.kernel();
            Merger merger(kernel, program_, how[l].threads, blocks);
            for (std::size_t k = 0; k < kernels.size(); ++k)
                merger.add(kernel.parts[k], kernels[k]);
            kernel.kernel = merger.run();
            kernel.kernel.comment +=
                fmt::format("; together about {:.2f} us on a {}", how[l].us, card_.name);
            out.push_back(std::move(step));
        }
        program_.steps = std::move(out);
    }

    Program& program_;
    const Card& card_;
    Dependences dependences_;
    IdVector<StepId, std::unique_ptr<Nested>> nests_;  // null for those that run no kernel
    IdVector<StepId, int> first_, last_;               // levels
    int depth_ = 0;
};

}  // namespace

void merge_independent(Program& program, const Card& card) {
    Planner(program, card).run();
}

}  // namespace arete::cuda
