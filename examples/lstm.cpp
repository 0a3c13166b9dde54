// A character LSTM by scan: it learns a short text and writes some of it.
//
//     lstm                          the text below, some ten seconds
//     lstm book.txt --steps 5000    a file of your own
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include <arete/arete.h>
#include <CLI/CLI.hpp>

using namespace arete;

namespace {

const char* const own_text =
    "A ridge is where two slopes meet. Whoever walks on a ridge sees both valleys, and the path is "
    "narrow. A graph has ridges of its own: where an edge meets a node a number is handed on, and "
    "whoever follows the edges sees where each number came from and where it goes.\n"
    "A compiler walks on that ridge. On the one side lies what was written, on the other side lies "
    "what will run. It may take another path, and a shorter one, but at the end of the day it must "
    "come down where the writer wanted to be.\n"
    "So it looks before it steps. It asks what a value is for, who will read it, and when it can "
    "be "
    "forgotten. It puts together what belongs together, and it leaves out what nobody asked for. "
    "What it has done it can show, step by step, to anyone who asks.\n"
    "And when the numbers come down into the valley they are the right numbers, on a fast day and "
    "on a slow day, on an old machine and on a new one.\n";

struct Settings {
    std::string file;
    std::int64_t steps = 1000, hidden = 96, batch = 16, window = 40, length = 200;
    std::uint64_t seed = 1;
    double rate = 0.005, temperature = 0.5;
};

// The characters of a text, each once, and the text as numbers of characters.
struct Alphabet {
    explicit Alphabet(const std::string& text) {
        for (const char c : text)
            if (characters.find(c) == std::string::npos) characters += c;
        for (const char c : text) numbers.push_back(static_cast<std::int64_t>(characters.find(c)));
    }
    std::int64_t size() const { return static_cast<std::int64_t>(characters.size()); }
    std::string characters;
    std::vector<std::int64_t> numbers;
};

// [region cell]
struct Lstm {
    Lstm(std::int64_t symbols, std::int64_t hidden, Generator& random)
        : hidden(hidden),
          from_input(shared(random.normal({symbols, 4 * hidden}, 0, 0.1), "from_input")),
          from_state(shared(random.normal({hidden, 4 * hidden}, 0, 0.1), "from_state")),
          bias(shared(zeros<float>({4 * hidden}), "bias")),
          to_symbols(shared(random.normal({hidden, symbols}, 0, 0.1), "to_symbols")) {}

    /// State and memory after a step: of rows of symbols, and of what was before.
    StepResult step(const Expr& symbols, const Expr& state, const Expr& memory) const {
        const Expr sums = take(from_input, symbols) + dot(state, from_state) + bias;
        const auto part = [&](int k) { return sums(all, slice(k * hidden, (k + 1) * hidden)); };
        const Expr input = sigmoid(part(0)), keep = sigmoid(part(1) + 1.0f),
                   output = sigmoid(part(2));
        const Expr now = keep * memory + input * tanh(part(3));
        return {{output * tanh(now), now}};
    }
    Expr logits(const Expr& state) const { return dot(state, to_symbols); }
    std::vector<Expr> parameters() const { return {from_input, from_state, bias, to_symbols}; }

