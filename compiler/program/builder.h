// What puts a program together. Private to the folder.
#pragma once

#include <algorithm>
#include <unordered_map>

#include "compiler/graph/order.h"
#include "compiler/ops/leaves.h"
#include "compiler/program/compiled.h"

namespace arete {

// Something known of expressions.
template <class T>
class ByValue {
  public:
    T& operator[](const Expr& e) { return map_[{&e.node(), e.output()}]; }
    const T* find(const Expr& e) const {
        const auto at = map_.find({&e.node(), e.output()});
        return at == map_.end() ? nullptr : &at->second;
    }

  private:
    using Key = std::pair<const Node*, int>;
    struct Hash {
        std::size_t operator()(const Key& k) const {
            return std::hash<const Node*>()(k.first) * 31 + static_cast<std::size_t>(k.second);
        }
    };
    std::unordered_map<Key, T, Hash> map_;
};

// What is done by one step; a nest; a node that is a step of its own; by their numbers.
using WorkId = Id<struct WorkTag>;
using NestId = Id<struct NestTag>;
using OwnStepId = Id<struct OwnStepTag>;

// A value and where it ends up.
struct Place {
    Expr value;
    SlotId slot;
};

class ProgramBuilder {
  public:
    // `around`: of a body, what builds the program around it.
    ProgramBuilder(std::span<const Expr> inputs, std::span<const Expr> outputs,
                   std::span<const std::pair<Expr, Expr>> updates, LoweredGraph graph,
                   Program& program, Compiled& out, ProgramBuilder* around = nullptr)
        : outputs_(outputs),
          updates_(updates),
          nests_(std::move(graph.nests)),
          own_steps_(std::move(graph.steps)),
          program_(program),
          out_(out),
          around_(around) {
        for (std::size_t k = 0; k < inputs.size(); ++k)
            inputs_[inputs[k].node().id] = static_cast<int>(k);
    }

    void run();

  private:
    // A nest, a node that is a step of its own, or a copy of one value to another place.
    struct Work {
        NestId nest;
        OwnStepId own_step;
        Expr from;  // copies
        SlotId to_slot;
    };

    static bool is_shared(const Expr& e) { return e.node().op->kind == OpInfo::Kind::Shared; }

    // The works that store a value: none, one, or one for each piece.
    std::span<const WorkId> producers(const Expr& e) const {
        const std::vector<WorkId>* works = producers_.find(e);
        return works ? std::span<const WorkId>(*works) : std::span<const WorkId>();
    }

    WorkId add_work(Work w) {
        after_.emplace_back();
        met_.push_back(0);
        return works_.add(std::move(w));
    }

    void add_edge(WorkId from, WorkId to) {
        edges_.emplace_back(from.number(), to.number());
        after_[from].push_back(to);
    }

    // Whether any of `goals` needs what work `from` does, at any distance.
    bool leads_to(WorkId from, std::vector<WorkId> goals);

    static bool writes(const LoweredNest& l, loops::BufferId buffer) {
        return std::any_of(l.nest.stores.begin(), l.nest.stores.end(),
                           [&](const loops::StoreTo& s) { return s.buffer == buffer; });
    }

    bool may_fail(const Work& w) const {
        if (w.own_step) return own_steps_[w.own_step].checks();
        return w.nest && !nests_[w.nest].checks.empty();
    }

    // Works that read a value, ascending.
    std::vector<WorkId> readers(const Expr& e) const {
        const std::vector<WorkId>* all = readers_.find(e);
        return all ? *all : std::vector<WorkId>();
    }

    void add_dependences();

    void add_reader(const Expr& e, WorkId work) {
        readers_[e].push_back(work);
        for (WorkId p : producers(e)) add_edge(p, work);
    }

    // All checks come before whatever changes a shared variable: they come before this, which does
    // nothing, and it comes before the changes.
    void add_barrier() {
        std::vector<WorkId> checks;
        for (WorkId w : works_.ids())
            if (may_fail(works_[w])) checks.push_back(w);
        if (checks.empty() || updates_.empty()) return;
        barrier_ = add_work({});
        for (WorkId w : checks) add_edge(w, barrier_);
    }

    // What has to run before `writer` changes a variable: its readers, and all checks.
    std::vector<WorkId> before_change(const Expr& variable, WorkId writer) const {
        std::vector<WorkId> out = readers(variable);
        if (barrier_) out.push_back(barrier_);
        std::erase(out, writer);
        return out;
    }

    WorkId add_copy(const Expr& from, SlotId to_slot, bool set_aside = false) {
        Work w;
        if (!set_aside) w.from = from;
        w.to_slot = to_slot;
        const WorkId at = add_work(w);
        if (!set_aside) readers_[from].push_back(at);
        for (WorkId p : producers(from)) add_edge(p, at);
        return at;
    }

