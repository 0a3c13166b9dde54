#include "compiler/program/group.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "compiler/program/blocks.h"
#include "compiler/program/dependences.h"
#include "compiler/program/merge.h"
#include "compiler/program/partial_sums.h"
#include "compiler/program/slices.h"

namespace arete {

using namespace loops;

namespace {

// A kernel to be.
using GroupId = Id<struct GroupTag>;

// A function of very many nests is slow to compile.
constexpr std::size_t most_parts = 48;
// How far back a step looks for a kernel to join.
constexpr int look_back = 64;

class Grouper {
  public:
    Grouper(Program& program, const GroupingModel& model)
        : p_(program), m_(model), d_(program), group_of_(program.steps.size()) {}

    void run() {
        for (StepId i : d_.checks_first(p_)) {
            if (is_kernel(i)) estimate(i);
            place(i);
        }
        for (GroupId g : groups_.ids()) join_whole(g);
        waits_for_.resize(d_.after.size());
        for (StepId k : d_.after.ids())
            for (StepId before : d_.after[k]) waits_for_[before].push_back(k);
        for (int g = end_of_groups(); g-- > 0;) join_reader(GroupId(g));
        std::vector<StepId> order;
        for (const Group& g : groups_)
            for (const Member& m : g.members) order.push_back(m.step);
        d_.check(p_, order);
        IdVector<StepId, Step> merged;
        for (Group& g : groups_) {
            if (g.members.empty()) continue;  // joined another one
            merged.push_back(merge_steps(p_, g.members, g.blocks, d_, m_.scratch_bytes));
            if (KernelStep* k = merged.back().kernel()) k->boundary = std::move(g.boundary);
        }
        p_.steps = std::move(merged);
    }

  private:
    struct Group {
        std::vector<Member> members;
        std::int64_t blocks = 1;
        double cycles = 0;
        bool in_a_row = false;
        std::string boundary;
        // Of all members: what one of them hands on must not be asked of each again and again.
        bool checks = false, changes = false;
        std::unordered_set<SlotId> slots;
        std::int64_t bytes = 0;  // of slots that some step writes
    };

    Step& step(StepId i) { return p_.steps[i]; }
    KernelStep& kernel(StepId i) { return *step(i).kernel(); }
    Part& part(StepId i) { return kernel(i).parts[0]; }
    bool is_kernel(StepId i) const { return p_.steps[i].kernel(); }
    const Slot& slot(SlotId s) const { return p_.slots[s]; }

    bool changes_shared(StepId i) const {
        const Dependences::Uses& uses = d_.uses[i];
        return std::any_of(uses.begin(), uses.end(), [&](const auto& u) {
            return u.second.written && slot(u.first).kind == Slot::Kind::Shared;
        });
    }

    void estimate(StepId i) {
        Part& own = part(i);
        if (!own.nest.sequential) own.cycles = m_.cycles(own.nest);
    }

    bool small(StepId i) { return part(i).cycles <= m_.split_cycles; }

    const std::unordered_map<SlotId, std::int64_t>& slices(StepId i, Var axis) {
        const auto key = std::make_pair(i, axis);
        if (auto at = slices_.find(key); at != slices_.end()) return at->second;
        return slices_.emplace(key, slices_of(part(i), axis)).first->second;
    }

    // Cycles of a step's nest, one block of its axis after the other.
    double cycles(StepId i, Var axis, std::int64_t blocks) {
        const auto key = std::make_tuple(i, axis, blocks);
        if (auto at = cycles_.find(key); at != cycles_.end()) return at->second;
        const double one = m_.cycles(take_block(part(i).nest, axis, blocks));
        return cycles_.emplace(key, static_cast<double>(blocks) * one).first->second;
    }

    void place(StepId i) {
        int first = 0;
        for (StepId before : d_.after[i]) first = std::max(first, group_of_[before].number());
        std::string boundary;
        if (is_kernel(i) && !part(i).nest.partial) {
            find_linked(i);
            const int end = end_of_groups(), from = std::max(first, end - look_back);
            for (int g = end - 1; g >= from; --g)
                if (join_by_blocks(GroupId(g), i, false, boundary)) return;
            for (int g = end - 1; g >= from; --g)
                if (join_by_pieces(GroupId(g), i, boundary)) return;
            for (int g = end - 1; g >= from; --g)
                if (join_in_a_row(GroupId(g), i, boundary)) return;
            if (small(i))  // of too much data to be run in a row
                for (int g = end - 1; g >= from; --g)
                    if (join_by_blocks(GroupId(g), i, true, boundary)) return;
        }
        Group alone;
        alone.boundary = std::move(boundary);
        add(groups_.add(std::move(alone)), {i, {}}, is_kernel(i) ? part(i).cycles : 0);
    }

