// Statements, kernels and programs in CUDA C++.
#include <algorithm>
#include <functional>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/loops/key.h"
#include "compiler/targets/cuda/printer.h"
#include "compiler/targets/cuda/source.h"

namespace arete::cuda {

using namespace loops;

namespace {

bool has(const std::vector<Stmt>& body, bool (*test)(const Stmt&)) {
    return std::any_of(body.begin(), body.end(), [&](const Stmt& s) {
        if (test(s)) return true;
        if (const auto* l = s.get_if<Loop>()) return has(l->body, test);
        if (const auto* i = s.get_if<If>()) return has(i->body, test);
        return false;
    });
}
bool is_check(const Stmt& s) {
    return s.get_if<CheckThat>() != nullptr;
}
bool is_barrier(const Stmt& s) {
    return s.get_if<Barrier>() != nullptr;
}
bool stores(const std::vector<Stmt>& body, BufferId buffer) {
    return std::any_of(body.begin(), body.end(), [&](const Stmt& s) {
        if (const auto* to = s.get_if<StoreTo>()) return to->buffer == buffer;
        if (const auto* l = s.get_if<Loop>()) return stores(l->body, buffer);
        if (const auto* i = s.get_if<If>()) return stores(i->body, buffer);
        return false;
    });
}

bool is_of_run_time(const Index& e) {
    bool any = false;
    e.for_each_value([&](ValueId) { any = true; });
    return any;
}
bool stores_anywhere(const Stmt& s) {
    const auto* to = s.get_if<StoreTo>();
    return to && is_of_run_time(to->index);
}

// Addresses that are made of values are right only where the checks before have not failed.
bool has_addresses_of_values(const Kernel& k) {
    for (ValueId id : k.values.ids())
        if (const Instr& i = k.values[id];
            (i.op == Op::Load || i.op == Op::LoadIf) && is_of_run_time(i.index))
            return true;
    return has(k.body, stores_anywhere);
}

class KernelPrinter {
  public:
    /// `guarded`: it does nothing where a check has failed before.
    KernelPrinter(const KernelStep& step, std::string_view lines, const std::string& name,
                  bool guarded)
        : k_(step.kernel),
          lines_(lines),
          name_(name),
          parts_(step.parts.size()),
          checks_(has(k_.body, is_check)),
          guarded_(guarded),
          values_(k_) {
        const std::optional<Launch> l = launch(k_);
        ARETE_CHECK(l.has_value(), "{}: a kernel without a grid for a card", k_.name);
        ARETE_CHECK(!l->cooperative, "{}: the CUDA printer has no barriers of the grid", k_.name);
        launch_ = *l;
    }

    LaunchEntry entry() const {
        LaunchEntry e;
        e.name = name_;
        e.grid = launch_.blocks;
        e.block = launch_.block_size;
        e.shared_bytes = shared_bytes_;
        e.barriers = has(k_.body, is_barrier);
        e.checks = checks_;
        e.status = checks_ || guarded_;
        for (BufferId b : k_.buffers.ids())
            if (k_.buffers[b].is_parameter()) e.writes += stores(k_.body, b) ? '1' : '0';
        return e;
    }

    std::string run() {
        heading();
        depth_ = 1;
        head();
        buffers();
        if (guarded_) guard();
        statements(*launch_.body);
        out_ += "}\n";
        return std::move(out_);
    }

  private:
    void line(std::string_view text) {
        out_.append(4 * static_cast<std::size_t>(depth_), ' ');
        out_ += text;
        out_ += '\n';
    }