    // The nest may write variable s where it would store `value`: it reads s at that element only,
    // and whatever else it stores can be stored before.
    bool may_write_in_place(WorkId work, const Expr& value, const Expr& s);

    void place_updates();
    bool update_in_place(const Expr& variable, const Expr& value);

    void place_outputs();

    // A scatter may write the memory of what it writes to a copy of: nobody needs that afterwards.
    bool may_scatter_onto(WorkId work);
    void scatter_onto(WorkId work, SlotId slot);
    void place_scatters();

    // The group that stores a value, -1 where several do or none.
    WorkId only_producer(const Expr& e) const;
    std::vector<WorkId> other_readers(const Expr& e, WorkId work) const;

    // Every reader of an old value, output copies included, runs before its variable changes; and
    // a call that fails a check must not have changed anything.
    void order_checks_before_writes() {
        for (const auto& [variable, writer] : writers_)
            for (WorkId w : before_change(variable, writer)) add_edge(w, writer);
    }

    void place(const Expr& e, SlotId slot) {
        place_[e] = static_cast<int>(places_.size()) + 1;
        places_.push_back({e, slot});
    }

    const Place* find_place(const Expr& e) const {
        const int* at = place_.find(e);
        return at ? &places_[*at - 1] : nullptr;
    }

    SlotId add_slot(Slot s) { return program_.slots.add(std::move(s)); }
    SlotId add_arena_slot(DType dtype, Sizes sizes, std::string name) {
        return add_slot({Slot::Kind::Arena, -1, 0, dtype, std::move(sizes), std::move(name)});
    }

    SlotId shared_slot(const Expr& e) {
        if (const Place* p = find_place(e)) return p->slot;
        out_.shared.push_back(e);
        SlotId slot = add_slot({Slot::Kind::Shared, static_cast<int>(out_.shared.size()) - 1, 0,
                                e.dtype(), concrete(e.shape()), e.node().name});
        place(e, slot);
        return slot;
    }

    SlotId slot_of(const Expr& e);

    // What destroys an old value comes after everything that reads it, and after every check.
    void verify_writers(const std::vector<WorkId>& order) const;

    void emit();

    template <class Action>
    void add_step(Action action, double bytes) {
        Step step;
        step.action = action;
        step.bytes = bytes;
        program_.steps.push_back(std::move(step));
    }

    double bytes_of(SlotId slot) const { return static_cast<double>(program_.slots[slot].bytes()); }

    // ---- steps that run bodies, and calls (own_steps.cpp)

    void emit_own(LoweredStep& own);
    template <class WindowOfParam, class WindowOfResult>
    Program body_program(LoweredBody& body, std::string name, std::vector<Window>& windows,
                         WindowOfParam window_of_param, WindowOfResult window_of_result);
    CallStep call_step(const LoweredStep& own);
    BranchStep branch_step(LoweredStep& own);
    LoopStep loop_step(LoweredStep& own);
    LoopStep recompute_step(LoweredStep& own);

    // What each slot stands for, for those who watch programs run.
    void tell_values();

    // A store whose slot the nest also reads goes through the buffer that it reads: parameters are
    // promised not to alias.
    static void store_in_place(const IdVector<loops::BufferId, SlotId>& slots, loops::Nest& nest) {
        for (loops::StoreTo& s : nest.stores)
            for (loops::BufferId b : slots.ids())
                if (slots[b] == slots[s.buffer]) {
                    s.buffer = b;
                    break;
                }
    }

    // Work of a nest: instructions on floats, inside the reduction and outside of it.
    static void measure(const LoweredNest& l, Step& step);

    std::span<const Expr> outputs_;
    std::span<const std::pair<Expr, Expr>> updates_;
    IdVector<NestId, LoweredNest> nests_;
    IdVector<OwnStepId, LoweredStep> own_steps_;
    Program& program_;
    Compiled& out_;
    ProgramBuilder* around_;
    std::vector<std::pair<SlotId, SlotId>> outside_;  // of a body: its slot, the program's around
    std::vector<SlotId> output_slots_;
    IdVector<WorkId, Work> works_;
    Edges edges_;
    IdVector<WorkId, std::vector<WorkId>> after_;  // the edges
    IdVector<WorkId, int> met_;                    // the last search that met it
    int searches_ = 0;
    WorkId barrier_;  // after all checks
    std::vector<Place> places_;
    ByValue<int> place_;  // position in places_, from 1 on
    ByValue<std::vector<WorkId>> producers_;
    ByValue<std::vector<WorkId>> readers_;
    std::unordered_map<std::uint64_t, int> inputs_;  // position by id
    std::vector<std::pair<Expr, WorkId>> writers_;   // shared variable, the work that changes it
    std::unordered_map<WorkId, SlotId> aside_;       // by copy: the slot it reads
};

}  // namespace arete
