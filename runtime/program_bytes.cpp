#include "runtime/program_bytes.h"

#include <algorithm>

#include "compiler/core/cases.h"
#include "compiler/ops/op.h"

namespace arete {

namespace {

// Members by name, as in the key: a new one does not compile until it is kept, or known to be of no
// use to a program that has been compiled.
void write_kernel(ByteWriter& out, const KernelStep& k) {
    [[maybe_unused]] const auto& [parts, blocks, scratch, boundary, kernel, parameters, may_fail] =
        k;
    out.number(parts.size());
    for (const Part& part : parts) {
        [[maybe_unused]] const auto& [nest, part_slots, axis, cycles] = part;
        out.text(nest.name);
        out.numbers(part_slots);
        out.number(cycles);
    }
    out.number(blocks);
    out.numbers(scratch);
    out.numbers(parameters);
    out.number(may_fail);
}

KernelStep read_kernel(ByteReader& in) {
    KernelStep k;
    for (std::size_t parts = in.number<std::size_t>(); parts > 0; --parts) {
        Part& part = k.parts.emplace_back();
        part.nest.name = in.text();
        part.slots = IdVector<loops::BufferId, SlotId>(in.ids<SlotId>());
        part.cycles = in.number<double>();
    }
    k.blocks = in.number<std::int64_t>();
    k.scratch = in.ids<SlotId>();
    k.slots = IdVector<loops::BufferId, SlotId>(in.ids<SlotId>());
    k.checks = in.number<bool>();
    return k;
}

void write_window(ByteWriter& out, const Window& w) {
    const auto& [slot, of, start, stride, ring, written] = w;
    for (SlotId n : {slot, of}) out.number(n);
    for (std::int64_t n : {start, stride, ring}) out.number(n);
    out.number(written);
}

Window read_window(ByteReader& in) {
    Window w;
    for (SlotId* n : {&w.slot, &w.of}) *n = in.id<SlotId>();
    for (std::int64_t* n : {&w.start, &w.stride, &w.ring}) *n = in.number<std::int64_t>();
    w.written = in.number<bool>();
    return w;
}

// A list, each item by `f`.
template <class T, class F>
void write_list(ByteWriter& out, const std::vector<T>& list, F&& f) {
    out.number(list.size());
    for (const T& item : list) f(out, item);
}
template <class F>
auto read_list(ByteReader& in, F&& f) {
    std::vector<std::invoke_result_t<F&, ByteReader&>> out;
    for (std::size_t n = in.number<std::size_t>(); n > 0; --n) out.push_back(f(in));
    return out;
}

void write_steps(ByteWriter& out, const Program& program);
Program read_steps(ByteReader& in);

void write_loop(ByteWriter& out, const LoopStep& l) {
    const auto& [label, body, trips, windows, carried, workspace, until, count, stacked] = l;
    out.text(label);
    write_list(out, body, write_steps);
    out.number(trips);
    write_list(out, windows, write_window);
    write_list(out, carried, [](ByteWriter& to, const Carried& c) {
        const auto& [initial, buffer, last, row_bytes, depth] = c;
        for (SlotId n : {initial, buffer, last}) to.number(n);
        for (std::int64_t n : {row_bytes, depth}) to.number(n);
    });
    for (SlotId n : {workspace, until, count}) out.number(n);
    write_list(out, stacked, [](ByteWriter& to, const Stacked& s) {
        const auto& [slot, row_bytes, first] = s;
        to.number(slot);
        for (std::int64_t n : {row_bytes, first}) to.number(n);
    });
}

LoopStep read_loop(ByteReader& in) {
    LoopStep l;
    l.label = in.text();
    l.body = read_list(in, read_steps);
    if (l.body.size() != 1) throw std::out_of_range("a loop of other than one body");
    l.trips = in.number<std::int64_t>();
    l.windows = read_list(in, read_window);
    l.carried = read_list(in, [](ByteReader& from) {
        Carried c;
        for (SlotId* n : {&c.initial, &c.buffer, &c.last}) *n = from.id<SlotId>();
        for (std::int64_t* n : {&c.row_bytes, &c.depth}) *n = from.number<std::int64_t>();
        return c;
    });
    for (SlotId* n : {&l.workspace, &l.until, &l.count}) *n = in.id<SlotId>();
    l.stacked = read_list(in, [](ByteReader& from) {
        Stacked s;
        s.slot = from.id<SlotId>();
        for (std::int64_t* n : {&s.row_bytes, &s.first}) *n = from.number<std::int64_t>();
        return s;
    });
    return l;
}

void write_branch(ByteWriter& out, const BranchStep& b) {
    const auto& [label, condition, bodies, windows, workspace] = b;
    out.text(label);
    out.number(condition);
    write_list(out, bodies, write_steps);
    write_list(out, windows, [](ByteWriter& to, const std::vector<Window>& of_body) {
        write_list(to, of_body, write_window);
    });
    out.number(workspace);
}

BranchStep read_branch(ByteReader& in) {
    BranchStep b;
    b.label = in.text();
    b.condition = in.id<SlotId>();
    b.bodies = read_list(in, read_steps);
    b.windows = read_list(in, [](ByteReader& from) { return read_list(from, read_window); });
    if (b.bodies.size() != 2 || b.windows.size() != 2)
        throw std::out_of_range("a branch of other than two bodies");
    b.workspace = in.id<SlotId>();
    return b;
}

// The op by its name; what a user gave cannot be kept.
void write_call(ByteWriter& out, const CallStep& c) {
    const auto& [node, inputs, outputs, code] = c;
    if (node->payload) throw NoKey();
    out.text(node->op->name);
    out.number(node->attrs.items().size());
    for (const auto& [name, value] : node->attrs.items()) {
        const bool* flag = std::get_if<bool>(&value);
        if (!flag) throw NoKey();
        out.text(name);
        out.number(*flag);
    }
    out.numbers(inputs);
    out.numbers(outputs);
    out.number(code);
}

CallStep read_call(ByteReader& in) {
    CallStep c;
    auto node = std::make_shared<Node>();
    const OpDef* op = find_op(in.text());
    if (!op || !op->host) throw std::out_of_range("no such function");
    node->op = &op->info;
    for (std::size_t n = in.number<std::size_t>(); n > 0; --n) {
        const std::string_view name = in.text();
        node->attrs = node->attrs.with(name, in.number<bool>());
    }
    c.node = node;
    c.inputs = in.ids<SlotId>();
    c.outputs = in.ids<SlotId>();
    c.code = in.number<int>();
    return c;
}

// A program without what its slots refer to.
void write_steps(ByteWriter& out, const Program& program) {
    [[maybe_unused]] const auto& [name, slots, steps, arena_bytes, profile, observed, quick] =
        program;
    out.text(name);
    out.number(arena_bytes);
    out.number(profile);
    out.number(slots.size());
    for (const Slot& s : slots) {
        const auto& [kind, number, offset, dtype, sizes, label] = s;
        out.number(kind);
        out.number(number);
        out.number(offset);
        out.number(dtype);
        out.numbers(sizes);
        out.text(label);
    }
    out.number(steps.size());
    for (const Step& s : steps) {
        const auto& [action, flops, bytes, lines] = s;
        out.number(action.index());
        std::visit(Cases{[&](const KernelStep& k) { write_kernel(out, k); },
                         [&](const CopyStep& c) {
                             const auto& [from, to] = c;
                             out.number(from);
                             out.number(to);
                         },
                         [&](const FillStep& f) {
                             const auto& [to] = f;
                             out.number(to);
                         },
                         [&](const LoopStep& l) { write_loop(out, l); },
                         [&](const BranchStep& b) { write_branch(out, b); },
                         [&](const CallStep& c) { write_call(out, c); }},
                   action);
        out.number(flops);
        out.number(bytes);
        out.text(lines);
    }
}

// The position of an alternative among those of a step.
template <class Action, class... All>
constexpr std::size_t position(std::type_identity<std::variant<All...>>) {
    std::size_t at = 0;
    (void)((std::is_same_v<Action, All> || (++at, false)) || ...);
    return at;
}
template <class Action>
constexpr std::size_t index_of = position<Action>(std::type_identity<decltype(Step::action)>());

Program read_steps(ByteReader& in) {
    // Bodies of bodies: what is deeper was not written by this program.
    constexpr int deepest = 64;
    thread_local int depth = 0;
    struct Guard {
        ~Guard() { --depth; }
    };
    if (++depth > deepest) {
        --depth;
        throw std::out_of_range("bodies of bodies without end");
    }
    const Guard guard;
    Program p;
    p.name = in.text();
    p.arena_bytes = in.number<std::int64_t>();
    p.profile = in.number<bool>();
    for (std::size_t n = in.number<std::size_t>(); n > 0; --n) {
        Slot& s = p.slots.emplace_back();
        s.kind = in.enumerator(Slot::Kind::Arena);
        s.number = in.number<int>();
        s.offset = in.number<std::int64_t>();
        s.dtype = in.enumerator(DType::F64);
        s.sizes = in.numbers<std::int64_t>();
        s.name = in.text();
        if (!sizes_fit(s.dtype, s.sizes)) throw std::out_of_range("no such size");
        if (s.kind == Slot::Kind::Arena &&
            (s.offset < 0 || s.offset > p.arena_bytes ||
             static_cast<std::int64_t>(s.bytes()) > p.arena_bytes - s.offset))
            throw std::out_of_range("no place in the arena");
    }
    for (std::size_t n = in.number<std::size_t>(); n > 0; --n) {
        Step& s = p.steps.emplace_back();
        const auto kind = in.number<std::size_t>();
        if (kind == index_of<KernelStep>) {
            s.action = read_kernel(in);
        } else if (kind == index_of<CopyStep>) {
            const auto from = in.id<SlotId>();
            s.action = CopyStep{from, in.id<SlotId>()};
        } else if (kind == index_of<FillStep>) {
            s.action = FillStep{in.id<SlotId>()};
        } else if (kind == index_of<LoopStep>) {
            s.action = read_loop(in);
        } else if (kind == index_of<BranchStep>) {
            s.action = read_branch(in);
        } else if (kind == index_of<CallStep>) {
            s.action = read_call(in);
        } else {
            throw std::out_of_range("no such step");
        }
        s.flops = in.number<double>();
        s.bytes = in.number<double>();
        s.lines = in.text();
    }
    return p;
}

struct Counts {
    std::size_t inputs = 0, outputs = 0, shared = 0, constants = 0;
    bool body = false;  // of another program: its slots are bound, or in its arena
};

void check_program(const Program& p, const Counts& counts) {
    const auto require = [](bool ok) {
        if (!ok) throw std::out_of_range("no such slot");
    };
    require(p.arena_bytes >= 0 && p.arena_bytes < std::int64_t{1} << 46);
    for (const Slot& s : p.slots) {
        std::int64_t bytes = static_cast<std::int64_t>(size_of(s.dtype));
        for (const std::int64_t n : s.sizes) {
            require(n >= 0 && !__builtin_mul_overflow(bytes, n, &bytes));
        }
        std::size_t most = 0;
        switch (s.kind) {
            case Slot::Kind::Input: most = counts.inputs; break;
            case Slot::Kind::Shared: most = counts.shared; break;
            case Slot::Kind::Output: most = counts.outputs; break;
            case Slot::Kind::Constant: most = counts.constants; break;
            case Slot::Kind::Bound: require(counts.body); continue;
            case Slot::Kind::Arena:
                require(s.offset >= 0 && s.offset <= p.arena_bytes &&
                        bytes <= p.arena_bytes - s.offset);
                continue;
        }
        require(s.number >= 0 && static_cast<std::size_t>(s.number) < most);
    }
    const auto exist = [&](const auto& slots) {
        for (const SlotId k : slots) require(p.slots.contains(k));
    };
    for (const Step& s : p.steps) {
        exist(s.slots());
        for (const Program& body : s.bodies()) check_program(body, {.body = true});
        if (!s.kernel()) continue;
        exist(s.kernel()->scratch);
        require(!s.kernel()->parts.empty());
        for (const Part& part : s.kernel()->parts) exist(part.slots);
    }
}

}  // namespace

void write_program(ByteWriter& out, const Compiled& compiled, const Graph& graph) {
    [[maybe_unused]] const auto& [program, shared, constants, checks, passes, slot_values,
                                  new_values, dumped] = compiled;
    write_steps(out, program);
    out.number(shared.size());
    for (const Expr& e : shared) {
        // Passes may have made the leaf anew; what it stands for is the same.
        NodeId found;
        for (NodeId i : graph.ids())
            if (graph.nodes()[i]->storage == e.node().storage) found = i;
        if (!found) throw NoKey();
        out.number(found);
    }
    out.number(constants.size());
    for (const Array& a : constants) {
        out.number(a.dtype());
        out.numbers(a.shape());
        out.text({static_cast<const char*>(a.raw()), a.bytes()});
    }
    out.number(checks.size());
    for (const CheckSite& s : checks) {
        out.text(s.loc.file ? s.loc.file : "");
        out.number(s.loc.line);
        out.text(s.message);
    }
}

Compiled read_program(ByteReader& in, const Graph& graph, const Files& files) {
    Compiled c;
    c.program = read_steps(in);
    for (std::size_t n = in.number<std::size_t>(); n > 0; --n) {
        const auto at = in.id<NodeId>();
        if (!graph.nodes().contains(at)) throw std::out_of_range("no such variable");
        c.shared.emplace_back(graph.nodes()[at]);
    }
    for (std::size_t n = in.number<std::size_t>(); n > 0; --n) {
        const DType t = in.enumerator(DType::F64);
        Array a(t, in.numbers<std::int64_t>());
        const std::string_view bytes = in.text();
        if (bytes.size() != a.bytes()) throw std::out_of_range("not the constant's size");
        std::copy(bytes.begin(), bytes.end(), static_cast<char*>(a.raw()));
        c.constants.push_back(std::move(a));
    }
    for (std::size_t n = in.number<std::size_t>(); n > 0; --n) {
        const std::string_view file = in.text();
        const int line = in.number<int>();
        c.checks.push_back(
            {file.empty() ? Loc{} : Loc{files.at(file), line}, std::string(in.text())});
    }
    return c;
}

void check_program(const Compiled& c, std::size_t inputs, std::size_t outputs) {
    check_program(c.program, {.inputs = inputs,
                              .outputs = outputs,
                              .shared = c.shared.size(),
                              .constants = c.constants.size()});
}

}  // namespace arete
