#include "frontend/function.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <list>
#include <mutex>
#include <set>
#include <utility>

#include "compiler/program/group.h"
#include "compiler/program/inspect.h"
#include "frontend/modes.h"
#include "frontend/report.h"
#include "runtime/shared_value.h"

namespace arete {

namespace {

// Locks shared variables in the order of their ids, which all functions share.
class LockAll {
  public:
    explicit LockAll(const std::vector<Expr>& shared) : shared_(shared) {
        try {
            for (; locked_ < shared_.size(); ++locked_) mutex(locked_).lock();
        } catch (...) {
            unlock();
            throw;
        }
    }
    ~LockAll() { unlock(); }
    LockAll(const LockAll&) = delete;
    LockAll& operator=(const LockAll&) = delete;

  private:
    std::mutex& mutex(std::size_t i) const { return shared_value(shared_[i].node()).mutex(); }
    void unlock() {
        for (; locked_ > 0; --locked_) mutex(locked_ - 1).unlock();
    }

    const std::vector<Expr>& shared_;
    std::size_t locked_ = 0;
};

}  // namespace

class Function::Impl {
  public:
    Impl(FunctionGraph graph, Mode mode, bool profile, Options options, std::vector<Rule> rules)
        : graph_(std::move(graph)),
          mode_(mode),
          profile_(profile),
          options_(std::move(options)),
          rules_(std::move(rules)),
          device_(open_device(options_)) {
        if (mode == Mode::interpret) device_ = open_interpreter(options_);
        pointers_.resize(graph_.inputs.size());
        results_.resize(graph_.outputs.size());
        for (std::size_t i = 0; i < graph_.inputs.size(); ++i)
            sizes_matter_.push_back(std::count(graph_.size_scalars.begin(),
                                               graph_.size_scalars.end(),
                                               graph_.inputs[i].node().id) != 0);
    }

    const FunctionGraph& graph() const { return graph_; }

    std::vector<Array> call(std::span<const Array> inputs) {
        std::lock_guard lock(mutex_);
        return naming_memory([&] {
            Specialisation& s = specialisation(inputs);
            std::vector<Array> outputs;
            for (const TensorSize& t : s.outputs) outputs.emplace_back(t.dtype, t.sizes);
            run(s, outputs, inputs);
            return outputs;
        });
    }

    void call_into(std::span<Array> outputs, std::span<const Array> inputs) {
        std::lock_guard lock(mutex_);
        naming_memory([&] { checked_call_into(outputs, inputs); });
    }

    std::vector<Array> run_many(std::int64_t first, std::int64_t count) {
        std::lock_guard lock(mutex_);
        return naming_memory([&] {
            const Array argument = first_of_many(first, count);
            Specialisation& s = specialisation({&argument, 1});
            std::vector<Array> outputs;
            std::vector<void*> stacks;
            for (const TensorSize& t : s.outputs) {
                Sizes sizes = t.sizes;
                sizes.insert(sizes.begin(), count);
                outputs.emplace_back(t.dtype, sizes);
                stacks.push_back(outputs.back().raw());
            }
            if (mode_ == Mode::fast_run || mode_ == Mode::fast_compile ||
                mode_ == Mode::fast_math) {
                LockAll lock_shared(graph_.shared);
                s.executable->run_many(first, count, stacks);
                return outputs;
            }
            for (std::int64_t k = 0; k < count; ++k) {
                const Array number = Array(first + k).astype(argument.dtype());
                std::vector<Array> results;
                for (std::size_t i = 0; i < outputs.size(); ++i) {
                    const TensorSize& t = s.outputs[i];
                    const std::int64_t bytes =
                        arete::count(t.sizes) * static_cast<std::int64_t>(size_of(t.dtype));
                    results.emplace_back(
                        t.dtype, t.sizes,
                        std::shared_ptr<void>(static_cast<char*>(stacks[i]) + k * bytes,
                                              [](void*) {}));
                }
                run(s, results, {&number, 1});
            }
            return outputs;
        });
    }

    std::vector<KernelProfile> profile() const {
        std::lock_guard lock(mutex_);
        if (!last_ || !last_->executable->compiled().program.profile) return {};
        double all = 0;
        for (const StepCost& c : last_->executable->costs()) all += c.ms;
        std::vector<KernelProfile> out;
        for (const StepCost& c : last_->executable->costs()) {
            const double ns =
                std::max(1.0, 1e6 * c.ms) / static_cast<double>(std::max<std::int64_t>(1, c.calls));
            out.push_back({c.step->name(), c.step->lines, c.calls, c.ms, all > 0 ? c.ms / all : 0,
                           c.step->flops / ns, c.step->bytes / ns});
        }
        return out;
    }

