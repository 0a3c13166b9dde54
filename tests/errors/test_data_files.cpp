// Data files that are missing, truncated, corrupt or something else.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <unistd.h>
#include <zlib.h>

#include "frontend/datasets.h"

using namespace arete;
namespace fs = std::filesystem;

namespace {

using Bytes = std::vector<unsigned char>;

/// A folder of its own, removed at the end.
class Folder {
  public:
    Folder() : path_(fs::temp_directory_path() / fmt::format("arete_test_{}", getpid())) {
        fs::create_directories(path_);
    }
    ~Folder() { fs::remove_all(path_); }
    std::string file(const std::string& name) const { return (path_ / name).string(); }
    std::string write(const std::string& name, const Bytes& bytes) const {
        std::ofstream out(file(name), std::ios::binary);
        out.write(reinterpret_cast<const char*>(bytes.data()),
                  static_cast<std::streamsize>(bytes.size()));
        return file(name);
    }
    std::string path() const { return path_.string(); }

  private:
    fs::path path_;
};

/// An IDX file of bytes that count up from 0, modulo `modulus`.
Bytes idx(std::vector<std::uint32_t> sizes, unsigned modulus = 256, unsigned char type = 8) {
    Bytes out{0, 0, type, static_cast<unsigned char>(sizes.size())};
    std::size_t n = 1;
    for (const std::uint32_t s : sizes) {
        for (int shift = 24; shift >= 0; shift -= 8)
            out.push_back(static_cast<unsigned char>(s >> shift));
        n *= s;
    }
    for (std::size_t i = 0; i < n; ++i) out.push_back(static_cast<unsigned char>(i % modulus));
    return out;
}

Bytes gzip(const Folder& folder, const Bytes& bytes) {
    const std::string path = folder.file("scratch.gz");
    gzFile f = gzopen(path.c_str(), "wb");
    gzwrite(f, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(f);
    std::ifstream in(path, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(in), {});
}

/// The message of the DataError that f throws.
template <class F>
std::string error(F f) {
    try {
        f();
    } catch (const DataError& e) {
        return e.what();
    }
    return "no DataError";
}
std::string read_error(const std::string& path, std::uint32_t magic = 0) {
    return error([&] { read_idx(path, magic); });
}
void has(const std::string& text, const std::string& part) {
    INFO("the message is: " << text);
    CHECK(text.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("IDX files: plain and gzip'ed, of several types") {
    const Folder folder;
    const Bytes bytes = idx({2, 3, 4});
    for (const std::string& path : {folder.write("plain", bytes),
                                    folder.write("zipped", gzip(folder, bytes))}) {
        const Array a = read_idx(path, kIdxImages);
        CHECK(a.dtype() == DType::U8);
        CHECK(a.shape() == Sizes{2, 3, 4});
        for (std::int64_t i = 0; i < 24; ++i) CHECK(a.as_int(i) == i);
    }
    const Array numbers = read_idx(folder.write("i32", {0, 0, 0x0c, 1, 0, 0, 0, 2, 0, 0, 1, 2,  //
                                                        255, 255, 255, 254}));
    CHECK(numbers.dtype() == DType::I32);
    CHECK(numbers.as_int(0) == 258);
    CHECK(numbers.as_int(1) == -2);
    const Array reals = read_idx(folder.write("f32", {0, 0, 0x0d, 1, 0, 0, 0, 1, 0x3f, 0xc0, 0, 0}));
    CHECK(reals.item<float>() == 1.5f);
    CHECK(read_idx(folder.write("empty", {0, 0, 8, 1, 0, 0, 0, 0})).size() == 0);
}

TEST_CASE("IDX files: what is wrong is named, with the file") {
    const Folder folder;
    const Bytes good = idx({2, 3, 4});
    const Bytes zipped = gzip(folder, good);

    const std::string missing = folder.file("missing");
    CHECK(read_error(missing) == missing + ": no such file");
    CHECK(read_error(folder.path()) == folder.path() + ": cannot be read");

    Bytes cut(good.begin(), good.end() - 1);
    CHECK(read_error(folder.write("cut", cut)) ==
          folder.file("cut") +
              ": truncated: the header says u8[2,3,4], that is 24 bytes, found 23");
    cut.resize(10);
    CHECK(read_error(folder.write("cut", cut)) ==
          folder.file("cut") + ": truncated: 10 bytes, the header of 3 axes has 16");
    cut.resize(3);
    has(read_error(folder.write("cut", cut)), "truncated: 3 bytes");
    has(read_error(folder.write("cut", {})), "truncated: 0 bytes");

    Bytes longer = good;
    longer.push_back(0);
    has(read_error(folder.write("longer", longer)), "1 trailing bytes: the header says u8[2,3,4]");
    longer = zipped;
    longer.push_back(7);
    has(read_error(folder.write("longer", longer)), "1 trailing bytes after the gzip data");

    has(read_error(folder.write("cut.gz", Bytes(zipped.begin(), zipped.end() - 9))),
        "truncated: the gzip data ends");
    has(read_error(folder.write("cut.gz", Bytes(zipped.begin(), zipped.end() - 3))),
        "truncated: the gzip data ends");
    has(read_error(folder.write("cut.gz", Bytes(zipped.begin(), zipped.begin() + 5))),
        "truncated: the gzip data ends");
    Bytes corrupt = zipped;
    corrupt[corrupt.size() - 8] ^= 1;  // the checksum
    CHECK(read_error(folder.write("corrupt.gz", corrupt)) ==
          folder.file("corrupt.gz") + ": corrupt gzip data: incorrect data check");
    corrupt = zipped;
    corrupt[12] ^= 0xff;
    has(read_error(folder.write("corrupt.gz", corrupt)), "gzip data");

    CHECK(read_error(folder.write("text", {'h', 'e', 'l', 'l', 'o'})) ==
          folder.file("text") + ": not an IDX file: it starts with 68656c6c, expected 0000, a type "
                                "(08: u8, 0c: i32, 0d: f32, 0e: f64) and the number of axes");
    CHECK(read_error(folder.write("labels", idx({5})), kIdxImages) ==
          folder.file("labels") + ": wrong magic number: expected 2051 (images: u8, 3 axes), found "
                                  "2049 (labels: u8, 1 axis)");
    Bytes huge{0, 0, 8, 3};
    huge.resize(16, 0xff);
    has(read_error(folder.write("huge", huge)), "corrupt: the header says");
}

TEST_CASE("MNIST folders: missing files, and images and labels that do not fit together") {
    const Folder folder;
    const auto load_error = [&] { return error([&] { load_mnist(folder.path()); }); };
    CHECK(error([&] { load_mnist(folder.file("nowhere")); }) ==
          folder.file("nowhere") +
              ": no such folder (expected one with MNIST's four IDX files)");
    has(load_error(), folder.file("train-images-idx3-ubyte") + ": no such file");

    folder.write("train-images-idx3-ubyte", idx({12, 2, 2}));
    folder.write("train-labels-idx1-ubyte", idx({12}, 10));
    folder.write("t10k-images-idx3-ubyte.gz", gzip(folder, idx({3, 2, 2})));
    has(load_error(), folder.file("t10k-labels-idx1-ubyte") + ": no such file");

    folder.write("t10k-labels-idx1-ubyte", idx({4}, 10));
    has(load_error(), "3 images, but 4 labels");
    folder.write("t10k-labels-idx1-ubyte", idx({3, 1, 1}, 10));
    has(load_error(), "wrong magic number: expected 2049");
    folder.write("t10k-labels-idx1-ubyte", {0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 10});
    has(load_error(), "label 2 is 10, expected 0 to 9");

    folder.write("t10k-labels-idx1-ubyte", idx({3}, 10));
    const MnistData data = load_mnist(folder.path());
    CHECK(!data.is_mnist);
    CHECK(data.train_x.shape() == Sizes{10, 4});
    CHECK(data.valid_x.shape() == Sizes{2, 4});
    CHECK(data.test_x.shape() == Sizes{3, 4});
    CHECK(data.train_x.as_double(39) == doctest::Approx(39 / 255.0));
    CHECK(data.valid_x.as_double(0) == doctest::Approx(40 / 255.0));
    CHECK(data.valid_y.as_int(0) == 0);
    CHECK(data.valid_y.as_int(1) == 1);

    folder.write("t10k-images-idx3-ubyte.gz", gzip(folder, idx({3, 2, 3})));
    has(load_error(), "training images have 4 pixels, test images 6");
}