    // The groups that hand something on to step i, or take it from it.
    void find_linked(StepId i) {
        linked_.clear();
        for (StepId other : d_.partners(i))
            if (const GroupId g = group_of_[other]) linked_.insert(g);
    }

    std::vector<SlotId> handed_on(StepId a, StepId b) const { return d_.handed_on(a, b); }

    bool can_hold(const Group& g) {
        const Member& m = g.members[0];
        return g.members.size() < most_parts && is_kernel(m.step) && !part(m.step).nest.partial;
    }

    // What a check passes on is clamped to what it allows, so a kernel may use it before the
    // program stops; but it must not have changed a shared variable by then.
    bool checked_too_late(const Group& g, StepId i) {
        return (g.checks || step(i).checks()) && (g.changes || changes_shared(i));
    }

    void add(GroupId g, Member m, double cycles) {
        Group& group = groups_[g];
        group.members.push_back(m);
        group.cycles += cycles;
        note(group, m.step);
        group_of_[m.step] = g;
    }

    // What nobody writes, a data set say, is read only where indices point.
    bool counts(SlotId s) const {
        return slot(s).kind != Slot::Kind::Input && slot(s).kind != Slot::Kind::Shared;
    }

    void note(Group& group, StepId i) {
        group.checks = group.checks || step(i).checks();
        group.changes = group.changes || changes_shared(i);
        for (const auto& [s, use] : d_.uses[i])
            if (group.slots.insert(s).second && counts(s))
                group.bytes += static_cast<std::int64_t>(slot(s).bytes());
    }

    void note_again(Group& group) {
        group.checks = group.changes = false;
        group.slots.clear();
        group.bytes = 0;
        for (const Member& m : group.members) note(group, m.step);
    }

    bool join_by_blocks(GroupId number, StepId i, bool small_ones, std::string& boundary) {
        Group& g = groups_[number];
        if (!linked_.count(number) || !can_hold(g) || g.in_a_row || checked_too_late(g, i))
            return false;
        if (g.members.size() > 1) {
            for (Var v : part(i).nest.axes)
                if (fits(g, i, v, boundary) && pays(i, v, g, boundary)) {
                    add(number, {i, v}, cycles(i, v, g.blocks));
                    return true;
                }
            return false;
        }
        Member& only = g.members[0];
        // Two small nests are better off in a row.
        if (small(only.step) && small(i) && !small_ones) return false;
        for (Var u : part(only.step).nest.axes)
            for (Var v : part(i).nest.axes)
                for (std::int64_t blocks :
                     common_blocks(extent(only.step, u), extent(i, v),
                                   elementwise(only.step) && elementwise(i))) {
                    only.axis = u;
                    g.blocks = blocks;
                    if (!fits(g, i, v, boundary)) break;
                    if (!pays(only.step, u, g, boundary) || !pays(i, v, g, boundary)) continue;
                    g.cycles = cycles(only.step, u, g.blocks);
                    add(number, {i, v}, cycles(i, v, g.blocks));
                    return true;
                }
        g.blocks = 1;
        only.axis = {};
        return false;
    }

    // A sum over an axis of which the group's blocks are pieces, the gradient of a filter over the
    // images say: each block adds up its own, and a step behind adds up the blocks'. Worth it where
    // a large array need not be stored for the sum alone.
    bool join_by_pieces(GroupId number, StepId i, std::string& boundary) {
        if (!linked_.count(number) || !can_hold(groups_[number]) || step(i).checks()) return false;
        const std::vector<Member> members = groups_[number].members;
        double saved = 0;
        for (const Member& m : members)
            for (SlotId s : handed_on(m.step, i))
                if (const auto bytes = static_cast<std::int64_t>(slot(s).bytes());
                    bytes > m_.near_bytes && only_between(s, members, i))
                    saved += 2 * static_cast<double>(bytes) / m_.far_bytes_per_cycle;
        if (saved == 0) return false;
        const std::vector<Var> axes = part(i).nest.reduce_axes;  // steps move as one is added
        for (Var v : axes)
            for (std::int64_t count : pieces_of(number, extent(i, v)))
                if (add_pieces(number, i, v, count, saved, boundary)) return true;
        return false;
    }

