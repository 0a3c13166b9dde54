// The interpreter of grids: threads run one after another, from barrier to barrier.
#include <algorithm>
#include <deque>
#include <numeric>
#include <random>

#include "compiler/core/cases.h"
#include "compiler/core/error.h"
#include "compiler/loops/grid.h"
#include "compiler/loops/interpreter.h"

namespace arete::loops {

namespace {

constexpr std::int64_t to_the_barrier = -1;

// The numbers below n in the order that is asked for.
class Sequence {
  public:
    explicit Sequence(const InterpretOptions& options)
        : order_(options.order), random_(options.seed) {}

    std::vector<std::size_t> operator()(std::size_t n) {
        std::vector<std::size_t> out(n);
        std::iota(out.begin(), out.end(), std::size_t{0});
        if (order_ == Order::Reversed) std::reverse(out.begin(), out.end());
        if (order_ == Order::Shuffled)
            for (std::size_t i = n; i > 1; --i) std::swap(out[i - 1], out[random_() % i]);
        return out;
    }
    // Statements that a thread runs before another one does.
    std::int64_t turn() {
        return order_ == Order::Shuffled ? static_cast<std::int64_t>(random_() % 4) + 1
                                         : to_the_barrier;
    }

  private:
    Order order_;
    std::mt19937_64 random_;
};

// A thread that can stop at any statement.
class Thread {
  public:
    ThreadState state;
    OwnMemory own;

    Thread(const Kernel& k, const std::vector<Stmt>& body) : k_(k) {
        frames_.push_back({&body, 0, nullptr, 0});
    }

    const Stmt* waits_at() const { return barrier_; }
    bool done() const { return frames_.empty(); }
    bool ready() const { return !barrier_ && !done(); }
    Scope scope() const { return barrier_->get_if<Barrier>()->scope; }

    void pass_barrier() {
        Conflicts::Thread& p = state.place;
        if (scope() == Scope::Grid) ++p.of_grid;
        if (scope() != Scope::Warp) ++p.of_block;
        ++p.of_warp;
        barrier_ = nullptr;
    }

    // Runs so many statements, or until a barrier or the end.
    void run(Interpreter& interpreter, std::int64_t statements) {
        interpreter.become(state);
        while (ready() && statements != 0) {
            Frame& f = frames_.back();
            if (f.next == f.body->size()) {
                again();
                continue;
            }
            const Stmt& s = (*f.body)[f.next++];
            const auto leaf = [&](const auto&) {
                interpreter.run(s);
                --statements;
            };
            std::visit(
                Cases{[&](const Loop& l) { enter(l); },
                      [&](const If& i) {
                          --statements;
                          if (interpreter.holds(s, i)) frames_.push_back({&i.body, 0, nullptr, 0});
                      },
                      [&](const Barrier&) { barrier_ = &s; }, [&](const StoreTo& to) { leaf(to); },
                      [&](const CheckThat& c) { leaf(c); },
                      [&](const FoldLanes& fold) { leaf(fold); },
                      [&](const PrefetchAt& p) { leaf(p); },
                      [&](const TransposeTile& t) { leaf(t); }},
                s);
        }
    }

  private:
    // Where a body has come to; of a loop, in which iteration.
    struct Frame {
        const std::vector<Stmt>* body;
        std::size_t next;
        const Loop* loop;
        std::int64_t iteration;
    };

    void enter(const Loop& l) {
        if (k_.extents[l.var] == 0) return;
        state.vars[l.var] = 0;
        frames_.push_back({&l.body, 0, &l, 0});
    }

    // At the end of a body: the next iteration, or out of it.
    void again() {
        Frame& f = frames_.back();
        if (f.loop && ++f.iteration < k_.extents[f.loop->var]) {
            state.vars[f.loop->var] = f.iteration;
            f.next = 0;
        } else {
            frames_.pop_back();
        }
    }

    const Kernel& k_;
    std::vector<Frame> frames_;
    const Stmt* barrier_ = nullptr;  // at which it waits
};

struct Block {
    OwnMemory shared;
    std::deque<Thread> threads;
};

class GridRun {
  public:
    GridRun(const Kernel& k, const Launch& launch, IdSpan<BufferId, void* const> parameters,
            const InterpretOptions& options)
        : k_(k),
          launch_(launch),
          parameters_(parameters),
          order_(options.order),
          sequence_(options),
          conflicts_(k, parameters, true),
          interpreter_(k, &conflicts_) {}

    Failure run() {
        const auto count = static_cast<std::size_t>(launch_.block_count());
        if (!launch_.cooperative) {
            for (std::size_t number : sequence_(count)) {
                Block block;
                begin(block, number);
                advance(block);
                finished(block.threads);
                conflicts_.end_block(static_cast<std::int32_t>(number));
            }
            return interpreter_.failure();
        }
        std::vector<Block> blocks(count);
        std::vector<Thread*> all;
        for (std::size_t b = 0; b < count; ++b) {
            begin(blocks[b], b);
            for (Thread& t : blocks[b].threads) all.push_back(&t);
        }
        do {
            for (std::size_t b : sequence_(count)) advance(blocks[b]);
        } while (release(all, Scope::Grid));
        for (const Thread* t : all) finished(*t, all);
        for (std::size_t b = 0; b < count; ++b) conflicts_.end_block(static_cast<std::int32_t>(b));
        return interpreter_.failure();
    }

