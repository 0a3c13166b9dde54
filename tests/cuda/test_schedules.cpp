// Schedules for cards, without any CUDA: every form of every nest is well-formed, free of races and
// computes what the nest does; and faults that are planted in them are found.
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include "compiler/core/error.h"
#include "compiler/loops/collapse.h"
#include "compiler/loops/grid.h"
#include "compiler/program/interpret.h"
#include "compiler/targets/cuda/schedule.h"
#include "compiler/targets/cuda/source.h"
#include "tests/cuda/cases.h"

using namespace arete;
using namespace arete::test;

namespace {

constexpr loops::Order orders[] = {loops::Order::Ascending, loops::Order::Reversed,
                                   loops::Order::Shuffled, loops::Order::GreedyByWarp};

void verify_kernels(const Program& program) {
    for (const Step& s : program.steps) {
        if (s.kernel()) loops::verify(s.kernel()->kernel, loops::GridLimits{});
        for (const Program& body : s.bodies()) verify_kernels(body);
    }
}

/// A case's scheduled kernels in the interpreter of grids.
std::string wrong_in(const Case& c, loops::Order order, const Outcome& expected) {
    verify_kernels(c.program());
    const ProgramInterpreter scheduled(c.program(), ProgramInterpreter::Loops::Scheduled,
                                       {.order = order});
    const Outcome got = run(c, [&](IdSpan<SlotId, void*> table) { return scheduled.run(table); });
    return differences(c, got, expected);
}

/// One of so many choices of kernels, each in another order of threads. Returns how many programs
/// there were.
std::size_t check_choices(const std::vector<Case>& cases, std::size_t every) {
    std::size_t programs = 0;
    for (const Case& c : cases) {
        const Outcome expected = by_nests(c);
        for (std::size_t n = programs % every;; n += every) {
            const std::optional<Case> choice = with_choice(c, n);
            if (!choice) break;
            const std::string wrong = wrong_in(*choice, orders[programs % 4], expected);
            CHECK_MESSAGE(wrong.empty(), wrong);
            ++programs;
        }
    }
    return programs;
}

}  // namespace

TEST_CASE("cuda schedules: every op's kernels compute what its nests do, for every dtype") {
    std::size_t n = 0;
    for (const Case& c : samples({std::begin(all_dtypes), std::end(all_dtypes)})) {
        const std::string wrong = wrong_in(c, orders[n++ % 4], by_nests(c));
        CHECK_MESSAGE(wrong.empty(), wrong);
    }
    MESSAGE(n, " programs");
}

namespace {

/// Programs of several independent nests, and of sums that a few blocks would add up.
std::vector<Case> steps_of_several() {
    std::vector<Case> out;
    const auto values = [](const std::vector<Expr>& in) {
        std::vector<Array> all;
        for (const Expr& e : in)
            all.push_back(Generator(3 + all.size()).uniform(concrete(e.shape()), -1, 1));
        return all;
    };
    {
        // Blocks of 1024 threads with barriers, of 32, 64 and 256 without and with them.
        const std::vector<Expr> in{matrix<float>("a", {3, 1500}), matrix<float>("b", {40, 50}),
                                   matrix<float>("c", {50, 30}), vector<float>("d", {7})};
        out.push_back(case_of("independent nests", "independent", in, values(in),
                              {sum(in[0], Axes(1)), dot(in[1], in[2]), exp(in[3]),
                               max(in[1], Axes(0)), in[0] * 2, argmax(in[2], Axes(1))}));
    }
    {
        const std::vector<Expr> in{tensor(DType::F32, 3, "x", {16, 128, 64}),
                                   vector<float>("y", {6})};
        out.push_back(case_of("a sum of pieces", "pieces", in, values(in),
                              {sum(sqr(in[0]) + 1), sum(in[1])}));
        const std::vector<Expr> one{vector<float>("x", {90000}), vector<float>("y", {90000})};
        out.push_back(case_of("a sum of pieces of one axis", "axis", one, values(one),
                              {dot(one[0], one[1]), exp(one[0](slice(0, 5)))}));
    }
    {
        // The gradient of a filter, updated in place, beside others; a check, and what waits for
        // it.
        const Shared w = shared(Generator(1).uniform({4, 2, 3, 3}, -1, 1), "w"),
                     n = shared(Array(2.0f), "n");
        const std::vector<Expr> in{tensor(DType::F32, 4, "x", {4, 2, 10, 10}),
                                   vector<std::int64_t>("i", {3})};
        const Expr cost = mean(sqr(conv2d(in[0], w)));
        out.push_back(case_of("a step", "step", in,
                              {Generator(3).uniform({4, 2, 10, 10}, -1, 1),
                               Array(std::vector<std::int64_t>{1, 3, 0})},
                              {cost, n * 3, in[0](in[1])},
                              {{w, w - 0.1f * grad(cost, w)}, {n, sum(sqr(w))}}));
    }
    return out;
}

}  // namespace

