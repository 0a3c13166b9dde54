// The command line of mnist, and the small examples: exit codes and what they print.
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace {

struct Result {
    int exit_code = -1;
    std::string out;  ///< stdout and stderr
};

/// Runs an executable of this build.
Result run(const std::string& command) {
    Result result;
    FILE* pipe = popen((ARETE_BIN_DIR "/" + command + " 2>&1").c_str(), "r");
    REQUIRE(pipe);
    std::array<char, 4096> buffer{};
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
        result.out.append(buffer.data(), n);
    const int status = pclose(pipe);
    if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
    return result;
}

// Benchmarks may be left out of a build.
bool has_program(const std::string& name) {
    return fs::exists(fs::path(ARETE_BIN_DIR) / name);
}

void has(const std::string& text, const std::string& part) {
    INFO("the output is: " << text);
    CHECK(text.find(part) != std::string::npos);
}

void fails(const std::string& command, int exit_code, const std::string& message) {
    CAPTURE(command);
    const Result result = run(command);
    CHECK(result.exit_code == exit_code);
    has(result.out, message);
}

/// A folder of its own, removed at the end.
struct Folder {
    fs::path path = fs::temp_directory_path() / ("arete_cli_" + std::to_string(getpid()));
    Folder() { fs::create_directories(path); }
    ~Folder() { fs::remove_all(path); }
};

}  // namespace

TEST_CASE("mnist: bad flags end with exit code 2 and say what would be right") {
    fails("mnist --net nothing", 2,
          "mnist: unknown net 'nothing'; the nets are shallow, basic_conv, omit_fc, dbl_conv, "
          "dbl_conv_tanh, dbl_conv_relu, dropout, ciresan");
    fails("mnist --no-such-flag", 2, "--no-such-flag");
    fails("mnist surplus", 2, "surplus");
    fails("mnist --epochs", 2, "--epochs");
    fails("mnist --epochs 0", 2, "--epochs: Value 0 not in range 1 to 1000000000");
    fails("mnist --epochs many", 2, "--epochs");
    fails("mnist --batch -10", 2, "--batch");
    fails("mnist --eta fast", 2, "--eta");
    fails("mnist --eta nan", 2, "--eta and --lmbda must be finite");
    fails("mnist --seed -1", 2, "--seed: -1 is not a whole number");
    fails("mnist --threads 0", 2, "--threads");
    fails("mnist --device abacus", 2, "unknown device 'abacus'; the devices are cpu, interpreter");
    // Whether there is a card or not, there are not so many.
    fails("mnist --net shallow --limit 1 --epochs 1 --device cuda:9999", 1, "device 'cuda");
    fails("mnist --net shallow --limit 1 --epochs 1 --device cuda:x", 2,
          "device 'cuda:x': expected the number of a card");
    fails("mnist --init zeros", 2, "unknown --init 'zeros'; it is n_out or n_in");
    fails("mnist --mode sideways", 2, "unknown --mode 'sideways'; the modes are fast_run, fast_m");
    fails("mnist --dump poem", 2, "there is no stage 'poem'; the stages are graph");
    fails("mnist --net shallow --batch 1001", 2, "has 1000 rows, fewer than a mini-batch of 1001");
    if (has_program("bench_step")) {
        fails("bench_step --net nothing", 2, "unknown net 'nothing'");
        fails("bench_step --device cuda:x", 1, "device 'cuda:x': expected the number of a card");
    }
    const Result help = run("mnist --help");
    CHECK(help.exit_code == 0);
    has(help.out, "dbl_conv_relu  C20 5x5 pool 2, C40 5x5 pool 2, FC100, S10, relu");
}

TEST_CASE("mnist: bad data ends with exit code 1 and names the file") {
    const Folder folder;
    fails("mnist --data /no/such/folder", 1, "mnist: /no/such/folder: no such folder");
    fails("mnist --data " + folder.path.string(), 1, "train-images-idx3-ubyte: no such file");
    std::ofstream(folder.path / "train-images-idx3-ubyte") << "not digits";
    std::ofstream(folder.path / "train-labels-idx1-ubyte") << "not labels";
    fails("mnist --data " + folder.path.string(), 1, "wrong magic number: expected 2051");
    fails("mnist --json /no/such/folder/result.json", 1, "/no/such/folder/result.json: cannot");
}

