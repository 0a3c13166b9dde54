// Files of the disk cache: a program or none, also where the checksum is right.
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <arete/arete.h>
#include <unistd.h>

#include "compiler/targets/cpu/llvm/module.h"
#include "compiler/targets/cpu/machines.h"
#include "runtime/executor.h"
#include "runtime/program_cache.h"
#include "tests/fuzz/targets/target.h"

using namespace arete;

namespace {

constexpr std::size_t head = 8 + 8;                          // magic, checksum
constexpr std::uint64_t checksum_seed = 0xa4093822299f31d0;  // of program_cache.cpp

/// A request whose program is in a cache of its own, and the file as it should be.
struct Cached {
    CompileRequest request;
    std::string file, bytes;

    Cached() {
        std::string folder =
            (std::filesystem::temp_directory_path() / "arete_fuzz_XXXXXX").string();
        if (!::mkdtemp(folder.data())) std::abort();
        const Expr x = tensor(DType::F32, 2, "x", {3, 4});
        const Expr s = shared(full<float>({4}, 0.5F), "s");
        request.name = "cached";
        request.inputs = {x};
        request.outputs = {softmax(x * s), x(all, cast(sum(x) * 0, DType::I64))};
        request.updates = {{s, s + Array(std::vector<float>{1, 2, 3, 4})}};
        request.binding.sizes[x.node().id] = {3, 4};
        request.options.cpu = "baseline";
        request.options.cache_dir = folder;
        request.options.num_threads = 1;
        const std::shared_ptr<const Device> device = open_device(request.options);
        request.target = device->target();
        Executable::make(request, *device);
        const ProgramCache cache(request);
        file = cache.file();
        std::ifstream in(file, std::ios::binary);
        bytes.assign(std::istreambuf_iterator<char>(in), {});
        if (bytes.size() < head || !cache.load()) std::abort();
    }
    ~Cached() {
        std::error_code error;
        std::filesystem::remove_all(request.options.cache_dir, error);
    }
    std::size_t key_end() const {
        std::uint64_t key = 0;
        std::memcpy(&key, bytes.data() + head, sizeof key);
        return head + sizeof key + key;
    }
};

Cached& cached() {
    static Cached c;
    return c;
}

void load(const std::string& bytes) {
    std::ofstream(cached().file, std::ios::binary) << bytes;
    const auto entry = ProgramCache(cached().request).load();
    if (!entry) return;
    // Whatever it is, it is whole: slots and steps that exist.
    const Program& p = entry->compiled.program;
    for (const Step& s : p.steps)
        for (const SlotId slot : s.slots())
            if (!p.slots.contains(slot)) std::abort();
}

}  // namespace

// The first byte says whether the rest is a file or what follows the key of one.
std::vector<std::string> fuzz_seeds() {
    const std::string& all = cached().bytes;
    return {"f" + all, "p" + all.substr(cached().key_end()), "p", "f"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string rest(reinterpret_cast<const char*>(data) + 1, size - 1);
    if (data[0] == 'f') {
        load(rest);
        return 0;
    }
    std::string bytes = cached().bytes.substr(0, cached().key_end()) + rest;
    const std::uint64_t checksum = digest(std::string_view(bytes).substr(head), checksum_seed);
    std::memcpy(bytes.data() + 8, &checksum, sizeof checksum);
    load(bytes);
    return 0;
}