TEST_CASE("cuda schedules: independent nests share a launch, and long sums are cut") {
    std::size_t merged = 0, cut = 0;
    for (const Case& c : steps_of_several()) {
        CAPTURE(c.where);
        const Outcome expected = by_nests(c);
        const bool large = c.where.starts_with("a sum of pieces");
        for (const loops::Order order : orders) {
            if (large && order != loops::Order::GreedyByWarp) continue;
            const std::string wrong = wrong_in(c, order, expected);
            CHECK_MESSAGE(wrong.empty(), wrong);
        }
        std::size_t nests = 0;
        for (const Step& s : c.program().steps) {
            if (!s.kernel()) continue;
            merged += s.kernel()->parts.size() > 1;
            nests += s.kernel()->parts.size();
            for (const Part& part : s.kernel()->parts)
                cut += part.nest.name.find("_pieces") != std::string::npos;
            CHECK(loops::launch(s.kernel()->kernel).has_value());
        }
        CHECK(c.program().steps.size() < nests);
    }
    CHECK(merged >= 3);
    CHECK(cut >= 2);
}

TEST_CASE("cuda schedules: a part of a launch that is left out is found") {
    std::size_t planted = 0;
    for (Case c : steps_of_several()) {
        if (c.where.starts_with("a sum of pieces")) continue;
        CAPTURE(c.where);
        const Outcome expected = by_nests(c);
        const auto wrong = [&] {
            const ProgramInterpreter scheduled(c.program(), ProgramInterpreter::Loops::Scheduled,
                                               {});
            try {
                return differences(
                    c, run(c, [&](IdSpan<SlotId, void*> table) { return scheduled.run(table); }),
                    expected);
            } catch (const InternalError& e) {
                return std::string(e.what());
            }
        };
        for (Step& s : c.compiled.program.steps) {
            if (!s.kernel() || s.kernel()->parts.size() < 2) continue;
            loops::Kernel& k = s.kernel()->kernel;
            const loops::Kernel whole = k;
            // Below the loops of the head there are the parts, all but one under a condition.
            std::vector<loops::Stmt>* parts = &k.body;
            while (parts->size() == 1 && parts->front().get_if<loops::Loop>())
                parts = &parts->front().get_if<loops::Loop>()->body;
            REQUIRE(parts->size() >= s.kernel()->parts.size());
            parts->pop_back();
            CHECK(!wrong().empty());
            k = whole;
            ++planted;
        }
        CHECK(wrong().empty());
    }
    CHECK(planted >= 2);
}

TEST_CASE("cuda schedules: every form that a nest can have computes what it does") {
    const std::size_t of_ops = check_choices(samples({DType::F32}), 1);
    const std::size_t larger = check_choices(larger_cases(), 3);
    MESSAGE(of_ops, " and ", larger, " programs");
}

