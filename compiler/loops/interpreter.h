// What a thread does: private to the interpreter's own files.
#pragma once

#include <unordered_map>

#include "compiler/core/array.h"
#include "compiler/loops/conflicts.h"

namespace arete::loops {

/// A thread of a kernel: its loop variables, and where it finds each buffer.
struct ThreadState {
    IdVector<Var, std::int64_t> vars;
    IdVector<BufferId, void*> pointers;
    Conflicts::Thread place;
};

/// Memory for the buffers of some spaces, in which what is read before it is written shows.
class OwnMemory {
  public:
    /// Points the entries of these buffers to it; the others stay.
    void allocate(const Kernel& k, std::initializer_list<Space> spaces,
                  IdVector<BufferId, void*>& pointers);

  private:
    std::vector<Array> arrays_;
};

/// Runs statements, for one thread at a time.
class Interpreter {
  public:
    explicit Interpreter(const Kernel& k, Conflicts* conflicts = nullptr)
        : k_(k), conflicts_(conflicts), slots_(k.values.size()) {}

    /// From now on statements are this thread's.
    void become(ThreadState& thread) { thread_ = &thread; }
    /// Runs a statement and its body, without barriers.
    void run(const Stmt& s);
    void run(const std::vector<Stmt>& body) {
        for (const Stmt& s : body) run(s);
    }
    /// Does the condition of `s` hold?
    bool holds(const Stmt& s, const If& i);

    const Failure& failure() const { return failure_; }

  private:
    std::int64_t at(const Index& e) const;
    std::int64_t checked(BufferId buffer, const Index& e) const;
    Scalar read(BufferId buffer, std::int64_t element);
    void write(const Scalar& s, BufferId buffer, std::int64_t element);
    void evaluate_for(const Stmt& s);
    void loop(const Loop& l);
    void store(const StoreTo& s);
    void check(const CheckThat& c);
    void fold(const FoldLanes& f);
    void transpose(const TransposeTile& t);

    const Kernel& k_;
    Conflicts* conflicts_;
    ThreadState* thread_ = nullptr;
    const Stmt* statement_ = nullptr;  // that reads and writes
    IdVector<ValueId, Scalar> slots_;  // values of the statement, by id
    std::unordered_map<const Stmt*, std::vector<ValueId>> orders_;  // of evaluation
    Failure failure_;
};

/// Runs a kernel with grid loops (interpret_grid.cpp).
struct Launch;
Failure interpret_grid(const Kernel& k, const Launch& launch,
                       IdSpan<BufferId, void* const> parameters, const InterpretOptions& options);
/// Runs a kernel and looks for conflicts between the iterations of its parallel loops.
Failure interpret_parallel(const Kernel& k, IdSpan<BufferId, void* const> parameters,
                           const InterpretOptions& options);

}  // namespace arete::loops