    std::int64_t hidden;
    Shared from_input, from_state, bias, to_symbols;
};
// [end]

// Adam (Kingma and Ba, 2015).
std::vector<Update> adam(const Expr& cost, const std::vector<Expr>& parameters, double rate) {
    std::vector<Update> updates;
    const std::vector<Expr> g = grad(cost, parameters);
    const Shared count = shared(Array(0.0f), "count");
    const Expr t = count + 1.0f;
    updates.emplace_back(count, t);
    for (std::size_t k = 0; k < g.size(); ++k) {
        const Sizes sizes = concrete(parameters[k].shape());
        const Shared mean = shared(zeros(DType::F32, sizes)),
                     square = shared(zeros(DType::F32, sizes));
        const Expr m = 0.9f * mean + 0.1f * g[k], s = 0.999f * square + 0.001f * sqr(g[k]);
        const Expr step = m / (1.0f - pow(0.9f, t)) / (sqrt(s / (1.0f - pow(0.999f, t))) + 1e-8f);
        updates.emplace_back(mean, m);
        updates.emplace_back(square, s);
        updates.emplace_back(parameters[k], parameters[k] - static_cast<float>(rate) * step);
    }
    return updates;
}

Function trainer(const Lstm& net, const Settings& o) {
    // [region train]
    // symbols[t,b]: what the net reads at step t; next[t,b]: what it has to say then.
    const Expr symbols = matrix<std::int64_t>("symbols", {o.window, o.batch}),
               next = matrix<std::int64_t>("next", {o.window, o.batch});
    ScanOptions loop;
    loop.sequences = {symbols};
    loop.outputs_info = {zeros<float>({o.batch, o.hidden}), zeros<float>({o.batch, o.hidden})};
    loop.fn = [&](const std::vector<Expr>& a) { return net.step(a[0], a[1], a[2]); };
    const Expr states = scan(loop).outputs[0];
    const Expr rows = reshape(states, {o.window * o.batch, o.hidden});
    const Expr cost = mean(
        categorical_crossentropy(softmax(net.logits(rows)), reshape(next, {o.window * o.batch})));
    return function({.inputs = {symbols, next},
                     .outputs = {cost},
                     .updates = adam(cost, net.parameters(), o.rate),
                     .name = "train"});
    // [end]
}

Function writer(const Lstm& net, const Settings& o, RandomStream& random) {
    // [region write]
    // A symbol is drawn by the logits, and is what the next step reads.
    const Expr first = scalar<std::int64_t>("first");
    ScanOptions loop;
    loop.n_steps = o.length;
    loop.outputs_info = {expand_dims(first, 0), zeros<float>({1, o.hidden}),
                         zeros<float>({1, o.hidden})};
    loop.fn = [&](const std::vector<Expr>& a) -> StepResult {
        const std::vector<Expr> now = net.step(a[0], a[1], a[2]).outputs;
        const Expr logits = net.logits(now[0]) / static_cast<float>(o.temperature);
        // The largest of logits with Gumbel noise is a draw from their softmax.
        const Expr u = random.uniform(logits.shape(), 1e-6, 1);
        return {{argmax(logits - log(-log(u)), 1), now[0], now[1]}};
    };
    return function({.inputs = {first}, .outputs = {scan(loop).outputs[0]}, .name = "write"});
    // [end]
}

int run(const Settings& o) {
    std::string text = own_text;
    if (!o.file.empty()) {
        std::ifstream in(o.file, std::ios::binary);
        if (!in) throw DataError({}, fmt::format("cannot read '{}'", o.file));
        text.assign(std::istreambuf_iterator<char>(in), {});
    }
    const auto length = static_cast<std::int64_t>(text.size());
    if (length < o.window + 2)
        throw DataError({}, fmt::format("a text of {} characters is too short for windows of {}",
                                        length, o.window));
    const Alphabet alphabet(text);
    Generator generator(o.seed);
    RandomStream random(o.seed);
    const Lstm net(alphabet.size(), o.hidden, generator);
    const Function train = trainer(net, o), write = writer(net, o, random);
    fmt::print("{} characters, {} of them different\n", length, alphabet.size());
    Array symbols(DType::I64, {o.window, o.batch}), next(DType::I64, {o.window, o.batch});
    for (std::int64_t step = 0; step < o.steps; ++step) {
        const Array starts =
            generator.uniform({o.batch}, 0, static_cast<double>(length - o.window - 1));
        for (std::int64_t b = 0; b < o.batch; ++b)
            for (std::int64_t t = 0; t < o.window; ++t) {
                const auto at =
                    static_cast<std::size_t>(static_cast<std::int64_t>(starts.as_double(b)) + t);
                symbols.data<std::int64_t>()[t * o.batch + b] = alphabet.numbers[at];
                next.data<std::int64_t>()[t * o.batch + b] = alphabet.numbers[at + 1];
            }
        const auto cost = train(symbols, next)[0].item<float>();
        if ((step + 1) % std::max<std::int64_t>(1, o.steps / 10) == 0)
            fmt::print("step {:5}: cost {:.3f}\n", step + 1, cost);
    }
    std::string written;
    const Array symbols_written = write(alphabet.numbers[0])[0];
    for (std::int64_t k = 0; k < symbols_written.size(); ++k)
        written += alphabet.characters[symbols_written.as_int(k)];
    fmt::print("\n{}{}\n", text[0], written);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Settings o;
    CLI::App app("A character LSTM that learns a text and writes some of it.");
    app.add_option("file", o.file, "the text; without it a short one of its own");
    app.add_option("--steps", o.steps, "training steps")->check(CLI::Range(1, 1000000));
    app.add_option("--hidden", o.hidden, "units")->check(CLI::Range(1, 4096));
    app.add_option("--window", o.window, "characters a training step goes back")
        ->check(CLI::Range(1, 10000));
    app.add_option("--length", o.length, "characters to write")->check(CLI::Range(1, 100000));
    app.add_option("--rate", o.rate, "Adam's step size");
    app.add_option("--temperature", o.temperature, "1: as it has learned; less: more certain")
        ->check(CLI::Range(0.01, 10.0));
    app.add_option("--seed", o.seed, "of weights, windows and draws");
    CLI11_PARSE(app, argc, argv);
    try {
        return run(o);
    } catch (const Error& e) {
        fmt::print(stderr, "lstm: {}\n", e.what());
        return 1;
    }
}
