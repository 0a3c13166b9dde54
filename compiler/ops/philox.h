// Philox 4x32-10 on the host: the generator behind every draw.
#pragma once

#include <cstdint>

namespace arete {

/// Replaces `counter` by the four random words that belong to it under `key`. J. Salmon,
/// M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11.
inline void philox4x32(std::uint32_t counter[4], const std::uint32_t key[2]) {
    std::uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
        const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
        const std::uint32_t c1 = counter[1], c3 = counter[3];
        counter[0] = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0;
        counter[1] = static_cast<std::uint32_t>(b);
        counter[2] = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
        counter[3] = static_cast<std::uint32_t>(a);
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
}

}  // namespace arete