    void heading() {
        out_ += fmt::format("// {}{}{}\n", k_.name, lines_.empty() ? "" : ": ", lines_);
        if (!k_.comment.empty()) out_ += fmt::format("// {}\n", k_.comment);
        std::vector<std::string> parameters;
        for (BufferId b : k_.buffers.ids()) {
            const Buffer& buffer = k_.buffers[b];
            if (!buffer.is_parameter()) continue;
            parameters.push_back(fmt::format("{}{}* __restrict__ {}",
                                             stores(k_.body, b) ? "" : "const ",
                                             memory_type(buffer.dtype), values_.buffer_name(b)));
        }
        if (checks_ || guarded_)
            parameters.push_back(fmt::format("{}arete_status* status", checks_ ? "" : "const "));
        out_ += fmt::format("extern \"C\" __global__ void __launch_bounds__({}{})\n{}({}) {{\n",
                            launch_.thread_count(), parts_ > 1 ? ", 1" : "", name_,
                            fmt::join(parameters, ",\n    "));
    }

    void head() {
        constexpr char dimension[] = "xyz";
        const auto variable = [&](Var v, std::string_view value) {
            if (v)
                line(fmt::format("const int {} = {};  // below {}", values_.var_name(v), value,
                                 k_.extents[v]));
        };
        for (std::size_t d = 0; d < 3; ++d)
            variable(launch_.grid[d], fmt::format("blockIdx.{}", dimension[d]));
        for (std::size_t d = 0; d < 3; ++d)
            variable(launch_.block[d], d == 0 && launch_.lanes > 1
                                           ? fmt::format("threadIdx.x / {}", launch_.lanes)
                                           : fmt::format("threadIdx.{}", dimension[d]));
        variable(launch_.warp, fmt::format("threadIdx.x % {}", launch_.lanes));
    }

    void guard() {
        if (!checks_ || !has(k_.body, is_barrier))
            return line("if (arete_has_failed(status)) return;");
        // Other blocks may write it now: the threads of this one do as one of them has seen.
        line(fmt::format("ARETE_SHARED(int, failed, 4, {});", shared_bytes_));
        shared_bytes_ += 16;
        line(
            "if (threadIdx.x + threadIdx.y + threadIdx.z == 0) "
            "failed[0] = arete_has_failed(status);");
        line("__syncthreads();");
        line("if (failed[0]) return;");
    }

    void buffers() {
        for (BufferId b : k_.buffers.ids()) {
            const Buffer& buffer = k_.buffers[b];
            const std::string name = values_.buffer_name(b);
            const std::int64_t n = buffer.elements();
            switch (buffer.space) {
                case Space::Parameter: break;
                case Space::Shared: {
                    line(fmt::format("ARETE_SHARED({}, {}, {}, {});", memory_type(buffer.dtype),
                                     name, n, shared_bytes_));
                    const std::int64_t bytes = n * static_cast<std::int64_t>(size_of(buffer.dtype));
                    shared_bytes_ += (bytes + 15) / 16 * 16;
                    break;
                }
                case Space::Private:
                case Space::Register:
                    line(buffer.space == Space::Register && n == 1
                             ? fmt::format("{} {};", memory_type(buffer.dtype), name)
                             : fmt::format("{} {}[{}];", memory_type(buffer.dtype), name, n));
                    break;
            }
        }
    }

    void statements(const std::vector<Stmt>& body) {
        for (const Stmt& s : body) statement(s);
    }

    void braces(const std::vector<Stmt>& body) {
        ++depth_;
        values_.open();
        statements(body);
        values_.close();
        --depth_;
        line("}");
    }

    void loop(const Loop& l) {
        const std::string v = values_.var_name(l.var);
        const std::int64_t extent = k_.extents[l.var];
        const char* type = extent > INT32_MAX ? "long long" : "int";
        if (l.kind == LoopKind::Unrolled || l.kind == LoopKind::Vector) line("ARETE_UNROLL");
        line(fmt::format("for ({} {} = 0; {} < {}; ++{}) {{", type, v, v, extent, v));
        braces(l.body);
    }

    [[noreturn]] void not_for_cards(const Stmt& s) const {
        throw InternalError(
            fmt::format("{}: '{}' is for processors only", k_.name, line_of(k_, s)));
    }

