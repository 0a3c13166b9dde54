// Prints one kernel: private to the printer's own files.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/loops/grid.h"

namespace arete::cuda {

/// "float", "long long": how values of an element type are kept in variables, and in memory.
std::string_view value_type(DType t);
std::string_view memory_type(DType t);
/// Letters, digits and underscores.
std::string identifier(std::string_view name);

/// Expressions of a kernel's values. A value that a statement asks for once is part of the
/// expression that needs it; others are variables, which later statements of the same braces use
/// where nothing can have changed them.
class ValuePrinter {
  public:
    explicit ValuePrinter(const loops::Kernel& kernel);

    /// The expressions of these values, for one statement; variables that they need are appended to
    /// `lines`. They hold until the next call.
    std::vector<std::string> values(std::span<const loops::ValueId> roots,
                                    std::vector<std::string>& lines);
    /// An index whose values have been asked for.
    std::string index(const loops::Index& e) const;
    std::string address(loops::BufferId buffer, const loops::Index& e) const;
    /// `op` of two values of a type.
    std::string binary(loops::Op op, DType t, DType operands, const std::string& a,
                       const std::string& b) const;

    /// Braces around statements.
    void open() { scopes_.emplace_back(); }
    void close();

    std::string buffer_name(loops::BufferId buffer) const;
    std::string var_name(loops::Var v) const;

  private:
    std::string expression(loops::ValueId id) const;
    std::string function(const loops::Instr& i) const;
    std::string rare(const loops::Instr& i, const std::vector<std::string>& x) const;
    std::string cast(DType to, const std::string& x) const;
    std::string term(const loops::Index::Term& t, bool wide) const;
    bool narrow_index(const loops::Instr& i) const;
    std::string narrow(loops::ValueId id) const;
    bool wide(const loops::Index& e) const;
    const std::string& text(loops::ValueId id) const { return texts_.at(id); }

    const loops::Kernel& k_;
    IdVector<loops::ValueId, char> fixed_;  // no statement of the kernel changes what it reads
    std::unordered_map<loops::ValueId, std::string> texts_;
    std::vector<loops::ValueId> passing_;              // those that hold for this statement alone
    std::vector<std::vector<loops::ValueId>> scopes_;  // variables of each pair of braces
    int variables_ = 0;
};

}  // namespace arete::cuda
