#include "tests/fuzz/run.h"
#include "compiler/targets/cpu/target.h"

#include <cstring>
#include <map>

#include "compiler/core/memory.h"
#include "compiler/pipeline/compile.h"
#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"
#include "frontend/shared.h"

namespace arete::fuzz {

namespace {

const std::map<std::string, Mode> mode_names{{"interpret", Mode::interpret},
                                             {"fast_compile", Mode::fast_compile},
                                             {"debug", Mode::debug},
                                             {"fast_run", Mode::fast_run}};

// Arrays between pages that fault: odd ones at their end, even ones at their start.
std::shared_ptr<void> guarded(std::size_t bytes) {
    static unsigned count = 0;
    return guarded_bytes(bytes, ++count % 4 != 0);
}
class GuardAll {
  public:
    GuardAll() : before_(replace_allocation(guarded)) {}
    ~GuardAll() { replace_allocation(before_); }
    GuardAll(const GuardAll&) = delete;
    GuardAll& operator=(const GuardAll&) = delete;

  private:
    AllocateBytes before_;
};

Options options_for(const Setting& s) {
    Options o;
    o.num_threads = s.threads;
    o.cpu = s.objects_only ? "native" : s.cpu;
    o.cache_dir.clear();
    return o;
}

Function build(const Case& c, const Setting& s, const RunOptions& options) {
    std::vector<Update> updates;
    for (const auto& [variable, value] : c.updates) updates.emplace_back(variable, value);
    return function({.inputs = c.inputs,
                     .outputs = c.outputs,
                     .updates = updates,
                     .on_unused_input = OnUnusedInput::ignore,
                     .name = "fuzzed",
                     .mode = s.mode,
                     .options = options_for(s),
                     .rules = options.rules});
}

// Results of a call, the variables' new values last. All memory lies between pages that fault.
std::vector<Array> call(const Case& c, const Function& f) {
    const GuardAll guard;
    c.reset();
    std::vector<Array> in;
    for (const Array& v : c.values) in.push_back(v.copy());
    std::vector<Array> out = f.call(in);
    for (std::size_t k = 0; k < in.size(); ++k)
        if (in[k].bytes() && std::memcmp(in[k].raw(), c.values[k].raw(), in[k].bytes()) != 0)
            throw InternalError("an argument has changed");
    for (const auto& [variable, value] : c.updates)
        out.push_back(arete::Shared(variable).get_value());
    return out;
}

// The machine code for another vector level, which this processor may lack.
void compile_objects(const Case& c, const Setting& s) {
    CompileRequest r;
    r.name = "fuzzed";
    r.inputs = c.inputs;
    r.outputs = c.outputs;
    r.updates = c.updates;
    r.options = options_for(s);
    for (std::size_t k = 0; k < c.inputs.size(); ++k) {
        r.binding.sizes[c.inputs[k].node().id] = c.values[k].shape();
        if (c.values[k].rank() == 0 && !is_float(c.values[k].dtype()))
            r.binding.scalars[c.inputs[k].node().id] = c.values[k].as_int();
    }
    const Machine machine = described_machine(s.cpu);
    r.target = cpu_target(machine);
    const Compiled compiled = compile(r);
    LlvmModule module(compiled.program, machine);
    module.optimize(true);
    if (module.object().empty()) throw InternalError("an empty object");
}

std::string exception_name(const std::exception& e) {
    if (dynamic_cast<const RangeError*>(&e)) return "RangeError";
    if (dynamic_cast<const GraphError*>(&e)) return "GraphError";
    if (dynamic_cast<const InternalError*>(&e)) return "InternalError";
    if (dynamic_cast<const DebugModeError*>(&e)) return "DebugModeError";
    if (dynamic_cast<const CompileError*>(&e)) return "CompileError";
    if (dynamic_cast<const ArgumentError*>(&e)) return "ArgumentError";
    return "exception";
}

Finding thrown(const std::exception& e, const std::string& setting) {
    return {Finding::Kind::Exception, setting, exception_name(e) + ": " + e.what()};
}

// More evaluations, until what rounding can do is known.
bool escalate(const Case& c, const Binding& leaves, Expected& expected) {
    if (expected.evaluations() > 20) return false;
    const std::size_t before = expected.evaluations();
    c.reset();
    const double amplitude = before < 2 ? 1 : before < 8 ? 2 : 4;
    for (std::uint64_t k = 0; k < (before < 2 ? 3U : 8U); ++k)
        expected.add(evaluate(c.results(), leaves, {before + k + 1, amplitude}));
    return true;
}

}  // namespace

std::string Setting::str() const {
    std::string out = cpu;
    for (const auto& [name, m] : mode_names)
        if (m == mode && mode != Mode::fast_run) out = name;
    if (mode != Mode::fast_run && mode != Mode::interpret && cpu != "native") out += ":" + cpu;
    if (threads != 1) out += fmt::format("/{}", threads);
    return objects_only ? "object:" + out : out;
}

Setting parse_setting(const std::string& text) {
    Setting s;
    std::string rest = text;
    if (rest.starts_with("object:")) {
        s.objects_only = true;
        rest = rest.substr(7);
    }
    if (const auto slash = rest.find('/'); slash != std::string::npos) {
        s.threads = std::atoi(rest.c_str() + slash + 1);
        rest.resize(slash);
    }
    if (const auto colon = rest.find(':'); colon != std::string::npos) {
        s.cpu = rest.substr(colon + 1);
        rest.resize(colon);
    }
    if (const auto mode = mode_names.find(rest); mode != mode_names.end())
        s.mode = mode->second;
    else
        s.cpu = rest;
    if ((s.cpu != "native" && !find_machine(s.cpu)) || s.threads < 1)
        fail<ArgumentError>({}, "no way to run called '{}'", text);
    return s;
}

std::string Finding::str() const {
    static const char* const names[] = {"value", "exception", "refusal", "gradient",
                                        "bits",  "crash",     "hang",    "memory"};
    return fmt::format("{} [{}]: {}", names[static_cast<int>(kind)], setting, message);
}

std::string Finding::signature() const {
    std::string out = fmt::format("{}|{}", static_cast<int>(kind), setting);
    if (kind == Kind::Exception) out += "|" + message.substr(0, message.find(':'));
    return out;
}

std::optional<Finding> compare(const Case& c, const Expected& expected,
                               const std::vector<Array>& results, const std::string& setting,
                               bool as_written) {
    if (results.size() != expected.results())
        return Finding{Finding::Kind::Value, setting,
                       fmt::format("{} results, expected {}", results.size(), expected.results())};
    for (std::size_t k = 0; k < results.size(); ++k)
        if (const auto wrong =
                expected.wrong(k, results[k], expected.evaluations() < 2 ? 3 : 4, as_written))
            return Finding{Finding::Kind::Value, setting, result_name(c, k) + ": " + *wrong};
    return std::nullopt;
}

Verdict run(const Case& c, const RunOptions& options) {
    Verdict out;
    const auto progress = [&](const std::string& what) {
        if (options.progress) options.progress(what);
    };
    Binding leaves;
    for (std::size_t k = 0; k < c.inputs.size(); ++k)
        leaves.emplace_back(c.inputs[k], widen(c.values[k]));
    progress("reference");
    c.reset();
    std::string refusal;
    try {
        out.expected.add(evaluate(c.results(), leaves));
    } catch (const TooMuchWork&) {
        out.skipped = true;
        return out;
    } catch (const GraphError& e) {
        refusal = e.what();
        out.refused = true;
    } catch (const std::exception& e) {
        out.finding = thrown(e, "reference");
        return out;
    }
    for (std::size_t k = 0; refusal.empty() && k < c.gradients.size(); ++k) {
        const GradientOf& g = c.gradients[k];
        const Sizes is = sizes_of(g.gradient, c.inputs, c.values),
                    should = sizes_of(g.wrt, c.inputs, c.values);
        if (is != should)
            out.finding = {Finding::Kind::Gradient, "reference",
                           fmt::format("the gradient of {} is {}", type_name(g.wrt.dtype(), should),
                                       type_name(g.gradient.dtype(), is))};
        if (out.finding) return out;
    }
    std::vector<Array> first;
    for (const Setting& s : options.settings) {
        const std::string name = s.str();
        progress(name);
        try {
            if (s.objects_only) {
                if (refusal.empty()) compile_objects(c, s);
                continue;
            }
            const Function f = build(c, s, options);
            std::vector<Array> got = call(c, f);
            if (!refusal.empty())
                out.finding = {Finding::Kind::Refusal, name, "the reference refuses: " + refusal};
            else if (out.expected.first().failed >> nearest & 1 &&
                     out.expected.first().failed == 0xff)
                out.finding = {Finding::Kind::Refusal, name, "a check should have failed"};
            if (out.finding) return out;
            const bool as_written = s.mode == Mode::fast_compile;
            std::optional<Finding> wrong = compare(c, out.expected, got, name, as_written);
            while (wrong && escalate(c, leaves, out.expected))
                wrong = compare(c, out.expected, got, name, as_written);
            if (wrong) {
                out.finding = wrong;
                return out;
            }
            if (s.mode == Mode::fast_run) {
                // Again, with the same numbers; and as many threads as may be.
                std::vector<Array> again = call(c, f);
                for (std::size_t k = 0; k < got.size(); ++k)
                    if (!same_bits(got[k], again[k]))
                        out.finding = {Finding::Kind::Bits, name,
                                       result_name(c, k) + ": another value the second time"};
                if (s.threads > 1) {
                    Setting one = s;
                    one.threads = 1;
                    again = call(c, build(c, one, options));
                    for (std::size_t k = 0; k < got.size(); ++k)
                        if (!same_bits(got[k], again[k]))
                            out.finding = {Finding::Kind::Bits, name,
                                           result_name(c, k) + ": depends on threads"};
                }
                if (out.finding) return out;
            }
            if (first.empty()) first = std::move(got);
        } catch (const TooMuchWork&) {
            out.skipped = true;
            return out;
        } catch (const DebugModeError& e) {
            // Its tolerances are fixed: sums and products in another order may overflow.
            if (!moderate(c, c.results()) || !out.expected.well_conditioned()) continue;
            out.finding = thrown(e, name);
            return out;
        } catch (const RangeError& e) {
            if (refusal.empty() && out.expected.first().failed) continue;
            out.finding = thrown(e, name);
            return out;
        } catch (const GraphError& e) {
            if (!refusal.empty()) continue;
            out.finding = thrown(e, name);
            return out;
        } catch (const std::exception& e) {
            out.finding = thrown(e, name);
            return out;
        }
    }
    c.reset();
    out.results = std::move(first);
    if (options.gradients && refusal.empty() && !c.gradients.empty()) {
        progress("gradients");
        out.finding = check_gradients(c);
    }
    return out;
}

}  // namespace arete::fuzz