    // Of a group of one step, into how many blocks; of others, that is given.
    std::vector<std::int64_t> pieces_of(GroupId number, std::int64_t all) {
        const Group& g = groups_[number];
        if (g.blocks > 1) return {g.blocks};
        if (g.in_a_row || g.members.size() > 1) return {};
        std::vector<std::int64_t> out;
        for (Var u : part(g.members[0].step).nest.axes)
            for (std::int64_t blocks : common_blocks(extent(g.members[0].step, u), all, false))
                if (std::find(out.begin(), out.end(), blocks) == out.end()) out.push_back(blocks);
        return out;
    }

    // Is a slot of no use but to hand something on from these to a step?
    bool only_between(SlotId s, const std::vector<Member>& members, StepId i) const {
        if (slot(s).kind != Slot::Kind::Arena) return false;
        return !d_.used_elsewhere(s, [&](StepId k) {
            return k == i || std::any_of(members.begin(), members.end(),
                                         [&](const Member& m) { return m.step == k; });
        });
    }

    // Replaces step i by a sum for each piece, which joins the group, and the rest of it.
    bool add_pieces(GroupId number, StepId i, Var axis, std::int64_t count, double saved,
                    std::string& boundary) {
        const SlotId sums(p_.slots.size());
        std::optional<PartialSums> cut = cut_sum(part(i), axis, count, sums);
        if (!cut) return false;
        const double whole = part(i).cycles;
        Slot made;
        made.dtype = cut->pieces.nest.accumulators.front().dtype;
        made.sizes = cut->sizes;
        made.name = cut->pieces.nest.name;
        p_.slots.push_back(std::move(made));
        const StepId piece = add_step(i, std::move(cut->pieces));
        const double rest = m_.cycles(cut->total.nest);
        const double moved = 2 * static_cast<double>(slot(sums).bytes()) / m_.near_bytes_per_cycle;
        Group& g = groups_[number];
        const Group before = g;
        const auto good = [&] {
            if (checked_too_late(g, piece) || !fits(g, piece, cut->piece, boundary)) return false;
            // Half of what is saved, since arithmetic hides some of what is moved.
            return cycles(piece, cut->piece, count) + rest + moved <= whole + 0.5 * saved;
        };
        if (g.blocks == 1)
            for (Var u : part(g.members[0].step).nest.axes) {
                g.members[0].axis = u;
                g.blocks = count;
                if (extent(g.members[0].step, u) % count == 0 && good() &&
                    pays(g.members[0].step, u, g, boundary))
                    break;
                g = before;
            }
        if (g.blocks == 1 || !good()) {
            g = before;
            drop_last_step();
            p_.slots.pop_back();
            return false;
        }
        if (before.blocks == 1) g.cycles = cycles(g.members[0].step, g.members[0].axis, g.blocks);
        add(number, {piece, cut->piece}, cycles(piece, cut->piece, count));
        replace_nest(i, std::move(cut->total), piece);
        place(i);
        return true;
    }

    // One more step, of which step i will need the results.
    StepId add_step(StepId i, Part made) {
        const StepId number(p_.steps.size());
        Step s;
        s.lines = step(i).lines;
        s.flops = step(i).flops;
        for (SlotId n : made.slots) s.bytes += static_cast<double>(slot(n).bytes());
        d_.set(number, uses_of(made));
        KernelStep k;
        k.slots = made.slots;
        k.parts.push_back(std::move(made));
        s.action = std::move(k);
        p_.steps.push_back(std::move(s));
        d_.after.emplace_back();
        for (StepId before : d_.after[i])
            if (!handed_on(before, number).empty()) d_.after.back().push_back(before);
        group_of_.emplace_back();
        estimate(number);
        return number;
    }

    void drop_last_step() {
        const StepId number(p_.steps.size() - 1);
        forget(number);
        p_.steps.pop_back();
        d_.set(number, {});
        d_.uses.pop_back();
        d_.after.pop_back();
        group_of_.pop_back();
    }

    void replace_nest(StepId i, Part by, StepId needs) {
        forget(i);
        kernel(i).slots = by.slots;
        step(i).bytes = 0;
        for (SlotId n : by.slots) step(i).bytes += static_cast<double>(slot(n).bytes());
        step(i).flops = static_cast<double>(count(p_.slots.back().sizes));
        part(i) = std::move(by);
        d_.set(i, uses_of(part(i)));
        d_.after[i].push_back(needs);
        estimate(i);
    }

