#include "compiler/pipeline/compile.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "compiler/fuse/fusion.h"
#include "compiler/loops/math.h"
#include "compiler/program/inspect.h"
#include "compiler/program/steps.h"
#include "compiler/rewrite/control.h"

namespace arete {

namespace {

// The graph of the function, or of a region of it, on its way to a program.
struct Scope {
    std::string name;  // "region 1 of %4 = scan"; empty for the function's
    std::unique_ptr<Graph> graph;
    std::vector<Expr> kept;
    Fusion fusion;
    LoweredGraph lowered;
    std::vector<Scope> regions;  // of the nodes that are steps of their own, one after another
};

// What the passes work on: first a graph, then groups, then a program.
struct State {
    const CompileRequest& request;
    std::vector<Expr> roots;  // outputs, then the updates' new values, then the variables
    RewriteLog rewrites;      // of the last pass
    std::unique_ptr<Scope> whole;
    Compiled out;

    std::size_t outputs() const { return request.outputs.size(); }
    std::size_t updates() const { return request.updates.size(); }
    std::span<const Expr> kept() const { return {roots.data(), outputs() + updates()}; }
    void set(std::vector<Expr> now) { roots = std::move(now); }
};

enum class Shows { Graph, Fusion, Nests, Program, Groups, Kernels };

struct Pass {
    const char* name;
    void (*run)(State&);
    Shows shows;
    bool (*runs)(const CompileRequest&) = [](const CompileRequest&) { return true; };
};

bool unless_quick(const CompileRequest& r) {
    return !r.quick;
}
bool with_regions(const CompileRequest& r) {
    std::vector<Expr> roots = r.outputs;
    for (const auto& [variable, value] : r.updates) roots.push_back(value);
    const Graph graph(roots);
    return std::any_of(graph.nodes().begin(), graph.nodes().end(),
                       [](const auto& n) { return !n->regions.empty(); });
}
bool with_rules(const CompileRequest& r) {
    return !r.rules.empty();
}

// Where the firings go, if anybody wants to see them.
RewriteLog* log_of(State& s) {
    const bool asked = s.request.options.dumps(Stage::Rewrites) || s.request.on_graph_pass;
    return asked ? &s.rewrites : nullptr;
}

// The interpreter fuses products with sums, as a machine may.
Products products_of(const CompileRequest& r) {
    return r.target ? r.target->products() : Products::fused;
}

void rewrite_in(State& s, Phase phase) {
    const Target* target = s.request.target.get();
    s.set(rewrite(s.roots, phase, log_of(s), s.request.fast_math, products_of(s.request),
                  target ? target->rules() : std::span<const Rule>()));
}
void rewrite_by(State& s, std::span<const Rule> rules) {
    s.set(rewrite(s.roots, rules, log_of(s), products_of(s.request)));
}

void bind(State& s) {
    s.set(bind_shapes(s.roots, s.request.binding));
}
void canonicalize(State& s) {
    // Without rules, too, equal nodes merge and constants are folded.
    if (s.request.quick) return rewrite_by(s, {});
    rewrite_in(s, Phase::Canonicalize);
}
void user_rules(State& s) {
    rewrite_by(s, s.request.rules);
}
void control(State& s) {
    s.set(simplify_control(s.roots));
}
void stabilize(State& s) {
    rewrite_in(s, Phase::Stabilize);
}
void specialize(State& s) {
    rewrite_in(s, Phase::Specialize);
}
void expand(State& s) {
    s.set(expand_composites(s.roots));
}

bool is_own_step(const Group& g) {
    return g.roots[0].node().op->has(Trait::Step);
}

Scope fused(std::vector<Expr> roots, std::vector<Expr> kept, std::string name,
            const FusionCosts& costs) {
    Scope p;
    p.name = std::move(name);
    p.graph = std::make_unique<Graph>(std::move(roots));
    p.kept = std::move(kept);
    p.fusion = fuse(*p.graph, p.kept, costs);
    for (const Group& g : p.fusion.groups) {
        if (!is_own_step(g)) continue;
        const Node& node = g.roots[0].node();
        for (std::size_t k = 0; k < node.regions.size(); ++k)
            p.regions.push_back(
                fused(node.regions[k].results, node.regions[k].results,
                      fmt::format("region {} of %{} = {}", k + 1, p.graph->id(node), node.op->name),
                      costs));
    }
    return p;
}

void fuse_groups(State& s) {
    const Target* target = s.request.target.get();
    s.whole = std::make_unique<Scope>(fused(s.roots, {s.kept().begin(), s.kept().end()}, "",
                                            target ? target->fusion_costs() : FusionCosts()));
}

// Calls f for a scope and the regions inside it.
template <class F>
void for_each_scope(Scope& p, F&& f) {
    f(p);
    for (Scope& region : p.regions) for_each_scope(region, f);
}

void lower(State& s) {
    for_each_scope(*s.whole, [](Scope& p) {
        const auto shared = [&](const Expr& e) {
            return p.graph->users(p.graph->id(e)).size() > 1;
        };
        std::vector<LoweredNest>& nests = p.lowered.nests;
        for (const Group& g : p.fusion.groups) {
            if (is_own_step(g)) {
                p.lowered.steps.push_back({g.roots[0].node_ptr(), {}});
                continue;
            }
            for (LoweredNest& nest : lower_nests(
                     g.roots, [&](const Expr& e) { return p.fusion.stored(e); }, {}, shared))
                nests.push_back(std::move(nest));
        }
        for (LoweredNest& l : nests) loops::form_fma(l.nest, l.shared_products);
    });
}

void expand_transcendentals(State& s) {
    for_each_scope(*s.whole, [](Scope& p) {
        for (LoweredNest& l : p.lowered.nests) loops::expand_math(l.nest);
    });
}

// A scope with its regions in the steps that own them.
LoweredGraph assembled(Scope& p) {
    std::size_t next = 0;
    for (LoweredStep& step : p.lowered.steps)
        for (const Region& region : step.node->regions)
            step.bodies.push_back({region, assembled(p.regions[next++])});
    return std::move(p.lowered);
}

void build_steps(State& s) {
    std::vector<std::pair<Expr, Expr>> updates;
    for (std::size_t k = 0; k < s.updates(); ++k)
        updates.emplace_back(s.roots[s.outputs() + s.updates() + k], s.roots[s.outputs() + k]);
    Program& program = s.out.program;
    program.name = s.request.name;
    program.profile = s.request.profile;
    program.observed = s.request.observed;
    program.quick = s.request.quick;
    build_program(s.request.inputs, {s.roots.data(), s.outputs()}, updates, assembled(*s.whole),
                  s.out);
}

void group(State& s) {
    // Who watches steps wants to see every value.
    if (!s.request.target || s.request.observed) return;
    const SlotId pieces(s.out.program.slots.size());
    group_steps(s.out.program, s.request.target->grouping());
    name_pieces(s.out, pieces);
}

void schedule_kernels(State& s) {
    if (!s.request.target) return;
    const SlotId pieces(s.out.program.slots.size());
    s.request.target->schedule(s.out.program);
    if (s.out.program.slots.contains(pieces)) name_pieces(s.out, pieces);
}

void place_in_arena(State& s) {
    plan_arena(s.out.program);
}

// The way from an expression to a program, in order.
constexpr Pass passes[] = {
    {"bind_shapes", bind, Shows::Graph},
    {"canonicalize", canonicalize, Shows::Graph},
    {"user_rules", user_rules, Shows::Graph, with_rules},
    {"control", control, Shows::Graph, with_regions},
    {"stabilize", stabilize, Shows::Graph, unless_quick},
    {"expand", expand, Shows::Graph},
    {"specialize", specialize, Shows::Graph, unless_quick},
    {"fuse", fuse_groups, Shows::Fusion},
    {"lower", lower, Shows::Nests},
    {"expand_math", expand_transcendentals, Shows::Nests},
    {"steps", build_steps, Shows::Program},
    {"group", group, Shows::Groups},
    {"schedule", schedule_kernels, Shows::Kernels},
    {"memory", place_in_arena, Shows::Program},
};

void verify_kernels(const Program& program) {
    for (const Step& step : program.steps) {
        if (step.kernel()) verify(step.kernel()->kernel);
        for (const Program& body : step.bodies()) verify_kernels(body);
    }
}

std::string kernels_text(const Program& program) {
    std::string out;
    for (const Step& step : program.steps) {
        if (step.kernel()) out += to_string(step.kernel()->kernel) + "\n";
        for (const Program& body : step.bodies())
            out += fmt::format("body of {}:\n", step.name()) + kernels_text(body);
    }
    return out;
}

// The texts of a scope and of its regions, each under its name.
template <class F>
std::string scope_texts(Scope& whole, F&& text) {
    std::string out;
    for_each_scope(whole, [&](Scope& p) {
        if (!p.name.empty()) out += "\n" + p.name + ":\n";
        out += text(p);
    });
    return out;
}

void verify_after(const State& s, const Pass& pass) {
    switch (pass.shows) {
        case Shows::Graph: verify(Graph(s.roots), pass.name, infer_types); break;
        case Shows::Fusion:
            for_each_scope(*s.whole, [](Scope& p) { verify(p.fusion, p.kept); });
            break;
        case Shows::Nests:
            for_each_scope(*s.whole, [](Scope& p) {
                for (const LoweredNest& l : p.lowered.nests) verify(l.nest);
            });
            break;
        case Shows::Program: break;
        case Shows::Groups: verify_groups(s.out.program); break;
        case Shows::Kernels:
            if (s.request.target) verify_kernels(s.out.program);
            break;
    }
}

void dump_after(State& s, const Pass& pass) {
    const Options& o = s.request.options;
    auto write = [&](std::string_view extension, const std::string& text) {
        write_dump(o, s.out.dumped++, s.request.name, pass.name, extension, text);
    };
    switch (pass.shows) {
        case Shows::Graph:
            if (o.dumps(Stage::Graph)) write("txt", to_string(Graph(s.roots)));
            if (o.dumps(Stage::Rewrites) && !s.rewrites.firings.empty())
                write("rewrites.txt", s.rewrites.str());
            break;
        case Shows::Fusion:
            if (o.dumps(Stage::Fusion))
                write("txt", scope_texts(*s.whole, [](Scope& p) {
                          return to_string(*p.graph) + "\n" + to_string(p.fusion);
                      }));
            break;
        case Shows::Nests:
            if (o.dumps(Stage::Loops))
                write("txt", scope_texts(*s.whole, [](Scope& p) {
                          std::string text;
                          for (const LoweredNest& l : p.lowered.nests)
                              text += to_string(l.nest) + "\n";
                          return text;
                      }));
            break;
        case Shows::Groups:
            if (o.dumps(Stage::Fusion)) write("txt", groups_text(s.out.program));
            break;
        case Shows::Kernels:
            if (o.dumps(Stage::Loops)) write("txt", kernels_text(s.out.program));
            break;
        case Shows::Program:
            if (o.dumps(Stage::Loops)) write("txt", program_text(s.out.program));
            break;
    }
}

}  // namespace

void write_dump(const Options& options, int number, const std::string& function,
                std::string_view pass, std::string_view extension, std::string_view text) {
    std::error_code error;
    std::filesystem::create_directories(options.dump_dir, error);
    std::string path =
        fmt::format("{}/{:02}_{}_{}.{}", options.dump_dir, number, function, pass, extension);
    std::ofstream file(path);
    file << text;
    if (!file.flush()) fail<ArgumentError>({}, "dump: cannot write '{}'", path);
}

Compiled compile(const CompileRequest& request) {
    State s{request, request.outputs, {}, nullptr, {}};
    for (const auto& [variable, value] : request.updates) s.roots.push_back(value);
    for (const auto& [variable, value] : request.updates) s.roots.push_back(variable);
    if (request.options.dumps(Stage::Graph))
        write_dump(request.options, s.out.dumped++, request.name, "input", "txt",
                   to_string(Graph(s.roots)));
    using Clock = std::chrono::steady_clock;
    for (const Pass& pass : passes) {
        if (!pass.runs(request)) continue;
        std::vector<Expr> before;
        if (request.on_graph_pass) before.assign(s.kept().begin(), s.kept().end());
        s.rewrites.firings.clear();
        auto start = Clock::now();
        pass.run(s);
        double ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
        s.out.passes.push_back({pass.name, ms});
        if (request.options.verify) verify_after(s, pass);
        dump_after(s, pass);
        if (request.on_graph_pass && pass.shows == Shows::Graph)
            request.on_graph_pass({pass.name, before, s.kept(), s.rewrites});
    }
    return std::move(s.out);
}

}  // namespace arete
