// An order of groups that stays valid as groups merge.
#pragma once

#include <cstddef>
#include <vector>

#include "compiler/core/id.h"

namespace arete {

/// A group, by its number in Fusion::groups before any merge.
using GroupId = Id<struct FusionGroupTag>;

/// Groups 0..n-1 with edges from what is needed to what needs it, and an order in which every edge
/// points forward. Merging two groups changes only the part of the order that lies between them
/// (as in Pearce and Kelly, "A dynamic topological sort algorithm for directed acyclic graphs",
/// 2006), so that many merges cost little more than the edges they meet.
class GroupOrder {
  public:
    explicit GroupOrder(std::size_t groups);

    /// `to` needs `from`, which has the lower number. Before any merge.
    void add_edge(GroupId from, GroupId to);
    /// False where one of two groups needs the other, at any distance, or where finding that out
    /// would take long.
    bool independent(GroupId a, GroupId b);
    /// Makes b part of a, with all edges of both. They must be independent.
    void merge(GroupId a, GroupId b);
    /// The group that a group has become part of: itself where it has not.
    GroupId find(GroupId k) const;

  private:
    // Groups between two positions that are reached from one; false where `goal` is, or there are
    // too many.
    bool reach(GroupId from, const IdVector<GroupId, std::vector<GroupId>>& edges, int low,
               int high, GroupId goal, std::vector<GroupId>& out);
    // Of two groups, what the later one needs and what needs the earlier one, between them.
    bool between(GroupId first, GroupId last, std::vector<GroupId>& early,
                 std::vector<GroupId>& late);
    int& position(GroupId k) { return position_[k]; }

    mutable IdVector<GroupId, GroupId> into_;
    IdVector<GroupId, int> position_;
    IdVector<GroupId, std::vector<GroupId>> before_, after_;
    IdVector<GroupId, int> seen_;  // the last search that met it
    int searches_ = 0;
};

}  // namespace arete
