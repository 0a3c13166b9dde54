#include "compiler/core/error.h"

#include <cstring>

namespace arete {

std::string Loc::str() const {
    if (!file) return {};
    const char* slash = std::strrchr(file, '/');
    return fmt::format("{}:{}", slash ? slash + 1 : file, line);
}

namespace {
std::string located(Loc loc, std::string_view message) {
    return loc ? fmt::format("{}: {}", loc.str(), message) : std::string(message);
}
}  // namespace

Error::Error(Loc loc, std::string_view message)
    : std::runtime_error(located(loc, message)), loc_(loc) {}

InternalError::InternalError(std::string_view message, Loc loc)
    : Error(loc, fmt::format("internal error: {} (a bug in Arete: please report this line and the "
                             "program that shows it)",
                             message)) {}

namespace {
// Made while there is memory; copying an exception takes none.
const MemoryError no_memory({}, "out of memory");
}  // namespace

void fail_without_memory(Loc loc, const char* what, std::string_view name) {
    try {
        if (name.empty()) fail<MemoryError>(loc, "{}: out of memory", what);
        fail<MemoryError>(loc, "{} '{}': out of memory", what, name);
    } catch (const std::bad_alloc&) {
        throw no_memory;
    }
}

}  // namespace arete
