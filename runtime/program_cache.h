// Compiled programs on disk, so that the next process starts warm.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/pipeline/compile.h"

namespace arete {

/// The cached result of one request. Its key is all that the machine code and its errors depend on:
/// the graph with its sizes, constants, names and lines, the machine, and which Arete and LLVM
/// compiled it. A file holds its whole key, so that equal hashes cannot be mistaken for equal keys.
/// It is read only if its checksum is right, and written under another name and then renamed: any
/// number of processes may share a folder without a lock. Nothing here throws or fails a
/// compilation: where the folder cannot be used, there is no cache.
class ProgramCache {
  public:
    struct Entry {
        Compiled compiled;   ///< its steps have no loops: they are for native code only
        std::string object;  ///< the machine code
    };

    /// Inactive where options.cache_dir is empty, stages are dumped or passes or steps observed
    /// (which takes all passes), the request is for the interpreter, or rules, or ops in the graph,
    /// are not Arete's own: what those do is not known from their names.
    explicit ProgramCache(const CompileRequest& request);

    bool active() const { return !file_.empty(); }
    /// Where the program is kept; empty where inactive.
    const std::string& file() const { return file_; }
    /// What an earlier request left; nothing where there is none, or none that can be trusted.
    std::optional<Entry> load() const;
    void store(const Compiled& compiled, std::string_view object) const;

  private:
    std::vector<Expr> roots_;  // with every size a number
    std::size_t inputs_ = 0, outputs_ = 0;
    std::string folder_, file_, key_;
};

/// Where the cache's files in `folder` have more than `limit` bytes together, removes those that
/// were not used for longest until they have three quarters of it. Other files are left alone. Now
/// and then store() does so with `cache_limit`. Never throws.
void trim_cache(const std::string& folder, std::uint64_t limit) noexcept;
inline constexpr std::uint64_t cache_limit = std::uint64_t{1} << 30;

/// A digest of Arete's sources and its compiler, made when Arete is built.
extern const char* const build_id;

/// A 64-bit digest in which no change of a single word of `bytes` goes unnoticed.
std::uint64_t digest(std::string_view bytes, std::uint64_t seed);

}  // namespace arete
