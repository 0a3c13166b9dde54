#include "compiler/program/steps.h"

#include <algorithm>
#include <unordered_map>

#include "compiler/graph/order.h"
#include "compiler/ops/branch.h"
#include "compiler/ops/leaves.h"
#include "compiler/ops/scan.h"
#include "compiler/program/memory.h"

namespace arete {

namespace {

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

// A value and where it ends up.
struct Place {
    Expr value;
    int slot = -1;
};

class ProgramBuilder {
  public:
    // `around`: of a body, what builds the program around it.
    ProgramBuilder(std::span<const Expr> inputs, std::span<const Expr> outputs,
                   std::span<const std::pair<Expr, Expr>> updates, LoweredGraph graph,
                   Program& program, Compiled& out, ProgramBuilder* around = nullptr)
        : outputs_(outputs),
          updates_(updates),
          groups_(std::move(graph.nests)),
          own_steps_(std::move(graph.steps)),
          program_(program),
          out_(out),
          around_(around) {
        for (std::size_t k = 0; k < inputs.size(); ++k)
            inputs_[inputs[k].node().id] = static_cast<int>(k);
    }

    void run() {
        for (std::size_t g = 0; g < groups_.size(); ++g) {
            Work w;
            w.group = static_cast<int>(g);
            add_work(w);
            const LoweredNest& l = groups_[g];
            for (const loops::StoreTo& t : l.nest.stores)
                producers_[l.buffers[static_cast<std::size_t>(t.buffer)]].push_back(
                    static_cast<int>(g));
        }
        for (std::size_t k = 0; k < own_steps_.size(); ++k) {
            Work w;
            w.own_step = static_cast<int>(k);
            const int at = add_work(w);
            for (const Expr& e : outputs_of(own_steps_[k].node)) producers_[e].push_back(at);
        }
        add_dependences();
        add_barrier();
        place_updates();
        place_outputs();
        order_checks_before_writes();
        emit();
        if (!around_) tell_values();
    }

  private:
    // A group, a node that is a step of its own, or a copy of one value to another place.
    struct Work {
        int group = -1;
        int own_step = -1;
        Expr from;  // copies
        int to_slot = -1;
    };

    static bool is_shared(const Expr& e) { return e.node().op->kind == OpInfo::Kind::Shared; }

    // The groups that store a value: none, one, or one for each piece.
    std::span<const int> producers(const Expr& e) const {
        const std::vector<int>* groups = producers_.find(e);
        return groups ? std::span<const int>(*groups) : std::span<const int>();
    }

    int add_work(Work w) {
        works_.push_back(std::move(w));
        after_.emplace_back();
        met_.push_back(0);
        return static_cast<int>(works_.size()) - 1;
    }

    void add_edge(int from, int to) {
        edges_.emplace_back(from, to);
        after_[static_cast<std::size_t>(from)].push_back(to);
    }

    // Whether any of `goals` needs what work `from` does, at any distance.
    bool leads_to(int from, std::vector<int> goals) {
        std::sort(goals.begin(), goals.end());
        std::vector<int> stack{from};
        ++searches_;
        while (!stack.empty()) {
            const int w = stack.back();
            stack.pop_back();
            if (std::binary_search(goals.begin(), goals.end(), w)) return true;
            for (int next : after_[static_cast<std::size_t>(w)]) {
                int& met = met_[static_cast<std::size_t>(next)];
                if (met != searches_) stack.push_back(next);
                met = searches_;
            }
        }
        return false;
    }

    bool writes(const LoweredNest& l, int buffer) const {
        return std::any_of(l.nest.stores.begin(), l.nest.stores.end(),
                           [&](const loops::StoreTo& s) { return s.buffer == buffer; });
    }

    bool may_fail(const Work& w) const {
        if (w.own_step >= 0) return own_step(w).checks();
        return w.group >= 0 && !groups_[static_cast<std::size_t>(w.group)].checks.empty();
    }

    const LoweredStep& own_step(const Work& w) const {
        return own_steps_[static_cast<std::size_t>(w.own_step)];
    }

    // Works that read a value, ascending.
    std::vector<int> readers(const Expr& e) const {
        const std::vector<int>* all = readers_.find(e);
        return all ? *all : std::vector<int>();
    }

