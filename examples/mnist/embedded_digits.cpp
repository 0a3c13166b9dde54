#include "examples/mnist/embedded_digits.h"

// The assembler copies both files into the read-only data of the executable. The CMake file defines
// ARETE_DIGITS and makes this file depend on the data.
asm(".pushsection .rodata\n"
    ".balign 64\n"
    ".global arete_digits_images, arete_digits_images_end\n"
    ".global arete_digits_labels, arete_digits_labels_end\n"
    "arete_digits_images:\n"
    ".incbin \"" ARETE_DIGITS "/digits-10k-images-idx3-ubyte.gz\"\n"
    "arete_digits_images_end:\n"
    ".balign 64\n"
    "arete_digits_labels:\n"
    ".incbin \"" ARETE_DIGITS "/digits-10k-labels-idx1-ubyte.gz\"\n"
    "arete_digits_labels_end:\n"
    ".popsection\n");

extern "C" {
#define ARETE_HIDDEN [[gnu::visibility("hidden")]]
ARETE_HIDDEN extern const std::byte arete_digits_images[];
ARETE_HIDDEN extern const std::byte arete_digits_images_end[];
ARETE_HIDDEN extern const std::byte arete_digits_labels[];
ARETE_HIDDEN extern const std::byte arete_digits_labels_end[];
#undef ARETE_HIDDEN
}

namespace arete {

MnistData load_embedded_digits() {
    const std::string name = "embedded digits";
    const Array images = read_idx(std::span(arete_digits_images, arete_digits_images_end),
                                  name + " (images)", kIdxImages);
    const Array labels = read_idx(std::span(arete_digits_labels, arete_digits_labels_end),
                                  name + " (labels)", kIdxLabels);
    const Digits all = to_digits(images, labels, name);
    const Digits train = rows(all, 0, 8000), valid = rows(all, 8000, 9000),
                 test = rows(all, 9000, 10000);
    return {train.x, train.y, valid.x, valid.y, test.x, test.y,
            "embedded digits: 8,000 training, 1,000 validation, 1,000 held-out training digits",
            false};
}

}  // namespace arete
