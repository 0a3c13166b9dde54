#include "compiler/fuse/group_order.h"

#include <algorithm>
#include <numeric>

#include "compiler/core/error.h"

namespace arete {

namespace {

// Groups that one search visits at most.
constexpr std::size_t most_visited = 1000;

}  // namespace

GroupOrder::GroupOrder(std::size_t groups)
    : into_(groups), position_(groups), before_(groups), after_(groups), seen_(groups, -1) {
    std::iota(into_.begin(), into_.end(), 0);
    std::iota(position_.begin(), position_.end(), 0);
}

void GroupOrder::add_edge(int from, int to) {
    after_[static_cast<std::size_t>(from)].push_back(to);
    before_[static_cast<std::size_t>(to)].push_back(from);
}

int GroupOrder::find(int k) const {
    auto at = static_cast<std::size_t>(k);
    while (into_[at] != static_cast<int>(at)) {
        into_[at] = into_[static_cast<std::size_t>(into_[at])];
        at = static_cast<std::size_t>(into_[at]);
    }
    return static_cast<int>(at);
}

bool GroupOrder::reach(int from, const std::vector<std::vector<int>>& edges, int low, int high,
                       int goal, std::vector<int>& out) {
    ++searches_;
    std::vector<int> stack{from};
    seen_[static_cast<std::size_t>(from)] = searches_;
    while (!stack.empty()) {
        const int k = stack.back();
        stack.pop_back();
        for (int edge : edges[static_cast<std::size_t>(k)]) {
            const int next = find(edge);
            if (next == goal) return false;
            const int at = position_[static_cast<std::size_t>(next)];
            if (at <= low || at >= high) continue;
            int& seen = seen_[static_cast<std::size_t>(next)];
            if (seen == searches_) continue;
            seen = searches_;
            if (out.size() == most_visited) return false;
            out.push_back(next);
            stack.push_back(next);
        }
    }
    return true;
}

bool GroupOrder::between(int first, int last, std::vector<int>& early, std::vector<int>& late) {
    const int low = position(first), high = position(last);
    return reach(last, before_, low, high, first, early) &&
           reach(first, after_, low, high, last, late);
}

bool GroupOrder::independent(int a, int b) {
    std::vector<int> early, late;
    return position(a) < position(b) ? between(a, b, early, late) : between(b, a, early, late);
}

void GroupOrder::merge(int a, int b) {
    const int first = position(a) < position(b) ? a : b, last = first == a ? b : a;
    std::vector<int> early, late;
    ARETE_CHECK(between(first, last, early, late), "groups {} and {} need each other", a, b);
    // They have nothing in common, or it would lead from `first` to `last`. The one group takes a
    // place between them.
    const auto in_order = [&](int x, int y) { return position(x) < position(y); };
    std::sort(early.begin(), early.end(), in_order);
    std::sort(late.begin(), late.end(), in_order);
    std::vector<int> places{position(first), position(last)};
    for (const std::vector<int>* part : {&early, &late})
        for (int k : *part) places.push_back(position(k));
    std::sort(places.begin(), places.end());
    std::size_t next = 0;
    for (int k : early) position(k) = places[next++];
    position(a) = places[next++];
    next = places.size() - late.size();
    for (int k : late) position(k) = places[next++];
    into_[static_cast<std::size_t>(b)] = a;
    for (auto* edges : {&before_, &after_}) {
        std::vector<int>&to = (*edges)[static_cast<std::size_t>(a)],
        &from = (*edges)[static_cast<std::size_t>(b)];
        to.insert(to.end(), from.begin(), from.end());
        from = {};
    }
}

}  // namespace arete
