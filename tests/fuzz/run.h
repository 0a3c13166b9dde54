// Runs a case in every way there is and compares.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "frontend/function.h"
#include "tests/fuzz/case.h"
#include "tests/fuzz/judge.h"

namespace arete::fuzz {

/// A way to run a function.
struct Setting {
    Mode mode = Mode::fast_run;
    std::string cpu = "native";
    int threads = 1;
    bool objects_only = false;  ///< compiled for a level that this processor lacks; not run
    std::string str() const;
};
/// "interpret", "fast_compile", "debug", "native", "avx2", "baseline", "native/2" (threads). An
/// ArgumentError for anything else.
Setting parse_setting(const std::string& text);

/// What went wrong.
struct Finding {
    enum class Kind { Value, Exception, Refusal, Gradient, Bits, Crash, Hang, Memory };
    Kind kind = Kind::Value;
    std::string setting, message;
    std::string str() const;
    /// What stays the same when the case becomes smaller: the kind, the setting, and which
    /// exception.
    std::string signature() const;
};

struct RunOptions {
    std::vector<Setting> settings;
    bool gradients = true;    ///< compared with differences
    std::vector<Rule> rules;  ///< planted by tests of the fuzzer
    /// Told what is tried next.
    std::function<void(const std::string&)> progress;
};

/// What became of a case.
struct Verdict {
    std::optional<Finding> finding;  ///< the first
    bool skipped = false;            ///< too large, or nothing to compare
    bool refused = false;        ///< sizes that were assumed equal are not: an error, as documented
    std::vector<Array> results;  ///< of the first setting that ran
    Expected expected;
};

Verdict run(const Case& c, const RunOptions& options);

/// The same for results that are at hand; none where all is well. `as_written`: see judge.h.
std::optional<Finding> compare(const Case& c, const Expected& expected,
                               const std::vector<Array>& results, const std::string& setting,
                               bool as_written = false);

/// No leaf or constant of what `e` needs is very large, very small or infinite: then differences
/// mean something, and so do the fixed tolerances of Mode::debug.
bool moderate(const Case& c, const std::vector<Expr>& roots);

/// Compares every gradient with differences of its cost.
std::optional<Finding> check_gradients(const Case& c);

}  // namespace arete::fuzz
