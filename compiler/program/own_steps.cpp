// Steps that run bodies, and calls of the host.
#include "compiler/ops/branch.h"
#include "compiler/ops/checkpoint.h"
#include "compiler/ops/scan.h"
#include "compiler/program/builder.h"

namespace arete {

void ProgramBuilder::emit_own(LoweredStep& own) {
    Step step;
    step.lines = own.lines();
    if (own.node->op == &scan_op.info)
        step.action = loop_step(own);
    else if (own.node->op == &ifelse_op.info)
        step.action = branch_step(own);
    else if (own.node->op == &recompute_op.info)
        step.action = recompute_step(own);
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
Program ProgramBuilder::body_program(LoweredBody& body, std::string name,
                                     std::vector<Window>& windows, WindowOfParam window_of_param,
                                     WindowOfResult window_of_result) {
    Program program;
    program.name = std::move(name);
    program.quick = program_.quick;
    ProgramBuilder builder(body.region.params, body.region.results, {}, std::move(body.graph),
                           program, out_, this);
    builder.run();
    for (const auto& [slot, of] : builder.outside_) windows.push_back({slot, of, 0, 0, 0, false});
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

CallStep ProgramBuilder::call_step(const LoweredStep& own) {
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
BranchStep ProgramBuilder::branch_step(LoweredStep& own) {
    const std::shared_ptr<const Node>& node = own.node;
    BranchStep branch;
    branch.label = std::string(node->op->name);
    branch.condition = slot_of(node->inputs[0]);
    std::vector<SlotId> results;
    for (const Expr& e : outputs_of(node)) results.push_back(slot_of(e));
    branch.workspace = add_arena_slot(DType::U8, {0}, "workspace of " + branch.label);
    branch.windows.resize(own.bodies.size());
    for (std::size_t k = 0; k < own.bodies.size(); ++k)
        branch.bodies.push_back(body_program(
            own.bodies[k], branch.label, branch.windows[k],
            [&](std::size_t p) -> Window { return {{}, slot_of(node->inputs[p + 1])}; },
            [&](std::size_t r) -> Window { return {{}, results[r]}; }));
    return branch;
}

// A loop of one trip, whose windows are the whole values.
LoopStep ProgramBuilder::recompute_step(LoweredStep& own) {
    const std::shared_ptr<const Node>& node = own.node;
    LoopStep loop;
    loop.label = std::string(node->op->name);
    loop.trips = 1;
    std::vector<SlotId> results;
    for (const Expr& e : outputs_of(node)) results.push_back(slot_of(e));
    loop.workspace = add_arena_slot(DType::U8, {0}, "workspace of " + loop.label);
    loop.body.push_back(body_program(
        own.bodies[0], loop.label, loop.windows,
        [&](std::size_t p) -> Window { return {{}, slot_of(node->inputs[p])}; },
        [&](std::size_t r) -> Window { return {{}, results[r]}; }));
    return loop;
}

namespace {

std::int64_t bytes_of_row(const Expr& rows) {
    const TensorType row = row_type(rows.type());
    return count(concrete(row.shape)) * static_cast<std::int64_t>(size_of(row.dtype));
}

}  // namespace

LoopStep ProgramBuilder::loop_step(LoweredStep& own) {
    const std::shared_ptr<const Node>& node = own.node;
    const ScanForm f(*node);
    LoopStep loop;
    loop.label = std::string(node->op->name);
    loop.trips = f.steps.value();
    std::vector<Window> results;  // of states, outputs and the condition
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
            c.last = {};
            if (f.until) loop.stacked.push_back({c.buffer, c.row_bytes, c.depth});
        }
        loop.carried.push_back(c);
        results.push_back({{}, c.buffer, c.depth * c.row_bytes, c.row_bytes, ring, true});
    }
    for (std::size_t l = 0; l < f.outputs.size(); ++l) {
        const Expr all(node, static_cast<int>(f.output_result(l)));
        const std::int64_t bytes = bytes_of_row(all);
        const SlotId slot = slot_of(all);
        const bool reversed = f.outputs[l].reversed;
        results.push_back({{},
                           slot,
                           reversed ? (loop.trips - 1) * bytes : 0,
                           reversed ? -bytes : bytes,
                           0,
                           true});
        if (f.until) loop.stacked.push_back({slot, bytes, 0});
    }
    if (f.until) {
        loop.until = add_arena_slot(DType::Bool, {}, "condition of " + loop.label);
        loop.count = slot_of(Expr(node, static_cast<int>(f.until_result())));
        results.push_back({{}, loop.until, 0, 0, 0, true});
    }
    loop.workspace = add_arena_slot(DType::U8, {0}, "workspace of " + loop.label);
    const auto window_of_param = [&](std::size_t k) -> Window {
        if (k < f.sequences.size()) {
            const std::int64_t bytes = bytes_of_row(node->inputs[k]);
            return {{},
                    slot_of(node->inputs[k]),
                    f.sequences[k].start.value() * bytes,
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
        return {{}, slot_of(node->inputs[f.first_capture() + k - f.capture_param()])};
    };
    loop.body.push_back(body_program(own.bodies[0], loop.label, loop.windows, window_of_param,
                                     [&](std::size_t k) { return results[k]; }));
    return loop;
}

}  // namespace arete
