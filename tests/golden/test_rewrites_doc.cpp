// docs/rewrites.md is the rule tables in words; ARETE_BLESS=1 writes it anew.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "compiler/rewrite/rewrite.h"
#include "tests/targets.h"

using namespace arete;

namespace {

// Names that a pattern uses more than once, or gives to a whole application.
void count_names(const Pattern& p, std::map<char, int>& out) {
    ++out[p.name];
    for (const Pattern& a : p.args) count_names(a, out);
}

std::string to_text(const Pattern& p, const std::map<char, int>& names) {
    switch (p.kind) {
        case Pattern::Kind::Any: return std::string(1, p.name);
        case Pattern::Kind::Constant: return fmt::format("{}", p.value);
        case Pattern::Kind::Apply:
        case Pattern::Kind::Class: break;
    }
    std::string out;
    if (p.name && names.at(p.name) > 1) out += fmt::format("{}: ", p.name);
    // Classes of ops stand in angle brackets.
    const bool any_op = p.kind == Pattern::Kind::Class;
    out += any_op ? fmt::format("<{}>", p.op) : std::string(p.op);
    if (any_op && p.args.empty()) return out + "(...)";
    out += "(";
    for (std::size_t i = 0; i < p.args.size(); ++i)
        out += (i ? ", " : "") + to_text(p.args[i], names);
    return out + ")";
}

// In a table a bar would end the cell.
std::string cell(std::string text) {
    for (std::size_t i = 0; (i = text.find('|', i)) != std::string::npos; i += 2)
        text.insert(i, 1, '\\');
    return text;
}

std::string tables() {
    std::string out =
        "# Rewrites\n\n"
        "Every rule of the four tables in [compiler/rewrite](../compiler/rewrite), and of those of "
        "[the targets](../compiler/targets), in the order "
        "in\n"
        "which the engine tries them. Written from the tables by "
        "tests/golden/test_rewrites_doc.cpp.\n"
        "A name in angle brackets stands for any op of that kind, three dots for whatever its "
        "operands "
        "are.\n"
        "A guard is a further condition, for example that no dtype or shape changes. The "
        "canonical\n"
        "rules run again, after its own, in each of the later phases. The rules of fast_math "
        "can take\n"
        "an intermediate result out of the range of its dtype, or keep it there where as written "
        "it "
        "leaves:\n"
        "a finite result can become an infinity, a NaN or 0, or the other way. No other does.\n";
    std::vector<std::pair<std::string, std::span<const Rule>>> phases = {
        {"canonicalize: one form for each expression", canonicalize_rules()},
        {"stabilize: forms that neither overflow nor cancel", stabilize_rules()},
        {"specialize: cheaper ops, after composites are expanded", specialize_rules()},
        {"fast_math: only in Mode::fast_math", fast_math_rules()}};
    for (const test::TargetRules& t : test::target_rules())
        phases.emplace_back(
            fmt::format("{}: with specialize, where a function runs there", t.device), t.rules);
    for (const auto& [title, rules] : phases) {
        out += fmt::format(
            "\n## {}\n\n| rule | matches | because | guard |\n| --- | --- | --- | --- |\n", title);
        for (const Rule& r : rules) {
            std::map<char, int> names;
            count_names(r.pattern, names);
            out += fmt::format("| {} | `{}` | {} | {} |\n", r.name, to_text(r.pattern, names),
                               cell(r.comment), r.guard ? "yes" : "");
        }
    }
    return out;
}

}  // namespace

TEST_CASE("docs/rewrites.md shows the tables as they are") {
    const std::string path = ARETE_SOURCE_DIR "/docs/rewrites.md";
    const std::string want = tables();
    if (std::getenv("ARETE_BLESS")) std::ofstream(path) << want;
    std::stringstream have;
    have << std::ifstream(path).rdbuf();
    INFO("ARETE_BLESS=1 writes the page anew");
    CHECK(have.str() == want);
}
