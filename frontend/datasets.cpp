#include "frontend/datasets.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include <zlib.h>

namespace arete {

namespace {

using Bytes = std::vector<std::byte>;
namespace fs = std::filesystem;

bool is_gzip(std::span<const std::byte> b) {
    return b.size() >= 2 && b[0] == std::byte{0x1f} && b[1] == std::byte{0x8b};
}

/// zlib's inflate with its state, freed however reading ends.
class Inflater {
  public:
    Inflater() {
        if (inflateInit2(&stream_, 15 + 16) != Z_OK)
            fail<DataError>({}, "zlib cannot be initialised");
    }
    ~Inflater() { inflateEnd(&stream_); }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    z_stream* operator->() { return &stream_; }
    z_stream* get() { return &stream_; }

  private:
    z_stream stream_{};
};

/// All members of a gzip stream, decompressed.
Bytes gunzip(std::span<const std::byte> in, const std::string& name) {
    constexpr std::size_t kPiece = 1 << 20;
    Bytes out;
    std::size_t filled = 0;
    while (!in.empty()) {
        if (!is_gzip(in))
            fail<DataError>({}, "{}: {} trailing bytes after the gzip data", name, in.size());
        Inflater z;
        z->next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
        z->avail_in = static_cast<uInt>(std::min<std::size_t>(in.size(), UINT32_MAX));
        int status = Z_OK;
        while (status != Z_STREAM_END) {
            out.resize(filled + kPiece);
            z->next_out = reinterpret_cast<Bytef*>(out.data() + filled);
            z->avail_out = static_cast<uInt>(kPiece);
            status = inflate(z.get(), Z_NO_FLUSH);
            filled += kPiece - z->avail_out;
            if (status == Z_BUF_ERROR || (status == Z_OK && z->avail_in == 0 && z->avail_out != 0))
                fail<DataError>({},
                                "{}: truncated: the gzip data ends after {} bytes, before its "
                                "checksum",
                                name, in.size());
            if (status != Z_OK && status != Z_STREAM_END)
                fail<DataError>({}, "{}: corrupt gzip data: {}", name,
                                z->msg ? z->msg : "unreadable");
        }
        in = in.subspan(z->total_in);
    }
    out.resize(filled);
    return out;
}

std::uint32_t big_endian(const std::byte* p) {
    std::uint32_t v = 0;
    for (int i = 0; i < 4; ++i) v = v << 8 | std::to_integer<std::uint32_t>(p[i]);
    return v;
}

/// The element type that the third byte of an IDX file names.
std::optional<DType> idx_dtype(std::uint32_t code) {
    switch (code) {
        case 0x08: return DType::U8;
        case 0x0c: return DType::I32;
        case 0x0d: return DType::F32;
        case 0x0e: return DType::F64;
        default: return std::nullopt;
    }
}

std::string describe_magic(std::uint32_t magic) {
    if (magic == kIdxImages) return "2051 (images: u8, 3 axes)";
    if (magic == kIdxLabels) return "2049 (labels: u8, 1 axis)";
    return fmt::format("{}", magic);
}

Array parse_idx(std::span<const std::byte> b, const std::string& name, std::uint32_t magic) {
    if (b.size() < 4)
        fail<DataError>({}, "{}: truncated: {} bytes, an IDX header has at least 8", name,
                        b.size());
    const std::uint32_t found = big_endian(b.data());
    const std::optional<DType> dtype = idx_dtype(found >> 8 & 0xff);
    if (magic != 0 && found != magic)
        fail<DataError>({}, "{}: wrong magic number: expected {}, found {}", name,
                        describe_magic(magic), describe_magic(found));
    if (found >> 16 != 0 || !dtype)
        fail<DataError>({},
                        "{}: not an IDX file: it starts with {:08x}, expected 0000, a type "
                        "(08: u8, 0c: i32, 0d: f32, 0e: f64) and the number of axes",
                        name, found);
    const std::size_t rank = found & 0xff;
    const std::size_t header = 4 + 4 * rank;
    if (b.size() < header)
        fail<DataError>({}, "{}: truncated: {} bytes, the header of {} axes has {}", name, b.size(),
                        rank, header);
    Sizes sizes;
    for (std::size_t i = 0; i < rank; ++i) sizes.push_back(big_endian(b.data() + 4 + 4 * i));

    const std::size_t have = b.size() - header;
    if (!sizes_fit(*dtype, sizes))
        fail<DataError>({}, "{}: corrupt: the header says {}", name, type_name(*dtype, sizes));
    const std::size_t need = size_of(*dtype) * static_cast<std::size_t>(count(sizes));
    if (have < need)
        fail<DataError>({}, "{}: truncated: the header says {}, that is {} bytes, found {}", name,
                        type_name(*dtype, sizes), need, have);
    if (have > need)
        fail<DataError>({}, "{}: {} trailing bytes: the header says {}, that is {} bytes, found {}",
                        name, have - need, type_name(*dtype, sizes), need, have);

    Array out(*dtype, sizes);
    auto* p = static_cast<std::byte*>(out.raw());
    if (need != 0) std::memcpy(p, b.data() + header, need);
    const std::size_t width = size_of(*dtype);
    if (std::endian::native == std::endian::little && width > 1)
        for (std::size_t i = 0; i < need; i += width) std::reverse(p + i, p + i + width);
    return out;
}

Bytes read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : -1;
    if (size < 0 || fs::is_directory(path))
        fail<DataError>({}, "{}: {}", path, fs::exists(path) ? "cannot be read" : "no such file");
    Bytes bytes(static_cast<std::size_t>(size));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(bytes.data()), size);
    if (!file) fail<DataError>({}, "{}: cannot be read", path);
    return bytes;
}

