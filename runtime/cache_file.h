// Files of the cache folder: bytes under a key, which any number of processes share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace arete {

/// One file of a cache folder. It holds its whole key, so that equal hashes cannot be mistaken for
/// equal keys. It is read only if its checksum is right, and written under another name and then
/// renamed: no lock is needed. Nothing here throws: what cannot be read is not there, and what
/// cannot be written is not kept.
class CacheFile {
  public:
    /// Without a folder there is no file. `magic`: what kind of file it is.
    CacheFile(const std::string& folder, std::string_view magic, std::string key) noexcept;

    bool active() const { return !path_.empty(); }
    const std::string& path() const { return path_; }
    /// What store() has left there; nothing where there is none, or none that can be trusted.
    std::optional<std::string> load() const noexcept;
    /// Now and then this trims the folder (trim_cache).
    void store(std::string_view value) const noexcept;

  private:
    std::string folder_, magic_, key_, path_;
};

/// Where the cache's files in `folder` have more than `limit` bytes together, removes those that
/// were not used for longest until they have three quarters of it. Other files are left alone.
void trim_cache(const std::string& folder, std::uint64_t limit) noexcept;
inline constexpr std::uint64_t cache_limit = std::uint64_t{1} << 30;

/// A digest of Arete's sources and its compiler, made when Arete is built.
extern const char* const build_id;

/// A 64-bit digest in which no change of a single word of `bytes` goes unnoticed.
std::uint64_t digest(std::string_view bytes, std::uint64_t seed);

}  // namespace arete
