#include "compiler/pipeline/memory.h"

#include <algorithm>
#include <numeric>

#include "compiler/core/error.h"

namespace arete {

namespace {
std::int64_t padded(std::int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

// Of many tensors of the largest size the sum would overflow.
std::int64_t checked(std::int64_t bytes) {
    if (bytes > std::int64_t{1} << 61)
        fail<MemoryError>({}, "no memory for more than {} bytes of intermediate values", bytes);
    return bytes;
}

// Places the ranges in this order; returns the size that they need.
std::int64_t place(std::vector<LiveRange>& ranges, const std::vector<std::size_t>& order) {
    std::int64_t total = 0;
    std::vector<std::size_t> placed;
    for (std::size_t i : order) {
        LiveRange& r = ranges[i];
        // Those alive at the same time, lowest first; take the first gap that is wide enough.
        std::vector<const LiveRange*> beside;
        for (std::size_t j : placed)
            if (ranges[j].first <= r.last && r.first <= ranges[j].last)
                beside.push_back(&ranges[j]);
        std::sort(beside.begin(), beside.end(),
                  [](const LiveRange* a, const LiveRange* b) { return a->offset < b->offset; });
        std::int64_t at = 0;
        for (const LiveRange* o : beside) {
            if (at + padded(r.bytes) <= o->offset) break;
            at = std::max(at, o->offset + padded(o->bytes));
        }
        r.offset = at;
        total = std::max(total, checked(at + padded(r.bytes)));
        placed.push_back(i);
    }
    return total;
}

}  // namespace

std::int64_t pack(std::vector<LiveRange>& ranges) {
    using Key = double (*)(const LiveRange&);
    // Each order is the best one for some plans; the first is for most.
    constexpr Key keys[] = {
        [](const LiveRange& r) { return static_cast<double>(r.bytes); },
        [](const LiveRange& r) {
            return static_cast<double>(r.bytes) * static_cast<double>(r.last - r.first + 1);
        },
        [](const LiveRange& r) { return static_cast<double>(r.last - r.first); },
        [](const LiveRange& r) { return -static_cast<double>(r.first); },
    };
    // Then what ends at the top is placed before everything else, a few times over.
    const int tries = static_cast<int>(
        std::clamp<std::size_t>(2000 / std::max<std::size_t>(1, ranges.size()), 1, 24));
    const std::int64_t least = live_bytes(ranges);
    std::vector<LiveRange> best;
    std::int64_t best_total = 0;
    const auto attempt = [&](const std::vector<std::size_t>& order) {
        std::vector<LiveRange> now = ranges;
        const std::int64_t total = place(now, order);
        std::size_t top = 0;
        for (std::size_t i = 0; i < now.size(); ++i)
            if (now[i].offset + padded(now[i].bytes) == total) top = i;
        if (best.empty() || total < best_total) {
            best = std::move(now);
            best_total = total;
        }
        return top;
    };
    for (const Key key : keys) {
        if (ranges.empty()) break;
        std::vector<std::size_t> order(ranges.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            return key(ranges[a]) > key(ranges[b]);
        });
        for (int k = 0; k < tries; ++k) {
            const auto top = std::find(order.begin(), order.end(), attempt(order));
            if (best_total <= least || top == order.begin()) break;
            std::rotate(order.begin(), top, top + 1);
        }
        if (best_total <= least) break;
    }
    ranges = std::move(best);
    return best_total;
}

std::int64_t live_bytes(const std::vector<LiveRange>& ranges) {
    std::int64_t most = 0;
    for (const LiveRange& at : ranges) {
        std::int64_t sum = 0;
        for (const LiveRange& r : ranges)
            if (r.first <= at.first && at.first <= r.last) sum = checked(sum + padded(r.bytes));
        most = std::max(most, sum);
    }
    return most;
}

}  // namespace arete
