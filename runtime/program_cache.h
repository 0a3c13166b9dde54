// Compiled programs on disk, so that the next process starts warm.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "compiler/pipeline/compile.h"
#include "runtime/cache_file.h"

namespace arete {

/// The cached result of one request. Its key is all that the machine code and its errors depend on:
/// the graph with its sizes, constants, names and lines, the machine, and which Arete and LLVM
/// compiled it. Nothing here throws or fails a compilation: where the folder cannot be used, there
/// is no cache.
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

    bool active() const { return file_ && file_->active(); }
    /// Where the program is kept; empty where inactive.
    std::string file() const { return file_ ? file_->path() : std::string(); }
    /// What an earlier request left; nothing where there is none, or none that can be trusted.
    std::optional<Entry> load() const;
    void store(const Compiled& compiled, std::string_view object) const;

  private:
    std::vector<Expr> roots_;  // with every size a number
    std::size_t inputs_ = 0, outputs_ = 0;
    std::optional<CacheFile> file_;
};

}  // namespace arete
