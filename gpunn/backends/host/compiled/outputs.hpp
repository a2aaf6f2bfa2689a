// The outputs: their error, their losses and their hits.

#pragma once
#include "functions.hpp"
#include "sharing.hpp"

namespace gpunn {

// BP1: delta = dC/da f'(z); a - y if the cost is PAIRED with f.
struct OutputError {
    Index n, m;
    const T *a, *y, *z;
    T* delta;
    Index cost, f;

    void operator()(const Member& member, const Position&) const {
        const Span own = share(n * m, 16, member);
        if (cost != PAIRED) {
            Spelled::COST_GRADIENT[cost](own.size(), a + own.begin, y + own.begin, delta + own.begin);
            Spelled::DERIVE[f](own.size(), a + own.begin, z + own.begin, delta + own.begin);
            return;
        }
#pragma omp simd
        for (Index i = own.begin; i < own.end; i++) delta[i] = a[i] - y[i];
    }
};

// delta[:, j] *= weights[j]
struct ApplyWeights {
    Index n, m;
    const T* weights;
    T* delta;

    void operator()(const Member& member, const Position&) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++)
            for (Index i = 0; i < n; i++) delta[i + j * n] *= weights[j];
    }
};

// Write each example's loss and, if there are labels, whether it is a hit.
struct Measure {
    Index n, m;
    const T *a, *y, *z;
    const Index* labels;
    Index cost, of_label;  // of_label: only the label's output has a loss
    double threshold;
    T* losses;
    unsigned char* hits;

    void operator()(const Member& member, const Position& at) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            const Index first = j * n, from = of_label ? first + labels[j] : first, to = of_label ? from + 1 : first + n;
            T sum = 0;
            for (Index i = from; i < to; i++) sum += Spelled::LOSS[cost](a[i], y[i], z[i]);
            losses[at.example + j] = sum;
            if (labels) hits[at.example + j] = predicted(a + first) == labels[j];
        }
    }

  private:
    Index predicted(const T* outputs) const {
        if (n == 1) return outputs[0] > threshold;
        Index best = 0;
        for (Index i = 1; i < n && outputs[best] == outputs[best]; i++)  // NaN is the largest, as for NumPy
            if (!(outputs[i] <= outputs[best])) best = i;
        return best;
    }
};

}  // namespace gpunn
