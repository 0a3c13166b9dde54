# Writes OUT, a source file with a digest of the sources under ROOT (and of SALT: the compiler and
# its flags). Programs that were compiled by another Arete are not to be taken from the disk cache.
file(GLOB_RECURSE sources ${ROOT}/compiler/*.cpp ${ROOT}/compiler/*.h ${ROOT}/runtime/*.cpp
     ${ROOT}/runtime/*.h)
list(SORT sources)
set(all "${SALT}")
foreach(source ${sources})
    file(SHA256 ${source} digest)
    string(APPEND all " ${digest}")
endforeach()
string(SHA256 id "${all}")
file(WRITE ${OUT} "namespace arete {\nextern const char* const build_id;\n"
     "const char* const build_id = \"${id}\";\n}  // namespace arete\n")
