// Dropout, by the counter-based random numbers of gpunn/functions/randoms.py.

#pragma once
#include "sharing.hpp"

namespace gpunn {

constexpr std::uint32_t LAYERS = 1 << 10, LANE_BITS = 16;

static inline std::uint32_t mix(std::uint32_t x) {
    x ^= x >> 16;
    x *= 0x7FEB352D;
    x ^= x >> 15;
    x *= 0x846CA68B;
    return x ^ x >> 16;
}

// Which of n elements are kept, from number `first` on: 1 or 0. A hash has the lanes of two neighbours.
static void draw(std::uint32_t stream, std::uint32_t least, std::uint64_t first, Index n, T* mask) {
    if (first % 2 && n) {
        *mask++ = mix(mix(first / 2) ^ stream) >> LANE_BITS >= least;
        first++, n--;
    }
    const std::uint32_t begin = first / 2;
#pragma omp simd
    for (Index k = 0; k < n / 2; k++) {
        const std::uint32_t both = mix(mix(begin + std::uint32_t(k)) ^ stream);
        mask[2 * k] = (both & 0xFFFF) >= least ? T(1) : T(0);
        mask[2 * k + 1] = both >> LANE_BITS >= least ? T(1) : T(0);
    }
    if (n % 2) mask[n - 1] = (mix(mix(begin + std::uint32_t(n / 2)) ^ stream) & 0xFFFF) >= least;
}

// mask = 0 or 1 at random, a = from mask. first: columns of the mini-batch before these; ahead: as for SetRates.
struct Drop {
    Index n, ahead, m, first, layer, least;
    const T* from;
    Index apart;  // elements from column to column
    T *mask, *a;
    Index ld;

    void operator()(const Member& member, const Position& at) const {
        const std::uint32_t step = at.step + ahead, stream = mix(at.key ^ mix(step * LAYERS + std::uint32_t(layer)));
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            T* kept = mask + j * n;
            draw(stream, least, (first + j) * n, n, kept);
            const T* column = from + j * apart;
            T* into = a + j * ld;
#pragma omp simd
            for (Index i = 0; i < n; i++) into[i] = column[i] * kept[i];
        }
    }
};

}  // namespace gpunn