namespace {

/// A copy of the statements without the barrier of this number.
void without_barrier(std::vector<loops::Stmt>& body, int& number) {
    for (std::size_t i = 0; i < body.size(); ++i) {
        if (body[i].get_if<loops::Barrier>() && number-- == 0) {
            body.erase(body.begin() + static_cast<std::ptrdiff_t>(i));
            return;
        }
        if (auto* l = body[i].get_if<loops::Loop>()) without_barrier(l->body, number);
        if (auto* c = body[i].get_if<loops::If>()) without_barrier(c->body, number);
    }
}

int barriers_in(const std::vector<loops::Stmt>& body) {
    int n = 0;
    for (const loops::Stmt& s : body) {
        n += s.get_if<loops::Barrier>() != nullptr;
        if (const auto* l = s.get_if<loops::Loop>()) n += barriers_in(l->body);
        if (const auto* c = s.get_if<loops::If>()) n += barriers_in(c->body);
    }
    return n;
}

std::string error_in(const Case& c) {
    const ProgramInterpreter scheduled(c.program(), ProgramInterpreter::Loops::Scheduled, {});
    try {
        (void)run(c, [&](IdSpan<SlotId, void*> table) { return scheduled.run(table); });
    } catch (const InternalError& e) {
        return e.what();
    }
    return "";
}

/// The first form of the case's last nest whose name begins so.
Case of_form(const Case& c, const std::string& form) {
    for (std::size_t n = 0;; ++n) {
        std::optional<Case> choice = with_choice(c, n);
        REQUIRE(choice);
        const loops::Kernel& k = choice->program().steps.back().kernel()->kernel;
        if (k.comment.find("; " + form) != std::string::npos) return *std::move(choice);
    }
}

Case reduction() {
    const Expr x = matrix<float>("x", {6, 200});
    return case_of("sum", "sum", {x}, {Generator(1).uniform({6, 200}, -1, 1)}, {max(x, Axes(1))});
}
Case product() {
    const Expr x = matrix<float>("x", {40, 50}), y = matrix<float>("y", {50, 30});
    return case_of("product", "product", {x, y},
                   {Generator(1).uniform({40, 50}, -1, 1), Generator(2).uniform({50, 30}, -1, 1)},
                   {dot(x, y)});
}

}  // namespace

TEST_CASE("cuda schedules: a barrier that is left out is found") {
    for (const auto& [c, form] : {std::pair{reduction(), "team of 32"},
                                  {reduction(), "team of 256"},
                                  {product(), "tiles of 16 x 16"},
                                  {product(), "tiles of 64 x 64"}}) {
        Case whole = of_form(c, form);
        CAPTURE(form);
        CHECK(error_in(whole).empty());
        loops::Kernel& k = whole.compiled.program.steps.back().kernel()->kernel;
        const loops::Kernel kept = k;
        const int barriers = barriers_in(k.body);
        CHECK(barriers >= 2);
        for (int b = 0; b < barriers; ++b) {
            CAPTURE(b);
            k = kept;
            int number = b;
            without_barrier(k.body, number);
            REQUIRE(barriers_in(k.body) == barriers - 1);
            CHECK(error_in(whole).find("no barrier is between them") != std::string::npos);
        }
    }
}

