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
    : position_(groups), before_(groups), after_(groups), seen_(groups, -1) {
    for (GroupId k : position_.ids()) into_.push_back(k);
    std::iota(position_.begin(), position_.end(), 0);
}

void GroupOrder::add_edge(GroupId from, GroupId to) {
    after_[from].push_back(to);
    before_[to].push_back(from);
}

GroupId GroupOrder::find(GroupId k) const {
    while (into_[k] != k) {
        into_[k] = into_[into_[k]];
        k = into_[k];
    }
    return k;
}

bool GroupOrder::reach(GroupId from, const IdVector<GroupId, std::vector<GroupId>>& edges, int low,
                       int high, GroupId goal, std::vector<GroupId>& out) {
    ++searches_;
    std::vector<GroupId> stack{from};
    seen_[from] = searches_;
    while (!stack.empty()) {
        const GroupId k = stack.back();
        stack.pop_back();
        for (GroupId edge : edges[k]) {
            const GroupId next = find(edge);
            if (next == goal) return false;
            const int at = position_[next];
            if (at <= low || at >= high) continue;
            int& seen = seen_[next];
            if (seen == searches_) continue;
            seen = searches_;
            if (out.size() == most_visited) return false;
            out.push_back(next);
            stack.push_back(next);
        }
    }
    return true;
}

bool GroupOrder::between(GroupId first, GroupId last, std::vector<GroupId>& early,
                         std::vector<GroupId>& late) {
    const int low = position(first), high = position(last);
    return reach(last, before_, low, high, first, early) &&
           reach(first, after_, low, high, last, late);
}

bool GroupOrder::independent(GroupId a, GroupId b) {
    std::vector<GroupId> early, late;
    return position(a) < position(b) ? between(a, b, early, late) : between(b, a, early, late);
}

void GroupOrder::merge(GroupId a, GroupId b) {
    const GroupId first = position(a) < position(b) ? a : b, last = first == a ? b : a;
    std::vector<GroupId> early, late;
    ARETE_CHECK(between(first, last, early, late), "groups {} and {} need each other", a, b);
    // They have nothing in common, or it would lead from `first` to `last`. The one group takes a
    // place between them.
    const auto in_order = [&](GroupId x, GroupId y) { return position(x) < position(y); };
    std::sort(early.begin(), early.end(), in_order);
    std::sort(late.begin(), late.end(), in_order);
    std::vector<int> places{position(first), position(last)};
    for (const std::vector<GroupId>* part : {&early, &late})
        for (GroupId k : *part) places.push_back(position(k));
    std::sort(places.begin(), places.end());
    std::size_t next = 0;
    for (GroupId k : early) position(k) = places[next++];
    position(a) = places[next++];
    next = places.size() - late.size();
    for (GroupId k : late) position(k) = places[next++];
    into_[b] = a;
    for (auto* edges : {&before_, &after_}) {
        std::vector<GroupId>&to = (*edges)[a], &from = (*edges)[b];
        to.insert(to.end(), from.begin(), from.end());
        from = {};
    }
}

}  // namespace arete