  private:
    void begin(Block& block, std::size_t number) {
        conflicts_.begin_block(static_cast<std::int32_t>(number));
        IdVector<BufferId, void*> pointers(parameters_.begin(), parameters_.end());
        pointers.resize(k_.buffers.size());
        block.shared.allocate(k_, {Space::Shared}, pointers);
        IdVector<Var, std::int64_t> vars(k_.extents.size());
        launch_.set_block(static_cast<std::int64_t>(number), vars);
        for (std::int64_t t = 0; t < launch_.thread_count(); ++t) {
            Thread& thread = block.threads.emplace_back(k_, *launch_.body);
            thread.state.vars = vars;
            launch_.set_thread(t, thread.state.vars);
            thread.state.pointers = pointers;
            thread.own.allocate(k_, {Space::Private, Space::Register}, thread.state.pointers);
            thread.state.place.block = static_cast<std::int32_t>(number);
            thread.state.place.warp = static_cast<std::int32_t>(t / warp());
            thread.state.place.number = static_cast<std::int32_t>(t);
        }
    }

    // Without a warp loop nothing is said of warps, and a usual one is as good as any.
    std::int64_t warp() const { return launch_.warp ? launch_.lanes : 32; }

    // Runs a block until all of its threads have ended or wait for other blocks.
    void advance(Block& block) {
        std::vector<Thread*> all;
        for (Thread& t : block.threads) all.push_back(&t);
        std::vector<std::vector<Thread*>> warps;
        for (Thread* t : all) {
            if (t->state.place.number % warp() == 0) warps.emplace_back();
            warps.back().push_back(t);
        }
        const auto any_ready = [](const std::vector<Thread*>& some) {
            return std::any_of(some.begin(), some.end(),
                               [](const Thread* t) { return t->ready(); });
        };
        do {
            do {
                if (order_ == Order::GreedyByWarp) {
                    for (const auto& w : warps) do
                            for (Thread* t : w) t->run(interpreter_, 1);
                        while (any_ready(w) || release(w, Scope::Warp));
                } else {
                    for (std::size_t t : sequence_(all.size()))
                        all[t]->run(interpreter_, sequence_.turn());
                }
                for (const auto& w : warps) release(w, Scope::Warp);
            } while (any_ready(all));
        } while (release(all, Scope::Block));
    }

    // Lets threads go on that all wait at one barrier of the scope. Were there any?
    static bool release(const std::vector<Thread*>& threads, Scope scope) {
        const auto waits = [&](const Thread* t) {
            return t->waits_at() && t->waits_at() == threads.front()->waits_at() &&
                   t->scope() == scope;
        };
        if (threads.empty() || !std::all_of(threads.begin(), threads.end(), waits)) return false;
        for (Thread* t : threads) t->pass_barrier();
        return true;
    }

    void finished(std::deque<Thread>& threads) const {
        std::vector<Thread*> all;
        for (Thread& t : threads) all.push_back(&t);
        for (const Thread* t : all) finished(*t, all);
    }

    // Nobody can go on: has the thread ended?
    void finished(const Thread& t, const std::vector<Thread*>& all) const {
        if (t.done()) return;
        const auto text = [](const Thread& x) {
            return fmt::format("thread {} of block {}", x.state.place.number, x.state.place.block);
        };
        for (const Thread* other : all)
            if (other->waits_at() != t.waits_at())
                throw InternalError(fmt::format(
                    "{}: {} waits at '{}', and {} {}", k_.name, text(t), line_of(k_, *t.waits_at()),
                    text(*other),
                    other->done()
                        ? "has ended"
                        : fmt::format("at another '{}'", line_of(k_, *other->waits_at()))));
        throw InternalError(fmt::format("{}: {} waits at '{}' for ever", k_.name, text(t),
                                        line_of(k_, *t.waits_at())));
    }

    const Kernel& k_;
    const Launch& launch_;
    IdSpan<BufferId, void* const> parameters_;
    Order order_;
    Sequence sequence_;
    Conflicts conflicts_;
    Interpreter interpreter_;
};

}  // namespace

Failure interpret_grid(const Kernel& k, const Launch& launch,
                       IdSpan<BufferId, void* const> parameters, const InterpretOptions& options) {
    return GridRun(k, launch, parameters, options).run();
}

// Each iteration of a parallel loop has memory of its own, and all have ended before the statement
// after the loop. What stands between two such loops is run by one thread.
Failure interpret_parallel(const Kernel& k, IdSpan<BufferId, void* const> parameters,
                           const InterpretOptions& options) {
    Conflicts conflicts(k, parameters, false);
    Interpreter interpreter(k, &conflicts);
    Sequence sequence(options);
    ThreadState thread;
    thread.vars.resize(k.extents.size());
    thread.pointers.assign(parameters.begin(), parameters.end());
    thread.pointers.resize(k.buffers.size());
    OwnMemory own;
    bool fresh = false;
    const auto forget = [&] {
        own.allocate(k, {Space::Private, Space::Register}, thread.pointers);
    };
    interpreter.become(thread);
    for (const Stmt& s : k.body) {
        const Loop* l = s.get_if<Loop>();
        if (!l || l->kind != LoopKind::Parallel) {
            if (!fresh) forget();
            fresh = true;
            interpreter.run(s);
            continue;
        }
        fresh = false;
        ++thread.place.of_grid;
        const auto extent = static_cast<std::size_t>(k.extents[l->var]);
        for (std::size_t i : sequence(extent)) {
            forget();
            thread.vars[l->var] = static_cast<std::int64_t>(i);
            thread.place.block = static_cast<std::int32_t>(i);
            interpreter.run(l->body);
        }
        ++thread.place.of_grid;
    }
    return interpreter.failure();
}

}  // namespace arete::loops
