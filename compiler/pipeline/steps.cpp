#include "compiler/pipeline/steps.h"

#include <algorithm>

#include "compiler/graph/order.h"
#include "compiler/ops/leaves.h"
#include "compiler/pipeline/memory.h"

namespace arete {

namespace {

// A value and where it ends up.
struct Place {
    Expr value;
    int slot = -1;
};

class ProgramBuilder {
  public:
    ProgramBuilder(const CompileRequest& request, std::span<const Expr> outputs,
                   std::span<const std::pair<Expr, Expr>> updates, std::vector<LoweredNest> groups,
                   Compiled& out)
        : request_(request),
          outputs_(outputs),
          updates_(updates),
          groups_(std::move(groups)),
          out_(out) {}

    void run() {
        out_.program.name = request_.name;
        out_.program.profile = request_.profile;
        out_.program.observed = request_.observed;
        out_.program.quick = request_.quick;
        for (std::size_t g = 0; g < groups_.size(); ++g) {
            Work w;
            w.group = static_cast<int>(g);
            works_.push_back(w);
        }
        add_dependences();
        place_updates();
        place_outputs();
        order_checks_before_writes();
        emit();
        tell_values();
    }

  private:
    // A group, or a copy of one value to another place.
    struct Work {
        int group = -1;
        Expr from;  // copies
        int to_slot = -1;
    };

    static bool is_shared(const Expr& e) { return e.node().op->kind == OpInfo::Kind::Shared; }

    int producer(const Expr& e) const {
        for (std::size_t g = 0; g < groups_.size(); ++g) {
            const LoweredNest& l = groups_[g];
            for (const loops::StoreTo& s : l.nest.stores)
                if (same(l.buffers[static_cast<std::size_t>(s.buffer)], e))
                    return static_cast<int>(g);
        }
        return -1;
    }

    bool writes(const LoweredNest& l, int buffer) const {
        return std::any_of(l.nest.stores.begin(), l.nest.stores.end(),
                           [&](const loops::StoreTo& s) { return s.buffer == buffer; });
    }

    bool may_fail(const Work& w) const {
        return w.group >= 0 && !groups_[static_cast<std::size_t>(w.group)].checks.empty();
    }

    bool reads(const Work& w, const Expr& e) const {
        if (w.group < 0) return same(w.from, e);
        const LoweredNest& l = groups_[static_cast<std::size_t>(w.group)];
        for (std::size_t b = 0; b < l.buffers.size(); ++b)
            if (same(l.buffers[b], e) && !writes(l, static_cast<int>(b))) return true;
        return false;
    }

    void add_dependences() {
        for (std::size_t g = 0; g < groups_.size(); ++g) {
            const LoweredNest& l = groups_[g];
            for (std::size_t b = 0; b < l.buffers.size(); ++b) {
                if (writes(l, static_cast<int>(b))) continue;
                int p = producer(l.buffers[b]);
                if (p >= 0) edges_.emplace_back(p, static_cast<int>(g));
            }
        }
    }

    int add_copy(const Expr& from, int to_slot) {
        Work w;
        w.from = from;
        w.to_slot = to_slot;
        works_.push_back(w);
        int at = static_cast<int>(works_.size()) - 1;
        if (int p = producer(from); p >= 0) edges_.emplace_back(p, at);
        return at;
    }

