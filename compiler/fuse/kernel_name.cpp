#include "compiler/fuse/kernel_name.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace arete {

namespace {

constexpr std::size_t most_words = 4;
constexpr std::string_view update = "update";

// What tells a kernel from others.
int weight_of(const OpInfo& op) {
    if (op.has(Trait::Bilinear)) return 5;
    if (op.has(Trait::Reduces) || op.has(Trait::Scatters) || op.has(Trait::Random)) return 4;
    if (op.has(Trait::View)) return op.has(Trait::Alias) ? 0 : 1;
    if (op.has(Trait::Checks)) return 0;
    return op.has(Trait::Plain) ? 2 : 3;
}

}  // namespace

void KernelName::add(const Node& node) {
    // Of a definition or a gradient, what the user applied; but a bias added has a sum as its
    // gradient, and that says more.
    const Origin& origin = node.origin;
    const bool whole = origin.op && weight_of(*origin.op) > 2;
    const OpInfo& op = whole ? *origin.op : *node.op;
    Word word{std::string(op.name), std::max(weight_of(op), whole ? weight_of(*node.op) : 0)};
    if (whole && origin.gradient) word.text += "_grad";
    const auto same = std::find_if(words_.begin(), words_.end(),
                                   [&](const Word& w) { return w.text == word.text; });
    if (same != words_.end())
        same->weight = std::max(same->weight, word.weight);
    else
        words_.push_back(std::move(word));
}

std::string KernelName::text() const {
    int least = 0;
    for (const Word& w : words_) least = std::max(least, w.weight > 2 ? 3 : w.weight);
    std::vector<Word> kept;
    for (const Word& w : words_)
        if (w.weight >= least) kept.push_back(w);
    while (kept.size() > most_words) {
        // The first of the lightest: the last one is what the kernel stores.
        kept.erase(std::min_element(kept.begin(), kept.end() - 1, [](const Word& a, const Word& b) {
            return a.weight < b.weight;
        }));
    }
    std::vector<std::string> texts;
    for (const Word& w : kept) texts.push_back(w.text);
    return texts.empty() ? "copy" : fmt::format("{}", fmt::join(texts, "_"));
}

std::string joined_names(const std::vector<std::string>& names) {
    std::string out;
    std::vector<std::string> updated;
    std::size_t kept = 0;
    for (const std::string& n : names) {
        if (n.substr(0, update.size()) == update) {
            if (n.size() > update.size()) updated.push_back(n.substr(update.size() + 1));
            continue;
        }
        // Once, also where another name has it among its words.
        const bool told =
            fmt::format("_{}_", out).find(fmt::format("_{}_", n)) != std::string::npos;
        if (told || kept++ >= most_words) continue;
        out += (out.empty() ? "" : "_") + n;
    }
    if (updated.empty() && !out.empty()) return out;
    return out.empty() ? update_name(updated) : fmt::format("{}_{}", out, update_name(updated));
}

std::string update_name(const std::vector<std::string>& variables) {
    std::vector<std::string> named;
    for (const std::string& v : variables)
        if (!v.empty()) named.push_back(v);
    if (named.empty()) return std::string(update);
    if (named.size() <= most_words) return fmt::format("{}_{}", update, fmt::join(named, "_"));
    return fmt::format("{}_{}_to_{}", update, named.front(), named.back());
}

}  // namespace arete
