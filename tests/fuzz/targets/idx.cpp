// IDX files, plain and gzip'ed: an array or a DataError.
#include <span>

#include <zlib.h>

#include "frontend/datasets.h"
#include "tests/fuzz/targets/target.h"

using namespace arete;

namespace {

std::string idx(char type, const std::vector<std::uint32_t>& sizes, std::size_t bytes) {
    std::string out{'\0', '\0', type, static_cast<char>(sizes.size())};
    for (const std::uint32_t s : sizes)
        for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(s >> shift);
    for (std::size_t k = 0; k < bytes; ++k) out += static_cast<char>(k);
    return out;
}

std::string gzip(const std::string& s) {
    z_stream z{};
    if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
    std::string out(s.size() + 100, '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(s.data()));
    z.avail_in = static_cast<uInt>(s.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    deflate(&z, Z_FINISH);
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
    std::vector<std::string> out{idx(8, {2, 3, 3}, 18),
                                 idx(8, {7}, 7),
                                 idx(0x0c, {2}, 8),
                                 idx(0x0d, {1, 2}, 8),
                                 idx(0x0e, {}, 8),
                                 idx(8, {0, 5}, 0),
                                 idx(8, {0xffffffff, 0xffffffff, 0}, 0),
                                 {},
                                 std::string(8, '\0')};
    for (std::size_t k = 0; k < 6; ++k) out.push_back(gzip(out[k]));
    return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
    for (const std::uint32_t magic : {0U, kIdxImages, kIdxLabels}) {
        try {
            const Array a = read_idx(bytes, "fuzzed", magic);
            // What is said to be there is.
            volatile unsigned char last = 0;
            if (a.bytes() > 0) last = static_cast<const unsigned char*>(a.raw())[a.bytes() - 1];
            (void)last;
            if (a.rank() == 3 && a.shape(0) < 1000)
                to_digits(a, Array(DType::U8, {a.shape(0)}), "fuzzed");
        } catch (const DataError&) {
        }
    }
    return 0;
}
