// What the verifier says of kernels for GPUs that no machine could run, one by one.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "compiler/core/error.h"
#include "compiler/loops/grid.h"
#include "compiler/loops/key.h"
#include "tests/unit/grid_kernels.h"

using namespace arete;
using namespace arete::loops;
using namespace arete::test;

TEST_CASE("verify: loops of a grid stand at the head, in their order") {
    Variation v;
    CHECK(v.of({v.store()}) == "no error");
    v.head({{LoopKind::Block, v.t, 0}, {LoopKind::Grid, v.b, 0}}, {v.store()});
    CHECK(has(v.verified(), "odd: 'grid x for b in 0..4:' inside of 'block x for t in 0..8:'"));
    v.head({{LoopKind::Grid, v.b, 1}, {LoopKind::Grid, v.t, 1}}, {v.store()});
    CHECK(has(v.verified(), "odd: 'grid y for t in 0..8:' inside of 'grid y for b in 0..4:'"));
    v.head({{LoopKind::Warp, v.t, 0}, {LoopKind::Block, v.b, 0}}, {v.store()});
    CHECK(has(v.verified(), "odd: 'block x for b in 0..4:' inside of 'warp for t in 0..8:'"));
    v.head({{LoopKind::Grid, v.b, 3}}, {v.store()});
    CHECK(has(v.verified(), "odd: grid has no dimension 3"));
    v.head({{LoopKind::Warp, v.t, 1}}, {v.store()});
    CHECK(has(v.verified(), "odd: warp has no dimension 1"));
    // Below a loop of another kind, beside another statement, under a condition.
    v.head({{LoopKind::Grid, v.b, 0}, {LoopKind::Serial, v.s, 0}, {LoopKind::Block, v.t, 0}},
           {v.store()});
    const std::string not_head = "odd: 'block x for t in 0..8:' is not at the head of the kernel";
    CHECK(has(v.verified(), not_head));
    const Stmt threads = Loop{v.t, LoopKind::Block, {v.store()}};
    v.head({{LoopKind::Grid, v.b, 0}}, {v.store(), threads});
    CHECK(has(v.verified(), not_head));
    v.head({{LoopKind::Grid, v.b, 0}}, {If{v.inside({{Index::var(v.b), 1}}).id, {threads}}});
    CHECK(has(v.verified(), not_head));
    v.kernel.body = {threads, threads};
    CHECK(has(v.verified(), not_head));
    // Inside of them.
    CHECK(has(v.of({Loop{v.t, LoopKind::Serial, {v.store()}}}),
              "odd: 'for t in 0..8:' over a variable of the grid"));
    v.head({{LoopKind::Grid, v.b, 0}}, {Loop{v.s, LoopKind::Parallel, {v.store()}}});
    CHECK(has(v.verified(), "odd: inner parallel loop"));
}

