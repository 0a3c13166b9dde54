// Dumps of two small graphs, compared with committed files: what each pass makes of a training
// step. Where a change is meant, ARETE_BLESS=1 writes the files anew; read their diff then.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <arete/arete.h>
#include <doctest/doctest.h>
#include <unistd.h>

#include "compiler/pipeline/compile.h"
#include "compiler/targets/cpu/machines.h"

#include "compiler/targets/cpu/target.h"
using namespace arete;
namespace fs = std::filesystem;

namespace {

/// Files by name.
using Files = std::map<std::string, std::string>;

/// A folder for dumps, removed at the end.
class Folder {
  public:
    explicit Folder(const std::string& name)
        : path_(fs::temp_directory_path() / fmt::format("arete_{}_{}", name, getpid())) {
        fs::remove_all(path_);
    }
    ~Folder() { fs::remove_all(path_); }
    std::string path() const { return path_.string(); }
    Files files() const {
        Files out;
        for (const auto& entry : fs::directory_iterator(path_)) {
            std::stringstream text;
            text << std::ifstream(entry.path()).rdbuf();
            out[entry.path().filename().string()] = text.str();
        }
        return out;
    }

  private:
    fs::path path_;
};

/// Stages whose text does not depend on the machine. The schedule, which is one of the files of
/// "loops", does: it is left out below.
Options dump_to(const Folder& folder) {
    Options o;
    o.dump = {Stage::Graph, Stage::Rewrites, Stage::Fusion, Stage::Loops};
    o.dump_dir = folder.path();
    o.num_threads = 1;
    return o;
}

/// The passes up to the nests, as one text. Numbers of files and lines of this test's source are
/// left out, so that neither moves the text.
std::string text_of(const Files& files) {
    std::string out;
    for (const auto& [name, text] : files) {
        if (name.find("schedule") != std::string::npos || name.find("steps") != std::string::npos ||
            name.find("expand_math") != std::string::npos)
            continue;
        out += "==== " + name.substr(3) + "\n";
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            const std::size_t comment = line.find("# test_golden.cpp:");
            if (comment != std::string::npos) line.resize(comment);
            const std::size_t estimate = line.find(", about ");  // of this machine
            if (estimate != std::string::npos && line.ends_with(" cycles")) line.resize(estimate);
            while (!line.empty() && line.back() == ' ') line.pop_back();
            out += line + "\n";
        }
    }
    return out;
}

void compare(const std::string& name, const std::string& text) {
    const std::string path = fmt::format(ARETE_SOURCE_DIR "/tests/golden/{}.txt", name);
    const char* bless = std::getenv("ARETE_BLESS");
    if (bless && std::string(bless) == "1") {
        std::ofstream(path) << text;
        MESSAGE("blessed ", path);
        return;
    }
    std::ifstream file(path);
    REQUIRE_MESSAGE(file, path, " is missing: ARETE_BLESS=1 makes it");
    std::istringstream got(text);
    int line = 0;
    for (std::string want, have;;) {
        const bool more_wanted = static_cast<bool>(std::getline(file, want));
        const bool more_got = static_cast<bool>(std::getline(got, have));
        ++line;
        if (!more_wanted && !more_got) break;
        INFO(path, ":", line, " (ARETE_BLESS=1 writes the file anew)");
        REQUIRE_MESSAGE(more_wanted, "surplus line: ", have);
        REQUIRE_MESSAGE(more_got, "missing line: ", want);
        REQUIRE(have == want);
    }
}

/// What the passes write of a function on every described machine, which must be one text.
void compare_plans(const std::string& name, CompileRequest request) {
    for (const Expr& e : request.inputs) request.binding.sizes[e.node().id] = concrete(e.shape());
    for (const DescribedMachine& m : described_machines()) {
        INFO(m.name);
        const Folder folder("golden_" + name);
        request.options = dump_to(folder);
        request.target = cpu_target(m.machine);
        compile(request);
        compare(name, text_of(folder.files()));
    }
}