    void add_dependences() {
        for (std::size_t g = 0; g < groups_.size(); ++g) {
            const LoweredNest& l = groups_[g];
            for (std::size_t b = 0; b < l.buffers.size(); ++b) {
                if (writes(l, static_cast<int>(b))) continue;
                readers_[l.buffers[b]].push_back(static_cast<int>(g));
                for (int p : producers(l.buffers[b])) add_edge(p, static_cast<int>(g));
            }
        }
        for (std::size_t w = 0; w < works_.size(); ++w) {
            if (works_[w].own_step < 0) continue;
            for (const Expr& e : own_step(works_[w]).node->inputs) {
                readers_[e].push_back(static_cast<int>(w));
                for (int p : producers(e)) add_edge(p, static_cast<int>(w));
            }
        }
    }

    // All checks come before whatever changes a shared variable: they come before this, which does
    // nothing, and it comes before the changes.
    void add_barrier() {
        std::vector<int> checks;
        for (std::size_t w = 0; w < works_.size(); ++w)
            if (may_fail(works_[w])) checks.push_back(static_cast<int>(w));
        if (checks.empty() || updates_.empty()) return;
        barrier_ = add_work({});
        for (int w : checks) add_edge(w, barrier_);
    }

    // What has to run before `writer` changes a variable: its readers, and all checks.
    std::vector<int> before_change(const Expr& variable, int writer) const {
        std::vector<int> out = readers(variable);
        if (barrier_ >= 0) out.push_back(barrier_);
        std::erase(out, writer);
        return out;
    }

    int add_copy(const Expr& from, int to_slot, bool set_aside = false) {
        Work w;
        if (!set_aside) w.from = from;
        w.to_slot = to_slot;
        const int at = add_work(w);
        if (!set_aside) readers_[from].push_back(at);
        for (int p : producers(from)) add_edge(p, at);
        return at;
    }

    // The group may write variable s where it would store `value`: it reads s at that element only,
    // and whatever else it stores can be stored before.
    bool may_write_in_place(int group, const Expr& value, const Expr& s) {
        if (works_[static_cast<std::size_t>(group)].group < 0) return false;
        LoweredNest& l = groups_[static_cast<std::size_t>(group)];
        if (l.zero_first) return false;
        auto loads = [&](loops::ValueId id, const Expr& variable) {
            const loops::Instr& i = l.nest.values[id];
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
                if (!(l.nest.values[id].index == own->index)) return false;
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
            // What is made piece by piece would need as many last readers.
            const int group = producers(value).size() == 1 ? producers(value)[0] : -1;
            if (group >= 0 && !find_place(value) && may_write_in_place(group, value, variable)) {
                const std::vector<int> before = before_change(variable, group);
                if (!leads_to(group, before)) {
                    for (int w : before) add_edge(w, group);
                    place(value, slot);
                    writers_.emplace_back(variable, group);
                    continue;
                }
            }
            // Another variable's old value must be set aside before that variable changes.
            if (is_shared(value)) {
                int aside = add_slot({Slot::Kind::Arena, -1, 0, value.dtype(),
                                      concrete(value.shape()), "old " + value.node().name});
                int first = add_copy(value, aside);
                int last = add_copy(value, slot, true);
                aside_[last] = aside;
                add_edge(first, last);
                writers_.emplace_back(variable, last);
            } else {
                writers_.emplace_back(variable, add_copy(value, slot));
            }
        }
    }

    void place_outputs() {
        for (std::size_t k = 0; k < outputs_.size(); ++k) {
            const Expr& e = outputs_[k];
            int slot =
                add_slot({around_ ? Slot::Kind::Bound : Slot::Kind::Output, static_cast<int>(k), 0,
                          e.dtype(), concrete(e.shape()), fmt::format("out{}", k)});
            output_slots_.push_back(slot);
            if (!producers(e).empty() && !find_place(e))
                place(e, slot);
            else
                add_copy(e, slot);
        }
    }

    // Every reader of an old value, output copies included, runs before its variable changes; and
    // a call that fails a check must not have changed anything.
    void order_checks_before_writes() {
        for (const auto& [variable, writer] : writers_)
            for (int w : before_change(variable, writer)) add_edge(w, writer);
    }

