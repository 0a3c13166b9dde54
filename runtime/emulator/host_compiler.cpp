#include "runtime/emulator/host_compiler.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "compiler/core/error.h"
#include "runtime/cache_file.h"

extern char** environ;

namespace arete::emulator {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view magic = "AreteEmu";

bool is_program(const std::string& path) {
    return ::access(path.c_str(), X_OK) == 0 && !fs::is_directory(path);
}

std::string on_the_path(const std::string& name) {
    if (name.find('/') != std::string::npos) return is_program(name) ? name : "";
    const char* path = std::getenv("PATH");
    std::stringstream folders(path ? path : "/usr/local/bin:/usr/bin:/bin");
    for (std::string folder; std::getline(folders, folder, ':');)
        if (is_program(folder + "/" + name)) return folder + "/" + name;
    return "";
}

std::string find_compiler() {
    constexpr const char* advice =
        "install g++ or clang++, or name a compiler of C++ in ARETE_EMULATOR_CXX";
    if (const char* named = std::getenv("ARETE_EMULATOR_CXX"); named && *named) {
        std::string found = on_the_path(named);
        if (found.empty())
            fail<DeviceError>({}, "device 'emulator': ARETE_EMULATOR_CXX={} is no program; {}",
                              named, advice);
        return found;
    }
    for (const char* name : {"c++", "g++", "clang++"})
        if (std::string found = on_the_path(name); !found.empty()) return found;
    fail<DeviceError>({},
                      "device 'emulator' compiles kernels with the host's C++ compiler, and there "
                      "is none on the path; {}",
                      advice);
}

std::optional<std::string> read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    std::stringstream all;
    all << file.rdbuf();
    return std::move(all).str();
}

// A folder that is removed at the end.
struct TemporaryFolder {
    std::string path;
    TemporaryFolder() {
        std::error_code error;
        path = (fs::temp_directory_path(error) / "arete-emulator-XXXXXX").string();
        if (error || !::mkdtemp(path.data()))
            fail<DeviceError>({},
                              "device 'emulator': no folder for temporary files can be made in "
                              "'{}'; set TMPDIR to one that can be written",
                              fs::path(path).parent_path().string());
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code error;
        fs::remove_all(path, error);
    }
};

}  // namespace

Library::Library(std::string_view bytes) {
    // The system loads files only: this one has no name but its descriptor's number, by which the
    // loader knows libraries again; so it stays open as long as the library is loaded.
    const int fd = file_ = ::memfd_create("arete-kernels", MFD_CLOEXEC);
    if (fd < 0) fail<DeviceError>({}, "device 'emulator': no file in memory: {}", strerror(errno));
    bool written = true;
    for (std::string_view rest = bytes; written && !rest.empty();) {
        const ssize_t n = ::write(fd, rest.data(), rest.size());
        written = n > 0;
        if (written) rest.remove_prefix(static_cast<std::size_t>(n));
    }
    if (written)
        handle_ = ::dlopen(fmt::format("/proc/self/fd/{}", fd).c_str(), RTLD_NOW | RTLD_LOCAL);
    const char* why = written ? ::dlerror() : "no memory";
    const std::string reason = handle_ ? "" : why ? why : "unknown";
    if (handle_) return;
    ::close(fd);
    fail<DeviceError>({}, "device 'emulator': the kernels cannot be loaded: {}", reason);
}

Library::~Library() {
    ::dlclose(handle_);
    ::close(file_);
}

void* Library::symbol(const std::string& name) const {
    void* at = ::dlsym(handle_, name.c_str());
    ARETE_CHECK(at, "the kernels' library has no '{}'", name);
    return at;
}

HostCompiler::HostCompiler(std::string cache_dir)
    : path_(find_compiler()), cache_dir_(std::move(cache_dir)) {
    // Rounding is as written; integers wrap in addresses, too, should one be wrong.
    flags_ = {"-x",      "c++", "-std=c++17",           "-fPIC",
              "-shared", "-w",  "-ffp-contract=off",    "-fwrapv",
              "-O1",     "-g0", "-fno-strict-aliasing", "-fno-exceptions"};
#if defined(__x86_64__)
    for (const auto& [has, flag] : {std::pair{__builtin_cpu_supports("fma") != 0, "-mfma"},
                                    std::pair{__builtin_cpu_supports("sse4.1") != 0, "-msse4.1"}})
        if (has) flags_.emplace_back(flag);
#endif
    if (const char* more = std::getenv("ARETE_EMULATOR_FLAGS")) {
        std::stringstream words(more);
        for (std::string word; words >> word;) flags_.push_back(word);
    }
}

std::string HostCompiler::key(std::string_view source) const {
    return fmt::format("{}\n{}\n{}\n{}", build_id, path_, fmt::join(flags_, " "), source);
}

std::string HostCompiler::file_for(std::string_view source) const {
    return CacheFile(cache_dir_, magic, key(source)).path();
}

std::string HostCompiler::shared_object(std::string_view source) const {
    const CacheFile file(cache_dir_, magic, key(source));
    if (std::optional<std::string> known = file.load()) return *std::move(known);
    std::string object = compile(source);
    file.store(object);
    return object;
}

std::string HostCompiler::compile(std::string_view source) const {
    const TemporaryFolder folder;
    const std::string text = folder.path + "/kernels.cpp", object = folder.path + "/kernels.so",
                      said = folder.path + "/said.txt";
    {
        std::ofstream file(text, std::ios::binary);
        file << source;
        if (!file.flush())
            fail<DeviceError>({}, "device 'emulator': cannot write to '{}'; is the disk full?",
                              folder.path);
    }
    std::vector<std::string> words{path_};
    words.insert(words.end(), flags_.begin(), flags_.end());
    for (const std::string& w : {std::string("-o"), object, text}) words.push_back(w);
    std::vector<char*> arguments;
    for (std::string& w : words) arguments.push_back(w.data());
    arguments.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 1, said.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                       0600);
    ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t child = 0;
    const int error =
        ::posix_spawn(&child, path_.c_str(), &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error)
        fail<DeviceError>({}, "device 'emulator': cannot run '{}': {}", path_, strerror(error));
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    std::optional<std::string> bytes = read_file(object);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !bytes || bytes->empty()) {
        std::string why = read_file(said).value_or("");
        if (why.size() > 2000) why.resize(2000);
        fail<DeviceError>({}, "device 'emulator': '{}' does not compile the kernels:\n{}", path_,
                          why);
    }
    return *std::move(bytes);
}

}  // namespace arete::emulator