    FunctionStats stats() const {
        std::lock_guard lock(mutex_);
        FunctionStats out;
        out.compile_ms = compile_ms_;
        out.from_cache = from_cache_;
        out.specialisations = compiled_;
        out.live_specialisations = static_cast<int>(specialisations_.size());
        out.passes = passes_;
        if (last_) {
            out.kernels = last_->executable->kernels();
            out.arena_bytes = last_->executable->compiled().program.arena_bytes;
        }
        return out;
    }

    std::vector<MemoryPlan> memory() const {
        std::lock_guard lock(mutex_);
        std::vector<const Specialisation*> kept;
        for (const Specialisation& s : specialisations_) kept.push_back(&s);
        std::sort(kept.begin(), kept.end(), [](const Specialisation* a, const Specialisation* b) {
            return a->number < b->number;
        });
        std::vector<MemoryPlan> out;
        for (const Specialisation* s : kept)
            out.push_back(memory_plan(s->executable->compiled().program));
        return out;
    }

    std::string report() const {
        std::lock_guard lock(mutex_);
        ReportSource source{graph_, last_request("report"), {}, nullptr};
        if (last_) {
            source.ran = last_->executable.get();
            if (source.ran->compiled().program.profile) source.costs = source.ran->costs();
        }
        return report_page(source);
    }

    KernelPlan plan(std::shared_ptr<const Target> target) const {
        std::lock_guard lock(mutex_);
        CompileRequest request = last_request("plan");
        request.target = std::move(target);
        request.profile = request.observed = false;
        request.options.dump.clear();
        const Compiled compiled = compile(request);
        return {kernel_count(compiled.program),
                groups_text(compiled.program) + "\n" + program_text(compiled.program)};
    }

  private:
    struct TensorSize {
        DType dtype;
        Sizes sizes;
    };
    struct Specialisation {
        int number = 0;  // in the order of compilation
        std::string name;
        std::vector<Sizes> sizes;           // of the inputs
        std::vector<std::int64_t> scalars;  // of inputs whose value sets a size, 0 for the others
        std::vector<TensorSize> outputs;
        std::unique_ptr<Executable> executable;
    };

    // Where memory is lacking, or the device fails, the error names this function.
    template <class F>
    std::invoke_result_t<F&> naming_memory(F&& f) {
        try {
            return with_memory(graph_.loc, "function", graph_.name, f);
        } catch (const MemoryError& e) {
            name_and_throw(e);
            throw;
        } catch (const DeviceError& e) {
            name_and_throw(e);
            throw;
        }
    }
    template <class E>
    void name_and_throw(const E& e) const {
        if (e.loc()) return;
        with_memory(graph_.loc, "function", graph_.name,
                    [&] { fail<E>(graph_.loc, "function '{}': {}", graph_.name, e.what()); });
    }

    // The argument of the first of many calls, where such calls can be.
    Array first_of_many(std::int64_t first, std::int64_t count) const {
        if (graph_.inputs.size() != 1 || !is_integer(graph_.inputs[0].dtype()) ||
            graph_.inputs[0].rank() != 0)
            fail<ArgumentError>(graph_.loc,
                                "run_many: function '{}' must have one argument, an integer "
                                "scalar; it has {}",
                                graph_.name, arguments_text());
        const Expr& input = graph_.inputs[0];
        if (sizes_matter_[0])
            fail<ArgumentError>(input.loc(),
                                "run_many: the value of '{}', the argument of function '{}', sets "
                                "sizes, which many runs cannot change",
                                input.node().name, graph_.name);
        if (count < 0)
            fail<ArgumentError>(graph_.loc, "run_many: function '{}': {} runs", graph_.name, count);
        std::int64_t last = first;
        bool fits = !__builtin_add_overflow(first, std::max<std::int64_t>(count - 1, 0), &last);
        for (std::int64_t v : {first, last})
            fits = fits && Array(v).astype(input.dtype()).as_int() == v;
        if (!fits)
            fail<ArgumentError>(input.loc(),
                                "run_many: function '{}': {} runs from {} leave the range of its "
                                "argument '{}', which is {}",
                                graph_.name, count, first, input.node().name, input.type().str());
        return Array(first).astype(input.dtype());
    }
    std::string arguments_text() const {
        std::vector<std::string> types;
        for (const Expr& e : graph_.inputs) types.push_back(e.type().str());
        return types.empty() ? "none" : fmt::format("{}", fmt::join(types, ", "));
    }