    void place(const Expr& e, int slot) {
        place_[e] = static_cast<int>(places_.size()) + 1;
        places_.push_back({e, slot});
    }

    const Place* find_place(const Expr& e) const {
        const int* at = place_.find(e);
        return at ? &places_[static_cast<std::size_t>(*at) - 1] : nullptr;
    }

    int add_slot(Slot s) {
        program_.slots.push_back(std::move(s));
        return static_cast<int>(program_.slots.size()) - 1;
    }
    int add_arena_slot(DType dtype, Sizes sizes, std::string name) {
        return add_slot({Slot::Kind::Arena, -1, 0, dtype, std::move(sizes), std::move(name)});
    }

    int shared_slot(const Expr& e) {
        if (const Place* p = find_place(e)) return p->slot;
        out_.shared.push_back(e);
        int slot = add_slot({Slot::Kind::Shared, static_cast<int>(out_.shared.size()) - 1, 0,
                             e.dtype(), concrete(e.shape()), e.node().name});
        place(e, slot);
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
                if (const auto at = inputs_.find(e.node().id); at != inputs_.end())
                    s.number = at->second;
                ARETE_CHECK(s.number >= 0, "input '{}' is not among the function's", s.name);
                break;
            }
            case OpInfo::Kind::Constant:
                s.kind = Slot::Kind::Constant;
                if (around_) {
                    outside_.emplace_back(static_cast<int>(program_.slots.size()),
                                          around_->slot_of(e));
                    break;
                }
                s.number = static_cast<int>(out_.constants.size());
                out_.constants.push_back(*constant_value(e));
                break;
            case OpInfo::Kind::Apply: break;
        }
        // A body's are in memory of the program around it.
        if (around_ && s.kind != Slot::Kind::Arena) s.kind = Slot::Kind::Bound;
        int slot = add_slot(std::move(s));
        place(e, slot);
        return slot;
    }

    // What destroys an old value comes after everything that reads it, and after every check.
    void verify_writers(const std::vector<int>& order) const {
        std::vector<std::size_t> position(order.size());
        for (std::size_t k = 0; k < order.size(); ++k)
            position[static_cast<std::size_t>(order[k])] = k;
        for (const auto& [variable, writer] : writers_)
            for (int w : before_change(variable, writer))
                ARETE_CHECK(position[static_cast<std::size_t>(w)] <
                                position[static_cast<std::size_t>(writer)],
                            "{}: '{}' changes before its last reader", program_.name,
                            variable.node().name);
        for (std::size_t w = 0; w < works_.size(); ++w)
            ARETE_CHECK(barrier_ < 0 || !may_fail(works_[w]) ||
                            position[w] < position[static_cast<std::size_t>(barrier_)],
                        "{}: a check runs after what it guards", program_.name);
    }

    void emit() {
        std::vector<int> order = topological_order(static_cast<int>(works_.size()), edges_);
        ARETE_CHECK(order.size() == works_.size(), "{}: steps depend on each other in a circle",
                    program_.name);
        verify_writers(order);
        for (int w : order) {
            if (w == barrier_) continue;
            const Work& work = works_[static_cast<std::size_t>(w)];
            if (work.own_step >= 0) {
                emit_own(own_steps_[static_cast<std::size_t>(work.own_step)]);
                continue;
            }
            if (work.group < 0) {
                const auto aside = aside_.find(w);
                const int from = aside != aside_.end() ? aside->second : slot_of(work.from);
                add_step(CopyStep{from, work.to_slot}, 2 * bytes_of(work.to_slot));
                continue;
            }
            LoweredNest& g = groups_[static_cast<std::size_t>(work.group)];
            KernelStep kernel;
            for (const Expr& b : g.buffers) kernel.slots.push_back(slot_of(b));
            store_in_place(kernel.slots, g.nest);
            if (g.zero_first) {
                const auto target = static_cast<std::size_t>(g.nest.stores[0].buffer);
                add_step(FillStep{kernel.slots[target]}, bytes_of(kernel.slots[target]));
            }
            kernel.checks = !g.checks.empty();
            // Codes of checks are positions in the program's list, whatever kernel they end up in.
            for (loops::CheckThat& c : g.nest.checks)
                c.code += static_cast<int>(out_.checks.size());
            out_.checks.insert(out_.checks.end(), g.checks.begin(), g.checks.end());
            Step step;
            measure(g, step);
            kernel.parts.push_back({std::move(g.nest), kernel.slots, {}});
            step.action = std::move(kernel);
            program_.steps.push_back(std::move(step));
        }
    }

