#include "runtime/program_cache.h"

#include <map>
#include <unordered_set>

#include "compiler/ops/op.h"
#include "runtime/bytes.h"
#include "runtime/program_bytes.h"

namespace arete {

namespace {

constexpr std::string_view magic = "AretePrg";
constexpr std::size_t most_bytes = std::size_t{256} << 20;  // what is larger is not worth a file

// ---- the key

class KeyWriter {
  public:
    KeyWriter(const CompileRequest& request, std::span<const Expr> roots)
        : request_(request), graph_({roots.begin(), roots.end()}) {
        static const std::unordered_set<const OpDef*> own(all_ops().begin(), all_ops().end());
        own_ = &own;
    }

    std::string key() {
        out_.text(build_id);
        out_.text(request_.target->device());
        out_.text(request_.target->key());
        // Here, too: the graph has the sizes, and options change what is checked and shown.
        [[maybe_unused]] const auto& [name, inputs, outputs, updates, binding, target, options,
                                      profile, quick, fast_math, observed, rules, on_graph_pass] =
            request_;
        out_.text(name);
        out_.number(profile);
        out_.number(quick);
        out_.number(fast_math);
        for (std::size_t n : {inputs.size(), outputs.size(), updates.size()}) out_.number(n);
        number_ids(graph_);
        for (auto& [id, number] : ids_) number = ++last_;
        write(graph_);
        return std::move(out_.bytes);
    }

  private:
    // Ids differ from process to process; their order does not, and is all that counts.
    void number_ids(const Graph& graph) {
        for (const auto& node : graph.nodes()) {
            if (node->id) ids_[node->id] = 0;
            for (const Region& r : node->regions) number_ids(whole(r));
        }
    }

    // A region with all its parameters, which come last among its results.
    static Graph whole(const Region& region) {
        std::vector<Expr> all = region.results;
        all.insert(all.end(), region.params.begin(), region.params.end());
        return Graph(all);
    }

    void write(const Graph& graph) {
        out_.number(graph.size());
        for (const auto& node : graph.nodes()) one(*node, graph);
        out_.number(graph.outputs().size());
        for (const Expr& e : graph.outputs()) reference(e, graph);
    }

    void reference(const Expr& e, const Graph& graph) {
        out_.number(graph.id(e));
        out_.number(e.output());
    }

    void one(const Node& n, const Graph& graph) {
        if (n.payload || !own_->count(&def(n))) throw NoKey();
        out_.text(n.op->name);
        out_.number(n.id ? ids_.at(n.id) : 0);
        if (n.op->kind == OpInfo::Kind::Input) {
            std::int64_t position = -1;
            for (std::size_t i = 0; i < request_.inputs.size(); ++i)
                if (request_.inputs[i].node().id == n.id) position = static_cast<std::int64_t>(i);
            out_.number(position);
        }
        out_.number(n.inputs.size());
        for (const Expr& e : n.inputs) reference(e, graph);
        out_.number(n.regions.size());
        for (const Region& r : n.regions) {
            out_.number(r.params.size());
            write(whole(r));
        }
        out_.number(n.types.size());
        for (const TensorType& t : n.types) {
            out_.number(t.dtype);
            shape(t.shape);
        }
        out_.number(n.attrs.items().size());
        for (const auto& [name, value] : n.attrs.items()) {
            out_.text(name);
            out_.number(value.index());
            std::visit([&](const auto& v) { attribute(v); }, value);
        }
        // Names and lines are in errors and profiles.
        out_.text(n.name);
        out_.number(n.locs.size());
        for (const Loc& loc : n.locs) {
            out_.text(loc.file ? loc.file : "");
            out_.number(loc.line);
        }
        if (out_.bytes.size() > most_bytes) throw NoKey();
    }

    void shape(const Shape& s) {
        out_.number(s.size());
        for (const Dim& d : s) attribute(d);
    }

    void attribute(bool v) { out_.number(v); }
    void attribute(std::int64_t v) { out_.number(v); }
    void attribute(double v) { out_.number(v); }
    void attribute(DType v) { out_.number(v); }
    void attribute(const std::string& v) { out_.text(v); }
    void attribute(const Ints& v) { out_.numbers(v); }
    void attribute(const Dim& v) {
        if (!v.is_const()) throw NoKey();
        out_.number(v.value());
    }
    void attribute(const Shape& v) { shape(v); }
    void attribute(const Array& v) {
        out_.number(v.dtype());
        out_.numbers(v.shape());
        if (v.bytes() > most_bytes) throw NoKey();
        out_.text({static_cast<const char*>(v.raw()), v.bytes()});
    }

    const CompileRequest& request_;
    Graph graph_;
    const std::unordered_set<const OpDef*>* own_;
    ByteWriter out_;
    std::map<std::uint64_t, std::int64_t> ids_;
    std::int64_t last_ = 0;
};

}  // namespace

ProgramCache::ProgramCache(const CompileRequest& request) {
    if (request.options.cache_dir.empty() || !request.options.dump.empty() || !request.target ||
        request.observed || !request.rules.empty() || request.on_graph_pass)
        return;
    inputs_ = request.inputs.size();
    outputs_ = request.outputs.size();
    std::vector<Expr> roots = request.outputs;
    for (const auto& [variable, value] : request.updates) roots.push_back(value);
    for (const auto& [variable, value] : request.updates) roots.push_back(variable);
    roots_ = bind_shapes(roots, request.binding);
    std::string key;
    try {
        key = KeyWriter(request, roots_).key();
    } catch (const NoKey&) {
        return;
    }
    file_.emplace(request.options.cache_dir, magic, std::move(key));
}

std::optional<ProgramCache::Entry> ProgramCache::load() const try {
    if (!active()) return std::nullopt;
    const std::optional<std::string> bytes = file_->load();
    if (!bytes) return std::nullopt;
    ByteReader file(*bytes);
    const Graph graph(roots_);
    Files files;
    for (const auto& node : graph.nodes())
        for (const Loc& loc : node->locs)
            if (loc.file) files.emplace(loc.file, loc.file);
    Entry entry{read_program(file, graph, files), std::string(file.text())};
    if (!file.empty() || entry.object.empty()) return std::nullopt;
    check_program(entry.compiled, inputs_, outputs_);
    return entry;
} catch (const std::exception&) {
    return std::nullopt;  // written by something else that knows the checksum, or no memory
}

void ProgramCache::store(const Compiled& compiled, std::string_view object) const try {
    if (!active()) return;
    ByteWriter value;
    write_program(value, compiled, Graph(roots_));
    value.text(object);
    file_->store(value.bytes);
} catch (const NoKey&) {
} catch (const std::exception&) {
    // No memory: the program runs all the same.
}

}  // namespace arete