    // The group may write variable s where it would store `value`: it reads s at that element only,
    // and whatever else it stores can be stored before.
    bool may_write_in_place(int group, const Expr& value, const Expr& s) {
        LoweredNest& l = groups_[static_cast<std::size_t>(group)];
        if (l.zero_first) return false;
        auto loads = [&](loops::ValueId id, const Expr& variable) {
            const loops::Instr& i = l.nest.values[static_cast<std::size_t>(id)];
            return (i.op == loops::Op::Load || i.op == loops::Op::LoadIf) &&
                   same(l.buffers[static_cast<std::size_t>(i.target)], variable);
        };
        std::vector<loops::StoreTo>& stores = l.nest.stores;
        const auto own = std::find_if(stores.begin(), stores.end(), [&](const loops::StoreTo& t) {
            return same(l.buffers[static_cast<std::size_t>(t.buffer)], value);
        });
        if (own == stores.end()) return false;
        std::vector<loops::ValueId> inside;
        for (const loops::Accumulator& a : l.nest.accumulators) inside.push_back(a.element);
        // Inside a reduction every element of s may be read for each result.
        for (loops::ValueId id : needed(l.nest, inside))
            if (loads(id, s)) return false;
        bool last = true;  // no later store reads s
        for (auto t = stores.begin(); t != stores.end(); ++t)
            for (loops::ValueId id : needed(l.nest, {&t->value, 1})) {
                if (!loads(id, s)) continue;
                if (!(l.nest.values[static_cast<std::size_t>(id)].index == own->index))
                    return false;
                last = last && t <= own;
            }
        if (last) return true;
        // It goes last, unless it reads what another store has changed by then.
        for (const auto& [variable, writer] : writers_)
            for (loops::ValueId id : needed(l.nest, {&own->value, 1}))
                if (writer == group && loads(id, variable)) return false;
        std::rotate(own, own + 1, stores.end());
        return true;
    }

    void place_updates() {
        for (std::size_t k = 0; k < updates_.size(); ++k) {
            const auto& [variable, value] = updates_[k];
            if (same(variable, value)) continue;
            const int slot = shared_slot(variable);
            const int group = producer(value);
            if (group >= 0 && !find_place(value) && may_write_in_place(group, value, variable)) {
                Edges with = edges_;
                for (std::size_t w = 0; w < works_.size(); ++w)
                    if (static_cast<int>(w) != group &&
                        (may_fail(works_[w]) || reads(works_[w], variable)))
                        with.emplace_back(static_cast<int>(w), group);
                if (!topological_order(static_cast<int>(works_.size()), with).empty()) {
                    edges_ = std::move(with);
                    places_.push_back({value, slot});
                    writers_.emplace_back(variable, group);
                    continue;
                }
            }
            // Another variable's old value must be set aside before that variable changes.
            if (is_shared(value)) {
                int aside = add_slot({Slot::Kind::Arena, -1, 0, value.dtype(),
                                      concrete(value.shape()), "old " + value.node().name});
                int first = add_copy(value, aside);
                int last = add_copy(value, slot);
                works_[static_cast<std::size_t>(last)].from = Expr();
                aside_.emplace_back(last, aside);
                edges_.emplace_back(first, last);
                writers_.emplace_back(variable, last);
            } else {
                writers_.emplace_back(variable, add_copy(value, slot));
            }
        }
    }

    void place_outputs() {
        for (std::size_t k = 0; k < outputs_.size(); ++k) {
            const Expr& e = outputs_[k];
            int slot = add_slot({Slot::Kind::Output, static_cast<int>(k), 0, e.dtype(),
                                 concrete(e.shape()), fmt::format("out{}", k)});
            if (producer(e) >= 0 && !find_place(e))
                places_.push_back({e, slot});
            else
                add_copy(e, slot);
        }
    }

    // Every reader of an old value, output copies included, runs before its variable changes; and
    // a call that fails a check must not have changed anything.
    void order_checks_before_writes() {
        for (const auto& [variable, writer] : writers_)
            for (std::size_t w = 0; w < works_.size(); ++w) {
                if (static_cast<int>(w) != writer &&
                    (may_fail(works_[w]) || reads(works_[w], variable)))
                    edges_.emplace_back(static_cast<int>(w), writer);
            }
    }

    const Place* find_place(const Expr& e) const {
        for (const Place& p : places_)
            if (same(p.value, e)) return &p;
        return nullptr;
    }

    int add_slot(Slot s) {
        out_.program.slots.push_back(std::move(s));
        return static_cast<int>(out_.program.slots.size()) - 1;
    }