TEST_CASE("mnist: a short run writes its result, labelled for what it is") {
    const Folder folder;
    const std::string json = (folder.path / "result.json").string();
    const Result result = run("mnist --net shallow --epochs 2 --limit 100 --seed 7 --json " + json);
    INFO("the output is: " << result.out);
    REQUIRE(result.exit_code == 0);
    has(result.out, "epoch 2/2: cost ");
    has(result.out, "held-out training digits accuracy: ");
    has(result.out, "--dump");
    CHECK(result.out.find("MNIST test") == std::string::npos);

    std::ifstream file(json);
    std::stringstream text;
    text << file.rdbuf();
    for (const char* field :
         {"\"net\": \"shallow\"", "\"epochs\": 2", "\"seed\": 7", "\"validation_accuracies\": [",
          "\"test_accuracies\": [", "\"best_validation_accuracy\": ", "\"test_accuracy\": ",
          "\"seconds\": ", "\"images_per_second\": ", "\"compile_ms\": ", "\"last_cost\": ",
          "\"test_set\": \"held-out training digits\""})
        has(text.str(), field);

    const Result quiet = run("mnist --net shallow --epochs 1 --limit 1 --quiet");
    CHECK(quiet.exit_code == 0);
    CHECK(quiet.out.rfind("held-out training digits accuracy: ", 0) == 0);
    CHECK(quiet.out.find('\n') == quiet.out.size() - 1);
}

TEST_CASE("mnist: profile, report and modes") {
    const Folder folder;
    const std::string page = (folder.path / "step.html").string();
    const std::string run_of = "mnist --net shallow --epochs 1 --limit 20 ";
    const Result result = run(run_of + "--profile --report " + page);
    INFO("the output is: " << result.out);
    CHECK(result.exit_code == 0);
    for (const char* part : {"GFLOP/s", "op class", "llvm_machine_code", "canonicalize"})
        has(result.out, part);
    std::ifstream file(page);
    std::stringstream text;
    text << file.rdbuf();
    has(text.str(), "\"function\":\"train\"");
    has(text.str(), "\"calls\":20");
    for (const char* mode : {"fast_compile", "nan_guard"})
        CHECK(run(run_of + "--quiet --mode " + mode).exit_code == 0);
    // A learning rate that is far too large diverges; nan_guard says where.
    const Result diverged =
        run("mnist --net ciresan --epochs 1 --limit 60 --eta 1e9 --mode nan_guard");
    CHECK(diverged.exit_code == 1);
    has(diverged.out, "function 'train': ");
    has(diverged.out, "in the result of kernel '");
}

TEST_CASE("bench_step prints one line of JSON") {
    if (!has_program("bench_step")) {
        MESSAGE("skipped: built without benchmarks");
        return;
    }
    const Result result = run("bench_step --net shallow --threads 1 --seconds 0.05");
    INFO("the output is: " << result.out);
    CHECK(result.exit_code == 0);
    for (const char* field :
         {"{\"net\": \"shallow\", \"batch\": 10, \"threads\": 1, \"device\": \"cpu\"",
          "\"median_us\": ", "\"min_us\": ", "\"images_per_s\": ", "\"gflops\": ",
          "\"compile_ms\": ", "\"warm_compile_ms\": ", "\"kernels\": ", "\"arena_bytes\": "})
        has(result.out, field);
    CHECK(result.out.find("\"warm_compile_ms\": -") == std::string::npos);  // it was in the cache
    CHECK(result.out.find('\n') == result.out.size() - 1);
}

TEST_CASE("the small examples run") {
    const Folder folder;
    const Result logistic = run("logistic_regression");
    CHECK(logistic.exit_code == 0);
    has(logistic.out, "step   0: cost 0.6931");
    has(logistic.out, "errors: ");

    const Result second = run("second_derivative");
    CHECK(second.exit_code == 0);
    has(second.out, "x = 1: y = 1.367879, y' = 2.632121, y'' = 6.367879");
    has(second.out, "H v = f64[3] {10, 2, -106}");

    const Result lstm = run("lstm --steps 300 --length 50");
    CHECK(lstm.exit_code == 0);
    const std::size_t at = lstm.out.find("step   300: cost ");
    REQUIRE(at != std::string::npos);
    CHECK(std::stod(lstm.out.substr(at + 17)) < 1);  // it begins at 3.5
    const Result unread = run("lstm no_such_text");
    CHECK(unread.exit_code == 1);
    has(unread.out, "cannot read 'no_such_text'");

    const Result custom = run("custom_elementwise " + folder.path.string());
    CHECK(custom.exit_code == 0);
    has(custom.out, "mish  = f32[8] {");
    has(custom.out, "what the compiler made of it:\n  " + folder.path.string());
}