TEST_CASE("verify: barriers stand where all threads of their scope come") {
    Variation v;
    const auto under = [&](Value condition, Scope scope) {
        return v.of({If{condition.id, {Barrier{scope}}}});
    };
    const Value of_thread = v.inside({{Index::var(v.t), 3}}),
                of_block = v.inside({{Index::var(v.b), 3}});
    CHECK(has(under(of_thread, Scope::Block), "odd: 'barrier of the block' under 'if %"));
    CHECK(has(under(of_thread, Scope::Block), "threads of the block may answer differently"));
    CHECK(under(of_block, Scope::Block) == "no error");
    CHECK(has(under(of_block, Scope::Grid), "threads of the grid may answer differently"));
    CHECK(has(under(of_block & of_thread, Scope::Block), "answer differently"));
    // Deeper, in a loop under the condition.
    CHECK(has(v.of({If{of_thread.id, {Loop{v.s, LoopKind::Serial, {Barrier{}}}}}}),
              "answer differently"));
    // A loop of three rounds is one for all threads.
    CHECK(v.of({Loop{v.s, LoopKind::Serial, {Barrier{}}}}) == "no error");
    CHECK(v.of({Loop{
              v.s, LoopKind::Serial, {If{v.inside({{Index::var(v.s), 2}}).id, {Barrier{}}}}}}) ==
          "no error");
    CHECK(has(v.of({Loop{v.s, LoopKind::Vector, {Barrier{}}, 4}}),
              "odd: 'barrier of the block' in 'vector<4> for s in 0..3:'"));

    // What is read: of memory that all see at one place, or not.
    const BufferId flags = v.kernel.add_buffer({"flags", DType::Bool, {8}}),
                   own = v.kernel.add_buffer({"own", DType::Bool, {8}, Space::Private}),
                   kept = v.kernel.add_buffer({"kept", DType::Bool, {8}, Space::Shared});
    CHECK(under(v.kernel.load(flags, 3), Scope::Grid) == "no error");
    CHECK(under(v.kernel.load(flags, Index::var(v.b)), Scope::Block) == "no error");
    CHECK(has(under(v.kernel.load(flags, Index::var(v.t)), Scope::Block), "answer differently"));
    CHECK(has(under(v.kernel.load(own, 3), Scope::Block), "answer differently"));
    CHECK(under(v.kernel.load(kept, 3), Scope::Block) == "no error");
    CHECK(has(under(v.kernel.load(kept, 3), Scope::Grid), "answer differently"));
    // At an address that is read.
    const BufferId places = v.kernel.add_buffer({"places", DType::I64, {8}});
    const Value place = v.kernel.load(places, Index::var(v.t));
    CHECK(has(under(v.kernel.load(flags, Index::value(place.id)), Scope::Block),
              "answer differently"));
}

TEST_CASE("verify: barriers and shared memory are for threads") {
    Variation v;
    v.kernel.body = {Barrier{}};
    CHECK(has(v.verified(), "odd: 'barrier of the block' in a kernel without block loops"));
    v.head({{LoopKind::Grid, v.b, 0}}, {Barrier{}});
    CHECK(has(v.verified(), "without block loops"));
    v.head({{LoopKind::Block, v.t, 0}}, {Barrier{Scope::Grid}});
    CHECK(has(v.verified(), "odd: 'barrier of the grid' in a kernel without grid loops"));
    v.head({{LoopKind::Block, v.t, 0}}, {Barrier{Scope::Warp}});
    CHECK(has(v.verified(), "odd: 'barrier of the warp' in a kernel without warp loops"));
    // A condition on the warp is one for its lanes; one on the lane is not.
    const Var lane = v.kernel.add_var("lane", 32);
    const auto in_warps = [&](const Index& i) {
        v.head({{LoopKind::Block, v.t, 0}, {LoopKind::Warp, lane, 0}},
               {If{v.inside({{i, 2}}).id, {Barrier{Scope::Warp}}}});
        return v.verified();
    };
    CHECK(in_warps(Index::var(v.t)) == "no error");
    CHECK(has(in_warps(Index::var(lane)), "threads of the warp may answer differently"));

    Variation s;
    s.shared("kept", {4});
    s.kernel.body = {s.store()};
    CHECK(has(s.verified(), "odd: shared 'kept' in a kernel without block loops"));
    Variation empty;
    empty.shared("kept", {0});
    CHECK(has(empty.of({empty.store()}), "odd: shared 'kept' without elements"));
}