    template <class Action>
    void add_step(Action action, double bytes) {
        Step step;
        step.action = action;
        step.bytes = bytes;
        program_.steps.push_back(std::move(step));
    }

    double bytes_of(int slot) const {
        return static_cast<double>(program_.slots[static_cast<std::size_t>(slot)].bytes());
    }

    // ---- steps that run bodies

    void emit_own(LoweredStep& own) {
        Step step;
        step.lines = own.lines();
        if (own.node->op == &scan_op.info)
            step.action = loop_step(own);
        else if (own.node->op == &ifelse_op.info)
            step.action = branch_step(own);
        else
            step.action = call_step(own);
        for (const Program& body : step.bodies()) {
            const auto* loop = std::get_if<LoopStep>(&step.action);
            const double times = loop ? static_cast<double>(loop->trips) : 1;
            for (const Step& inner : body.steps) {
                step.flops += times * inner.flops;
                step.bytes += times * inner.bytes;
            }
        }
        program_.steps.push_back(std::move(step));
    }

    // The program of a body; windows for constants, and, by `window_of`, for parameters and
    // results.
    template <class WindowOfParam, class WindowOfResult>
    Program body_program(LoweredBody& body, std::string name, std::vector<Window>& windows,
                         WindowOfParam window_of_param, WindowOfResult window_of_result) {
        Program program;
        program.name = std::move(name);
        program.quick = program_.quick;
        ProgramBuilder builder(body.region.params, body.region.results, {}, std::move(body.graph),
                               program, out_, this);
        builder.run();
        for (const auto& [slot, of] : builder.outside_)
            windows.push_back({slot, of, 0, 0, 0, false});
        for (std::size_t k = 0; k < body.region.params.size(); ++k)
            if (const Place* p = builder.find_place(body.region.params[k])) {
                windows.push_back(window_of_param(k));
                windows.back().slot = p->slot;
            }
        for (std::size_t k = 0; k < builder.output_slots_.size(); ++k) {
            windows.push_back(window_of_result(k));
            windows.back().slot = builder.output_slots_[k];
            windows.back().written = true;
        }
        return program;
    }

    CallStep call_step(const LoweredStep& own) {
        CallStep call;
        call.node = own.node;
        ARETE_CHECK(def(*own.node).host, "{} is no step of a program", own.node->op->name);
        for (const Expr& e : own.node->inputs) call.inputs.push_back(slot_of(e));
        for (const Expr& e : outputs_of(own.node)) call.outputs.push_back(slot_of(e));
        call.code = static_cast<int>(out_.checks.size());
        out_.checks.push_back({own.node->loc(), host_name(*own.node)});
        return call;
    }

    // The inputs behind the condition are the parameters of both regions.
    BranchStep branch_step(LoweredStep& own) {
        const std::shared_ptr<const Node>& node = own.node;
        BranchStep branch;
        branch.label = std::string(node->op->name);
        branch.condition = slot_of(node->inputs[0]);
        std::vector<int> results;
        for (const Expr& e : outputs_of(node)) results.push_back(slot_of(e));
        branch.workspace = add_arena_slot(DType::U8, {0}, "workspace of " + branch.label);
        branch.windows.resize(own.bodies.size());
        for (std::size_t k = 0; k < own.bodies.size(); ++k)
            branch.bodies.push_back(body_program(
                own.bodies[k], branch.label, branch.windows[k],
                [&](std::size_t p) -> Window {
                    return {-1, slot_of(node->inputs[p + 1])};
                },
                [&](std::size_t r) -> Window {
                    return {-1, results[r]};
                }));
        return branch;
    }