/// The file `stem`, plain or gzip'ed, in a folder.
std::string find_idx(const fs::path& folder, const std::string& stem) {
    for (const char* suffix : {"", ".gz"}) {
        const fs::path path = folder / (stem + suffix);
        if (fs::is_regular_file(path)) return path.string();
    }
    fail<DataError>({},
                    "{}: no such file, neither plain nor with .gz (MNIST is four files: "
                    "train-images-idx3-ubyte, train-labels-idx1-ubyte, "
                    "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte)",
                    (folder / stem).string());
}

/// One of MNIST's two parts: "train" or "t10k". `genuine` stays true where the bytes have these
/// checksums (CRC-32 of the elements of images and labels).
Digits read_digits(const fs::path& folder, const std::string& part, std::uint32_t images_crc,
                   std::uint32_t labels_crc, bool& genuine) {
    const std::string images_file = find_idx(folder, part + "-images-idx3-ubyte");
    const std::string labels_file = find_idx(folder, part + "-labels-idx1-ubyte");
    const Array images = read_idx(images_file, kIdxImages);
    const Array labels = read_idx(labels_file, kIdxLabels);
    const auto crc = [](const Array& a) {
        return crc32_z(0, static_cast<const Bytef*>(a.raw()), a.bytes());
    };
    genuine = genuine && crc(images) == images_crc && crc(labels) == labels_crc;
    return to_digits(images, labels, images_file + " and " + labels_file);
}

}  // namespace

Array read_idx(std::span<const std::byte> bytes, const std::string& name, std::uint32_t magic) {
    return with_memory({}, "data file", name, [&] {
        if (is_gzip(bytes)) return parse_idx(gunzip(bytes, name), name, magic);
        return parse_idx(bytes, name, magic);
    });
}

Array read_idx(const std::string& path, std::uint32_t magic) {
    return with_memory({}, "data file", path, [&] {
        return read_idx(std::span<const std::byte>(read_file(path)), path, magic);
    });
}

Digits to_digits(const Array& images, const Array& labels, const std::string& name) {
    if (images.dtype() != DType::U8 || images.rank() != 3)
        fail<DataError>({}, "{}: images are {}, expected u8 with 3 axes", name,
                        type_name(images.dtype(), images.shape()));
    if (labels.dtype() != DType::U8 || labels.rank() != 1)
        fail<DataError>({}, "{}: labels are {}, expected u8 with 1 axis", name,
                        type_name(labels.dtype(), labels.shape()));
    const std::int64_t n = images.shape(0);
    if (labels.shape(0) != n)
        fail<DataError>({}, "{}: {} images, but {} labels", name, n, labels.shape(0));

    Digits out{Array(DType::F32, {n, images.shape(1) * images.shape(2)}), Array(DType::I32, {n})};
    const auto pixels = images.values<std::uint8_t>();
    float* x = out.x.data<float>();
    for (std::size_t i = 0; i < pixels.size(); ++i) x[i] = static_cast<float>(pixels[i]) / 255.0f;
    const auto classes = labels.values<std::uint8_t>();
    auto* y = out.y.data<std::int32_t>();
    for (std::size_t i = 0; i < classes.size(); ++i) {
        if (classes[i] > 9)
            fail<DataError>({}, "{}: label {} is {}, expected 0 to 9", name, i, classes[i]);
        y[i] = classes[i];
    }
    return out;
}

Digits rows(const Digits& digits, std::int64_t begin, std::int64_t end) {
    const auto slice = [&](const Array& a) {
        Sizes sizes = a.shape();
        ARETE_CHECK(0 <= begin && begin <= end && end <= sizes[0], "rows {} to {} of {}", begin,
                    end, sizes[0]);
        const std::size_t row = sizes[0] ? a.bytes() / static_cast<std::size_t>(sizes[0]) : 0;
        sizes[0] = end - begin;
        auto* first =
            static_cast<std::byte*>(a.storage().get()) + row * static_cast<std::size_t>(begin);
        return Array(a.dtype(), std::move(sizes), std::shared_ptr<void>(a.storage(), first));
    };
    return {slice(digits.x), slice(digits.y)};
}

MnistData load_mnist(const std::string& folder) {
    if (!fs::is_directory(folder))
        fail<DataError>({}, "{}: no such folder (expected one with MNIST's four IDX files)",
                        folder);
    bool genuine = true;
    const Digits train = read_digits(folder, "train", 0xf3639b56, 0xba07e8ef, genuine);
    const Digits test = read_digits(folder, "t10k", 0xe4ca5f57, 0xee8604d9, genuine);
    if (train.x.shape(1) != test.x.shape(1))
        fail<DataError>({}, "{}: training images have {} pixels, test images {}", folder,
                        train.x.shape(1), test.x.shape(1));
    const std::int64_t n = train.x.shape(0);
    const std::int64_t validation = n / 6;
    const Digits first = rows(train, 0, n - validation), last = rows(train, n - validation, n);

    MnistData data{first.x, first.y, last.x, last.y, test.x, test.y, {}, genuine};
    data.description = fmt::format("{} in {}: {} training, {} validation, {} test digits",
                                   data.is_mnist ? "MNIST" : "digits", folder, n - validation,
                                   validation, test.x.shape(0));
    return data;
}

}  // namespace arete
