// Statements, kernels and programs in CUDA C++.
#include <algorithm>

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

class KernelPrinter {
  public:
    KernelPrinter(const KernelStep& step, std::string_view lines, const std::string& name)
        : k_(step.kernel), lines_(lines), name_(name), values_(k_) {
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
        e.status = has(k_.body, is_check);
        for (BufferId b : k_.buffers.ids())
            if (k_.buffers[b].is_parameter()) e.writes += stores(k_.body, b) ? '1' : '0';
        return e;
    }

    std::string run() {
        heading();
        depth_ = 1;
        head();
        buffers();
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
        if (has(k_.body, is_check)) parameters.push_back("arete_status* status");
        out_ += fmt::format("extern \"C\" __global__ void __launch_bounds__({})\n{}({}) {{\n",
                            launch_.thread_count(), name_, fmt::join(parameters, ",\n    "));
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
        steps(program);
        return std::move(out_);
    }

  private:
    void steps(const Program& program) {
        for (const Step& s : program.steps) {
            out_.steps.push_back(s.kernel() ? kernel(*s.kernel(), s.lines) : LaunchId());
            for (const Program& body : s.bodies()) steps(body);
        }
    }

    LaunchId kernel(const KernelStep& step, std::string_view lines) {
        const std::string key = loops::key(step.kernel);
        const auto [it, fresh] = known_.try_emplace(key, out_.kernels.size());
        if (!fresh) return it->second;
        const std::string name =
            fmt::format("{}_k{}_{}", prefix_, it->second, identifier(step.kernel.name));
        KernelPrinter printer(step, lines, name);
        out_.text += "\n" + printer.run();
        out_.kernels.push_back(printer.entry());
        return it->second;
    }

    std::string prefix_;
    std::unordered_map<std::string, LaunchId> known_;
    Source out_;
};

}  // namespace

Source print(const Program& program) {
    return ProgramPrinter().run(program);
}

std::string print_kernel(const KernelStep& step, std::string_view lines, const std::string& name) {
    return KernelPrinter(step, lines, name).run();
}

}  // namespace arete::cuda
