#include "compiler/core/dtype.h"

namespace arete {

std::string_view name(DType t) {
    switch (t) {
        case DType::Bool: return "bool";
        case DType::U8: return "u8";
        case DType::I32: return "i32";
        case DType::I64: return "i64";
        case DType::F32: return "f32";
        case DType::F64: return "f64";
    }
    return "?";
}

}  // namespace arete