    void forget(StepId i) {
        StepId next = i;
        ++next;
        slices_.erase(slices_.lower_bound({i, Var()}), slices_.lower_bound({next, Var()}));
        cycles_.erase(cycles_.lower_bound({i, Var(), 0}), cycles_.lower_bound({next, Var(), 0}));
    }

    // Into how many equal blocks both axes can be cut, most first; of the shorter one a block has
    // few elements, so that it stays near the core.
    std::vector<std::int64_t> common_blocks(std::int64_t a, std::int64_t b, bool long_ones) const {
        std::vector<std::int64_t> out;
        for (std::int64_t size : {1, 2, 4, 5, 8, 10, 16, 128, 500, 512, 1000, 1024, 2048}) {
            if (size > 16 && !long_ones) break;
            const std::int64_t blocks = std::min(a, b) / size;
            if (blocks >= m_.least_blocks && a % blocks == 0 && b % blocks == 0)
                out.push_back(blocks);
        }
        out.erase(std::unique(out.begin(), out.end()), out.end());
        return out;
    }

    bool elementwise(StepId i) { return part(i).nest.accumulators.empty(); }

    std::int64_t extent(StepId i, Var v) { return part(i).nest.extents[v]; }

    // What one block of a group touches with step i in it: its slices, and whole arrays.
    std::int64_t block_bytes(const Group& g, StepId i, Var axis) {
        std::unordered_map<SlotId, std::int64_t> touched;
        const auto add_slices = [&](StepId step, Var v) {
            for (const auto& [number, size] : slices(step, v)) {
                const auto all = static_cast<std::int64_t>(slot(number).bytes());
                const auto part = size * (extent(step, v) / g.blocks) *
                                  static_cast<std::int64_t>(size_of(slot(number).dtype));
                std::int64_t& most = touched[number];
                most = std::max(most, size > 0 ? std::min(part, all) : all);
            }
        };
        for (const Member& m : g.members)
            if (m.axis) add_slices(m.step, m.axis);
        add_slices(i, axis);
        std::int64_t bytes = 0;
        for (const auto& [number, most] : touched) bytes += most;
        return bytes;
    }

    // Running a block at a time costs the nest little: its tiles stay as they are, and what every
    // block reads again stays near the core until the next one does.
    bool pays(StepId i, Var axis, const Group& g, std::string& boundary) {
        const std::string& name = part(i).nest.name;
        for (const auto& [number, size] : slices(i, axis)) {
            const auto bytes = static_cast<std::int64_t>(slot(number).bytes());
            if (size >= 0 || bytes <= m_.near_bytes / 4 ||
                block_bytes(g, i, axis) <= m_.near_bytes / 4 * 3)
                continue;
            boundary = fmt::format("every block of {} would read {} bytes of {} again", name, bytes,
                                   slot(number).name);
            return false;
        }
        const double whole = part(i).cycles, cut = cycles(i, axis, g.blocks);
        const double saved = m_.launch_cycles * static_cast<double>(g.blocks);
        if (cut <= 1.05 * whole + 0.02 * g.cycles + saved) return true;
        boundary = fmt::format("{} costs {:.3g} times as much in {} blocks of {}", name,
                               cut / whole, g.blocks, part(i).nest.var_names[axis]);
        return false;
    }

    // What the step shares with the group's members stays inside each block.
    bool fits(const Group& g, StepId i, Var axis, std::string& boundary) {
        if (extent(i, axis) % g.blocks != 0) return false;
        const auto& own = slices(i, axis);
        const std::int64_t size = extent(i, axis) / g.blocks;
        for (const Member& m : g.members) {
            const auto& theirs = slices(m.step, m.axis);
            const std::int64_t their_size = extent(m.step, m.axis) / g.blocks;
            for (SlotId number : handed_on(m.step, i)) {
                const std::int64_t a = theirs.at(number), b = own.at(number);
                if (a > 0 && b > 0 && a * their_size == b * size &&
                    b * extent(i, axis) == count(slot(number).sizes))
                    continue;
                boundary =
                    fmt::format("{} and {} use {} in different pieces", part(m.step).nest.name,
                                part(i).nest.name, slot(number).name);
                return false;
            }
        }
        return true;
    }

