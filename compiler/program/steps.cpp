#include "compiler/program/steps.h"

#include "compiler/fuse/kernel_name.h"
#include "compiler/program/builder.h"
#include "compiler/program/memory.h"

namespace arete {

void ProgramBuilder::run() {
    for (NestId n : nests_.ids()) {
        Work w;
        w.nest = n;
        const WorkId at = add_work(w);
        const LoweredNest& l = nests_[n];
        for (const loops::StoreTo& t : l.nest.stores) producers_[l.buffers[t.buffer]].push_back(at);
    }
    for (OwnStepId k : own_steps_.ids()) {
        Work w;
        w.own_step = k;
        const WorkId at = add_work(w);
        for (const Expr& e : outputs_of(own_steps_[k].node)) producers_[e].push_back(at);
    }
    add_dependences();
    add_barrier();
    place_updates();
    place_outputs();
    place_scatters();
    order_checks_before_writes();
    emit();
    if (!around_) tell_values();
}

bool ProgramBuilder::leads_to(WorkId from, std::vector<WorkId> goals) {
    std::sort(goals.begin(), goals.end());
    std::vector<WorkId> stack{from};
    ++searches_;
    while (!stack.empty()) {
        const WorkId w = stack.back();
        stack.pop_back();
        if (std::binary_search(goals.begin(), goals.end(), w)) return true;
        for (WorkId next : after_[w]) {
            int& met = met_[next];
            if (met != searches_) stack.push_back(next);
            met = searches_;
        }
    }
    return false;
}

void ProgramBuilder::add_dependences() {
    for (WorkId w : works_.ids()) {
        if (works_[w].nest) {
            const LoweredNest& l = nests_[works_[w].nest];
            for (loops::BufferId b : l.buffers.ids())
                if (!writes(l, b)) add_reader(l.buffers[b], w);
            // What a scatter writes to begins as a copy, unless it is that.
            if (!l.onto.empty()) add_reader(l.onto, w);
        } else {
            for (const Expr& e : own_steps_[works_[w].own_step].node->inputs) add_reader(e, w);
        }
    }
}

bool ProgramBuilder::may_write_in_place(WorkId work, const Expr& value, const Expr& s) {
    if (!works_[work].nest) return false;
    LoweredNest& l = nests_[works_[work].nest];
    if (l.zero_first || (!l.onto.empty() && !same(l.onto, s))) return false;
    auto loads = [&](loops::ValueId id, const Expr& variable) {
        const loops::Instr& i = l.nest.values[id];
        return (i.op == loops::Op::Load || i.op == loops::Op::LoadIf) &&
               same(l.buffers[i.buffer], variable);
    };
    std::vector<loops::StoreTo>& stores = l.nest.stores;
    const auto own = std::find_if(stores.begin(), stores.end(), [&](const loops::StoreTo& t) {
        return same(l.buffers[t.buffer], value);
    });
    if (own == stores.end()) return false;
    std::vector<loops::ValueId> inside;
    for (const loops::Accumulator& a : l.nest.accumulators) inside.push_back(a.element);
    // Inside a reduction every element of s may be read for each result, and where a scatter's
    // places are read from, all of them.
    if (l.nest.partial) own->index.for_each_value([&](loops::ValueId v) { inside.push_back(v); });
    for (loops::ValueId id : needed(l.nest, inside))
        if (loads(id, s)) return false;
    bool last = true;  // no later store reads s
    for (auto t = stores.begin(); t != stores.end(); ++t)
        for (loops::ValueId id : needed(l.nest, {&t->value, 1})) {
            if (!loads(id, s)) continue;
            if (!(l.nest.values[id].index == own->index)) return false;
            last = last && t <= own;
        }
    if (last) return true;
    // It goes last, unless it reads what another store has changed by then.
    for (const auto& [variable, writer] : writers_)
        for (loops::ValueId id : needed(l.nest, {&own->value, 1}))
            if (writer == work && loads(id, variable)) return false;
    std::rotate(own, own + 1, stores.end());
    return true;
}

WorkId ProgramBuilder::only_producer(const Expr& e) const {
    const std::span<const WorkId> all = producers(e);
    return all.size() == 1 ? all[0] : WorkId();
}

std::vector<WorkId> ProgramBuilder::other_readers(const Expr& e, WorkId work) const {
    std::vector<WorkId> out = readers(e);
    std::erase(out, work);
    return out;
}

bool ProgramBuilder::may_scatter_onto(WorkId work) {
    const LoweredNest& l = nests_[works_[work].nest];
    const WorkId maker = only_producer(l.onto);
    if (!maker || !works_[maker].nest || find_place(l.onto)) return false;
    const auto kept = [&](const Expr& e) { return same(e, l.onto); };
    if (std::any_of(outputs_.begin(), outputs_.end(), kept) ||
        std::any_of(updates_.begin(), updates_.end(),
                    [&](const auto& u) { return kept(u.second); }))
        return false;
    for (const loops::Instr& i : l.nest.values) {
        const bool load = i.op == loops::Op::Load || i.op == loops::Op::LoadIf;
        if (load && same(l.buffers[i.buffer], l.onto) && !(i.index == l.nest.stores[0].index))
            return false;
    }
    return !leads_to(work, other_readers(l.onto, work));
}

void ProgramBuilder::scatter_onto(WorkId work, SlotId slot) {
    const Expr& onto = nests_[works_[work].nest].onto;
    for (WorkId w : other_readers(onto, work)) add_edge(w, work);
    place(onto, slot);
}

bool ProgramBuilder::update_in_place(const Expr& variable, const Expr& value) {
    // Scatters onto scatters: all of them write the variable if the first one may.
    std::vector<WorkId> chain;
    for (Expr e = value;;) {
        const WorkId work = only_producer(e);
        if (!work || find_place(e)) return false;
        chain.push_back(work);
        if (!works_[work].nest) return false;
        const Expr& onto = nests_[works_[work].nest].onto;
        if (onto.empty() || same(onto, variable)) {
            if (!may_write_in_place(work, e, variable)) return false;
            break;
        }
        // Whoever looks at each value must find it.
        if (program_.observed || !may_scatter_onto(work)) return false;
        e = onto;
    }
    const WorkId first = chain.back();
    const std::vector<WorkId> before = before_change(variable, first);
    if (leads_to(first, before)) return false;
    const SlotId slot = shared_slot(variable);
    for (WorkId w : before) add_edge(w, first);
    place(value, slot);
    chain.pop_back();
    for (WorkId work : chain) {
        // The edges that have come may close a circle with these, which are then a copy's.
        ARETE_CHECK(may_scatter_onto(work), "{}: scatters in a circle", program_.name);
        scatter_onto(work, slot);
    }
    writers_.emplace_back(variable, first);
    return true;
}

// What dies where a scatter writes to a copy of it is written itself.
void ProgramBuilder::place_scatters() {
    if (program_.observed) return;
    for (WorkId w : works_.ids().reversed()) {
        if (!works_[w].nest) continue;
        const LoweredNest& l = nests_[works_[w].nest];
        if (l.onto.empty() || l.onto.node().is_leaf() || !may_scatter_onto(w)) continue;
        const Expr& result = l.buffers[l.nest.stores[0].buffer];
        scatter_onto(w, slot_of(result));
    }
}

void ProgramBuilder::place_updates() {
    for (std::size_t k = 0; k < updates_.size(); ++k) {
        const auto& [variable, value] = updates_[k];
        if (same(variable, value)) continue;
        const SlotId slot = shared_slot(variable);
        // What is made piece by piece would need as many last readers.
        if (update_in_place(variable, value)) continue;
        // Another variable's old value must be set aside before that variable changes.
        if (is_shared(value)) {
            SlotId aside = add_slot({Slot::Kind::Arena, -1, 0, value.dtype(),
                                     concrete(value.shape()), "old " + value.node().name});
            WorkId first = add_copy(value, aside);
            WorkId last = add_copy(value, slot, true);
            aside_[last] = aside;
            add_edge(first, last);
            writers_.emplace_back(variable, last);
        } else {
            writers_.emplace_back(variable, add_copy(value, slot));
        }
    }
}

void ProgramBuilder::place_outputs() {
    for (std::size_t k = 0; k < outputs_.size(); ++k) {
        const Expr& e = outputs_[k];
        SlotId slot =
            add_slot({around_ ? Slot::Kind::Bound : Slot::Kind::Output, static_cast<int>(k), 0,
                      e.dtype(), concrete(e.shape()), fmt::format("out{}", k)});
        output_slots_.push_back(slot);
        if (!producers(e).empty() && !find_place(e))
            place(e, slot);
        else
            add_copy(e, slot);
    }
}

SlotId ProgramBuilder::slot_of(const Expr& e) {
    if (const Place* p = find_place(e)) return p->slot;
    Slot s{
        Slot::Kind::Arena, -1, 0, e.dtype(), concrete(e.shape()), std::string(e.node().op->name)};
    switch (e.node().op->kind) {
        case OpInfo::Kind::Shared: return shared_slot(e);
        case OpInfo::Kind::Input: {
            s.kind = Slot::Kind::Input;
            s.name = e.node().name;
            if (const auto at = inputs_.find(e.node().id); at != inputs_.end())
                s.number = at->second;
            ARETE_CHECK(s.number >= 0, "input '{}' is not among the function's", s.name);
            break;
        }
        case OpInfo::Kind::Constant:
            s.kind = Slot::Kind::Constant;
            if (around_) {
                outside_.emplace_back(SlotId(program_.slots.size()), around_->slot_of(e));
                break;
            }
            s.number = static_cast<int>(out_.constants.size());
            out_.constants.push_back(*constant_value(e));
            break;
        case OpInfo::Kind::Apply: break;
    }
    // A body's are in memory of the program around it.
    if (around_ && s.kind != Slot::Kind::Arena) s.kind = Slot::Kind::Bound;
    SlotId slot = add_slot(std::move(s));
    place(e, slot);
    return slot;
}

void ProgramBuilder::verify_writers(const std::vector<WorkId>& order) const {
    IdVector<WorkId, std::size_t> position(order.size());
    for (std::size_t k = 0; k < order.size(); ++k) position[order[k]] = k;
    for (const auto& [variable, writer] : writers_)
        for (WorkId w : before_change(variable, writer))
            ARETE_CHECK(position[w] < position[writer], "{}: '{}' changes before its last reader",
                        program_.name, variable.node().name);
    for (WorkId w : works_.ids())
        ARETE_CHECK(!barrier_ || !may_fail(works_[w]) || position[w] < position[barrier_],
                    "{}: a check runs after what it guards", program_.name);
}

void ProgramBuilder::emit() {
    std::vector<WorkId> order;
    for (int w : topological_order(static_cast<int>(works_.size()), edges_)) order.emplace_back(w);
    ARETE_CHECK(order.size() == works_.size(), "{}: steps depend on each other in a circle",
                program_.name);
    verify_writers(order);
    for (WorkId w : order) {
        if (w == barrier_) continue;
        const Work& work = works_[w];
        if (work.own_step) {
            emit_own(own_steps_[work.own_step]);
            continue;
        }
        if (!work.nest) {
            const auto aside = aside_.find(w);
            const SlotId from = aside != aside_.end() ? aside->second : slot_of(work.from);
            add_step(CopyStep{from, work.to_slot}, 2 * bytes_of(work.to_slot));
            continue;
        }
        LoweredNest& g = nests_[work.nest];
        KernelStep kernel;
        for (const Expr& b : g.buffers) kernel.slots.push_back(slot_of(b));
        store_in_place(kernel.slots, g.nest);
        const SlotId target = kernel.slots[g.nest.stores[0].buffer];
        if (g.zero_first) add_step(FillStep{target}, bytes_of(target));
        if (const SlotId onto = g.onto.empty() ? target : slot_of(g.onto); onto != target)
            add_step(CopyStep{onto, target}, 2 * bytes_of(target));
        kernel.checks = !g.checks.empty();
        // Codes of checks are positions in the program's list, whatever kernel they end up in.
        for (loops::CheckThat& c : g.nest.checks) c.code += static_cast<int>(out_.checks.size());
        out_.checks.insert(out_.checks.end(), g.checks.begin(), g.checks.end());
        std::vector<std::string> updated;
        for (const loops::StoreTo& s : g.nest.stores) {
            const Slot& to = program_.slots[kernel.slots[s.buffer]];
            if (to.kind == Slot::Kind::Shared) updated.push_back(to.name);
        }
        if (!updated.empty() && updated.size() == g.nest.stores.size())
            g.nest.name = update_name(updated);
        Step step;
        measure(g, step);
        kernel.parts.push_back({std::move(g.nest), kernel.slots, {}});
        step.action = std::move(kernel);
        program_.steps.push_back(std::move(step));
    }
}

void ProgramBuilder::tell_values() {
    out_.slot_values.resize(program_.slots.size());
    out_.new_values.resize(program_.slots.size());
    for (const Place& p : places_) {
        const bool update =
            program_.slots[p.slot].kind == Slot::Kind::Shared && !is_shared(p.value);
        // Of scatters onto scatters the last one's value stays, which was placed first.
        Expr& value = (update ? out_.new_values : out_.slot_values)[p.slot];
        if (value.empty()) value = p.value;
    }
}

void ProgramBuilder::measure(const LoweredNest& l, Step& step) {
    const loops::Nest& n = l.nest;
    auto flops = [&](const std::vector<loops::ValueId>& roots) {
        double sum = 0;
        for (loops::ValueId id : needed(n, roots)) {
            const loops::Instr& i = n.values[id];
            if (is_float(i.dtype) && loops::arity(i.op) > 0)
                sum += i.op == loops::Op::Fma || i.op == loops::Op::MulAdd ? 2 : 1;
        }
        return sum;
    };
    double outside = 1, inside = 1;
    for (loops::Var v : n.axes) outside *= static_cast<double>(n.extents[v]);
    for (loops::Var v : n.reduce_axes) inside *= static_cast<double>(n.extents[v]);
    step.flops =
        outside * (flops(stored(n)) +
                   inside * (flops(accumulated(n)) + static_cast<double>(n.accumulators.size())));
    for (loops::BufferId k : n.buffers.ids()) {
        const loops::Buffer& b = n.buffers[k];
        double elements = static_cast<double>(b.elements());
        if (n.partial && writes(l, k)) elements = std::min(elements, outside);
        step.bytes += elements * static_cast<double>(size_of(b.dtype));
    }
    for (Loc loc : l.lines) step.lines += (step.lines.empty() ? "" : " ") + loc.str();
}

void build_program(std::span<const Expr> inputs, std::span<const Expr> outputs,
                   std::span<const std::pair<Expr, Expr>> updates, LoweredGraph graph,
                   Compiled& out) {
    ProgramBuilder(inputs, outputs, updates, std::move(graph), out.program, out).run();
}

}  // namespace arete
