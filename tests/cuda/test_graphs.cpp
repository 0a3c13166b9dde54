// Graphs of a card: all that must be in order is, and steps are one launch.
#include <algorithm>
#include <map>
#include <set>

#include <arete/arete.h>
#include <doctest/doctest.h>

#include "compiler/core/cases.h"
#include "runtime/cuda/cuda_driver.h"
#include "runtime/cuda/gpu_program.h"
#include "tests/cuda/mocked.h"
#include "tests/cuda/nets.h"
#include "tests/support.h"

using namespace arete;
using namespace arete::test;
using cuda::GraphBuilder;
using cuda::GraphNode;

namespace {

/// By node, all that it comes after in any way.
std::vector<std::vector<bool>> ancestors(const std::vector<std::vector<int>>& after) {
    std::vector<std::vector<bool>> out(after.size(), std::vector<bool>(after.size()));
    for (std::size_t i = 0; i < after.size(); ++i)
        for (int a : after[i]) {
            REQUIRE(a < static_cast<int>(i));
            out[i][static_cast<std::size_t>(a)] = true;
            for (std::size_t k = 0; k < i; ++k)
                if (out[static_cast<std::size_t>(a)][k]) out[i][k] = true;
        }
    return out;
}

struct Access {
    const char* first;
    std::size_t bytes;
    bool written;
};
bool meet(const Access& a, const Access& b) {
    return a.bytes && b.bytes && (a.written || b.written) && a.first < b.first + b.bytes &&
           b.first < a.first + a.bytes;
}
bool meet(const std::vector<Access>& a, const std::vector<Access>& b) {
    return std::any_of(a.begin(), a.end(), [&](const Access& x) {
        return std::any_of(b.begin(), b.end(), [&](const Access& y) { return meet(x, y); });
    });
}

/// Does the kernel write this parameter? By its text.
bool writes(const std::string& text, const std::string& kernel, std::size_t parameter) {
    std::size_t at = text.find("\n" + kernel + "(");
    REQUIRE(at != std::string::npos);
    at = text.find('(', at) + 1;
    for (; parameter > 0; --parameter) at = text.find(',', at) + 1;
    while (text[at] == ' ' || text[at] == '\n') ++at;
    return text.compare(at, 6, "const ") != 0;
}

}  // namespace

TEST_CASE(
    "graphs: nodes that share memory which one of them writes are in order, and no edge is "
    "said twice") {
    Generator random(3);
    std::vector<char> memory(64);
    for (int round = 0; round < 60; ++round) {
        GraphBuilder builder;
        std::vector<std::vector<Access>> uses;
        const Array draws = random.uniform({40 * 3 * 3}, 0, 1);
        const float* draw = draws.data<float>();
        for (int n = 0; n < 40; ++n) {
            std::vector<GraphBuilder::Range> ranges;
            uses.emplace_back();
            for (int r = 0; r < 3; ++r, draw += 3) {
                const auto first = static_cast<std::size_t>(draw[0] * 56);
                const auto bytes = static_cast<std::size_t>(draw[1] * 6);
                const bool written = draw[2] > 0.7f;
                ranges.push_back({memory.data() + first, bytes, written});
                uses.back().push_back({memory.data() + first, bytes, written});
            }
            builder.add({}, ranges);
        }
        std::vector<std::vector<int>> after;
        for (const GraphNode& n : builder.nodes()) after.push_back(n.after);
        const auto before = ancestors(after);
        for (std::size_t j = 0; j < uses.size(); ++j)
            for (std::size_t i = 0; i < j; ++i) {
                const bool edge = std::count(after[j].begin(), after[j].end(), i) != 0;
                if (meet(uses[i], uses[j])) CHECK(before[j][i]);
                if (!edge) continue;
                CHECK(meet(uses[i], uses[j]));
                // None of the others that it comes after leads there.
                for (int a : after[j])
                    CHECK(!(a > static_cast<int>(i) && before[static_cast<std::size_t>(a)][i]));
            }
    }
}

