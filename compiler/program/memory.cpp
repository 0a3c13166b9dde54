#include "compiler/program/memory.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

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

// The gaps between ranges, for many ranges: each takes the smallest gap that holds it when its
// time comes, and gives it back.
class Gaps {
  public:
    std::int64_t take(std::int64_t bytes) {
        const auto best = by_size_.lower_bound({bytes, 0});
        if (best == by_size_.end()) {
            // What is free at the end grows.
            std::int64_t at = end_;
            if (!free_.empty()) {
                const auto last = std::prev(free_.end());
                if (last->first + last->second == end_) {
                    at = last->first;
                    remove(last);
                }
            }
            end_ = at + bytes;
            return at;
        }
        const std::int64_t at = best->second, left = best->first - bytes;
        remove(free_.find(at));
        if (left > 0) add(at + bytes, left);
        return at;
    }

    void give(std::int64_t at, std::int64_t bytes) {
        if (bytes == 0) return;
        const auto next = free_.find(at + bytes);
        if (next != free_.end()) {
            bytes += next->second;
            remove(next);
        }
        const auto above = free_.lower_bound(at);
        if (above != free_.begin()) {
            const auto below = std::prev(above);
            if (below->first + below->second == at) {
                at = below->first;
                bytes += below->second;
                remove(below);
            }
        }
        add(at, bytes);
    }

    std::int64_t end() const { return end_; }

  private:
    using Free = std::map<std::int64_t, std::int64_t>;  // offset, size
    void add(std::int64_t at, std::int64_t bytes) {
        free_.emplace(at, bytes);
        by_size_.emplace(bytes, at);
    }
    void remove(Free::iterator it) {
        by_size_.erase({it->second, it->first});
        free_.erase(it);
    }

    Free free_;
    std::set<std::pair<std::int64_t, std::int64_t>> by_size_;
    std::int64_t end_ = 0;
};

// Places the ranges in the order of time.
std::int64_t place_in_time(std::vector<LiveRange>& ranges) {
    std::vector<std::size_t> starts(ranges.size()), ends;
    std::iota(starts.begin(), starts.end(), std::size_t{0});
    ends = starts;
    std::stable_sort(starts.begin(), starts.end(), [&](std::size_t a, std::size_t b) {
        return ranges[a].first != ranges[b].first ? ranges[a].first < ranges[b].first
                                                  : ranges[a].bytes > ranges[b].bytes;
    });
    std::stable_sort(ends.begin(), ends.end(),
                     [&](std::size_t a, std::size_t b) { return ranges[a].last < ranges[b].last; });
    Gaps gaps;
    auto gone = ends.begin();
    for (std::size_t i : starts) {
        for (; ranges[*gone].last < ranges[i].first; ++gone)
            gaps.give(ranges[*gone].offset, padded(ranges[*gone].bytes));
        ranges[i].offset = gaps.take(padded(ranges[i].bytes));
    }
    return gaps.end();
}

// Above this many ranges, trying several orders would take long.
constexpr std::size_t many = 1000;

}  // namespace

std::int64_t pack(std::vector<LiveRange>& ranges) {
    if (ranges.size() > many) return place_in_time(ranges);
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
    std::map<int, std::int64_t> change;  // by step
    for (const LiveRange& r : ranges) {
        change[r.first] += padded(r.bytes);
        change[r.last + 1] -= padded(r.bytes);
    }
    std::int64_t now = 0, most = 0;
    for (const auto& [step, bytes] : change) most = std::max(most, now = checked(now + bytes));
    return most;
}

}  // namespace arete