TEST_CASE("verify: what a machine can launch") {
    Variation v;
    v.shared("kept", {101});  // 404 bytes, which end where a vector does
    CHECK(v.of({v.store()}) == "no error");
    GridLimits limits;
    limits.shared_bytes = 416;
    CHECK(v.verified(limits) == "no error");
    limits.shared_bytes = 415;
    CHECK(has(v.verified(limits), "odd: 416 bytes of shared memory, at most 415"));
    limits = {};
    limits.threads = 7;
    CHECK(has(v.verified(limits), "odd: 8 threads in a block, at most 7"));
    limits = {};
    limits.block[0] = 7;
    CHECK(has(v.verified(limits), "odd: 8 threads in x, at most 7"));
    limits = {};
    limits.blocks[0] = 3;
    CHECK(has(v.verified(limits), "odd: 4 blocks in x, at most 3"));
    v.kernel.extents[v.t] = 0;
    CHECK(has(v.verified(), "odd: 0 threads in x"));

    Variation w;
    const Var lane = w.kernel.add_var("lane", 16);
    w.head({{LoopKind::Block, w.t, 0}, {LoopKind::Warp, lane, 0}}, {w.store()});
    CHECK(has(w.verified(), "odd: a warp of 16 threads instead of 32"));
    w.kernel.extents[lane] = 32;
    CHECK(w.verified() == "no error");
    CHECK(launch(w.kernel)->block_size == std::array<std::int64_t, 3>{256, 1, 1});
    limits = {};
    limits.threads = 255;
    CHECK(has(w.verified(limits), "odd: 256 threads in a block, at most 255"));
}

TEST_CASE("verify: addresses of shared memory, and under conditions") {
    Variation v;
    const BufferId kept = v.shared("kept", {8});
    const Value one = v.kernel.constant(DType::F32, 1.0);
    const auto write = [&](const Index& at) { return StoreTo{kept, at, one.id, {}}; };
    CHECK(v.of({write(Index::var(v.t))}) == "no error");
    CHECK(has(v.of({write(Index::var(v.t) + 1)}), "f32[8] 'kept' ranges over 1..8"));
    CHECK(has(v.of({StoreTo{v.out, 0, v.kernel.load(kept, Index::var(v.t) * 2).id, {}}}),
              "f32[8] 'kept' ranges over 0..14"));
    // A condition on the thread may keep it inside, which the interpreter sees; one on the block
    // says nothing of it.
    const Value few = v.inside({{Index::var(v.t), 7}}), blocks = v.inside({{Index::var(v.b), 3}});
    CHECK(v.of({If{few.id, {write(Index::var(v.t) + 1)}}}) == "no error");
    CHECK(has(v.of({If{blocks.id, {write(Index::var(v.t) + 1)}}}), "ranges over 1..8"));
    CHECK(has(v.of({If{one.id, {write(0)}}}), "odd: 'if 1:' asks for a f32"));
    v.of({If{v.inside({{Index::var(v.t), 8}}).id, {write(Index::var(v.t) + 1)}}});
    std::vector<float> out(8);
    void* pointers[] = {out.data()};
    CHECK(has(error_of([&] { interpret(v.kernel, pointers); }),
              "address t+1 = 8 outside f32[8] 'kept' in 'kept[t+1] = 1'"));
}

TEST_CASE("keys: dimensions, scopes, spaces and conditions tell kernels apart") {
    Variation v;
    v.of({v.store()});
    std::vector<std::string> keys{key(v.kernel)};
    const auto differs = [&](const Kernel& k) {
        const std::string now = key(k);
        for (const std::string& other : keys) CHECK(now != other);
        keys.push_back(now);
    };
    v.head({{LoopKind::Grid, v.b, 1}, {LoopKind::Block, v.t, 0}}, {v.store()});
    differs(v.kernel);
    v.of({Barrier{Scope::Block}, v.store()});
    differs(v.kernel);
    v.of({Barrier{Scope::Grid}, v.store()});
    differs(v.kernel);
    v.of({If{v.inside({{Index::var(v.t), 7}}).id, {v.store()}}});
    differs(v.kernel);
    v.of({If{v.inside({{Index::var(v.t), 6}}).id, {v.store()}}});
    differs(v.kernel);
    v.shared("kept", {4});
    differs(v.kernel);
    v.kernel.buffers.back().space = Space::Private;
    differs(v.kernel);
    v.kernel.buffers.back().padded = true;
    differs(v.kernel);
}

