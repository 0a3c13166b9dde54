// An order of groups that stays valid as groups merge.
#pragma once

#include <cstddef>
#include <vector>

namespace arete {

/// Groups 0..n-1 with edges from what is needed to what needs it, and an order in which every edge
/// points forward. Merging two groups changes only the part of the order that lies between them
/// (as in Pearce and Kelly, "A dynamic topological sort algorithm for directed acyclic graphs",
/// 2006), so that many merges cost little more than the edges they meet.
class GroupOrder {
  public:
    explicit GroupOrder(std::size_t groups);

    /// `to` needs `from`, which has the lower number. Before any merge.
    void add_edge(int from, int to);
    /// False where one of two groups needs the other, at any distance, or where finding that out
    /// would take long.
    bool independent(int a, int b);
    /// Makes b part of a, with all edges of both. They must be independent.
    void merge(int a, int b);
    /// The group that a group has become part of: itself where it has not.
    int find(int k) const;

  private:
    // Groups between two positions that are reached from one; false where `goal` is, or there are
    // too many.
    bool reach(int from, const std::vector<std::vector<int>>& edges, int low, int high, int goal,
               std::vector<int>& out);
    // Of two groups, what the later one needs and what needs the earlier one, between them.
    bool between(int first, int last, std::vector<int>& early, std::vector<int>& late);
    int& position(int k) { return position_[static_cast<std::size_t>(k)]; }

    mutable std::vector<int> into_;
    std::vector<int> position_;
    std::vector<std::vector<int>> before_, after_;
    std::vector<int> seen_;  // by group: the last search that met it
    int searches_ = 0;
};

}  // namespace arete
