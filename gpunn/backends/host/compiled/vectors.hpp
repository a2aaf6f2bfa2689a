// Vectors in theta's layout, and the scalars of a step.

#pragma once
#include "functions.hpp"
#include "sharing.hpp"

namespace gpunn {

constexpr Index SCALE = 9, ADD = 10, STEP = 11;  // codes: see operations.py

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

    void operator()(const Member& member, const Position&) const { move(block.owned(member)); }

    void move(Span own) const {
        const T by = *alpha;
        for (Index i = own.begin; i < own.end; i++) x[i] *= by;
    }
};

// y = y + alpha x
struct Add {
    Block block;
    const T *alpha, *x;
    T* y;

    void operator()(const Member& member, const Position&) const { move(block.owned(member)); }

    void move(Span own) const {
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

    void operator()(const Member& member, const Position&) const { move(block.owned(member)); }

    void move(Span own) const {
        const T most = *limit;
#pragma omp simd
        for (Index i = own.begin; i < own.end; i++) x[i] -= x[i] < -most ? -most : x[i] > most ? most : x[i];
    }
};

// x moves along its gradient g by a rule with up to two states.
struct Step {
    Block block;
    Index rule;
    const double *constants, *steps;
    const T* eta;
    T *x, *g, *first, *second;

    void operator()(const Member& member, const Position&) const { move(block.owned(member)); }

    void move(Span own) const {
        Spelled::MOVE[rule](own.size(), constants, steps ? *steps + 1 : 0, *eta, x + own.begin, g + own.begin,
                   first ? first + own.begin : first, second ? second + own.begin : second);
    }
};

// Move some columns of a row's block, and with the last of its columns what follows them.
static void move(const Row& row, Index begin, Index end, Index columns) {
    const Block block = row.as<Block>();
    const Span own{begin * block.n, end == columns ? block.size : end * block.n};
    if (row.code == SCALE)
        row.as<Scale>().move(own);
    else if (row.code == ADD)
        row.as<Add>().move(own);
    else if (row.code == STEP)
        row.as<Step>().move(own);
    else
        row.as<Shrink>().move(own);
}

// A step of a rule is over.
struct Count {
    double* steps;

    void operator()(const Member& member, const Position&) const {
        if (is_last(member)) ++*steps;
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
