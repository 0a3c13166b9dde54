// A structured fuzz target: what libFuzzer calls, and what it starts from. Without libFuzzer,
// driver.cpp replays the same with mutations of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// Must return, without a sanitizer's complaint, whatever the bytes are.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

/// Inputs that are right, or nearly so: mutations start from these.
std::vector<std::string> fuzz_seeds();
