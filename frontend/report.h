// One page that shows a function from graph to machine code. Private to the frontend; users call
// Function::report.
#pragma once

#include <string>
#include <vector>

#include "frontend/function_graph.h"
#include "runtime/executor.h"

namespace arete {

/// What a page is made from.
struct ReportSource {
    const FunctionGraph& graph;
    CompileRequest request;            ///< compiled once more, to watch the passes
    IdVector<StepId, StepCost> costs;  ///< of the specialisation that ran; empty: unknown
    const Executable* ran = nullptr;   ///< what it ran as; null where it has not been called
};

/// The page's data as JSON: see frontend/report/page.js for what it draws from it.
std::string report_data(const ReportSource& source);
/// The whole page.
std::string report_page(const ReportSource& source);

/// The page's parts, embedded at build time from frontend/report/.
extern const char* const report_html;
extern const char* const report_style;
extern const char* const report_script;

}  // namespace arete
