#include "frontend/report.h"

#include <algorithm>
#include <unordered_map>

#include "compiler/core/cases.h"
#include "compiler/graph/pp.h"
#include "compiler/program/inspect.h"
#include "compiler/program/memory.h"
#include "frontend/json.h"

namespace arete {

namespace {

// The graph at one point of the pipeline.
struct Moment {
    std::string title;
    std::vector<Expr> roots;  // outputs, then new values
};

struct Rewrite {
    std::string pass, rule, algebra, before, after, where, type, line;
};

// Texts stay readable, and the page small.
constexpr std::size_t most_text = 400;

std::string lines_of(const Node& n) {
    std::string out;
    for (const Loc& l : n.locs) out += (out.empty() ? "" : " ") + l.str();
    return out;
}

void write_graph(JsonWriter& j, const Moment& stage, const FunctionGraph& f,
                 const std::unordered_map<const Node*, std::vector<int>>& kernels) {
    const Graph graph(stage.roots);
    static constexpr const char* kinds[] = {"input", "shared", "constant", "apply"};
    j.open('{').pair("title", stage.title).key("nodes").open('[');
    for (const auto& node : graph.nodes()) {
        const Node& n = *node;
        j.open('{').pair("op", n.op->name).pair("kind", kinds[static_cast<int>(n.op->kind)]);
        if (!n.name.empty()) j.pair("name", n.name);
        if (n.op->kind == OpInfo::Kind::Constant)
            j.pair("value", shortened(pp(Expr(node)), 40));
        else if (const std::string attrs = n.attrs.str(); !attrs.empty())
            j.pair("attrs", shortened(attrs, 200));
        std::string type;
        for (const TensorType& t : n.types) type += (type.empty() ? "" : ", ") + t.str();
        j.pair("type", type).pair("line", lines_of(n));
        j.key("inputs").open('[');
        for (const Expr& e : n.inputs) j.value(graph.id(e).number());
        j.close(']');
        if (const auto it = kernels.find(node.get()); it != kernels.end()) {
            j.key("steps").open('[');
            for (int k : it->second) j.value(k);
            j.close(']');
        }
        j.close('}');
    }
    j.close(']').key("roots").open('[');
    for (std::size_t k = 0; k < stage.roots.size(); ++k) {
        const bool output = k < f.outputs.size();
        const std::string label =
            output ? fmt::format("output {}", k)
                   : fmt::format("new {}", f.updates[k - f.outputs.size()].first.node().name);
        j.open('{').pair("id", graph.id(stage.roots[k]).number()).pair("label", label).close('}');
    }
    j.close(']').close('}');
}

// The nests of a step, of its bodies too, and the loops that they have become.
std::string nests_text(const Step& s) {
    std::string out;
    if (s.kernel())
        for (const Part& p : s.kernel()->parts)
            out += (out.empty() ? "" : "\n") + to_string(p.nest);
    for (const Program& body : s.bodies())
        for (const Step& inner : body.steps) out += (out.empty() ? "" : "\n") + nests_text(inner);
    return out;
}
std::string schedules_text(const Step& s) {
    std::string out;
    if (s.kernel() && !s.kernel()->kernel.body.empty()) out = to_string(s.kernel()->kernel);
    for (const Program& body : s.bodies())
        for (const Step& inner : body.steps)
            out += (out.empty() ? "" : "\n") + schedules_text(inner);
    return out;
}

void write_step(JsonWriter& j, const ReportSource& source, const Compiled& compiled, StepId number,
                const Graph& final_graph, const std::vector<Listing>& listings) {
    const Step& s = compiled.program.steps[number];
    const KernelStep* kernel = s.kernel();
    const std::vector<SlotId> slots = s.slots();
    j.open('{').pair("number", number.number()).pair("kind", s.kind());
    j.pair("name", s.name()).pair("lines", s.lines);
    j.pair("flops", s.flops).pair("bytes", s.bytes);
    const std::vector<SlotValue> stored = stored_by(compiled, number);
    const auto slot = [&](SlotId n) -> const Slot& { return compiled.program.slots[n]; };
    // In terms of the operands, as the loops name them.
    PrettyPrint names;
    for (const SlotValue& v : read_by(compiled, number)) {
        if (!kernel) break;
        const loops::Code& code = kernel->kernel.body.empty()
                                      ? static_cast<const loops::Code&>(kernel->parts.at(0).nest)
                                      : static_cast<const loops::Code&>(kernel->kernel);
        const auto k = std::find(slots.begin(), slots.end(), v.slot);
        if (k != slots.end())  // else it is read for an earlier piece
            names.names.emplace_back(v.value,
                                     code.buffers[loops::BufferId(k - slots.begin())].name);
    }
    j.key("computes").open('[');
    for (const SlotValue& v : stored)
        j.open('{')
            .pair("text", shortened(pp(v.value, names), most_text))
            .pair("type", v.value.type().str())
            .pair("in_place", slot(v.slot).kind == Slot::Kind::Shared)
            .close('}');
    j.close(']').key("operands").open('[');
    for (SlotId n : slots) {
        const Slot& at = slot(n);
        j.open('{')
            .pair("name", at.name)
            .pair("type", type_name(at.dtype, at.sizes))
            .pair("place", name(at.kind))
            .close('}');
    }
    j.close(']').key("nodes").open('[');
    for (const auto& node : nodes_of_step(compiled, number))
        if (final_graph.contains(*node)) j.value(final_graph.id(*node).number());
    j.close(']');
    const std::string nests = nests_text(s), schedules = schedules_text(s);
    if (!nests.empty()) {
        j.pair("nest", nests);
        if (!schedules.empty()) j.pair("schedule", schedules);
        for (const Listing& l : listings)
            if (!l.steps[number].empty()) j.pair(l.language, l.steps[number]);
    }
    if (source.costs.contains(number) && source.costs[number].calls > 0) {
        const StepCost& c = source.costs[number];
        double all = 0;
        for (const StepCost& o : source.costs) all += o.ms;
        const double us = 1e3 * c.ms / static_cast<double>(c.calls);
        j.pair("calls", c.calls).pair("us", us);
        j.pair("share", all > 0 ? c.ms / all : 0.0);
        j.pair("gflops", us > 0 ? s.flops / us * 1e-3 : 0.0);
        j.pair("gbytes", us > 0 ? s.bytes / us * 1e-3 : 0.0);
    }
    j.close('}');
}

void write_memory(JsonWriter& j, const MemoryPlan& plan) {
    j.open('{').pair("arena", plan.arena_bytes).pair("live", plan.live_bytes);
    j.pair("copied", plan.shared_copied_bytes).key("buffers").open('[');
    for (const PlannedBuffer& b : plan.buffers)
        j.open('{')
            .pair("name", b.name)
            .pair("type", b.type)
            .pair("bytes", b.bytes)
            .pair("offset", b.offset)
            .pair("first", b.first)
            .pair("last", b.last)
            .close('}');
    j.close(']').close('}');
}

}  // namespace

std::string report_data(const ReportSource& source) {
    const FunctionGraph& f = source.graph;
    std::vector<Moment> stages{{"as written", f.outputs}};
    for (const auto& [variable, value] : f.updates) stages[0].roots.push_back(value);
    std::vector<Rewrite> rewrites;
    CompileRequest request = source.request;
    request.options.dump.clear();
    request.profile = request.observed = false;  // kernels without what measures them
    request.on_graph_pass = [&](const GraphPass& pass) {
        stages.push_back(
            {fmt::format("after {}", pass.name), {pass.after.begin(), pass.after.end()}});
        for (const RewriteLog::Firing& r : pass.log.firings) {
            const PrettyPair both = pp_pair(r.from, r.to);
            std::string where;
            for (const std::string& w : both.where)
                where += (where.empty() ? "" : "\n") + shortened(w, most_text);
            rewrites.push_back({std::string(pass.name), r.rule->name, r.rule->comment,
                                shortened(both.first, most_text), shortened(both.second, most_text),
                                where, r.from.type().str(), r.where});
        }
    };
    Compiled compiled = compile(request);
    const Graph final_graph(stages.back().roots);
    std::unordered_map<const Node*, std::vector<int>> kernels;
    for (StepId k : compiled.program.steps.ids())
        for (const auto& node : nodes_of_step(compiled, k))
            kernels[node.get()].push_back(k.number());
    std::vector<Listing> listings;
    if (request.target) listings = request.target->listings(compiled.program);

    JsonWriter j;
    j.open('{').pair("function", request.name).pair("line", f.loc.str());
    j.pair("device", request.target ? request.target->device() : "interpreter");
    j.pair("machine", request.target ? request.target->text() : "");
    j.key("languages").open('[');
    for (const Listing& l : listings)
        j.open('{').pair("key", l.language).pair("title", l.title).close('}');
    j.close(']');
    j.key("arguments").open('[');
    for (const Expr& e : f.inputs) {
        TensorType t = e.type();
        const auto it = request.binding.sizes.find(e.node().id);
        if (it != request.binding.sizes.end()) t.shape.assign(it->second.begin(), it->second.end());
        j.value(fmt::format("{}: {}", e.node().name, t.str()));
    }
    j.close(']').key("results").open('[');
    for (std::size_t k = 0; k < f.outputs.size(); ++k)
        j.value(fmt::format("output {}: {}", k, stages.back().roots[k].type().str()));
    j.close(']').key("updates").open('[');
    for (const auto& [variable, value] : f.updates)
        j.value(fmt::format("{}: {}", variable.node().name, variable.type().str()));
    j.close(']');
    // Times of the compilation that the function runs with, where there is one.
    j.key("passes").open('[');
    for (const PassTime& p : source.ran ? source.ran->compiled().passes : compiled.passes)
        j.open('{').pair("name", p.name).pair("ms", p.ms).close('}');
    j.close(']').key("graphs").open('[');
    for (std::size_t k = 0; k < stages.size(); ++k)
        write_graph(j, stages[k], f, k + 1 == stages.size() ? kernels : decltype(kernels){});
    j.close(']').key("rewrites").open('[');
    for (const Rewrite& r : rewrites)
        j.open('{')
            .pair("pass", r.pass)
            .pair("rule", r.rule)
            .pair("algebra", r.algebra)
            .pair("before", r.before)
            .pair("after", r.after)
            .pair("where", r.where)
            .pair("type", r.type)
            .pair("line", r.line)
            .close('}');
    j.close(']').key("steps").open('[');
    for (StepId k : compiled.program.steps.ids()) {
        write_step(j, source, compiled, k, final_graph, listings);
    }
    j.close(']').key("memory");
    write_memory(j, memory_plan(compiled.program));
    return j.close('}').text();
}

std::string report_page(const ReportSource& source) {
    std::string page = report_html;
    const auto put = [&](std::string_view mark, const std::string& text) {
        const std::size_t at = page.find(mark);
        ARETE_CHECK(at != std::string::npos, "the page has no {}", mark);
        page.replace(at, mark.size(), text);
    };
    // The data last: it may contain anything.
    put("/*style*/", report_style);
    put("/*script*/", report_script);
    put("/*data*/", report_data(source));
    return page;
}

}  // namespace arete
