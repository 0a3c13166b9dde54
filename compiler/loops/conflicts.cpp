#include "compiler/loops/conflicts.h"

#include "compiler/core/error.h"

namespace arete::loops {

namespace {

// `a` came first.
bool in_order(const Conflicts::Thread& a, const Conflicts::Thread& b) {
    if (a.block != b.block) return a.of_grid < b.of_grid;
    if (a.number == b.number) return true;
    if (a.warp != b.warp) return a.of_block < b.of_block;
    return a.of_warp < b.of_warp;
}

}  // namespace

Conflicts::Conflicts(const Kernel& kernel, IdSpan<BufferId, void* const> pointers, bool threads)
    : k_(kernel), threads_(threads), memory_(kernel.buffers.size()) {
    std::unordered_map<const void*, std::size_t> known;
    for (BufferId b : kernel.buffers.ids()) {
        if (!kernel.buffers[b].is_parameter()) continue;
        memory_[b] = known.try_emplace(pointers[b], known.size()).first->second;
        elements_.resize(known.size());
        std::vector<Element>& all = elements_[memory_[b]];
        all.resize(std::max(all.size(), static_cast<std::size_t>(kernel.buffers[b].elements())));
    }
}

void Conflicts::begin_block(std::int32_t block) {
    IdVector<BufferId, std::vector<Element>>& all = shared_[block];
    all.assign(k_.buffers.size(), {});
    for (BufferId b : all.ids())
        if (k_.buffers[b].space == Space::Shared)
            all[b].resize(static_cast<std::size_t>(k_.buffers[b].elements()));
}

void Conflicts::end_block(std::int32_t block) {
    shared_.erase(block);
    if (!unwritten_.empty()) throw InternalError(unwritten_);
}

Conflicts::Element& Conflicts::at(const Thread& t, BufferId buffer, std::int64_t element) {
    std::vector<Element>& all = k_.buffers[buffer].is_parameter() ? elements_[memory_[buffer]]
                                                                  : shared_.at(t.block).at(buffer);
    return all.at(element);
}

std::string Conflicts::text(const Thread& t) const {
    return threads_ ? fmt::format("thread {} of block {}", t.number, t.block)
                    : fmt::format("iteration {}", t.block);
}

void Conflicts::compare(const Access& before, const Access& now, bool wrote, bool writes,
                        BufferId buffer, std::int64_t element) const {
    if (!before.statement || in_order(before.thread, now.thread)) return;
    throw InternalError(fmt::format(
        "{}: {} {} {}[{}] in '{}', which {} {} in '{}', {}", k_.name, text(now.thread),
        writes ? "writes" : "reads", k_.buffers[buffer].name, element, line_of(k_, *now.statement),
        text(before.thread), wrote ? "writes" : "reads", line_of(k_, *before.statement),
        threads_ ? "and no barrier is between them" : "of the same parallel loop"));
}

void Conflicts::read(const Thread& t, const Stmt& s, BufferId buffer, std::int64_t element) {
    const Buffer& b = k_.buffers[buffer];
    if (!b.is_parameter() && b.space != Space::Shared) return;
    Element& e = at(t, buffer, element);
    const Access now{t, &s};
    if (b.space == Space::Shared && !e.written.statement && unwritten_.empty())
        unwritten_ = fmt::format("{}: {} reads {}[{}] in '{}', which nothing has written", k_.name,
                                 text(t), b.name, element, line_of(k_, s));
    compare(e.written, now, true, false, buffer, element);
    if (e.read.statement) {
        const Thread& last = e.read.thread;
        if (last.block != t.block) {
            e.of_grid = e.read;
            e.of_block = e.of_warp = {};
        } else if (last.warp != t.warp) {
            e.of_block = e.read;
            e.of_warp = {};
        } else if (last.number != t.number) {
            e.of_warp = e.read;
        }
    }
    e.read = now;
}

void Conflicts::write(const Thread& t, const Stmt& s, BufferId buffer, std::int64_t element) {
    const Buffer& b = k_.buffers[buffer];
    if (!b.is_parameter() && b.space != Space::Shared) return;
    Element& e = at(t, buffer, element);
    const Access now{t, &s};
    compare(e.written, now, true, true, buffer, element);
    for (const Access* before : {&e.read, &e.of_warp, &e.of_block, &e.of_grid})
        compare(*before, now, false, true, buffer, element);
    e = Element{now, {}, {}, {}, {}};
}

}  // namespace arete::loops
