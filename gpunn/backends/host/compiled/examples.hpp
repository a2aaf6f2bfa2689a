// The examples of a mini-batch, gathered.

#pragma once
#include "sharing.hpp"

namespace gpunn {

constexpr Index AHEAD = 4;  // examples that are fetched ahead

// x[:n, j] = X[:, order[j]]
template <class S>
struct Gather {
    const S* X;
    Index apart, n, m;  // apart: elements from example to example
    T* x;
    Index ld;

    void operator()(const Member& member, const Position& at) const {
        const Span own = features(n, member);
        for (Index j = 0; j < m; j++) {
            const S* from = X + at.order[at.example + j] * apart;
            T* into = x + j * ld;
            if (j + AHEAD < m) {
                const S* later = X + at.order[at.example + j + AHEAD] * apart;
                for (Index i = own.begin; i < own.end; i += 64 / sizeof(S)) __builtin_prefetch(later + i);
            }
            // a vector that does not cross cache lines is written several times as fast
            const Index crossed = bits_of<std::uintptr_t>(into + own.begin) % 64 / sizeof(T);
            const Index whole = std::min(own.end, own.begin + (64 / Index(sizeof(T)) - crossed));
            for (Index i = own.begin; i < whole; i++) into[i] = T(from[i]);
#pragma omp simd
            for (Index i = whole; i < own.end; i++) into[i] = T(from[i]);
        }
    }
};

// labels = those of the examples, y = on at the label and off elsewhere; a single output is on for class 1.
struct Labels {
    const Index* from;
    Index n, m;
    Index* labels;
    T* y;
    const T* on_and_off;

    void operator()(const Member& member, const Position& at) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            const Index label = labels[j] = from[at.order[at.example + j]];
            for (Index i = 0; i < n; i++) y[i + j * n] = on_and_off[n == 1 ? label != 1 : i != label];
        }
    }
};

}  // namespace gpunn