/// One step of softmax regression.
CompileRequest softmax_regression() {
    const auto x = matrix<float>("x", {8, 20});
    const auto y = vector<std::int32_t>("y", {8});
    const auto w = shared(zeros<float>({20, 5}), "w"), b = shared(zeros<float>({5}), "b");
    const Expr p = softmax(dot(x, w) + b);
    const Expr cost = -mean(log(p)(arange(y.shape(0)), y));
    const auto g = grad(cost, {w, b});
    return {.name = "softmax_step",
            .inputs = {x, y},
            .outputs = {cost},
            .updates = {{w, w - 0.1f * g[0]}, {b, b - 0.1f * g[1]}}};
}

/// One step of a tiny convolutional layer.
CompileRequest convolution() {
    const auto x = tensor4<float>("x", {2, 1, 6, 6});
    const auto w = shared(ones<float>({3, 1, 3, 3}), "w"), b = shared(zeros<float>({3}), "b");
    const Expr h = relu(pool2d(conv2d(x, w), {2, 2}) + dimshuffle(b, {'x', 0, 'x', 'x'}));
    const Expr cost = mean(sqr(h));
    const auto g = grad(cost, {w, b});
    return {.name = "conv_step",
            .inputs = {x},
            .outputs = {cost},
            .updates = {{w, w - 0.1f * g[0]}, {b, b - 0.1f * g[1]}}};
}

/// The same for this processor.
Function convolution(const Options& options) {
    const CompileRequest r = convolution();
    std::vector<Update> updates;
    for (const auto& [variable, value] : r.updates) updates.push_back({variable, value});
    return function({.inputs = r.inputs,
                     .outputs = r.outputs,
                     .updates = updates,
                     .name = r.name,
                     .options = options});
}

}  // namespace

TEST_CASE("golden: a step of softmax regression") {
    compare_plans("softmax_step", softmax_regression());
}

TEST_CASE("golden: a step of convolution, pooling and relu") {
    compare_plans("conv_step", convolution());
}

TEST_CASE("dumps: the same from run to run") {
    std::string texts[2];
    for (std::string& text : texts) {
        const Folder folder("golden_again");
        convolution(dump_to(folder))(ones<float>({2, 1, 6, 6}));
        for (const auto& [name, content] : folder.files()) text += name + "\n" + content;
    }
    CHECK(texts[0] == texts[1]);
}

TEST_CASE("dumps: every stage gives numbered files that are not empty") {
    const Folder folder("golden_all");
    Options o;
    o.dump = parse_stages("all");
    o.dump_dir = folder.path();
    convolution(o)(ones<float>({2, 1, 6, 6}));
    const Files files = folder.files();
    std::map<std::string, std::string> by_pass;
    int number = 0;
    for (const auto& [name, text] : files) {
        CAPTURE(name);
        CHECK(name.rfind(fmt::format("{:02}_conv_step_", number++), 0) == 0);
        CHECK(text.size() > 20);
        by_pass[name.substr(13)] = text;
    }
    const auto has = [&](const std::string& file, const std::string& part) {
        INFO(file, " must have ", part);
        REQUIRE(by_pass.count(file) == 1);
        CHECK(by_pass[file].find(part) != std::string::npos);
    };
    has("input.txt", "conv2d(");
    has("bind_shapes.txt", "f32[3,1,3,3] \"w\"");
    has("fuse.txt", "group 0");
    has("lower.txt", "nest ");
    has("schedule.txt", "for ");
    has("steps.txt", "program conv_step");
    has("llvm.ll", "define ");
    has("llvm_optimized.ll", "define ");
    has("asm.s", "ret");
}

TEST_CASE("dumps: none by default, and unknown stages are refused") {
    const Folder folder("golden_none");
    Options o;
    o.dump_dir = folder.path();
    convolution(o)(ones<float>({2, 1, 6, 6}));
    CHECK(!fs::exists(folder.path()));
    CHECK_THROWS_WITH_AS(parse_stages("graph,poem"),
                         "dump: there is no stage 'poem'; the stages are graph, rewrites, fusion, "
                         "loops, llvm, asm, cuda, all",
                         ArgumentError);
    o.dump = {Stage::Graph};
    o.dump_dir = "/proc/nothing/here";
    CHECK_THROWS_AS(convolution(o)(ones<float>({2, 1, 6, 6})), ArgumentError);
}