TEST_CASE("graphs: what a step of dbl_conv_relu is expected to take") {
    // As docs/gpu.md says.
    for (const auto& [batch, most] : {std::pair<std::int64_t, double>{10, 53}, {256, 245}}) {
        double us = 0;
        for (const Step& s : training_step("dbl_conv_relu", batch, "h100").steps) {
            REQUIRE(s.kernel());
            const std::string& comment = s.kernel()->kernel.comment;
            const std::size_t at = comment.rfind("about ");
            REQUIRE(at != std::string::npos);
            us += std::stod(comment.substr(at + 6));
        }
        CAPTURE(batch);
        CHECK(us > 10);
        CHECK(us <= most);
    }
}

TEST_CASE("graphs: a step of each of the chapter's nets is one, and its nodes are in order") {
    const Mocked mock;
    for (const std::string net : chapter_nets) {
        CAPTURE(net);
        const Program program = training_step(net, 10, "h100");
        const auto driver = cuda::CudaDriver::open(0);
        const cuda::Source source = cuda::print(program);
        cuda::GpuProgram loaded(program, source, driver);
        std::vector<Array> own;
        std::vector<void*> table;
        for (const Slot& s : program.slots) {
            own.push_back(zeros(s.dtype, s.sizes));
            table.push_back(own.back().raw());
        }
        const long before = mock->graph_launches;
        REQUIRE(!loaded.run(table).failed);
        CHECK(mock->graph_launches == before + 1);
        const std::vector<MockCuda::Node> nodes(mock->nodes, mock->nodes + mock->node_count);
        // A kernel or a copy for each step, arguments in, results out.
        std::vector<const Step*> steps;
        for (const Step& s : program.steps) steps.push_back(&s);
        REQUIRE(nodes.size() == steps.size() + 2);
        REQUIRE(nodes.front().kind == MockCuda::Node::Copy);
        REQUIRE(nodes.back().kind == MockCuda::Node::Copy);
        MESSAGE(net, ": ", nodes.size(), " nodes");
        if (net == "dbl_conv_relu") CHECK(nodes.size() <= 20);

        std::vector<std::vector<Access>> uses(nodes.size());
        const auto use = [&](std::size_t node, const void* at, std::size_t bytes, bool written) {
            uses[node].push_back({static_cast<const char*>(at), bytes, written});
        };
        use(0, nodes[0].to, nodes[0].bytes, true);
        use(nodes.size() - 1, nodes.back().from, nodes.back().bytes, false);
        for (std::size_t k = 0; k < steps.size(); ++k) {
            const MockCuda::Node& n = nodes[k + 1];
            if (n.kind == MockCuda::Node::Copy) use(k + 1, n.from, n.bytes, false);
            if (n.kind != MockCuda::Node::Kernel) {
                use(k + 1, n.to, n.bytes, true);
                continue;
            }
            std::vector<SlotId> slots = steps[k]->slots();
            for (std::size_t p = 0; p < static_cast<std::size_t>(n.argument_count); ++p) {
                // Behind the slots there is the status, of two integers and two long ones.
                const std::size_t bytes = p < slots.size() ? program.slots[slots[p]].bytes() : 24;
                use(k + 1, n.arguments[p], bytes, writes(source.text, n.name, p));
            }
        }
        std::vector<std::vector<int>> after;
        for (const MockCuda::Node& n : nodes) after.emplace_back(n.after, n.after + n.after_count);
        const auto order = ancestors(after);
        std::size_t pairs = 0, wrong = 0;
        for (std::size_t j = 0; j < nodes.size(); ++j)
            for (std::size_t i = 0; i < j; ++i)
                if (meet(uses[i], uses[j])) {
                    ++pairs;
                    wrong += !order[j][i];
                }
        CHECK(pairs >= nodes.size() - 1);
        CHECK(wrong == 0);
    }
}
