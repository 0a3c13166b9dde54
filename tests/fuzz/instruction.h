// One scalar instruction in all lanes: written apart from compiler/loops/evaluate.cpp, which is
// among what is tested.
#pragma once

#include <span>

#include "compiler/loops/nest.h"
#include "tests/fuzz/evaluate.h"

namespace arete::fuzz {

/// The value of an instruction, by lane.
struct Slot {
    std::array<long double, lanes> f{};
    std::array<long double, lanes> raw{};  ///< f before it was rounded
    std::array<std::int64_t, lanes> i{};
    Mask wild = 0, faint = 0;
    bool inexact = false;  ///< something was rounded on the way
};

class Arithmetic {
  public:
    explicit Arithmetic(const Noise& noise)
        : state_(noise.seed * 0x9e3779b97f4a7c15ULL + 0x2545f4914f6cdd1dULL),
          amplitude_(noise.amplitude),
          exact_(noise.exact),
          fine_(noise.fine) {}

    /// A pure instruction. `of` are the instructions of its operands.
    void apply(const loops::Instr& instr, std::span<const Slot* const> args,
               std::span<const loops::Instr* const> of, Slot& out);
    /// All terms of a reduction; `element` is the instruction that made them.
    Slot fold(loops::Reduction r, const loops::Instr& element, std::span<const Slot> terms);
    /// value = combine(old, value) in one lane: a scatter.
    void combine(loops::Reduction r, DType t, const Slot& old, Slot& value, int lane);

    /// Rounds as the lane does, `ulps` off at most before that. `inexact`: v itself is not all that
    /// it stands for.
    long double settle(DType t, long double v, int lane, double ulps = 1, bool inexact = false);

  private:
    /// The lane is rounded to its dtype.
    bool own(std::size_t lane) const {
        return !exact_ && lane >= static_cast<std::size_t>(first_own);
    }
    /// A wide lane in which comparisons and conversions see what the dtype holds.
    bool decides_narrow(std::size_t lane) const { return !exact_ && lane == 2; }
    bool fuses(std::size_t lane) const {
        return own(lane) && lane >= static_cast<std::size_t>(first_fused) && lane % 2 == 1;
    }
    bool any_zero(std::size_t lane) {
        return own(lane) && lane >= static_cast<std::size_t>(first_signed) && (random() >> 40 & 1);
    }
    std::uint64_t random();
    double signed_unit();
    void compute(const loops::Instr& instr, std::span<const Slot* const> args,
                 std::span<const loops::Instr* const> of, Slot& out);
    void constant(const loops::Instr& instr, Slot& out);
    /// A function of few elements, 0 where its condition does not hold.
    void rare(const loops::Instr& instr, std::span<const Slot* const> args, Slot& out);
    static void select(std::span<const Slot* const> args, Slot& out);
    void floats(const loops::Instr& instr, std::span<const Slot* const> args,
                std::span<const loops::Instr* const> of, Slot& out);
    void integers(const loops::Instr& instr, std::span<const Slot* const> args, Slot& out);
    void compare(const loops::Instr& instr, DType t, std::span<const Slot* const> args, Slot& out);
    void convert(const loops::Instr& instr, DType from, const Slot& x, Slot& out);
    long double sum(DType t, std::span<const Slot> terms, int lane, bool fused);

    std::uint64_t state_;
    double amplitude_;
    bool exact_, fine_;
    std::vector<long double> partial_, ordered_;
};

}  // namespace arete::fuzz
