// Loops: the training step of an LSTM by scan beside its unrolled graph, and what a step costs.
//
//     bench_loops                 medians of alternating rounds, one thread
//     bench_loops --step-only     the LSTM by scan alone, in ms: what peers_loops.py compares with
#include <algorithm>
#include <chrono>
#include <cstring>

#include <arete/arete.h>

using namespace arete;

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t hidden = 128, batch = 16, symbols = 32;

double ms_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> all) {
    std::sort(all.begin(), all.end());
    return all[all.size() / 2];
}

Options one_thread() {
    Options o = Options::from_environment();
    o.num_threads = 1;
    o.cache_dir.clear();
    return o;
}

// A training step of an LSTM of `steps` characters, ready to run.
struct LstmStep {
    LstmStep(std::int64_t steps, bool unrolled) {
        Generator random(1);
        const Shared wx = shared(random.normal({symbols, 4 * hidden}, 0, 0.1), "wx"),
                     wh = shared(random.normal({hidden, 4 * hidden}, 0, 0.1), "wh"),
                     b = shared(zeros<float>({4 * hidden}), "b"),
                     wy = shared(random.normal({hidden, symbols}, 0, 0.1), "wy");
        const Expr x = tensor3<float>("x", {steps, batch, symbols}),
                   y = matrix<std::int64_t>("y", {steps, batch});
        const auto cell = [&](const Expr& row, const Expr& h, const Expr& c) {
            const Expr sums = dot(row, wx) + dot(h, wh) + b;
            const auto part = [&](int k) { return sums(all, slice(k * hidden, (k + 1) * hidden)); };
            const Expr now = sigmoid(part(1)) * c + sigmoid(part(0)) * tanh(part(3));
            return std::vector<Expr>{sigmoid(part(2)) * tanh(now), now};
        };
        Expr states;
        if (unrolled) {
            std::vector<Operand> rows;
            std::vector<Expr> now(2, constant(zeros<float>({batch, hidden})));
            for (std::int64_t t = 0; t < steps; ++t) {
                now = cell(x(t), now[0], now[1]);
                rows.emplace_back(now[0]);
            }
            states = stack(rows);
        } else {
            ScanOptions loop;
            loop.sequences = {x};
            loop.outputs_info = {zeros<float>({batch, hidden}), zeros<float>({batch, hidden})};
            loop.fn = [&](const std::vector<Expr>& a) {
                return StepResult(cell(a[0], a[1], a[2]));
            };
            states = scan(loop).outputs[0];
        }
        const Expr logits = dot(reshape(states, {steps * batch, hidden}), wy);
        const Expr cost =
            mean(categorical_crossentropy(softmax(logits), reshape(y, {steps * batch})));
        const std::vector<Expr> parameters{wx, wh, b, wy};
        const std::vector<Expr> g = grad(cost, parameters);
        std::vector<Update> updates;
        for (std::size_t k = 0; k < g.size(); ++k)
            updates.emplace_back(parameters[k], parameters[k] - 0.1f * g[k]);
        f = function(
            {.inputs = {x, y}, .outputs = {cost}, .updates = updates, .options = one_thread()});
        in = {random.uniform({steps, batch, symbols}, 0, 1), zeros<std::int64_t>({steps, batch})};
        out = f.call(in);
    }
    double run() {
        const auto start = Clock::now();
        f.call_into(out, in);
        return ms_since(start);
    }
    Function f;
    std::vector<Array> in, out;
};

double ns_a_step(const std::function<Expr(const Expr&, const Expr&)>& next) {
    constexpr std::int64_t steps = 1000;
    const Expr x = vector<float>("x", {steps});
    ScanOptions loop;
    loop.sequences = {x};
    loop.outputs_info = {Array(0.0f)};
    loop.fn = [&](const std::vector<Expr>& a) -> StepResult { return next(a[0], a[1]); };
    const Function f =
        function({.inputs = {x}, .outputs = {scan(loop).outputs[0]}, .options = one_thread()});
    const std::vector<Array> in{ones<float>({steps})};
    std::vector<Array> out = f.call(in);
    std::vector<double> all;
    for (int k = 0; k < 1000; ++k) {
        const auto start = Clock::now();
        f.call_into(out, in);
        all.push_back(1e6 * ms_since(start) / static_cast<double>(steps));
    }
    return median(all);
}

}  // namespace

int main(int argc, char** argv) {
    LstmStep looped(50, false);
    if (argc > 1 && std::strcmp(argv[1], "--step-only") == 0) {
        std::vector<double> all;
        for (int k = 0; k < 60; ++k) all.push_back(looped.run());
        fmt::print("{:.3f}\n", median(all));
        return 0;
    }
    LstmStep unrolled(50, true);
    std::vector<double> a, b, ratios;
    for (int k = 0; k < 60; ++k) {
        a.push_back(looped.run());
        b.push_back(unrolled.run());
        ratios.push_back(a.back() / b.back());
    }
    fmt::print(
        "LSTM, hidden 128, batch 16, 50 characters, a training step on one thread:\n"
        "  by scan {:.2f} ms, unrolled {:.2f} ms, median of ratios {:.2f}\n",
        median(a), median(b), median(ratios));
    fmt::print("  compiled in {:.0f} ms by scan, {:.0f} ms unrolled, {:.0f} ms by scan of 500\n",
               looped.f.stats().compile_ms, unrolled.f.stats().compile_ms,
               LstmStep(500, false).f.stats().compile_ms);
    fmt::print("a step of a recurrence of numbers: a * h + x {:.1f} ns, tanh of it {:.1f} ns\n",
               ns_a_step([](const Expr& x, const Expr& h) { return 0.5f * h + x; }),
               ns_a_step([](const Expr& x, const Expr& h) { return tanh(0.5f * h + x); }));
    return 0;
}
