// The outputs: their error, their losses and their hits.

#pragma once
#include "costs.hpp"
#include "sharing.hpp"

namespace gpunn {

// BP1: delta = dC/da f'(z); a - y if the cost is PAIRED with f.
struct OutputError {
    Index n, m;
    const T *a, *y, *z;
    T* delta;
    Index cost, f;
    double parameter;  // of the cost

    void operator()(const Member& member, const Position&) const {
        const Span own = share(n * m, 16, member);
        if (cost == PAIRED) {
#pragma omp simd
            for (Index i = own.begin; i < own.end; i++) delta[i] = a[i] - y[i];
        } else if (cost < Costs::ELEMENTWISE) {
            some(own.begin, own.size());
        } else {
            const Span columns = share(m, 1, member);
            for (Index j = columns.begin; j < columns.end; j++) some(j * n, n);
        }
    }

  private:
    void some(Index begin, Index count) const {
        Costs::COST_GRADIENT[cost](count, a + begin, y + begin, parameter, delta + begin);
        if (f != IDENTITY) Spelled::DERIVE[f](count, a + begin, z + begin, delta + begin);
    }
};

// delta = a (delta - sum delta a): delta times the Jacobian of softmax, by columns
struct SoftmaxError {
    Index n, m;
    const T* a;
    T* delta;

    void operator()(const Member& member, const Position&) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            const T* outputs = a + j * n;
            T *error = delta + j * n, sum = 0;
            for (Index i = 0; i < n; i++) sum += error[i] * outputs[i];
#pragma omp simd
            for (Index i = 0; i < n; i++) error[i] = outputs[i] * (error[i] - sum);
        }
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
    double threshold, parameter;
    T* losses;
    unsigned char* hits;

    void operator()(const Member& member, const Position& at) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            const Index first = j * n, from = of_label ? first + labels[j] : first;
            losses[at.example + j] = Costs::LOSS[cost](of_label ? 1 : n, a + from, y + from, z + from, parameter);
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

// Each example's loss *= its weight
struct WeighLosses {
    Index m;
    const T* weights;
    T* losses;

    void operator()(const Member& member, const Position& at) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) losses[at.example + j] *= weights[j];
    }
};

// into[:, next m] = a
struct Collect {
    Index n, m;
    const T* a;
    T* into;

    void operator()(const Member& member, const Position& at) const {
        const Span own = share(m, 1, member);
        std::memcpy(into + (at.example + own.begin) * n, a + own.begin * n, own.size() * n * sizeof(T));
    }
};

}  // namespace gpunn