    int shared_slot(const Expr& e) {
        if (const Place* p = find_place(e)) return p->slot;
        out_.shared.push_back(e);
        int slot = add_slot({Slot::Kind::Shared, static_cast<int>(out_.shared.size()) - 1, 0,
                             e.dtype(), concrete(e.shape()), e.node().name});
        places_.push_back({e, slot});
        return slot;
    }

    int slot_of(const Expr& e) {
        if (const Place* p = find_place(e)) return p->slot;
        Slot s{Slot::Kind::Arena,
               -1,
               0,
               e.dtype(),
               concrete(e.shape()),
               std::string(e.node().op->name)};
        switch (e.node().op->kind) {
            case OpInfo::Kind::Shared: return shared_slot(e);
            case OpInfo::Kind::Input: {
                s.kind = Slot::Kind::Input;
                s.name = e.node().name;
                for (std::size_t i = 0; i < request_.inputs.size(); ++i)
                    if (request_.inputs[i].node().id == e.node().id) s.number = static_cast<int>(i);
                ARETE_CHECK(s.number >= 0, "input '{}' is not among the function's", s.name);
                break;
            }
            case OpInfo::Kind::Constant:
                s.kind = Slot::Kind::Constant;
                s.number = static_cast<int>(out_.constants.size());
                out_.constants.push_back(*constant_value(e));
                break;
            case OpInfo::Kind::Apply: break;
        }
        int slot = add_slot(std::move(s));
        places_.push_back({e, slot});
        return slot;
    }

    // What destroys an old value comes after everything that reads it, and after every check.
    void verify_writers(const std::vector<int>& order) const {
        std::vector<std::size_t> position(order.size());
        for (std::size_t k = 0; k < order.size(); ++k)
            position[static_cast<std::size_t>(order[k])] = k;
        for (const auto& [variable, writer] : writers_)
            for (std::size_t w = 0; w < works_.size(); ++w)
                ARETE_CHECK(static_cast<int>(w) == writer ||
                                !(may_fail(works_[w]) || reads(works_[w], variable)) ||
                                position[w] < position[static_cast<std::size_t>(writer)],
                            "{}: '{}' changes before its last reader", request_.name,
                            variable.node().name);
    }

    void emit() {
        std::vector<int> order = topological_order(static_cast<int>(works_.size()), edges_);
        ARETE_CHECK(order.size() == works_.size(), "{}: steps depend on each other in a circle",
                    request_.name);
        verify_writers(order);
        for (int w : order) {
            const Work& work = works_[static_cast<std::size_t>(w)];
            Step step;
            if (work.group < 0) {
                step.kind = Step::Kind::Copy;
                int from = -1;
                for (const auto& [copy, aside] : aside_)
                    if (copy == w) from = aside;
                step.slots = {from >= 0 ? from : slot_of(work.from), work.to_slot};
                out_.program.steps.push_back(std::move(step));
                continue;
            }
            LoweredNest& g = groups_[static_cast<std::size_t>(work.group)];
            for (const Expr& b : g.buffers) step.slots.push_back(slot_of(b));
            store_in_place(step.slots, g.nest);
            if (g.zero_first) {
                Step zero;
                zero.kind = Step::Kind::Zero;
                zero.slots = {step.slots[static_cast<std::size_t>(g.nest.stores[0].buffer)]};
                out_.program.steps.push_back(std::move(zero));
            }
            step.checks = !g.checks.empty();
            // Codes of checks are positions in the program's list, whatever kernel they end up in.
            for (loops::CheckThat& c : g.nest.checks)
                c.code += static_cast<int>(out_.checks.size());
            out_.checks.insert(out_.checks.end(), g.checks.begin(), g.checks.end());
            measure(g, step);
            step.parts.push_back({std::move(g.nest), step.slots, -1});
            out_.program.steps.push_back(std::move(step));
        }
    }

    // What each slot stands for, for those who watch programs run.
    void tell_values() {
        out_.slot_values.resize(out_.program.slots.size());
        out_.new_values.resize(out_.program.slots.size());
        for (const Place& p : places_) {
            const auto slot = static_cast<std::size_t>(p.slot);
            const bool update =
                out_.program.slots[slot].kind == Slot::Kind::Shared && !is_shared(p.value);
            (update ? out_.new_values : out_.slot_values)[slot] = p.value;
        }
    }

