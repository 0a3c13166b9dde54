// The disk cache of compiled programs: when it hits, that a hit is the same program, and that no
// state of its folder can make a compilation fail or a wrong program run.
#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "runtime/program_cache.h"
#include "tests/support.h"
#include "tests/temporary_folder.h"

using namespace arete;
using test::message_of;
namespace fs = std::filesystem;

namespace {

/// A folder for a cache.
struct Folder : test::TemporaryFolder {
    std::vector<std::string> files() const {
        std::vector<std::string> out;
        if (fs::exists(path))
            for (const auto& entry : fs::directory_iterator(path)) out.push_back(entry.path());
        return out;
    }
};

Options caching_in(const std::string& folder) {
    Options o = Options::from_environment();
    o.cache_dir = folder;
    return o;
}

// What a call did, and where its program came from.
struct Outcome {
    Array y, w;
    int from_cache;
};

// A function with all that a program refers to: constants, shared variables, inputs, checks.
Function build(const Options& options, const Expr& w, bool profile = false) {
    const auto x = matrix<float>("x");
    const auto i = vector<std::int64_t>("i");
    std::vector<float> numbers(12);
    for (std::size_t k = 0; k < numbers.size(); ++k) numbers[k] = static_cast<float>(k) * 0.5f;
    const Expr table = constant(Array(numbers, {4, 3}));
    const Expr y = softmax(dot(x, w)) + table(i);
    return function({.inputs = {x, i},
                     .outputs = {y},
                     .updates = {{w, w - 0.1f * grad(sum(sqr(y)), w)}},
                     .name = "cached",
                     .profile = profile,
                     .options = options});
}

Outcome run(const Options& options, std::int64_t rows = 4, bool profile = false) {
    const auto w = shared(Generator(1).uniform({5, 3}, -1, 1), "w");
    const Function f = build(options, w, profile);
    std::vector<std::int64_t> at;
    for (std::int64_t k = 0; k < rows; ++k) at.push_back((k * 3 + 1) % 4);
    Array y = f(Generator(2).uniform({rows, 5}, -1, 1), Array(at))[0];
    return {y, w.get_value(), f.stats().from_cache};
}

void same_outcome(const Outcome& a, const Outcome& b) {
    CHECK(a.y.equals(b.y));
    CHECK(a.w.equals(b.w));
}

std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

TEST_CASE("a program is compiled once and found again") {
    Folder folder;
    const Options options = caching_in(folder.path + "/made/when/needed");
    const Outcome first = run(options), second = run(options);
    CHECK(first.from_cache == 0);
    CHECK(second.from_cache == 1);
    same_outcome(first, second);
    const Outcome without = run(caching_in(""));
    CHECK(without.from_cache == 0);
    same_outcome(first, without);
}

TEST_CASE("other shapes, machines and options are other programs") {
    Folder folder;
    const Options options = caching_in(folder.path);
    CHECK(run(options, 4).from_cache == 0);
    CHECK(run(options, 5).from_cache == 0);
    Options narrow = options;
    narrow.cpu = "baseline";
    if (options.cpu != "baseline") CHECK(run(narrow, 4).from_cache == 0);
    CHECK(run(options, 4, true).from_cache == 0);
    // A number of threads is none: the code is the same.
    Options threads = options;
    threads.num_threads = 2;
    CHECK(run(threads, 5).from_cache == 1);
    // Constants are part of a program.
    auto scaled = [&](float by) {
        const auto x = vector<float>("x");
        const Function f = function({.inputs = {x},
                                     .outputs = {x * constant(Array(std::vector<float>{by, 1}))},
                                     .options = options});
        const Array y = f(std::vector<float>{1, 1})[0];
        CHECK(y.data<float>()[0] == by);
        return f.stats().from_cache;
    };
    CHECK(scaled(2) == 0);
    CHECK(scaled(3) == 0);
    CHECK(scaled(2) == 1);
}

TEST_CASE("a program from the cache names the lines of its errors, and profiles") {
    Folder folder;
    const Options options = caching_in(folder.path);
    std::string messages[2];
    for (std::string& message : messages) {
        const auto w = shared(zeros<float>({5, 3}), "w");
        const Function f = build(options, w, true);
        message = message_of([&] {
            f(zeros<float>({2, 5}), Array(std::vector<std::int64_t>{1, 4}));
        });
        CHECK(w.get_value().equals(zeros<float>({5, 3})));
        f(zeros<float>({2, 5}), Array(std::vector<std::int64_t>{1, 3}));
        bool named = false;
        for (const KernelProfile& k : f.profile())
            named = named || k.lines.find("test_program_cache.cpp:") != std::string::npos;
        CHECK(named);
        CHECK(f.stats().from_cache == (&message == messages ? 0 : 1));
    }
    CHECK(messages[0].find("test_program_cache.cpp:") == 0);
    CHECK(messages[0] == messages[1]);
}

TEST_CASE("random streams and shared variables keep their places in a cached program") {
    Folder folder;
    const Options options = caching_in(folder.path);
    std::vector<Array> seen[2];
    for (auto& out : seen) {
        RandomStream random(5);
        const auto a = shared(Array(1.0f), "a"), b = shared(Array(2.0f), "b");
        const Function f = function({.outputs = {random.uniform({9}), random.uniform({9}), a - b},
                                     .updates = {{a, b}, {b, a}},
                                     .options = options});
        for (int k = 0; k < 3; ++k)
            for (Array& y : f()) out.push_back(y);
        out.push_back(a.get_value());
        CHECK(f.stats().from_cache == (&out == seen ? 0 : 1));
    }
    REQUIRE(seen[0].size() == seen[1].size());
    for (std::size_t k = 0; k < seen[0].size(); ++k) CHECK(seen[0][k].equals(seen[1][k]));
    CHECK(!seen[0][0].equals(seen[0][1]));  // two streams, which differ by their ids alone
}

TEST_CASE("a damaged or foreign file is not used, and replaced") {
    Folder folder;
    const Options options = caching_in(folder.path);
    const Outcome right = run(options);
    REQUIRE(folder.files().size() == 1);
    const std::string path = folder.files()[0], good = contents(path);
    auto must_miss = [&](const std::string& bytes, const std::string& what) {
        INFO(what);
        write(path, bytes);
        const Outcome now = run(options);
        CHECK(now.from_cache == 0);
        same_outcome(now, right);
        CHECK(run(options).from_cache == 1);
    };
    for (std::size_t length : {std::size_t{0}, std::size_t{5}, std::size_t{12}, std::size_t{24},
                               good.size() / 3, good.size() - 9, good.size() - 1})
        must_miss(good.substr(0, length), fmt::format("cut to {} bytes", length));
    must_miss(good + std::string(8, '\0'), "something behind it");
    must_miss("not such a file at all", "text");
    std::set<std::size_t> places;
    for (std::size_t k = 0; k < 24; ++k) places.insert(k);
    for (std::size_t k = 0; k < 40; ++k) places.insert(k * (good.size() - 1) / 39);
    for (std::size_t place : places) {
        std::string bytes = good;
        bytes[place] = static_cast<char>(bytes[place] ^ (1 << (place % 8)));
        must_miss(bytes, fmt::format("byte {} flipped", place));
    }
    // Sound by its checksum, but of another Arete: its build id stands in the key.
    const std::size_t at = good.find(build_id);
    REQUIRE(at != std::string::npos);
    std::string other = good;
    other[at] = other[at] == '0' ? '1' : '0';
    constexpr std::size_t head = 16;  // magic and checksum
    const std::uint64_t old_sum = digest(std::string_view(good).substr(head), 0xa4093822299f31d0);
    REQUIRE(std::memcmp(&old_sum, good.data() + 8, 8) == 0);
    const std::uint64_t sum = digest(std::string_view(other).substr(head), 0xa4093822299f31d0);
    std::memcpy(other.data() + 8, &sum, 8);
    must_miss(other, "another build");
    // Sound by its checksum and of this key, but not machine code.
    std::string broken = good;
    const std::size_t elf = broken.find("\177ELF");
    REQUIRE(elf != std::string::npos);
    broken[elf] = 'x';
    const std::uint64_t broken_sum =
        digest(std::string_view(broken).substr(head), 0xa4093822299f31d0);
    std::memcpy(broken.data() + 8, &broken_sum, 8);
    must_miss(broken, "machine code that does not link");
}

TEST_CASE("what has a program's name and is no file is passed over") {
    Folder folder;
    const Options options = caching_in(folder.path);
    const Outcome right = run(options);
    REQUIRE(folder.files().size() == 1);
    const std::string path = folder.files()[0];
    for (const int kind : {0, 1, 2}) {
        CAPTURE(kind);
        fs::remove_all(path);
        if (kind == 0) REQUIRE(::mkfifo(path.c_str(), 0600) == 0);  // nobody will ever write to it
        if (kind == 1) fs::create_directory(path);
        if (kind == 2) fs::create_symlink("/dev/zero", path);
        const Outcome now = run(options);
        CHECK(now.from_cache == 0);
        same_outcome(now, right);
    }
}

TEST_CASE("a folder that cannot be used costs nothing but the time to compile") {
    Folder folder;
    const Outcome right = run(caching_in(""));
    // Below a file; where not even root can write; a folder in the file's place.
    write(folder.path + "/file", "x");
    for (const std::string& path : {folder.path + "/file/cache", std::string("/proc/arete"),
                                    std::string(5000, 'x'), std::string("/dev/null")}) {
        const Outcome now = run(caching_in(path)), again = run(caching_in(path));
        CHECK(now.from_cache + again.from_cache == 0);
        same_outcome(now, right);
        same_outcome(again, right);
    }
    const std::string inside = folder.path + "/cache";
    run(caching_in(inside));
    for (const auto& entry : fs::directory_iterator(inside)) {
        const fs::path file = entry.path();
        fs::remove(file);
        fs::create_directories(file / "sub");
        break;
    }
    same_outcome(run(caching_in(inside)), right);
    CHECK(std::distance(fs::directory_iterator(inside), fs::directory_iterator()) == 1);
}

TEST_CASE("a disk that is full leaves no file behind") {
    Folder folder;
    const Options options = caching_in(folder.path);
    // A limit on the size of files fails writes as a full disk does.
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit small{1000, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const Outcome full = run(options);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    std::signal(SIGXFSZ, old_handler);
    CHECK(full.from_cache == 0);
    CHECK(folder.files().empty());
    same_outcome(full, run(options));
    CHECK(folder.files().size() == 1);
}

TEST_CASE("a cache that has grown too large loses what was not used for longest") {
    using Clock = fs::file_time_type::clock;
    Folder folder;
    const Options options = caching_in(folder.path);
    run(options);
    const std::string used = folder.files().at(0);
    const auto age = [](const std::string& path, int hours) {
        fs::last_write_time(path, Clock::now() - std::chrono::hours(hours));
    };
    age(used, 100);
    CHECK(run(options).from_cache == 1);  // now it is the last one used
    CHECK(fs::last_write_time(used) > Clock::now() - std::chrono::hours(1));
    const std::uint64_t size = fs::file_size(used);
    std::vector<std::string> old;
    for (int k = 0; k < 7; ++k) {
        old.push_back(fmt::format("{}/{:032x}.arete{}", folder.path, k, k == 3 ? ".17.1" : ""));
        write(old.back(), std::string(size, 'x'));
        age(old.back(), 50 - k);
    }
    const std::string foreign = folder.path + "/notes.txt";
    write(foreign, std::string(size, 'x'));
    age(foreign, 1000);
    trim_cache(folder.path, 8 * size);
    CHECK(folder.files().size() == 9);
    trim_cache(folder.path, 8 * size - 1);  // down to five
    CHECK(folder.files().size() == 6);
    for (int k = 0; k < 7; ++k) CHECK(fs::exists(old[k]) == (k >= 3));
    CHECK(fs::exists(foreign));
    CHECK(run(options).from_cache == 1);
    trim_cache(folder.path, 0);
    CHECK(folder.files() == std::vector{foreign});
    trim_cache(folder.path + "/none", 0);
    CHECK(run(options).from_cache == 0);
}

TEST_CASE("the cache is off where the environment says so, and where stages are dumped") {
    const std::string kept = std::getenv("ARETE_CACHE_DIR");
    for (const char* value : {"", "off"}) {
        ::setenv("ARETE_CACHE_DIR", value, 1);
        CHECK(Options::from_environment().cache_dir.empty());
    }
    ::setenv("ARETE_CACHE_DIR", "/somewhere", 1);
    CHECK(Options::from_environment().cache_dir == "/somewhere");
    ::unsetenv("ARETE_CACHE_DIR");
    CHECK(Options::from_environment().cache_dir ==
          std::string(std::getenv("XDG_CACHE_HOME")) + "/arete");
    ::setenv("ARETE_CACHE_DIR", kept.c_str(), 1);

    Folder folder;
    Options options = caching_in(folder.path + "/cache");
    options.dump = {Stage::Loops};
    options.dump_dir = folder.path + "/dump";
    for (int k = 0; k < 2; ++k) CHECK(run(options).from_cache == 0);
    CHECK(!fs::exists(options.cache_dir));
}

TEST_CASE("functions with ops of one's own are not cached") {
    // Two rows of one name: what they do is not known from it.
    static constinit const OpDef twice{.info = {.name = "mine"},
                                       .doc = "2 x",
                                       .infer = infer_elementwise_float,
                                       .scalar = [](const ScalarArgs& x) { return x[0] * 2.0; }};
    static constinit const OpDef thrice{.info = {.name = "mine"},
                                        .doc = "3 x",
                                        .infer = infer_elementwise_float,
                                        .scalar = [](const ScalarArgs& x) { return x[0] * 3.0; }};
    Folder folder;
    for (const auto& [op, factor] : {std::pair(&twice, 2.0f), std::pair(&thrice, 3.0f)}) {
        const auto x = vector<float>("x");
        const Function f = function({.inputs = {x},
                                     .outputs = {apply(*op, {x}, {}, {})},
                                     .options = caching_in(folder.path)});
        CHECK(f(std::vector<float>{1})[0].data<float>()[0] == factor);
    }
    CHECK(folder.files().empty());
}

// Run by the test below, in processes of their own.
TEST_CASE("one of several processes" * doctest::skip()) {
    const char* folder = std::getenv("ARETE_TEST_SHARED_CACHE");
    REQUIRE(folder);
    const Outcome right = run(caching_in(""));
    for (int k = 0; k < 10; ++k)
        for (std::int64_t rows : {4, 3, 2}) {
            const Outcome now = run(caching_in(folder), rows);
            if (rows == 4) same_outcome(now, right);
            CHECK(now.w.size() == 15);
            // Others may read while this one takes files away.
            if (k % 4 == 3 && rows == 2) {
                std::error_code error;
                for (const auto& entry : fs::directory_iterator(folder, error))
                    fs::remove(entry.path(), error);
            }
        }
}

TEST_CASE("eight processes at once share a folder") {
    Folder folder;
    const std::string self = fs::read_symlink("/proc/self/exe");
    std::vector<FILE*> children;
    for (int k = 0; k < 8; ++k)
        children.push_back(::popen(fmt::format("ARETE_TEST_SHARED_CACHE='{}' '{}' --no-skip "
                                               "--test-case='one of several processes' 2>&1",
                                               folder.path, self)
                                       .c_str(),
                                   "r"));
    for (FILE* child : children) {
        REQUIRE(child);
        std::string text;
        char part[4096];
        while (std::size_t n = std::fread(part, 1, sizeof part, child)) text.append(part, n);
        const int status = ::pclose(child);
        CHECK_MESSAGE((WIFEXITED(status) && WEXITSTATUS(status) == 0), text);
        CHECK_MESSAGE(text.find("1 passed") != std::string::npos, text);
    }
    // What they left is whole: no file of a name that is only written to, and all can be read.
    run(caching_in(folder.path));
    CHECK(run(caching_in(folder.path)).from_cache == 1);
    for (const std::string& path : folder.files())
        CHECK_MESSAGE(fs::path(path).extension() == ".arete", path);
}
