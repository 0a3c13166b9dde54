// The ordered list of passes from an expression graph to a step program.
#pragma once

#include <string>
#include <vector>

#include "compiler/core/options.h"
#include "compiler/fuse/fusion.h"
#include "compiler/pipeline/pass_time.h"
#include "compiler/rewrite/rewrite.h"
#include "compiler/rewrite/specialize_shapes.h"
#include "compiler/schedule/machine.h"
#include "compiler/schedule/program.h"

namespace arete {

/// What a pass over the graph did, for those who watch: outputs, then the updates' new values,
/// before and after it, and the rules that fired.
struct GraphPass {
    std::string_view name;
    std::span<const Expr> before, after;
    const RewriteLog& log;
};

/// What to compile: one specialisation of a function.
struct CompileRequest {
    std::string name;
    std::vector<Expr> inputs;  ///< leaves, in the order of the arguments
    std::vector<Expr> outputs;
    std::vector<std::pair<Expr, Expr>> updates;  ///< shared variable, new value
    ShapeBinding binding;
    Machine machine;
    Options options;
    bool profile = false;     ///< native code measures each step
    bool schedule = true;     ///< false: leave kernels as nests, for the interpreter
    bool quick = false;       ///< fewest rewrites, cheap code generation
    bool fast_math = false;   ///< rules may leave the range of the type
    bool observed = false;    ///< StepContext::after_step is called after each step
    std::vector<Rule> rules;  ///< the user's own, tried once the graph is in canonical form
    std::function<void(const GraphPass&)> on_graph_pass;  ///< may throw, which ends compilation
};

/// A step program with what its slots refer to.
struct Compiled {
    Program program;
    std::vector<Expr> shared;       ///< by Slot::number of Shared slots
    std::vector<Array> constants;   ///< by Slot::number of Constant slots
    std::vector<CheckSite> checks;  ///< by check code
    std::vector<PassTime> passes;
    /// What a slot stands for, by slot; of shared variables that are updated in place, the variable
    /// and, in the second list, its new value. Empty for targets of copies.
    std::vector<Expr> slot_values, new_values;
    int dumped = 0;  ///< files written so far, which number the next ones
};

/// Runs the passes, verifying and dumping after each as the options say.
Compiled compile(const CompileRequest& request);

/// Writes `text` to the dump folder as NN_<function>_<pass>.<extension>.
void write_dump(const Options& options, int number, const std::string& function,
                std::string_view pass, std::string_view extension, std::string_view text);

}  // namespace arete