TEST_CASE("interpret: iterations of a parallel loop that meet") {
    GridKernel k("meeting");
    const BufferId in = k.input("in", {6}), out = k.output("out", {6});
    const BufferId own = k.registers("own", {1});
    const Var i = k.kernel.add_var("i", 6), j = k.kernel.add_var("j", 6);
    const Index at = Index::var(i);
    const auto found = [&](std::vector<Stmt> body, Order order) {
        k.kernel.body = std::move(body);
        verify(k.kernel);
        std::vector<std::vector<float>> memory = k.inputs;
        void* pointers[] = {memory[0].data(), memory[1].data()};
        const std::string message =
            error_of([&] { interpret(k.kernel, pointers, {.order = order, .conflicts = true}); });
        CHECK(error_of([&] { interpret(k.kernel, pointers); }) == "no error");
        return message;
    };
    for (const Order order :
         {Order::Ascending, Order::Reversed, Order::Shuffled, Order::GreedyByWarp}) {
        const Stmt copy = StoreTo{out, at, k.kernel.load(in, at).id, {}};
        CHECK(found({Loop{i, LoopKind::Parallel, {copy}}}, order) == "no error");
        // One writes what another one has written, or reads.
        const Stmt one = StoreTo{out, 0, k.kernel.load(in, at).id, {}};
        std::string message = found({Loop{i, LoopKind::Parallel, {one}}}, order);
        CAPTURE(message);
        CHECK(has(message, "meeting: iteration "));
        CHECK(has(message, " writes out[0] in 'out[0] = %"));
        CHECK(has(message, "of the same parallel loop"));
        const Stmt sum = StoreTo{out, 3, k.kernel.load(in, at).id, Reduction::Sum};
        CHECK(has(found({Loop{i, LoopKind::Parallel, {sum}}}, order), "out[3] in 'out[3] sum= %"));
        const Index next = mod(at + 1, 6, k.kernel.extents);
        const Stmt neighbour = StoreTo{own, 0, k.kernel.load(out, next).id, {}};
        message = found({Loop{i, LoopKind::Parallel, {neighbour, copy}}}, order);
        CHECK(has(message, "'own[0] = %"));
        CHECK(has(message, "'out[i] = %"));
        // All have ended where the loop has.
        const Stmt later = StoreTo{own, 0, k.kernel.load(out, Index(5) - Index::var(j)).id, {}};
        CHECK(found({Loop{i, LoopKind::Parallel, {copy}}, Loop{j, LoopKind::Parallel, {later}}},
                    order) == "no error");
        const Stmt again = StoreTo{out, 2, k.kernel.load(in, 2).id, {}};
        CHECK(found({again, Loop{i, LoopKind::Parallel, {copy}}, again}, order) == "no error");
    }
}

TEST_CASE("interpret: what an iteration keeps is gone in the next") {
    // own is written by the first iteration alone; the others must not see it.
    GridKernel k("kept");
    const BufferId out = k.output("out", {3});
    const BufferId own = k.registers("own", {1});
    const Var i = k.kernel.add_var("i", 3);
    const Value first = eq(k.kernel.index(Index::var(i)), 0);
    k.kernel.body = {
        Loop{i,
             LoopKind::Parallel,
             {If{first.id, {StoreTo{own, 0, k.kernel.constant(DType::F32, 1.0).id, {}}}},
              StoreTo{out, Index::var(i), k.kernel.load(own, 0).id, {}}}}};
    verify(k.kernel);
    for (const Order order : {Order::Ascending, Order::Reversed}) {
        std::vector<float> memory(3);
        void* pointers[] = {memory.data()};
        interpret(k.kernel, pointers, {.order = order, .conflicts = true});
        CHECK(memory[0] == 1);
        CHECK(memory[1] != memory[1]);
        CHECK(memory[2] != memory[2]);
    }
}