    void checked_call_into(std::span<Array> outputs, std::span<const Array> inputs) {
        Specialisation& s = specialisation(inputs);
        if (outputs.size() != s.outputs.size())
            fail<ArgumentError>(graph_.loc, "function '{}': {} outputs given, it has {}",
                                graph_.name, outputs.size(), s.outputs.size());
        for (std::size_t i = 0; i < outputs.size(); ++i) {
            const TensorSize& t = s.outputs[i];
            if (outputs[i].dtype() != t.dtype || outputs[i].shape() != t.sizes)
                fail<ArgumentError>(graph_.loc,
                                    "function '{}': output {} is {}, the array given for it is {}",
                                    graph_.name, i + 1, type_name(t.dtype, t.sizes),
                                    type_name(outputs[i].dtype(), outputs[i].shape()));
        }
        run(s, outputs, inputs);
    }

    void check_arguments(std::span<const Array> inputs) const {
        if (inputs.size() != graph_.inputs.size())
            fail<ArgumentError>(graph_.loc, "function '{}': {} arguments given, it takes {}",
                                graph_.name, inputs.size(), graph_.inputs.size());
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            const Expr& want = graph_.inputs[i];
            const Array& got = inputs[i];
            bool ok = want.dtype() == got.dtype() && want.rank() == got.rank();
            for (std::size_t k = 0; ok && k < got.shape().size(); ++k)
                ok = !want.shape()[k].is_const() || want.shape()[k].value() == got.shape()[k];
            if (!ok)
                fail<ArgumentError>(want.loc(),
                                    "function '{}': argument {} ('{}') must be {}, it is {}",
                                    graph_.name, i + 1, want.node().name, want.type().str(),
                                    type_name(got.dtype(), got.shape()));
        }
    }

    std::int64_t scalar(std::span<const Array> inputs, std::size_t i) const {
        return sizes_matter_[i] ? inputs[i].as_int() : 0;
    }

    Specialisation& specialisation(std::span<const Array> inputs) {
        check_arguments(inputs);
        for (auto s = specialisations_.begin(); s != specialisations_.end(); ++s) {
            bool fits = true;
            for (std::size_t i = 0; fits && i < inputs.size(); ++i)
                fits = s->sizes[i] == inputs[i].shape() && s->scalars[i] == scalar(inputs, i);
            if (!fits) continue;
            specialisations_.splice(specialisations_.begin(), specialisations_, s);
            last_ = &*s;
            return *s;
        }
        return compile_for(inputs);
    }

    CompileRequest request_for(const std::string& name, const std::vector<Sizes>& sizes,
                               const std::vector<std::int64_t>& scalars) const {
        CompileRequest r;
        r.name = name;
        r.inputs = graph_.inputs;
        r.outputs = graph_.outputs;
        r.updates = graph_.updates;
        r.target = device_->target();
        r.options = options_;
        r.rules = rules_;
        r.quick = mode_ == Mode::fast_compile;
        r.fast_math = mode_ == Mode::fast_math;
        r.observed = mode_ == Mode::debug || mode_ == Mode::nan_guard;
        r.profile = profile_ && r.target && !r.observed;
        for (std::size_t i = 0; i < graph_.inputs.size(); ++i) {
            r.binding.sizes[graph_.inputs[i].node().id] = sizes[i];
            if (sizes_matter_[i]) r.binding.scalars[graph_.inputs[i].node().id] = scalars[i];
        }
        return r;
    }

    // Of the specialisation that ran last, or of static sizes; `what` asks for it.
    CompileRequest last_request(std::string_view what) const {
        if (last_) return request_for(last_->name, last_->sizes, last_->scalars);
        std::vector<Sizes> sizes;
        for (const Expr& e : graph_.inputs) {
            if (!is_static(e.shape()) || !graph_.size_scalars.empty())
                fail<ArgumentError>(graph_.loc,
                                    "{}: function '{}' has not been called, and the sizes of its "
                                    "argument '{}' are not known: call it first",
                                    what, graph_.name, e.node().name);
            sizes.push_back(concrete(e.shape()));
        }
        return request_for(graph_.name, sizes, std::vector<std::int64_t>(sizes.size()));
    }