    static std::int64_t bytes_of_row(const Expr& rows) {
        const TensorType row = row_type(rows.type());
        return count(concrete(row.shape)) * static_cast<std::int64_t>(size_of(row.dtype));
    }

    LoopStep loop_step(LoweredStep& own) {
        const std::shared_ptr<const Node>& node = own.node;
        const ScanForm f(*node);
        LoopStep loop;
        loop.label = std::string(node->op->name);
        loop.trips = f.steps.value();
        std::vector<int> buffers;     // of states, outputs and the condition, by result
        std::vector<Window> results;  // their windows
        for (std::size_t j = 0; j < f.states.size(); ++j) {
            const Expr all(node, static_cast<int>(j));
            Carried c;
            c.initial = slot_of(node->inputs[f.state_input(j)]);
            c.buffer = c.last = slot_of(all);
            c.row_bytes = bytes_of_row(all);
            c.depth = f.states[j].depth();
            std::int64_t ring = 0;
            if (f.states[j].last) {
                Sizes sizes = concrete(all.shape());
                ++sizes[0];
                c.buffer = add_arena_slot(all.dtype(), sizes, "states of " + loop.label);
                ring = (c.depth + 1) * c.row_bytes;
            } else {
                c.last = -1;
                if (f.until) loop.stacked.push_back({c.buffer, c.row_bytes, c.depth});
            }
            loop.carried.push_back(c);
            results.push_back({-1, c.buffer, c.depth * c.row_bytes, c.row_bytes, ring, true});
        }
        for (std::size_t l = 0; l < f.outputs.size(); ++l) {
            const Expr all(node, static_cast<int>(f.output_result(l)));
            const std::int64_t bytes = bytes_of_row(all);
            const int slot = slot_of(all);
            const bool reversed = f.outputs[l].reversed;
            results.push_back({-1, slot, reversed ? (loop.trips - 1) * bytes : 0,
                               reversed ? -bytes : bytes, 0, true});
            if (f.until) loop.stacked.push_back({slot, bytes, 0});
        }
        if (f.until) {
            loop.until = add_arena_slot(DType::Bool, {}, "condition of " + loop.label);
            loop.count = slot_of(Expr(node, static_cast<int>(f.until_result())));
            results.push_back({-1, loop.until, 0, 0, 0, true});
        }
        loop.workspace = add_arena_slot(DType::U8, {0}, "workspace of " + loop.label);
        const auto window_of_param = [&](std::size_t k) -> Window {
            if (k < f.sequences.size()) {
                const std::int64_t bytes = bytes_of_row(node->inputs[k]);
                return {-1, slot_of(node->inputs[k]), f.sequences[k].start.value() * bytes,
                        f.sequences[k].stride * bytes};
            }
            for (std::size_t j = 0; j < f.states.size(); ++j) {
                const std::size_t first = f.tap_param(j);
                if (k >= first + f.states[j].taps.size()) continue;
                Window w = results[j];
                w.start += f.states[j].taps[k - first] * w.stride;
                w.written = false;
                return w;
            }
            return {-1, slot_of(node->inputs[f.first_capture() + k - f.capture_param()])};
        };
        loop.body.push_back(body_program(own.bodies[0], loop.label, loop.windows, window_of_param,
                                         [&](std::size_t k) { return results[k]; }));
        return loop;
    }

