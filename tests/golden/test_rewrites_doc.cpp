// docs/rewrites.md is the rule tables in words; ARETE_BLESS=1 writes it anew.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "compiler/rewrite/rewrite.h"

using namespace arete;

namespace {

std::string to_text(const Pattern& p) {
    switch (p.kind) {
        case Pattern::Kind::Any: return std::string(1, p.name);
        case Pattern::Kind::Constant: return fmt::format("{}", p.value);
        case Pattern::Kind::Apply: break;
    }
    std::string out = std::string(p.op) + "(";
    for (std::size_t i = 0; i < p.args.size(); ++i) out += (i ? ", " : "") + to_text(p.args[i]);
    return out + ")";
}

std::string tables() {
    std::string out =
        "# Rewrites\n\n"
        "Every rule of the three tables in [compiler/rewrite](../compiler/rewrite), in the order "
        "in\n"
        "which the engine tries them. Written from the tables by "
        "tests/golden/test_rewrites_doc.cpp.\n"
        "A guard is a further condition, for example that no dtype or shape changes.\n";
    const std::pair<const char*, std::span<const Rule>> phases[] = {
        {"canonicalize: one form for each expression", canonicalize_rules()},
        {"stabilize: forms that neither overflow nor cancel", stabilize_rules()},
        {"specialize: cheaper ops, after composites are expanded", specialize_rules()}};
    for (const auto& [title, rules] : phases) {
        out += fmt::format(
            "\n## {}\n\n| rule | matches | because | guard |\n| --- | --- | --- | --- |\n", title);
        for (const Rule& r : rules)
            out += fmt::format("| {} | `{}` | {} | {} |\n", r.name, to_text(r.pattern), r.comment,
                               r.guard ? "yes" : "");
    }
    return out;
}

}  // namespace

TEST_CASE("docs/rewrites.md shows the tables as they are") {
    const std::string path = std::string(ARETE_SOURCE_DIR) + "/docs/rewrites.md";
    const std::string want = tables();
    if (std::getenv("ARETE_BLESS")) std::ofstream(path) << want;
    std::stringstream have;
    have << std::ifstream(path).rdbuf();
    INFO("ARETE_BLESS=1 writes the page anew");
    CHECK(have.str() == want);
}
