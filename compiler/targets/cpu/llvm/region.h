// The printer of one region: private to the LLVM back end.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "compiler/targets/cpu/llvm/impl.h"

namespace arete::llvm_codegen {

/// An evaluated Index: base + constant, plus one constant offset a lane, or a vector known only at
/// run time.
struct Address {
    llvm::Value* base = nullptr;     // scalar i64, null for 0
    std::int64_t low = 0, high = 0;  // of base
    bool bounded = true;             // they are known
    std::int64_t constant = 0;
    std::vector<std::int64_t> lanes;  // empty: the same for all lanes
    llvm::Value* vector = nullptr;    // <lanes x i64>, null for none
    bool uniform() const { return lanes.empty() && !vector; }
};

class RegionPrinter {
  public:
    RegionPrinter(llvm::Module& module, const Machine& machine, const loops::Kernel& kernel);
    Region print(std::span<const loops::Stmt> statements, const std::string& name);

  private:
    /// What a loop variable stands for while its body is printed.
    struct Bound {
        llvm::Value* dynamic = nullptr;
        std::int64_t constant = 0;
        bool lane = false;
    };

    void set_attributes(llvm::Function& f) const;
    void statement(const loops::Stmt& s);
    void loop(const loops::Loop& l);
    void counted_loop(const loops::Loop& l, llvm::Value* begin, llvm::Value* end);
    void check(const loops::CheckThat& c);
    void prefetch(const loops::PrefetchAt& p);
    InternalError only_on_gpus(std::string_view what) const;

    // Values: scalar where all lanes agree, vectors otherwise.
    llvm::Value* value(loops::ValueId id);
    llvm::Value* constant(const loops::Scalar& s);
    llvm::Value* function_of(const loops::Instr& i);
    /// An instruction of operands of type `from` with a result of type `t`.
    llvm::Value* compute(loops::Op op, DType t, DType from, std::span<llvm::Value* const> x);
    llvm::Value* fma(std::span<llvm::Value* const> x);
    llvm::Value* scale(llvm::Value* a, llvm::Value* n);
    llvm::Value* integer_division(loops::Op op, DType t, llvm::Value* a, llvm::Value* d);
    llvm::Value* convert(llvm::Value* v, DType from, DType to);
    llvm::Value* float_to_integer(llvm::Value* v, DType to);
    llvm::Value* rare(const loops::Instr& i, llvm::Value* otherwise);
    std::vector<llvm::Value*> operands(const loops::Instr& i);
    llvm::Value* room(std::size_t slot, llvm::Type* type);
    llvm::Value* widen(llvm::Value* v);
    llvm::Type* value_type(DType t);
    llvm::Type* memory_type(DType t);

    // Addresses (access.cpp).
    Address address(const loops::Index& e);
    llvm::Value* scalar_address(const Address& a);
    llvm::Value* vector_address(const Address& a);
    llvm::Value* address_value(const Address& a);

    // Memory (access.cpp).
    llvm::Value* load(const loops::Instr& i);
    void stay_inside(const loops::Instr& i, llvm::Value* guard, Address& a);
    llvm::Value* reach(const loops::Instr& i, const Address& a, std::int64_t lane,
                       std::int64_t length);
    llvm::Value* load_if(const loops::Instr& i);
    llvm::Value* from_memory(llvm::Value* v, DType t);
    llvm::Value* to_memory(llvm::Value* v, DType t);
    llvm::Value* load_scalar(llvm::Type* type, llvm::Value* pointer);
    llvm::Value* load_run(llvm::Type* element, llvm::Value* pointer, std::int64_t length);
    llvm::Value* load_known(llvm::Type* element, llvm::Value* pointer, const Address& a,
                            const llvm::Constant& on, llvm::Value* otherwise);
    llvm::Value* load_pattern(llvm::Type* element, llvm::Value* pointer, const Address& a,
                              std::int64_t elements);
    llvm::Value* load_stretch_if(const loops::Instr& i, llvm::Type* element, llvm::Value* pointer,
                                 const Address& a, llvm::Value* on);
    struct Stretch {
        std::int64_t start, end;
        std::int64_t vectors;  // that have elements of the lanes
    };
    Stretch stretch(const Address& a, std::span<const std::int64_t> offsets, std::int64_t step,
                    std::int64_t elements) const;
    llvm::Value* load_joined(llvm::Type* element, llvm::Value* pointer, const Address& a,
                             std::span<const std::int64_t> offsets, std::int64_t step,
                             std::int64_t elements);
    llvm::Value* gather(llvm::Type* element, llvm::Value* pointer, const Address& a);
    void store(const loops::StoreTo& s);
    void store_lanes(const loops::StoreTo& s, const Address& a, llvm::Value* v, bool whole);
    void fold(const loops::FoldLanes& f);
    void transpose(const loops::TransposeTile& t);
    llvm::Value* combine(loops::Reduction r, DType t, llvm::Value* a, llvm::Value* c);
    llvm::Value* mask() const;

    llvm::Module& module_;
    const Machine& machine_;
    const loops::Kernel& k_;
    mutable llvm::IRBuilder<> b_;
    llvm::Function* function_ = nullptr;
    llvm::Value* context_ = nullptr;
    llvm::AllocaInst* zeros_ = nullptr;     // what a guarded load reads where it must not read
    std::vector<llvm::AllocaInst*> rooms_;  // of rare calls' operands
    IdVector<loops::BufferId, llvm::Value*> pointers_;  // by buffer
    IdVector<loops::Var, Bound> bound_;
    int lanes_ = 0;  // of the vector loop being printed, 0 outside
    std::int64_t active_ = 0;
    std::unordered_map<loops::ValueId, llvm::Value*> cache_;  // of the statement being printed
};

}  // namespace arete::llvm_codegen