    Specialisation& compile_for(std::span<const Array> inputs) {
        auto start = std::chrono::steady_clock::now();
        std::list<Specialisation> fresh(1);
        Specialisation& s = fresh.front();
        s.number = compiled_;
        s.name = compiled_ == 0 ? graph_.name : fmt::format("{}.{}", graph_.name, compiled_);
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            s.sizes.push_back(inputs[i].shape());
            s.scalars.push_back(scalar(inputs, i));
        }
        CompileRequest r = request_for(s.name, s.sizes, s.scalars);
        std::optional<PassChecker> checker;
        std::optional<LockAll> lock;
        if (mode_ == Mode::debug) {
            lock.emplace(graph_.shared);  // their values are read
            checker.emplace(graph_, inputs);
            r.on_graph_pass = [&](const GraphPass& pass) { checker->check(pass); };
        }
        s.executable = Executable::make(r, *device_);
        lock.reset();
        for (std::size_t k = 0; k < graph_.outputs.size(); ++k)
            for (const Slot& slot : s.executable->compiled().program.slots)
                if (slot.kind == Slot::Kind::Output && slot.number == static_cast<int>(k))
                    s.outputs.push_back({slot.dtype, slot.sizes});
        add_passes(s.executable->compiled().passes);
        from_cache_ += s.executable->from_cache();
        compile_ms_ +=
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
                .count();
        ++compiled_;
        specialisations_.splice(specialisations_.begin(), fresh);
        last_ = &s;
        drop_oldest();
        return s;
    }

    void add_passes(const std::vector<PassTime>& passes) {
        for (const PassTime& p : passes) {
            auto it = std::find_if(passes_.begin(), passes_.end(),
                                   [&](const PassTime& q) { return q.name == p.name; });
            if (it == passes_.end())
                passes_.push_back(p);
            else
                it->ms += p.ms;
        }
    }

    // Calls run under the lock that is held here: none of them uses what goes.
    void drop_oldest() {
        if (options_.max_specialisations <= 0) return;
        const auto limit = static_cast<std::size_t>(options_.max_specialisations);
        if (specialisations_.size() <= limit) return;
        if (!std::exchange(warned_, true)) warn_of_limit(limit);
        while (specialisations_.size() > limit) specialisations_.pop_back();
    }

    void warn_of_limit(std::size_t limit) const try {
        fmt::print(
            stderr,
            "warning: {}: function '{}' has met more than {} sets of shapes: what was used "
            "least recently is dropped, and compiled anew when it is met again. What varies: "
            "{}. To keep more: FunctionOptions::max_specialisations or "
            "ARETE_MAX_SPECIALISATIONS\n",
            graph_.loc.str(), graph_.name, limit, what_varies());
    } catch (const std::exception&) {
        // No memory for a warning: the call goes on.
    }

    // "x.shape(0) (65 values from 1 to 65), the value of n (2, from 3 to 4)".
    std::string what_varies() const {
        std::string out;
        auto add = [&](const std::string& what, const auto& value_of) {
            std::set<std::int64_t> values;
            for (const Specialisation& s : specialisations_) values.insert(value_of(s));
            if (values.size() < 2) return;
            out += fmt::format("{}{} ({} values from {} to {})", out.empty() ? "" : ", ", what,
                               values.size(), *values.begin(), *values.rbegin());
        };
        for (std::size_t i = 0; i < graph_.inputs.size(); ++i) {
            const Expr& input = graph_.inputs[i];
            const std::string name =
                input.node().name.empty() ? fmt::format("argument {}", i + 1) : input.node().name;
            for (std::size_t k = 0; k < input.shape().size(); ++k)
                add(fmt::format("{}.shape({})", name, k),
                    [&](const Specialisation& s) { return s.sizes[i][k]; });
            if (sizes_matter_[i])
                add("the value of " + name, [&](const Specialisation& s) { return s.scalars[i]; });
        }
        return out;
    }

    void run(Specialisation& s, std::span<Array> outputs, std::span<const Array> inputs) {
        // The code never writes through these: inputs are only loaded.
        for (std::size_t i = 0; i < inputs.size(); ++i)
            pointers_[i] = const_cast<void*>(inputs[i].raw());
        for (std::size_t i = 0; i < outputs.size(); ++i) results_[i] = outputs[i].raw();
        LockAll lock(graph_.shared);
        const WatchedRun watched{graph_, *s.executable, inputs, pointers_, outputs, results_};
        switch (mode_) {
            case Mode::fast_run:
            case Mode::fast_compile:
            case Mode::fast_math: s.executable->run(pointers_, results_); break;
            case Mode::interpret: run_interpreted(watched); break;
            case Mode::nan_guard: run_nan_guard(watched); break;
            case Mode::debug: run_debug(watched); break;
        }
    }

    FunctionGraph graph_;
    Mode mode_;
    bool profile_;
    Options options_;
    std::vector<Rule> rules_;
    std::shared_ptr<const Device> device_;
    mutable std::mutex mutex_;
    std::list<Specialisation> specialisations_;  // used most recently first
    Specialisation* last_ = nullptr;
    int compiled_ = 0;
    std::vector<PassTime> passes_;
    bool warned_ = false;
    std::vector<bool> sizes_matter_;
    std::vector<void*> pointers_, results_;
    double compile_ms_ = 0;
    int from_cache_ = 0;
};

