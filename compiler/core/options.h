// Options read from the environment or set in code: dump stages and their folder.
#pragma once

#include <string>
#include <vector>

namespace arete {

/// What `ARETE_DUMP` can name, in pipeline order.
enum class Stage { Graph, Rewrites, Fusion, Loops, Llvm, Asm, Cuda };

/// The name of a stage as written in ARETE_DUMP: "graph", "rewrites", ...
std::string_view name(Stage stage);

/// $XDG_CACHE_HOME/arete, else ~/.cache/arete; empty where the environment names neither.
std::string user_cache_dir();

struct Options {
    std::vector<Stage> dump;              ///< stages to write; none by default
    std::string dump_dir = "arete_dump";  ///< where; made if missing
    /// Where functions run: "cpu", "interpreter", "emulator", "cuda" (the first card), "cuda:1";
    /// empty: the first that this build has.
    std::string device;
    int num_threads = 0;         ///< of device "cpu"; 0: one for each core
    std::string cpu = "native";  ///< of device "cpu": native, avx512, avx2, baseline, ...
    bool verify = true;          ///< run the verifiers after each pass
    /// Sets of shapes for which one function keeps compiled code; 0: any number.
    int max_specialisations = 64;
    /// Where compiled programs are kept for the next process; empty: nowhere.
    std::string cache_dir = user_cache_dir();

    bool dumps(Stage stage) const;
    /// Defaults overridden by ARETE_DUMP, ARETE_DUMP_DIR, ARETE_DEVICE,
    /// ARETE_NUM_THREADS, ARETE_CPU,
    /// ARETE_VERIFY, ARETE_MAX_SPECIALISATIONS and ARETE_CACHE_DIR (empty or "off": no cache).
    /// An ArgumentError names a stage that does not exist, or a value that is no number.
    static Options from_environment();
};

/// Stages from a comma-separated list; "all" names every one. An ArgumentError lists the legal
/// names where one is unknown.
std::vector<Stage> parse_stages(std::string_view list);

}  // namespace arete
