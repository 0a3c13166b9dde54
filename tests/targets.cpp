#include "tests/targets.h"

#ifdef ARETE_CPU_BACKEND
#include "compiler/targets/cpu/rules.h"
#endif

namespace arete::test {

std::vector<const OpDef*> ops_of_all_targets() {
    std::vector<const OpDef*> out(all_ops().begin(), all_ops().end());
#ifdef ARETE_CPU_BACKEND
    out.insert(out.end(), cpu_ops().begin(), cpu_ops().end());
#endif
    return out;
}

const OpDef* find_op_of_targets(std::string_view name) {
    for (const OpDef* op : ops_of_all_targets())
        if (op->info.name == name) return op;
    return nullptr;
}

std::vector<TargetRules> target_rules() {
    return {
#ifdef ARETE_CPU_BACKEND
        {"cpu", cpu_rules()},
#endif
    };
}

}  // namespace arete::test