    void statement(const Stmt& s) {
        std::vector<std::string> before;
        const std::vector<ValueId> ids = roots(s);
        const std::vector<std::string> x = values_.values(ids, before);
        for (const std::string& b : before) line(b);
        std::visit(Cases{[&](const Loop& l) { loop(l); },
                         [&](const If&) {
                             const bool bare = x[0].front() != '(';
                             line(bare ? "if (" + x[0] + ") {" : "if " + x[0] + " {");
                             braces(s.get_if<If>()->body);
                         },
                         [&](const Barrier& b) {
                             line(b.scope == Scope::Warp ? "__syncwarp();" : "__syncthreads();");
                         },
                         [&](const StoreTo& to) { store(to, x[0]); },
                         [&](const CheckThat& c) {
                             line(fmt::format("if (!{}) arete_fail(status, {}, {});", x[0], c.code,
                                              values_.index(c.element)));
                         },
                         [&](const FoldLanes&) { not_for_cards(s); },
                         [&](const PrefetchAt&) { not_for_cards(s); },
                         [&](const TransposeTile&) { not_for_cards(s); }},
                   s);
    }

    void store(const StoreTo& to, const std::string& value) {
        const std::string at = values_.address(to.buffer, to.index);
        const DType t = k_.buffers[to.buffer].dtype;
        if (!to.combine) return line(fmt::format("{} = {};", at, value));
        const Op op = *to.combine == Reduction::Sum || *to.combine == Reduction::Mean ? Op::Add
                      : *to.combine == Reduction::Prod                                ? Op::Mul
                      : *to.combine == Reduction::Max                                 ? Op::Max
                                                                                      : Op::Min;
        const std::string old = t == DType::Bool ? fmt::format("({} != 0)", at) : at;
        line(fmt::format("{} = {};", at, values_.binary(op, t, t, old, value)));
    }

    const Kernel& k_;
    std::string_view lines_;
    const std::string& name_;
    std::size_t parts_;  // with one block a processor if need be: they may need many registers
    bool checks_, guarded_;
    ValuePrinter values_;
    Launch launch_;
    std::string out_;
    int depth_ = 0;
    std::int64_t shared_bytes_ = 0;
};

class ProgramPrinter {
  public:
    Source run(const Program& program) {
        prefix_ = identifier(program.name);
        // The status is of the whole program, and of the call before where several run unwatched.
        checks_ = std::any_of(program.steps.begin(), program.steps.end(),
                              [](const Step& s) { return s.kernel() && s.kernel()->checks; });
        steps(program, true);
        out_.advance = advance(program);
        return std::move(out_);
    }

  private:
    void steps(const Program& program, bool outermost) {
        for (const Step& s : program.steps) {
            const auto* copy = std::get_if<CopyStep>(&s.action);
            if (s.kernel())
                out_.steps.push_back(
                    kernel(*s.kernel(), s.lines, outermost && is_guarded(program, *s.kernel())));
            else
                out_.steps.push_back(outermost && copy ? guarded_copy(program, *copy) : LaunchId());
            for (const Program& body : s.bodies()) steps(body, false);
        }
    }

    static bool is_shared(const Program& program, SlotId slot) {
        return program.slots[slot].kind == Slot::Kind::Shared;
    }

    // What changes variables, or goes where values say, waits for the checks before it; behind
    // kernels of bodies the host looks at the status.
    bool is_guarded(const Program& program, const KernelStep& step) const {
        if (!checks_) return false;
        if (step.checks || has_addresses_of_values(step.kernel)) return true;
        for (BufferId p : step.slots.ids())
            if (is_shared(program, step.slots[p]) && stores(step.kernel.body, p)) return true;
        return false;
    }

    LaunchId add(const std::string& key,
                 const std::function<LaunchEntry(const std::string&)>& print,
                 std::string_view called) {
        const auto [it, fresh] = known_.try_emplace(key, out_.kernels.size());
        if (!fresh) return it->second;
        LaunchEntry entry =
            print(fmt::format("{}_k{}_{}", prefix_, it->second, identifier(called)));
        out_.kernels.push_back(std::move(entry));
        return it->second;
    }