std::vector<Array> Function::call(std::span<const Array> inputs) const {
    if (!impl_) fail<ArgumentError>({}, "call of an empty Function");
    return impl_->call(inputs);
}

void Function::call_into(std::span<Array> outputs, std::span<const Array> inputs) const {
    if (!impl_) fail<ArgumentError>({}, "call of an empty Function");
    impl_->call_into(outputs, inputs);
}

std::vector<Array> Function::run_many(std::int64_t first, std::int64_t count) const {
    if (!impl_) fail<ArgumentError>({}, "run_many of an empty Function");
    return impl_->run_many(first, count);
}

const std::string& Function::name() const {
    if (!impl_) fail<ArgumentError>({}, "name of an empty Function");
    return impl_->graph().name;
}

std::vector<KernelProfile> Function::profile() const {
    if (!impl_) return {};
    return impl_->profile();
}

std::vector<MemoryPlan> Function::memory() const {
    if (!impl_) fail<ArgumentError>({}, "memory of an empty Function");
    return impl_->memory();
}

KernelPlan Function::plan(std::shared_ptr<const Target> target) const {
    if (!impl_) fail<ArgumentError>({}, "plan of an empty Function");
    if (!target) fail<ArgumentError>(impl_->graph().loc, "plan: there is no target");
    return impl_->plan(std::move(target));
}

void Function::report(const std::string& path) const {
    if (!impl_) fail<ArgumentError>({}, "report of an empty Function");
    const std::string page = impl_->report();
    std::ofstream file(path, std::ios::binary);
    file << page;
    if (!file.flush()) fail<ArgumentError>({}, "report: cannot write '{}'", path);
}

FunctionStats Function::stats() const {
    if (!impl_) fail<ArgumentError>({}, "stats of an empty Function");
    return impl_->stats();
}

Array Function::number(std::size_t i, const Array& value) const {
    if (!impl_ || i >= impl_->graph().inputs.size()) return value;  // call() counts the arguments
    const Expr& input = impl_->graph().inputs[i];
    Array converted = value.astype(input.dtype());
    // f32 from a double literal rounds, but not to infinity; everything else must be exact.
    const Literal literal =
        visit(value.dtype(), [&](auto tag) { return Literal(value.item<decltype(tag)>()); });
    const bool rounds = is_float(value.dtype()) && is_float(input.dtype());
    if (!(rounds ? literal.fits(input.dtype()) : literal.bracket(input.dtype()).exact))
        fail<ArgumentError>(input.loc(),
                            "function '{}': argument {} ('{}') is {}, which {} cannot hold", name(),
                            i + 1, input.node().name, value.str(), arete::name(input.dtype()));
    return converted;
}

Function function(FunctionOptions options, const char* file, int line) {
    const Loc loc{file, line};
    return with_memory(loc, "function", "", [&] {
        Mode mode = options.mode;
        bool profile = options.profile;
        Options o = options.options ? *options.options : Options::from_environment();
        if (options.device) o.device = *options.device;
        if (options.max_specialisations) o.max_specialisations = *options.max_specialisations;
        std::vector<Rule> rules = std::move(options.rules);
        return Function(std::make_shared<Function::Impl>(prepare_function(std::move(options), loc),
                                                         mode, profile, o, std::move(rules)));
    });
}

Array Expr::eval() const {
    const Loc at = loc();
    return function({.outputs = {*this}, .name = "eval"}, at.file, at.line)()[0];
}

}  // namespace arete