namespace {

// Moves the first store to a buffer of this kind of space.
bool move_store(std::vector<loops::Stmt>& body, const loops::Kernel& k, loops::Space space,
                std::int64_t by) {
    for (loops::Stmt& s : body) {
        if (auto* to = s.get_if<loops::StoreTo>(); to && k.buffers[to->buffer].space == space) {
            to->index = to->index + loops::Index(by);
            return true;
        }
        if (auto* l = s.get_if<loops::Loop>(); l && move_store(l->body, k, space, by)) return true;
        if (auto* i = s.get_if<loops::If>(); i && move_store(i->body, k, space, by)) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("cuda schedules: an index that is off by one is found") {
    for (const loops::Space space : {loops::Space::Parameter, loops::Space::Shared})
        for (const std::int64_t by : {-1, 1}) {
            Case whole = of_form(reduction(), "team of 32");
            loops::Kernel& k = whole.compiled.program.steps.back().kernel()->kernel;
            std::vector<loops::Stmt> body = k.body;
            REQUIRE(move_store(body, k, space, by));
            k.body = body;
            const std::string error = error_in(whole);
            CAPTURE(error);
            // A place beside the buffer, or one of another thread.
            CHECK((error.find("outside") != std::string::npos ||
                   error.find("no barrier is between them") != std::string::npos ||
                   error.find("nothing") != std::string::npos));
        }
}

TEST_CASE("cuda schedules: long sums are as accurate as on a processor") {
    // Of equal numbers, whose roundings all go one way; so many that no pieces can be cut.
    constexpr std::int64_t n = 200003;
    Array tenths(DType::F32, {n});
    for (std::int64_t i = 0; i < n; ++i) tenths.data<float>()[i] = 0.1f;
    const double exact = n * static_cast<double>(0.1f), u = std::ldexp(1.0, -24);
    const Expr x = vector<float>("x", {n});
    const auto result = [](const Case& c) {
        const ProgramInterpreter scheduled(c.program(), ProgramInterpreter::Loops::Scheduled, {});
        const Outcome got =
            run(c, [&](IdSpan<SlotId, void*> table) { return scheduled.run(table); });
        return static_cast<double>(got.values[0].item<float>());
    };
    const Case total = case_of("sum", "sum", {x}, {tenths}, {sum(x)});
    for (const char* form : {"a thread each", "team of 32,", "team of 1024,"})
        CHECK(std::abs(result(of_form(total, form)) - exact) <= 20 * u * exact);
    // In pieces, too.
    const Expr even = vector<float>("x", {n - 3});
    const Case pieces =
        case_of("pieces", "pieces", {even}, {full<float>({n - 3}, 0.1f)}, {sum(even)});
    CHECK(pieces.program().steps.size() == 2);
    CHECK(std::abs(result(pieces) - (n - 3) * static_cast<double>(0.1f)) <= 20 * u * exact);
    const Case average = case_of("mean", "mean", {x}, {tenths}, {mean(x)});
    for (const char* form : {"a thread each", "team of 256,"})
        CHECK(result(of_form(average, form)) == static_cast<double>(0.1f));
}

TEST_CASE("cuda schedules: tiles add up long sums in parts") {
    constexpr std::int64_t k = 40009;  // a prime: there is nothing to cut
    const Expr x = matrix<float>("x", {4, k}), y = matrix<float>("y", {k, 4});
    Array a(DType::F32, {4, k}), b(DType::F32, {k, 4});
    for (std::int64_t i = 0; i < a.size(); ++i) a.data<float>()[i] = 0.1f, b.data<float>()[i] = 1;
    const Case c = of_form(case_of("dot", "dot", {x, y}, {a, b}, {dot(x, y)}), "tiles of 4 x 32");
    const ProgramInterpreter scheduled(c.program(), ProgramInterpreter::Loops::Scheduled, {});
    const Outcome got = run(c, [&](IdSpan<SlotId, void*> table) { return scheduled.run(table); });
    const double exact = k * static_cast<double>(0.1f), u = std::ldexp(1.0, -24);
    for (std::int64_t i = 0; i < 16; ++i)
        CHECK(std::abs(static_cast<double>(got.values[0].data<float>()[i]) - exact) <=
              520 * u * exact);
}

TEST_CASE("docs/gpu.md shows the loops and the kernel that are made") {
    const Expr x = matrix<float>("x", {64, 100});
    const Case c = case_of("lengths", "lengths", {x}, {Generator(1).uniform({64, 100}, -1, 1)},
                           {sqrt(sum(sqr(x), Axes(1)))});
    const Step& step = c.program().steps.back();
    std::stringstream page;
    page << std::ifstream(ARETE_SOURCE_DIR "/docs/gpu.md").rdbuf();
    const std::string loops = loops::to_string(step.kernel()->kernel),
                      printed = cuda::print_kernel(*step.kernel(), "", "lengths_k0_sum_sqrt");
    INFO(loops);
    INFO(printed);
    CHECK(page.str().find("```\n" + loops + "```\n") != std::string::npos);
    CHECK(page.str().find("```cuda\n" + printed + "```\n") != std::string::npos);
}