    LaunchId kernel(const KernelStep& step, std::string_view lines, bool guarded) {
        return add((guarded ? "g" : "k") + loops::key(step.kernel),
                   [&](const std::string& name) {
                       KernelPrinter printer(step, lines, name, guarded);
                       out_.text += "\n" + printer.run();
                       return printer.entry();
                   },
                   step.kernel.name);
    }

    // A copy to a variable, which the driver's own copies would carry out in any case.
    LaunchId guarded_copy(const Program& program, const CopyStep& copy) {
        const Slot& to = program.slots[copy.to];
        if (!checks_ || to.kind != Slot::Kind::Shared) return {};
        const std::int64_t n = count(to.sizes);
        return add(
            fmt::format("copy {} {}", memory_type(to.dtype), n),
            [&](const std::string& name) {
                out_.text += fmt::format(
                    R"cuda(
// a copy to a variable
extern "C" __global__ void __launch_bounds__(256)
{0}(const {1}* __restrict__ from, {1}* __restrict__ to, const arete_status* status) {{
    const long long at = 256LL * blockIdx.x + static_cast<long long>(threadIdx.x);
    if (at < {2}LL && !arete_has_failed(status)) to[at] = from[at];
}}
)cuda",
                    name, memory_type(to.dtype), n);
                LaunchEntry e;
                e.name = name;
                e.grid[0] = (n + 255) / 256;
                e.block[0] = 256;
                e.status = true;
                e.writes = "01";
                return e;
            },
            "copy");
    }

    LaunchId advance(const Program& program) {
        std::vector<const Slot*> outputs;
        const Slot* counter = nullptr;
        for (const Slot& s : program.slots) {
            if (s.kind == Slot::Kind::Output) outputs.push_back(&s);
            if (s.kind != Slot::Kind::Input) continue;
            if (counter || !s.sizes.empty() || (s.dtype != DType::I64 && s.dtype != DType::I32))
                return {};
            counter = &s;
        }
        if (!counter) return {};
        return add(
            "advance",
            [&](const std::string& name) {
                LaunchEntry e;
                e.name = name;
                e.block[0] = 256;
                e.barriers = true;
                e.writes = "11";
                std::string parameters, body;
                for (std::size_t k = 0; k < outputs.size(); ++k) {
                    const std::string_view type = memory_type(outputs[k]->dtype);
                    parameters += fmt::format(
                        ",\n    const {0}* __restrict__ out{1}, {0}* __restrict__ stack{1}", type,
                        k);
                    const std::int64_t n = count(outputs[k]->sizes);
                    body += fmt::format(
                        "    for (long long at = threadIdx.x; at < {0}LL; at += 256)\n"
                        "        stack{1}[{0}LL * *ran + at] = out{1}[at];\n",
                        n, k);
                    e.writes += "01";
                }
                out_.text += fmt::format(
                    R"cuda(
// the next step's argument, and this one's results
extern "C" __global__ void __launch_bounds__(256)
{0}({1}* __restrict__ next, long long* __restrict__ ran{2}) {{
{3}    __syncthreads();
    if (threadIdx.x == 0) {{
        *next = wrap_add(*next, static_cast<{1}>(1));
        *ran += 1;
    }}
}}
)cuda",
                    name, memory_type(counter->dtype), parameters, body);
                return e;
            },
            "advance");
    }

    std::string prefix_;
    bool checks_ = false;
    std::unordered_map<std::string, LaunchId> known_;
    Source out_;
};

}  // namespace

Source print(const Program& program) {
    return ProgramPrinter().run(program);
}

std::string print_kernel(const KernelStep& step, std::string_view lines, const std::string& name) {
    return KernelPrinter(step, lines, name, false).run();
}

}  // namespace arete::cuda