    // A store whose slot the nest also reads goes through the buffer that it reads: parameters are
    // promised not to alias.
    static void store_in_place(const std::vector<int>& slots, loops::Nest& nest) {
        for (loops::StoreTo& s : nest.stores) {
            const int slot = slots[static_cast<std::size_t>(s.buffer)];
            s.buffer =
                static_cast<int>(std::find(slots.begin(), slots.end(), slot) - slots.begin());
        }
    }

    // Work of a nest: instructions on floats, inside the reduction and outside of it.
    static void measure(const LoweredNest& l, Step& step) {
        const loops::Nest& n = l.nest;
        auto flops = [&](const std::vector<loops::ValueId>& roots) {
            double sum = 0;
            for (loops::ValueId id : needed(n, roots)) {
                const loops::Instr& i = n.values[static_cast<std::size_t>(id)];
                if (is_float(i.dtype) && loops::arity(i.op) > 0)
                    sum += i.op == loops::Op::Fma || i.op == loops::Op::MulAdd ? 2 : 1;
            }
            return sum;
        };
        double outside = 1, inside = 1;
        for (loops::Var v : n.axes)
            outside *= static_cast<double>(n.extents[static_cast<std::size_t>(v)]);
        for (loops::Var v : n.reduce_axes)
            inside *= static_cast<double>(n.extents[static_cast<std::size_t>(v)]);
        std::vector<loops::ValueId> stored, reduced;
        for (const loops::StoreTo& s : n.stores) stored.push_back(s.value);
        for (const loops::Accumulator& a : n.accumulators) reduced.push_back(a.element);
        step.flops = outside * (flops(stored) +
                                inside * (flops(reduced) + static_cast<double>(reduced.size())));
        for (const loops::Buffer& b : n.buffers)
            step.bytes += static_cast<double>(b.elements()) * static_cast<double>(size_of(b.dtype));
        for (Loc loc : l.lines) step.lines += (step.lines.empty() ? "" : " ") + loc.str();
    }

    const CompileRequest& request_;
    std::span<const Expr> outputs_;
    std::span<const std::pair<Expr, Expr>> updates_;
    std::vector<LoweredNest> groups_;
    Compiled& out_;
    std::vector<Work> works_;
    Edges edges_;
    std::vector<Place> places_;
    std::vector<std::pair<Expr, int>> writers_;  // shared variable, the work that changes it
    std::vector<std::pair<int, int>> aside_;     // copy, the slot it reads
};

}  // namespace

void plan_arena(Program& program) {
    std::vector<LiveRange> ranges;
    std::vector<std::size_t> slots;
    for (std::size_t s = 0; s < program.slots.size(); ++s) {
        Slot& slot = program.slots[s];
        if (slot.kind != Slot::Kind::Arena) continue;
        LiveRange r{static_cast<std::int64_t>(slot.bytes()), -1, -1, 0};
        for (std::size_t t = 0; t < program.steps.size(); ++t)
            for (int used : program.steps[t].slots)
                if (used == static_cast<int>(s)) {
                    if (r.first < 0) r.first = static_cast<int>(t);
                    r.last = static_cast<int>(t);
                }
        if (r.first < 0) continue;  // lives in the scratch of one kernel
        ranges.push_back(r);
        slots.push_back(s);
    }
    program.arena_bytes = pack(ranges);
    for (std::size_t i = 0; i < slots.size(); ++i)
        program.slots[slots[i]].offset = ranges[i].offset;
}

void build_program(const CompileRequest& request, std::span<const Expr> outputs,
                   std::span<const std::pair<Expr, Expr>> updates, std::vector<LoweredNest> groups,
                   Compiled& out) {
    ProgramBuilder(request, outputs, updates, std::move(groups), out).run();
}

}  // namespace arete
