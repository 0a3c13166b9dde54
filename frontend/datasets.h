// Data sets in IDX files, the format of MNIST.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "compiler/core/array.h"

namespace arete {

/// The first four bytes of MNIST's files, big-endian: two zeros, the type (8: u8), the axes.
inline constexpr std::uint32_t kIdxImages = 2051;
inline constexpr std::uint32_t kIdxLabels = 2049;

/// The array in an IDX file, gzip'ed or not: u8, i32, f32 or f64, of any rank. With `magic`, only
/// a file that starts with that number is taken. A DataError names the file, what was expected and
/// what was found: where it is missing, truncated, corrupt (gzip's checksum), of another kind, or
/// longer than its header says.
Array read_idx(const std::string& path, std::uint32_t magic = 0);

/// The same from memory; `name` stands for the file's name in errors.
Array read_idx(std::span<const std::byte> bytes, const std::string& name, std::uint32_t magic = 0);

/// Handwritten digits, split for training. Images are f32[n,784] in [0, 1], labels i32[n].
struct MnistData {
    Array train_x, train_y;
    Array valid_x, valid_y;
    Array test_x, test_y;
    std::string description;  ///< what this is, in a few words
    bool is_mnist = false;  ///< byte for byte the complete MNIST: its accuracies may be called that

    std::int64_t pixels() const { return train_x.shape(1); }
};

/// Images u8[n,h,w] and labels u8[n] of digits as f32[n,h*w] in [0, 1] and i32[n]. A DataError
/// names `name` where the counts differ or a label is no digit.
struct Digits {
    Array x, y;
};
Digits to_digits(const Array& images, const Array& labels, const std::string& name);

/// Rows [begin, end) of both, sharing their memory.
Digits rows(const Digits& digits, std::int64_t begin, std::int64_t end);

/// The four files of MNIST (train-images-idx3-ubyte and so on, each with or without .gz) in a
/// folder. The last sixth of the training file is for validation: 50,000, 10,000 and 10,000 digits.
MnistData load_mnist(const std::string& folder);

}  // namespace arete
