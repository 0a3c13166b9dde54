// Compiled programs as bytes, for the disk cache.
#pragma once

#include <map>
#include <string_view>

#include "compiler/graph/graph.h"
#include "compiler/program/compiled.h"
#include "runtime/bytes.h"

namespace arete {

/// Thrown where a request has no key, or a program cannot be kept.
struct NoKey {};

/// Files of the graph's lines: a Loc points to a string of the program, not of the cache.
using Files = std::map<std::string_view, const char*>;

/// A compiled program without its loops, which native code has. Shared variables are written as
/// numbers of the graph's nodes; throws NoKey where it lacks one.
void write_program(ByteWriter& out, const Compiled& compiled, const Graph& graph);
/// Throws std::out_of_range where these bytes are not what write_program writes.
Compiled read_program(ByteReader& in, const Graph& graph, const Files& files);
/// Throws std::out_of_range where a program names what is not there. Its machine code is taken at
/// its word: the checksum is against damage, not against whoever may write to the folder.
void check_program(const Compiled& compiled, std::size_t inputs, std::size_t outputs);

}  // namespace arete
