#include "runtime/program_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <unordered_set>

#include "compiler/ops/op.h"
#include "runtime/bytes.h"
#include "runtime/program_bytes.h"

namespace arete {

namespace {

constexpr std::string_view magic = "AretePrg";
constexpr std::uint64_t name_seeds[] = {0x243f6a8885a308d3, 0x13198a2e03707344};
constexpr std::uint64_t checksum_seed = 0xa4093822299f31d0;
constexpr std::size_t largest = std::size_t{256} << 20;  // what is larger is not worth a file

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
        if (out_.bytes.size() > largest) throw NoKey();
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
        if (v.bytes() > largest) throw NoKey();
        out_.text({static_cast<const char*>(v.raw()), v.bytes()});
    }

    const CompileRequest& request_;
    Graph graph_;
    const std::unordered_set<const OpDef*>* own_;
    ByteWriter out_;
    std::map<std::uint64_t, std::int64_t> ids_;
    std::int64_t last_ = 0;
};

// ---- files

class Descriptor {
  public:
    Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags, 0644)) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    bool ok() const { return fd_ >= 0; }

    /// All of it; false where that fails.
    bool read(std::string& to) {
        struct stat about {};
        if (::fstat(fd_, &about) != 0 || !S_ISREG(about.st_mode) ||
            static_cast<std::uint64_t>(about.st_size) > 2 * largest)
            return false;
        to.resize(static_cast<std::size_t>(about.st_size));
        for (std::size_t done = 0; done < to.size();) {
            const ssize_t n = ::read(fd_, to.data() + done, to.size() - done);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) return false;
            done += static_cast<std::size_t>(n);
        }
        return true;
    }

    /// Makes the file the one that was used last.
    void touch() { (void)::futimens(fd_, nullptr); }

    bool write(std::string_view from) {
        while (!from.empty()) {
            const ssize_t n = ::write(fd_, from.data(), from.size());
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) return false;
            from.remove_prefix(static_cast<std::size_t>(n));
        }
        return true;
    }

    /// True where nothing is lost: some file systems report a full disk only now.
    bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

  private:
    int fd_;
};

}  // namespace

std::uint64_t digest(std::string_view bytes, std::uint64_t seed) {
    // Each step is a bijection of the state and of the word.
    std::uint64_t h = seed ^ bytes.size();
    auto add = [&](std::uint64_t word) {
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    };
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        std::uint64_t word;
        std::memcpy(&word, bytes.data() + at, 8);
        add(word);
    }
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, bytes.size() - at);
    add(word);
    return h;
}

void trim_cache(const std::string& folder, std::uint64_t limit) noexcept try {
    struct File {
        std::filesystem::file_time_type used;
        std::uint64_t bytes;
        std::filesystem::path path;
    };
    std::vector<File> files;
    std::uint64_t total = 0;
    std::error_code error;
    // Other processes may remove files meanwhile: what cannot be asked is not there.
    for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
         it.increment(error)) {
        // Programs, and what a process that was killed has left of one.
        if (it->path().filename().string().find(".arete") == std::string::npos) continue;
        std::error_code gone;
        const bool regular = it->is_regular_file(gone);
        const File file{it->last_write_time(gone), it->file_size(gone), it->path()};
        if (gone || !regular) continue;
        total += file.bytes;
        files.push_back(file);
    }
    if (total <= limit) return;
    std::sort(files.begin(), files.end(),
              [](const File& a, const File& b) { return a.used < b.used; });
    for (const File& file : files) {
        if (total <= limit / 4 * 3) break;
        std::filesystem::remove(file.path, error);
        total -= file.bytes;
    }
} catch (const std::exception&) {
    // No memory: another time.
}

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
    try {
        key_ = KeyWriter(request, roots_).key();
    } catch (const NoKey&) {
        return;
    }
    folder_ = request.options.cache_dir;
    file_ = fmt::format("{}/{:016x}{:016x}.arete", folder_, digest(key_, name_seeds[0]),
                        digest(key_, name_seeds[1]));
}

// A file: magic, sizes of key and program, checksum of both, key, program.
std::optional<ProgramCache::Entry> ProgramCache::load() const try {
    if (!active()) return std::nullopt;
    // Without waiting for a writer, should there be a pipe of that name.
    Descriptor descriptor(file_, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    std::string bytes;
    if (!descriptor.ok() || !descriptor.read(bytes)) return std::nullopt;
    descriptor.touch();
    ByteReader file(bytes);
    if (file.take(magic.size()) != magic) return std::nullopt;
    const auto checksum = file.number<std::uint64_t>();
    const std::string_view rest = std::string_view(bytes).substr(magic.size() + sizeof checksum);
    if (digest(rest, checksum_seed) != checksum || file.text() != key_) return std::nullopt;
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
    ByteWriter rest;
    rest.text(key_);
    write_program(rest, compiled, Graph(roots_));
    rest.text(object);
    if (rest.bytes.size() > largest) return;
    ByteWriter head;
    head.bytes = magic;
    head.number(digest(rest.bytes, checksum_seed));

    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    static std::atomic<unsigned> count{0};  // threads of one process write files of their own
    const std::string temporary = fmt::format("{}.{}.{}", file_, ::getpid(), ++count);
    Descriptor descriptor(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
    if (!descriptor.ok()) return;
    const bool written =
        descriptor.write(head.bytes) && descriptor.write(rest.bytes) && descriptor.close();
    if (!written || ::rename(temporary.c_str(), file_.c_str()) != 0) ::unlink(temporary.c_str());
    // To look at all files takes a while: about one store in sixteen does.
    if (digest(key_, name_seeds[0]) % 16 == 0) trim_cache(folder_, cache_limit);
} catch (const NoKey&) {
} catch (const std::exception&) {
    // No memory, or no such path: the program runs all the same.
}

}  // namespace arete
