// The ordered list of passes from an expression graph to a step program.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compiler/core/options.h"
#include "compiler/program/compiled.h"
#include "compiler/rewrite/rewrite.h"
#include "compiler/rewrite/specialize_shapes.h"
#include "compiler/targets/target.h"

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
    /// The machine; null leaves kernels as nests, for the interpreter.
    std::shared_ptr<const Target> target;
    Options options;
    bool profile = false;     ///< each step is timed
    bool quick = false;       ///< fewest rewrites, cheap code generation
    bool fast_math = false;   ///< rules may leave the range of the type
    bool observed = false;    ///< who runs it is called after each step
    std::vector<Rule> rules;  ///< the user's own, tried once the graph is in canonical form
    std::function<void(const GraphPass&)> on_graph_pass;  ///< may throw, which ends compilation
};

/// Runs the passes, verifying and dumping after each as the options say.
Compiled compile(const CompileRequest& request);

/// Writes `text` to the dump folder as NN_<function>_<pass>.<extension>.
void write_dump(const Options& options, int number, const std::string& function,
                std::string_view pass, std::string_view extension, std::string_view text);

}  // namespace arete
