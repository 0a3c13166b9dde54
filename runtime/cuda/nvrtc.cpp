#include "runtime/cuda/nvrtc.h"

#include <algorithm>
#include <regex>

#include "compiler/core/error.h"
#include "compiler/targets/cuda/prelude.h"

namespace arete::cuda {

// Declarations of our own: no header of the toolkit is needed.
using NvrtcProgram = struct OpaqueNvrtcProgram*;
using NvrtcResult = int;

namespace {

const std::vector<std::string>& library_names() {
    static const std::vector<std::string> all{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
    return all;
}

}  // namespace

struct Nvrtc::Functions {
    NvrtcResult (*version)(int*, int*);
    NvrtcResult (*create)(NvrtcProgram*, const char*, const char*, int, const char* const*,
                          const char* const*);
    NvrtcResult (*destroy)(NvrtcProgram*);
    NvrtcResult (*compile)(NvrtcProgram, int, const char* const*);
    NvrtcResult (*log_size)(NvrtcProgram, std::size_t*);
    NvrtcResult (*log)(NvrtcProgram, char*);
    NvrtcResult (*cubin_size)(NvrtcProgram, std::size_t*);
    NvrtcResult (*cubin)(NvrtcProgram, char*);
    NvrtcResult (*architecture_count)(int*);
    NvrtcResult (*architectures)(int*);
    const char* (*error)(NvrtcResult);
};

Nvrtc::Nvrtc(std::shared_ptr<LoadedLibrary> library) : library_(std::move(library)) {
    auto f = std::make_shared<Functions>();
    const auto get = [&](auto& to, const char* name) {
        void* at = library_->symbol(name);
        if (!at)
            fail<DeviceError>({}, "'{}' has no function {}: NVRTC 12 or newer is needed",
                              library_->file(), name);
        to = reinterpret_cast<std::remove_reference_t<decltype(to)>>(at);
    };
    get(f->version, "nvrtcVersion");
    get(f->create, "nvrtcCreateProgram");
    get(f->destroy, "nvrtcDestroyProgram");
    get(f->compile, "nvrtcCompileProgram");
    get(f->log_size, "nvrtcGetProgramLogSize");
    get(f->log, "nvrtcGetProgramLog");
    get(f->cubin_size, "nvrtcGetCUBINSize");
    get(f->cubin, "nvrtcGetCUBIN");
    get(f->architecture_count, "nvrtcGetNumSupportedArchs");
    get(f->architectures, "nvrtcGetSupportedArchs");
    get(f->error, "nvrtcGetErrorString");
    f_ = std::move(f);
}

bool Nvrtc::is_there() {
    return LoadedLibrary::first_of(places_of(library_names())) != nullptr;
}

std::shared_ptr<Nvrtc> Nvrtc::open() {
    return open(places_of(library_names()));
}

std::shared_ptr<Nvrtc> Nvrtc::open(const std::vector<std::string>& files) {
    std::shared_ptr<LoadedLibrary> library = LoadedLibrary::first_of(files);
    if (!library)
        fail<DeviceError>({},
                          "NVRTC, which compiles kernels for cards, is not found: install NVIDIA's "
                          "toolkit or the package nvidia-cuda-nvrtc, or name the folder of "
                          "libnvrtc.so in ARETE_CUDA_PATH");
    return std::shared_ptr<Nvrtc>(new Nvrtc(std::move(library)));
}

int Nvrtc::version() const {
    int major = 0, minor = 0;
    f_->version(&major, &minor);
    return 1000 * major + 10 * minor;
}

std::vector<int> Nvrtc::architectures() const {
    int n = 0;
    f_->architecture_count(&n);
    std::vector<int> out(static_cast<std::size_t>(n));
    if (n > 0) f_->architectures(out.data());
    return out;
}

std::string Nvrtc::architecture_for(int major, int minor) const {
    const int wanted = 10 * major + minor;
    int best = -1, least = 0, most = 0;
    for (int a : architectures()) {
        if (a / 10 == major && a <= wanted) best = std::max(best, a);
        least = least ? std::min(least, a) : a;
        most = std::max(most, a);
    }
    if (best < 0)
        fail<DeviceError>({},
                          "'{}', NVRTC {}.{}, compiles for sm_{} to sm_{}, and the card is of "
                          "sm_{}: another version of NVIDIA's toolkit is needed (ARETE_CUDA_PATH)",
                          library_->file(), version() / 1000, version() % 1000 / 10, least, most,
                          wanted);
    return fmt::format("sm_{}", best);
}

std::vector<std::string> Nvrtc::options(const std::string& architecture, bool verbose) {
    // Rounding is as written: no contraction, divisions and roots rounded once, denormals kept.
    std::vector<std::string> options{"--gpu-architecture=" + architecture,
                                     "--std=c++17",
                                     "--fmad=false",
                                     "--ftz=false",
                                     "--prec-div=true",
                                     "--prec-sqrt=true",
                                     "--restrict"};
    if (verbose) options.emplace_back("--ptxas-options=-v");
    return options;
}

Cubin Nvrtc::compile(const std::string& text, const std::string& architecture, bool verbose) const {
    const std::vector<std::string> options = Nvrtc::options(architecture, verbose);
    std::vector<const char*> words;
    for (const std::string& o : options) words.push_back(o.c_str());
    NvrtcProgram program = nullptr;
    const auto checked = [&](NvrtcResult r, const char* what) {
        if (r != 0) fail<CompileError>({}, "NVRTC: {}: {}", what, f_->error(r));
    };
    checked(f_->create(&program, text.c_str(), "kernels.cu", 0, nullptr, nullptr), "create");
    struct Destroyer {
        const Functions& f;
        NvrtcProgram& p;
        ~Destroyer() { f.destroy(&p); }
    } destroyer{*f_, program};
    const NvrtcResult compiled = f_->compile(program, static_cast<int>(words.size()), words.data());
    Cubin out;
    std::size_t size = 0;
    checked(f_->log_size(program, &size), "log");
    out.log.resize(size);
    checked(f_->log(program, out.log.data()), "log");
    while (!out.log.empty() && out.log.back() == '\0') out.log.pop_back();
    if (compiled != 0)
        fail<CompileError>({}, "NVRTC does not compile the kernels for {}: {}\n{}", architecture,
                           f_->error(compiled), out.log.substr(0, 2000));
    checked(f_->cubin_size(program, &size), "code");
    out.bytes.resize(size);
    checked(f_->cubin(program, out.bytes.data()), "code");
    if (verbose) out.resources = resources_of(out.log);
    return out;
}

std::vector<KernelResources> resources_of(std::string_view log) {
    static const std::regex entry("Compiling entry function '([^']*)'"),
        spills("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads"),
        registers("Used (\\d+) registers"), shared("(\\d+) bytes smem");
    std::vector<KernelResources> out;
    std::size_t at = 0;
    bool of_kernel = false;  // functions have lines of their own
    while (at < log.size()) {
        const std::size_t end = std::min(log.find('\n', at), log.size());
        const std::string line(log.substr(at, end - at));
        at = end + 1;
        std::smatch m;
        if (std::regex_search(line, m, entry)) {
            out.emplace_back().kernel = m[1];
            of_kernel = true;
        } else if (line.find("Function properties for") != std::string::npos) {
            of_kernel = !out.empty() && line.find(out.back().kernel) != std::string::npos;
        }
        if (out.empty()) continue;
        KernelResources& k = out.back();
        if (of_kernel && std::regex_search(line, m, spills)) {
            k.stack_bytes = std::stoll(m[1]);
            k.spill_bytes = std::stoll(m[2]) + std::stoll(m[3]);
        }
        if (std::regex_search(line, m, registers)) k.registers = std::stoi(m[1]);
        if (std::regex_search(line, m, shared)) k.shared_bytes = std::stoll(m[1]);
    }
    return out;
}

std::string device_text(const Source& source) {
    return std::string(device_prelude()) + source.text;
}

}  // namespace arete::cuda
