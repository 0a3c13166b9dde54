#include "runtime/cache_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "runtime/bytes.h"

namespace arete {

namespace {

constexpr std::uint64_t name_seeds[] = {0x243f6a8885a308d3, 0x13198a2e03707344};
constexpr std::uint64_t checksum_seed = 0xa4093822299f31d0;
constexpr std::size_t largest = std::size_t{256} << 20;  // what is larger is not worth a file

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
        struct stat about{};
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

CacheFile::CacheFile(const std::string& folder, std::string_view magic, std::string key) noexcept
    try
    : folder_(folder), magic_(magic), key_(std::move(key)) {
    if (!folder_.empty() && key_.size() <= largest)
        path_ = fmt::format("{}/{:016x}{:016x}.arete", folder_, digest(key_, name_seeds[0]),
                            digest(key_, name_seeds[1]));
} catch (...) {
    // No memory, and no file.
}

// A file: magic, checksum of the rest, key, value.
std::optional<std::string> CacheFile::load() const noexcept try {
    if (!active()) return std::nullopt;
    // Without waiting for a writer, should there be a pipe of that name.
    Descriptor descriptor(path_, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    std::string bytes;
    if (!descriptor.ok() || !descriptor.read(bytes)) return std::nullopt;
    descriptor.touch();
    ByteReader file(bytes);
    if (file.take(magic_.size()) != magic_) return std::nullopt;
    const auto checksum = file.number<std::uint64_t>();
    const std::string_view rest = std::string_view(bytes).substr(magic_.size() + sizeof checksum);
    if (digest(rest, checksum_seed) != checksum || file.text() != key_) return std::nullopt;
    std::string value(file.text());
    if (!file.empty()) return std::nullopt;
    return value;
} catch (const std::exception&) {
    return std::nullopt;  // written by something else that knows the checksum, or no memory
}

void CacheFile::store(std::string_view value) const noexcept try {
    if (!active() || value.size() > largest) return;
    ByteWriter rest;
    rest.text(key_);
    rest.text(value);
    ByteWriter head;
    head.bytes = magic_;
    head.number(digest(rest.bytes, checksum_seed));

    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    static std::atomic<unsigned> count{0};  // threads of one process write files of their own
    const std::string temporary = fmt::format("{}.{}.{}", path_, ::getpid(), ++count);
    Descriptor descriptor(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
    if (!descriptor.ok()) return;
    const bool written =
        descriptor.write(head.bytes) && descriptor.write(rest.bytes) && descriptor.close();
    if (!written || ::rename(temporary.c_str(), path_.c_str()) != 0) ::unlink(temporary.c_str());
    // To look at all files takes a while: about one store in sixteen does.
    if (digest(key_, name_seeds[0]) % 16 == 0) trim_cache(folder_, cache_limit);
} catch (const std::exception&) {
    // No memory, or no such path: the program runs all the same.
}

}  // namespace arete
