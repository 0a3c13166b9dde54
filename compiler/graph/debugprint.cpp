// debugprint: Theano's tree.
#include <algorithm>
#include <unordered_map>

#include "compiler/graph/pp.h"

namespace arete {

namespace {

// A, B, ..., Z, AA, AB, ...
std::string letters(std::size_t n) {
    std::string out;
    for (++n; n > 0; n = (n - 1) / 26)
        out.insert(out.begin(), static_cast<char>('A' + (n - 1) % 26));
    return out;
}

std::string head(const Expr& e) {
    const Node& n = e.node();
    std::string text(n.op->name);
    switch (n.op->kind) {
        case OpInfo::Kind::Input:
        case OpInfo::Kind::Shared:
            if (!n.name.empty()) text = n.name;
            break;
        case OpInfo::Kind::Constant: {
            const Array& value = n.attrs.get<Array>("value");
            const std::string type = type_name(value.dtype(), value.shape());
            text += value.str().substr(type.size() + 1);  // its type follows anyway
            break;
        }
        case OpInfo::Kind::Apply:
            if (const std::string attrs = n.attrs.str(); !attrs.empty()) text += "{" + attrs + "}";
            if (!n.name.empty()) text += " '" + n.name + "'";
            break;
    }
    if (n.types.size() > 1) text += fmt::format(".{}", e.output());
    return text;
}

// A line that is still to be written.
struct Item {
    Expr e;
    int depth;
    bool result_of_region;
};

}  // namespace

std::string debugprint(const std::vector<Expr>& outputs, const DebugPrint& options) {
    struct Line {
        std::string text;
        Loc loc;
    };
    std::vector<Line> lines;
    std::unordered_map<const Node*, std::size_t> ids;
    std::unordered_map<const Node*, bool> operands_written;
    std::vector<Item> pending;  // a stack, for expressions may be deeper than the C++ stack
    for (auto it = outputs.rbegin(); it != outputs.rend(); ++it) pending.push_back({*it, 0, false});
    while (!pending.empty()) {
        const Item item = std::move(pending.back());
        pending.pop_back();
        const Node& n = item.e.node();
        const std::size_t id = ids.try_emplace(&n, ids.size()).first->second;
        std::string text;
        // Of very deep expressions the bars would be nearly all of the text.
        constexpr int most_bars = 40;
        for (int k = 0; k + 1 < std::min(item.depth, most_bars); ++k) text += " |";
        if (item.depth > most_bars) text += fmt::format(" +{}", item.depth - most_bars);
        if (item.depth > 0) text += item.result_of_region ? " >" : " |";
        text += fmt::format("{} [id {}] {}", head(item.e), letters(id), item.e.type().str());
        if (n.op->kind == OpInfo::Kind::Shared) text += " shared";
        const bool leaf = n.inputs.empty() && n.regions.empty();
        const bool cut = options.depth >= 0 && item.depth >= options.depth;
        const bool again = operands_written[&n];
        if (!leaf && (again || cut)) text += " ...";
        lines.push_back({std::move(text), again ? Loc{} : n.loc()});
        if (again || cut) continue;
        operands_written[&n] = true;
        for (auto r = n.regions.rbegin(); r != n.regions.rend(); ++r)
            for (auto e = r->results.rbegin(); e != r->results.rend(); ++e)
                pending.push_back({*e, item.depth + 1, true});
        for (auto e = n.inputs.rbegin(); e != n.inputs.rend(); ++e)
            pending.push_back({*e, item.depth + 1, false});
    }
    constexpr std::size_t most = 64;  // longer lines do not push the others' comments away
    std::size_t width = 0;
    for (const Line& l : lines)
        if (l.text.size() <= most) width = std::max(width, l.text.size());
    std::string out;
    for (const Line& l : lines) {
        out += l.text;
        if (options.lines && l.loc)
            out +=
                fmt::format("{:{}}  # {}", "", width - std::min(width, l.text.size()), l.loc.str());
        out += "\n";
    }
    return out;
}

std::string debugprint(const Expr& e, const DebugPrint& options) {
    return debugprint(std::vector<Expr>{e}, options);
}

}  // namespace arete
