// NVRTC as a test sees it: the code that it makes is the text.
#include <cstddef>
#include <cstring>
#include <string>

namespace {
struct Program {
    std::string text;
};
}  // namespace

extern "C" {

int nvrtcVersion(int* major, int* minor) {
    *major = 13;
    *minor = 0;
    return 0;
}
int nvrtcCreateProgram(void** p, const char* text, const char*, int, const char* const*,
                       const char* const*) {
    *p = new Program{text};
    return 0;
}
int nvrtcDestroyProgram(void** p) {
    delete static_cast<Program*>(*p);
    *p = nullptr;
    return 0;
}
int nvrtcCompileProgram(void*, int, const char* const*) {
    return 0;
}
int nvrtcGetProgramLogSize(void*, std::size_t* n) {
    *n = 1;
    return 0;
}
int nvrtcGetProgramLog(void*, char* log) {
    *log = 0;
    return 0;
}
int nvrtcGetCUBINSize(void* p, std::size_t* n) {
    *n = static_cast<Program*>(p)->text.size() + 5;
    return 0;
}
int nvrtcGetCUBIN(void* p, char* to) {
    const std::string& text = static_cast<Program*>(p)->text;
    std::memcpy(to,
                "\x7f"
                "ELF",
                4);
    std::memcpy(to + 4, text.c_str(), text.size() + 1);
    return 0;
}
int nvrtcGetNumSupportedArchs(int* n) {
    *n = 3;
    return 0;
}
int nvrtcGetSupportedArchs(int* a) {
    a[0] = 80;
    a[1] = 90;
    a[2] = 100;
    return 0;
}
const char* nvrtcGetErrorString(int) {
    return "an error of the mock";
}

}  // extern "C"
