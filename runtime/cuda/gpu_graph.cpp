// Runs of steps as graphs: one launch for all of them.
#include <algorithm>
#include <cstring>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "runtime/cuda/gpu_program.h"
#include "runtime/cuda/status.h"

namespace arete::cuda {

namespace {

using Range = GraphBuilder::Range;

bool conflict(const std::vector<Range>& a, const std::vector<Range>& b) {
    for (const Range& x : a)
        for (const Range& y : b)
            if ((x.written || y.written) && x.first < y.first + y.bytes &&
                y.first < x.first + x.bytes)
                return true;
    return false;
}

Range range(const void* first, std::size_t bytes, bool written) {
    return {static_cast<const char*>(first), bytes, written};
}

bool is_of_host(const Step& step) {
    return std::holds_alternative<LoopStep>(step.action) ||
           std::holds_alternative<BranchStep>(step.action) ||
           std::holds_alternative<CallStep>(step.action);
}

}  // namespace

void GraphBuilder::add(GraphNode node, std::vector<Range> ranges) {
    std::erase_if(ranges, [](const Range& r) { return r.bytes == 0; });
    nodes_.push_back(std::move(node));
    ranges_.push_back(std::move(ranges));
}

std::vector<GraphNode> GraphBuilder::nodes() const {
    std::vector<GraphNode> out = nodes_;
    std::vector<std::vector<bool>> before(out.size());  // what each node comes after, in any way
    for (std::size_t j = 0; j < out.size(); ++j) {
        before[j].resize(j);
        // The nearest first: what it comes after need not be said again.
        for (std::size_t i = j; i-- > 0;) {
            if (before[j][i] || !conflict(ranges_[i], ranges_[j])) continue;
            out[j].after.push_back(static_cast<int>(i));
            before[j][i] = true;
            for (std::size_t k = 0; k < i; ++k)
                if (before[i][k]) before[j][k] = true;
        }
        std::reverse(out[j].after.begin(), out[j].after.end());
    }
    return out;
}

void GpuProgram::add_step(GraphBuilder& to, StepId step) const {
    const auto launch = [&](std::span<const SlotId> slots) {
        const LaunchId kernel = steps_.kernels[step];
        const LaunchEntry& e = entries_[kernel];
        if (e.grid[0] * e.grid[1] * e.grid[2] == 0) return;
        GraphNode node;
        node.kernel = first_ + kernel.index();
        std::vector<Range> ranges;
        for (std::size_t p = 0; p < slots.size(); ++p) {
            node.arguments.push_back(table_[slots[p]]);
            ranges.push_back(range(table_[slots[p]], bytes(slots[p]), e.writes[p] == '1'));
        }
        if (e.status) {
            node.arguments.push_back(status_);
            ranges.push_back(range(status_, sizeof(Status), e.checks));
        }
        to.add(std::move(node), std::move(ranges));
    };
    const Step& s = program_.steps[step];
    if (const KernelStep* kernel = s.kernel()) return launch(kernel->slots);
    GraphNode node;
    if (const auto* c = std::get_if<CopyStep>(&s.action)) {
        const SlotId slots[] = {c->from, c->to};
        if (steps_.kernels[step]) return launch(slots);
        node.kind = GraphNode::Kind::Copy;
        node.from = table_[c->from];
        node.to = table_[c->to];
        node.bytes = bytes(c->to);
        if (node.bytes && node.to != node.from)
            to.add(node, {range(node.from, node.bytes, false), range(node.to, node.bytes, true)});
    } else if (const auto* f = std::get_if<FillStep>(&s.action)) {
        node.kind = GraphNode::Kind::Clear;
        node.to = table_[f->to];
        node.bytes = bytes(f->to);
        if (node.bytes) to.add(node, {range(node.to, node.bytes, true)});
    }
}

void GpuProgram::add_advance(GraphBuilder& to) const {
    GraphNode node;
    node.kernel = first_ + advance_.index();
    std::vector<Range> ranges;
    const auto argument = [&](void* memory, std::size_t n, bool written) {
        node.arguments.push_back(memory);
        ranges.push_back(range(memory, n, written));
    };
    for (SlotId s : table_.ids())
        if (program_.slots[s].kind == Slot::Kind::Input) argument(table_[s], bytes(s), true);
    argument(stacks_.back().get(), sizeof(std::int64_t), true);
    std::size_t k = 0;
    for (SlotId s : table_.ids()) {
        if (program_.slots[s].kind != Slot::Kind::Output) continue;
        argument(table_[s], bytes(s), false);
        argument(stacks_[k++].get(), stacked_runs_ * bytes(s), true);
    }
    to.add(std::move(node), std::move(ranges));
}

GpuProgram::Pieces GpuProgram::pieces(Ends ends) const {
    Pieces out;
    GraphBuilder graph;
    StepId first(0);
    bool checks = false;
    const auto close = [&](StepId last) {
        if (!graph.empty()) {
            Piece& piece = out.emplace_back();
            piece.first = first;
            piece.last = last;
            piece.checks = checks;
            piece.graph = driver_->graph(module_, graph.nodes());
        }
        graph = {};
        checks = false;
        first = last;
    };
    const auto copies = [&](const std::vector<Staged>& staged, GraphNode::Kind kind) {
        const bool in = kind == GraphNode::Kind::CopyIn;
        for (const Staged& s : staged) {
            GraphNode node;
            node.kind = kind;
            void* const host = host_.byte(s.host);
            node.to = in ? s.device : host;
            node.from = in ? host : s.device;
            node.bytes = s.bytes;
            if (s.bytes) graph.add(node, {range(s.device, s.bytes, in)});
        }
    };
    if (ends == Ends::copies) copies(in_, GraphNode::Kind::CopyIn);
    for (StepId k : program_.steps.ids()) {
        if (!is_of_host(program_.steps[k])) {
            checks |= program_.steps[k].checks();
            add_step(graph, k);
            continue;
        }
        close(k);
        Piece& piece = out.emplace_back();
        piece.first = k;
        first = piece.last = StepId(k.number() + 1);
    }
    if (ends == Ends::copies)
        copies(out_, GraphNode::Kind::CopyOut);
    else if (ends == Ends::many)
        add_advance(graph);
    close(StepId(program_.steps.size()));
    return out;
}

loops::Failure GpuProgram::run_pieces(const Pieces& pieces) {
    for (const Piece& p : pieces) {
        if (p.graph) {
            for (StepId k = p.first; k < p.last; ++k) is_running(program_.steps[k]);
            p.graph->launch();
            // What the host does depends on it; behind the last piece others look.
            if (p.checks && &p != &pieces.back())
                if (const loops::Failure f = status(); f.failed) return f;
            continue;
        }
        if (const loops::Failure f = run_steps(program_, steps_, table_, p.first, p.last, {});
            f.failed)
            return f;
    }
    return {};
}

loops::Failure GpuProgram::run_graphs(IdSpan<SlotId, void* const> table) {
    if (pieces_.empty()) pieces_ = pieces(staged_ ? Ends::copies : Ends::nothing);
    if (staged_) {
        for (SlotId s : table.ids())
            if (program_.slots[s].kind == Slot::Kind::Input && bytes(s))
                std::memcpy(host_.byte(staged_at_[s]), table[s], bytes(s));
    } else {
        upload(table);
    }
    tell_written();
    if (const loops::Failure f = run_pieces(pieces_); f.failed) return f;
    if (!staged_) {
        const loops::Failure failed = status_ ? status() : loops::Failure();
        if (!failed.failed) download(table);
        return failed;
    }
    driver_->finish();
    running_.clear();
    if (status_) {
        Status status;
        std::memcpy(&status, host_.byte(status_at_), sizeof status);
        if (status.failed) {
            driver_->clear(status_, sizeof status);
            return {true, static_cast<int>(status.code), status.element, {}};
        }
    }
    for (SlotId s : table.ids()) {
        if (bytes(s) == 0) continue;
        if (program_.slots[s].kind == Slot::Kind::Output)
            std::memcpy(table[s], host_.byte(staged_at_[s]), bytes(s));
        else if (program_.slots[s].kind == Slot::Kind::Shared && is_mine(s) && written_[s])
            driver_->copy_out(table[s], table_[s], bytes(s));
    }
    return {};
}

std::optional<loops::Failure> GpuProgram::run_many(IdSpan<SlotId, void*> table,
                                                   const ManyRuns& runs) {
    if (!advance_ || !bound_ || driver_->one_by_one()) return std::nullopt;
    const auto count = static_cast<std::size_t>(runs.count);
    return naming_kernels([&]() -> loops::Failure {
        const bool moved = find_shared(table);
        copy_constants(table);
        if (moved) pieces_.clear();
        if (moved || stacked_runs_ < count) {
            many_.clear();
            stacks_.clear();
            for (const auto& [slot, stack] : runs.stacks) {
                const std::size_t n = bytes(slot);
                stacks_.emplace_back(*driver_, std::max<std::size_t>(count * n, 1),
                                     "results of many steps");
            }
            stacks_.emplace_back(*driver_, sizeof(std::int64_t), "the number of steps");
            stacked_runs_ = count;
        }
        if (many_.empty()) many_ = pieces(Ends::many);
        driver_->copy_in(table_[runs.input], table[runs.input], bytes(runs.input));
        driver_->clear(stacks_.back().get(), sizeof(std::int64_t));
        tell_written();
        for (std::size_t k = 0; k < count; ++k) {
            running_.clear();
            if (const loops::Failure f = run_pieces(many_); f.failed) return f;
        }
        if (status_)
            if (const loops::Failure f = status(); f.failed) return f;
        for (std::size_t i = 0; i < runs.stacks.size(); ++i) {
            const auto& [slot, stack] = runs.stacks[i];
            if (const std::size_t n = count * bytes(slot))
                driver_->copy_out(stack, stacks_[i].get(), n);
        }
        driver_->finish();
        return {};
    });
}

}  // namespace arete::cuda
