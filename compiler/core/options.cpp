#include "compiler/core/options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "compiler/core/error.h"

namespace arete {

namespace {
constexpr Stage all_stages[] = {Stage::Graph, Stage::Rewrites, Stage::Fusion, Stage::Loops,
                                Stage::Llvm,  Stage::Asm,      Stage::Cuda};

int number_from_environment(const char* variable, int fallback) {
    const char* text = std::getenv(variable);
    if (!text || !*text) return fallback;
    std::string_view v(text);
    int value = 0;
    auto [end, error] = std::from_chars(v.data(), v.data() + v.size(), value);
    if (error != std::errc() || end != v.data() + v.size() || value < 0)
        fail<ArgumentError>({}, "{}={}: expected a number, 0 or more", variable, v);
    return value;
}
}  // namespace

std::string_view name(Stage stage) {
    switch (stage) {
        case Stage::Graph: return "graph";
        case Stage::Rewrites: return "rewrites";
        case Stage::Fusion: return "fusion";
        case Stage::Loops: return "loops";
        case Stage::Llvm: return "llvm";
        case Stage::Asm: return "asm";
        case Stage::Cuda: return "cuda";
    }
    return "?";
}

bool Options::dumps(Stage stage) const {
    return std::find(dump.begin(), dump.end(), stage) != dump.end();
}

std::vector<Stage> parse_stages(std::string_view list) {
    std::vector<Stage> out;
    while (!list.empty()) {
        std::size_t comma = list.find(',');
        std::string_view word = list.substr(0, comma);
        list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
        if (word.empty()) continue;
        if (word == "all") {
            out.assign(std::begin(all_stages), std::end(all_stages));
            continue;
        }
        auto it = std::find_if(std::begin(all_stages), std::end(all_stages),
                               [&](Stage s) { return name(s) == word; });
        if (it == std::end(all_stages)) {
            std::string legal;
            for (Stage s : all_stages) legal += fmt::format("{}, ", name(s));
            fail<ArgumentError>({}, "dump: there is no stage '{}'; the stages are {}all", word,
                                legal);
        }
        out.push_back(*it);
    }
    return out;
}

std::string user_cache_dir() {
    // An empty variable is as good as none; a relative folder would depend on where one stands.
    auto folder = [](const char* variable) -> std::string {
        const char* v = std::getenv(variable);
        return v && *v == '/' ? v : "";
    };
    if (const std::string xdg = folder("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/arete";
    if (const std::string home = folder("HOME"); !home.empty()) return home + "/.cache/arete";
    return {};
}

Options Options::from_environment() {
    Options o;
    if (const char* v = std::getenv("ARETE_DUMP")) o.dump = parse_stages(v);
    if (const char* v = std::getenv("ARETE_DUMP_DIR"); v && *v) o.dump_dir = v;
    if (const char* v = std::getenv("ARETE_DEVICE"); v && *v) o.device = v;
    if (const char* v = std::getenv("ARETE_CPU"); v && *v) o.cpu = v;
    o.num_threads = number_from_environment("ARETE_NUM_THREADS", o.num_threads);
    o.max_specialisations =
        number_from_environment("ARETE_MAX_SPECIALISATIONS", o.max_specialisations);
    o.verify = number_from_environment("ARETE_VERIFY", o.verify) != 0;
    if (const char* v = std::getenv("ARETE_CACHE_DIR"))
        o.cache_dir = std::string_view(v) == "off" ? "" : v;
    return o;
}

}  // namespace arete