    // What each slot stands for, for those who watch programs run.
    void tell_values() {
        out_.slot_values.resize(program_.slots.size());
        out_.new_values.resize(program_.slots.size());
        for (const Place& p : places_) {
            const auto slot = static_cast<std::size_t>(p.slot);
            const bool update =
                program_.slots[slot].kind == Slot::Kind::Shared && !is_shared(p.value);
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
            outside * (flops(stored(n)) + inside * (flops(accumulated(n)) +
                                                    static_cast<double>(n.accumulators.size())));
        for (const loops::Buffer& b : n.buffers)
            step.bytes += static_cast<double>(b.elements()) * static_cast<double>(size_of(b.dtype));
        for (Loc loc : l.lines) step.lines += (step.lines.empty() ? "" : " ") + loc.str();
    }

    std::span<const Expr> outputs_;
    std::span<const std::pair<Expr, Expr>> updates_;
    std::vector<LoweredNest> groups_;
    std::vector<LoweredStep> own_steps_;
    Program& program_;
    Compiled& out_;
    ProgramBuilder* around_;
    std::vector<std::pair<int, int>> outside_;  // of a body: its slot, that of the program around
    std::vector<int> output_slots_;
    std::vector<Work> works_;
    Edges edges_;
    std::vector<std::vector<int>> after_;  // the edges, by work
    std::vector<int> met_;                 // by work: the last search that met it
    int searches_ = 0;
    int barrier_ = -1;  // after all checks
    std::vector<Place> places_;
    ByValue<int> place_;  // position in places_, from 1 on
    ByValue<std::vector<int>> producers_;
    ByValue<std::vector<int>> readers_;              // works
    std::unordered_map<std::uint64_t, int> inputs_;  // position by id
    std::vector<std::pair<Expr, int>> writers_;      // shared variable, the work that changes it
    std::unordered_map<int, int> aside_;             // by copy: the slot it reads
};

}  // namespace

namespace {

// Who watches a program compares a value with its operands once it is complete: what its pieces
// were made of is there until then.
void keep_operands_of_pieces(const Program& program, std::vector<LiveRange>& used) {
    const auto written = [](const Step& step) {
        std::vector<int> out;
        if (!step.kernel()) return out;
        for (const Part& part : step.kernel()->parts)
            for (const loops::StoreTo& store : part.nest.stores)
                out.push_back(part.slots[static_cast<std::size_t>(store.buffer)]);
        return out;
    };
    std::unordered_map<int, int> last;
    for (std::size_t t = 0; t < program.steps.size(); ++t)
        for (int slot : written(program.steps[t])) last[slot] = static_cast<int>(t);
    for (const Step& step : program.steps)
        for (int slot : written(step))
            for (int operand : step.slots()) {
                int& until = used[static_cast<std::size_t>(operand)].last;
                until = std::max(until, last[slot]);
            }
}

}  // namespace

namespace {

// The arenas of a step's bodies, which do not run at the same time: how many bytes they need.
std::int64_t plan_bodies(Step& step) {
    std::int64_t most = 0;
    for (Program& body : step.bodies()) {
        plan_arena(body);
        most = std::max(most, body.arena_bytes);
    }
    return most;
}

}  // namespace

void plan_arena(Program& program) {
    for (Step& s : program.steps) {
        const std::int64_t bytes = plan_bodies(s);
        const auto size_workspace = [&](int slot) {
            program.slots[static_cast<std::size_t>(slot)].sizes = {bytes};
        };
        if (const auto* loop = std::get_if<LoopStep>(&s.action)) size_workspace(loop->workspace);
        if (const auto* branch = std::get_if<BranchStep>(&s.action))
            size_workspace(branch->workspace);
    }
    std::vector<LiveRange> used(program.slots.size(), LiveRange{0, -1, -1, 0});
    for (std::size_t t = 0; t < program.steps.size(); ++t)
        for (int slot : program.steps[t].slots()) {
            LiveRange& r = used[static_cast<std::size_t>(slot)];
            if (r.first < 0) r.first = static_cast<int>(t);
            r.last = static_cast<int>(t);
        }
    if (program.observed) keep_operands_of_pieces(program, used);
    std::vector<LiveRange> ranges;
    std::vector<std::size_t> slots;
    for (std::size_t s = 0; s < program.slots.size(); ++s) {
        // Without steps it lives in the scratch of one kernel.
        if (program.slots[s].kind != Slot::Kind::Arena || used[s].first < 0) continue;
        used[s].bytes = static_cast<std::int64_t>(program.slots[s].bytes());
        ranges.push_back(used[s]);
        slots.push_back(s);
    }
    program.arena_bytes = pack(ranges);
    for (std::size_t i = 0; i < slots.size(); ++i)
        program.slots[slots[i]].offset = ranges[i].offset;
}

void build_program(std::span<const Expr> inputs, std::span<const Expr> outputs,
                   std::span<const std::pair<Expr, Expr>> updates, LoweredGraph graph,
                   Compiled& out) {
    ProgramBuilder(inputs, outputs, updates, std::move(graph), out.program, out).run();
}

}  // namespace arete