    bool join_in_a_row(GroupId number, StepId i, std::string& boundary) {
        Group& g = groups_[number];
        if (!can_hold(g) || g.blocks > 1) return false;
        const StepId first = g.members[0].step;
        const bool linked = linked_.count(number) != 0;
        auto refuse = [&](std::string_view why) {
            if (linked && boundary.empty()) boundary = why;
            return false;
        };
        if (!small(i) || !small(first)) {
            if (linked && boundary.empty())
                boundary = fmt::format("{} is large enough to be split over cores",
                                       part(small(i) ? first : i).nest.name);
            return false;
        }
        if (checked_too_late(g, i)) return refuse("checked before a shared variable changes");
        std::int64_t bytes = g.bytes;
        for (const auto& [s, use] : d_.uses[i])
            if (counts(s) && !g.slots.count(s)) bytes += static_cast<std::int64_t>(slot(s).bytes());
        if (bytes > m_.near_bytes / 2) return refuse("their data would not stay near a core");
        g.in_a_row = true;
        add(number, {i, {}}, part(i).cycles);
        return true;
    }

    // A group by blocks that could only be formed after the one it takes values from: its members
    // go to the end of that one.
    void join_whole(GroupId number) {
        Group& from = groups_[number];
        if (from.blocks == 1) return;
        int first = 0;
        std::unordered_set<GroupId> linked;
        for (const Member& m : from.members) {
            for (StepId before : d_.after[m.step])
                if (const GroupId g = group_of_[before]; g != number)
                    first = std::max(first, g.number());
            for (StepId other : d_.partners(m.step)) linked.insert(group_of_[other]);
        }
        const int end = number.number();
        for (int k = end - 1; k >= std::max(first, end - look_back); --k) {
            const GroupId g(k);
            Group& to = groups_[g];
            if (!linked.count(g) || to.blocks != from.blocks ||
                to.members.size() + from.members.size() > most_parts)
                continue;
            bool all = true;
            std::string why;
            for (const Member& m : from.members) {
                all = all && !checked_too_late(to, m.step) && fits(to, m.step, m.axis, why) &&
                      pays(m.step, m.axis, to, why);
            }
            if (!all) continue;
            for (const Member& m : from.members) add(g, m, cycles(m.step, m.axis, to.blocks));
            from.members.clear();
            return;
        }
    }

    // Steps that run whole, the check of labels say, whose first reader turned out to run by
    // blocks: they go to the front of that reader's group, last ones first.
    void join_reader(GroupId number) {
        Group& from = groups_[number];
        if (from.blocks > 1) return;
        const std::size_t before = from.members.size();
        for (std::size_t k = before; k-- > 0;)
            if (moves_to_reader(number, from.members[k].step))
                from.members.erase(from.members.begin() + static_cast<std::ptrdiff_t>(k));
        if (from.members.size() != before) note_again(from);
        from.in_a_row = from.in_a_row && from.members.size() > 1;
    }

    bool moves_to_reader(GroupId number, StepId i) {
        if (!is_kernel(i) || part(i).nest.partial) return false;
        GroupId first(groups_.size());
        for (StepId k : waits_for_[i]) first = std::min(first, group_of_[k]);
        if (!groups_.contains(first) || first == number) return false;
        Group& to = groups_[first];
        if (to.blocks == 1 || !can_hold(to) || checked_too_late(to, i)) return false;
        std::string why;
        for (Var v : part(i).nest.axes) {
            if (!fits(to, i, v, why) || !pays(i, v, to, why)) continue;
            Group& from = groups_[number];
            to.members.insert(to.members.begin(), {i, v});
            note(to, i);
            to.cycles += cycles(i, v, to.blocks);
            from.cycles -= part(i).cycles;
            if (from.members.size() == 1) to.boundary = std::move(from.boundary);
            group_of_[i] = first;
            return true;
        }
        return false;
    }

    Program& p_;
    const GroupingModel& m_;
    Dependences d_;
    int end_of_groups() const { return static_cast<int>(groups_.size()); }

    IdVector<StepId, GroupId> group_of_;
    IdVector<GroupId, Group> groups_;
    std::unordered_set<GroupId> linked_;  // that the step to be placed shares values with
    IdVector<StepId, std::vector<StepId>> waits_for_;  // the later ones that come after it
    std::map<std::pair<StepId, Var>, std::unordered_map<SlotId, std::int64_t>> slices_;
    std::map<std::tuple<StepId, Var, std::int64_t>, double> cycles_;
};

}  // namespace

void group_steps(Program& program, const GroupingModel& model) {
    Grouper(program, model).run();
    for (Step& step : program.steps)
        for (Program& body : step.bodies()) group_steps(body, model);
}

}  // namespace arete
