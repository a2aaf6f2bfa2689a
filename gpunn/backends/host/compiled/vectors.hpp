// Vectors in theta's layout, and the scalars of a step.

#pragma once
#include "functions.hpp"
#include "sharing.hpp"

namespace gpunn {

// Some of a layer's parameters: columns of n elements, of which the first n_in are those of features.
struct Block {
    Index n, n_in, size;

    Span owned(const Member& member) const {
        const Span own = features(n_in, member);
        return {std::min(own.begin * n, size), is_last(member) ? size : std::min(own.end * n, size)};
    }
};

// x = alpha x
struct Scale {
    Block block;
    const T* alpha;
    T* x;

    void operator()(const Member& member, const Position&) const {
        const Span own = block.owned(member);
        const T by = *alpha;
        for (Index i = own.begin; i < own.end; i++) x[i] *= by;
    }
};

// y = y + alpha x
struct Add {
    Block block;
    const T *alpha, *x;
    T* y;

    void operator()(const Member& member, const Position&) const {
        const Span own = block.owned(member);
        const T by = *alpha;
#pragma omp simd
        for (Index i = own.begin; i < own.end; i++) y[i] += by * x[i];
    }
};

// x = x - min(max(x, -limit), limit)
struct Shrink {
    Block block;
    const T* limit;
    T* x;

    void operator()(const Member& member, const Position&) const {
        const Span own = block.owned(member);
        const T most = *limit;
#pragma omp simd
        for (Index i = own.begin; i < own.end; i++) x[i] -= x[i] < -most ? -most : x[i] > most ? most : x[i];
    }
};

// A step of an optimizer's rule counts.
struct Count {
    double* steps;

    void operator()(const Member& member, const Position&) const {
        if (is_last(member)) ++*steps;
    }
};

// x moves along its gradient g by a rule with up to two states.
struct Step {
    Block block;
    Index rule;
    const double *constants, *steps;
    const T* eta;
    T *x, *g, *first, *second;

    void operator()(const Member& member, const Position&) const {
        const Span own = block.owned(member);
        Spelled::MOVE[rule](own.size(), constants, steps ? *steps : 0, *eta, x + own.begin, g + own.begin,
                   first ? first + own.begin : first, second ? second + own.begin : second);
    }
};

// Every scalar = p + q eta, with the eta of a step, `ahead` of the pass's
struct SetRates {
    Index count, ahead;
    const double *p, *q;
    T* values;

    void operator()(const Member& member, const Position& at) const {
        if (!is_last(member)) return;
        const double eta = at.etas[at.step + ahead];
        for (Index i = 0; i < count; i++) values[i] = p[i] + q[i] * eta;
    }
};

}  // namespace gpunn
