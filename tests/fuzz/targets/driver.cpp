// Runs a fuzz target on its seeds, on files that are named, and on random mutations of both: the
// same ones on every machine.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/targets/target.h"

namespace {

std::string mutated(const std::vector<std::string>& corpus, std::mt19937_64& random) {
    const auto below = [&](std::size_t n) { return n ? random() % n : 0; };
    std::string s = corpus[below(corpus.size())];
    for (std::size_t turns = 1 + below(4); turns > 0; --turns) {
        const std::size_t at = below(s.size() + 1);
        switch (below(8)) {
            case 0:
                if (!s.empty()) s[below(s.size())] = static_cast<char>(random());
                break;
            case 1:
                if (!s.empty()) s[below(s.size())] ^= static_cast<char>(1 << below(8));
                break;
            case 2: s.resize(at); break;
            case 3: s.insert(at, 1 + below(9), static_cast<char>(random())); break;
            case 4: s.erase(at, 1 + below(9)); break;
            case 5: {
                // Numbers that programs trip over, of any width.
                static constexpr std::uint64_t numbers[] = {
                    0,          1,          0x7f,       0xff,       0x7fff,     0xffff,
                    0x7fffffff, 0xffffffff, 1ULL << 32, 1ULL << 62, ~0ULL >> 1, ~0ULL};
                const std::uint64_t v = numbers[below(std::size(numbers))];
                const bool big = below(2);
                const std::size_t width = std::size_t{1} << below(4);
                for (std::size_t k = 0; k < width && at + k < s.size(); ++k)
                    s[at + k] = static_cast<char>(v >> 8 * (big ? width - 1 - k : k));
                break;
            }
            case 6: {
                const std::string& other = corpus[below(corpus.size())];
                const std::size_t from = below(other.size() + 1);
                s = s.substr(0, at) + other.substr(from, below(64));
                break;
            }
            default: {
                const std::size_t n = below(std::min<std::size_t>(s.size() - at, 16) + 1);
                s.insert(at, s.substr(at, n));
                break;
            }
        }
    }
    return s;
}

void run(const std::string& s) {
    // In memory of exactly this size, so that a sanitizer sees what is read beyond.
    const std::vector<std::uint8_t> bytes(s.begin(), s.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::string> corpus = fuzz_seeds();
    long turns = 20'000;
    for (int k = 1; k < argc; ++k) {
        const std::string argument = argv[k];
        if (argument.starts_with("--turns=")) {
            turns = std::atol(argument.c_str() + 8);
            continue;
        }
        std::ifstream in(argument, std::ios::binary);
        if (!in) {
            std::fprintf(stderr, "cannot read %s\n", argv[k]);
            return 1;
        }
        corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
    for (const std::string& s : corpus) run(s);
    std::mt19937_64 random(1);
    for (long k = 0; k < turns; ++k) run(mutated(corpus, random));
    std::printf("%zu inputs and %ld mutations\n", corpus.size(), turns);
}
