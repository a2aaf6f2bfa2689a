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
        if (cost < Costs::SPELLED) {
            measure_elements(own, losses + at.example);
        } else {
            const auto loss = Costs::COLUMN_LOSS[cost - Costs::SPELLED];
            for (Index j = own.begin; j < own.end; j++)
                losses[at.example + j] = loss(n, a + j * n, y + j * n, z + j * n, parameter);
        }
        if (labels)
            for (Index j = own.begin; j < own.end; j++) hits[at.example + j] = predicted(a + j * n) == labels[j];
    }

  private:
    static constexpr Index PIECE = 256, WHOLE = 64;

    // Compute the losses of a few columns together, and add up each column's.
    void measure_elements(Span own, T* sums) const {
        const Index of_column = of_label ? 1 : n, most = std::max<Index>(1, PIECE / of_column);
        for (Index j = own.begin; j < own.end; j += most) {
            const Index columns = std::min(most, own.end - j), size = of_column * columns;
            std::fill(sums + j, sums + j + columns, T(0));
            for (Index i = 0; i < size; i += PIECE) measure_piece(j, i, std::min(PIECE, size - i), of_column, sums + j);
        }
    }

    // Add the losses of `size` elements, from element i of column j on. They are filled up to a number that a loop over
    // vectors divides, since what is left to a loop over numbers may be rounded in another way.
    void measure_piece(Index j, Index i, Index size, Index of_column, T* sums) const {
        T taken[3][PIECE] = {}, of_elements[PIECE];
        const T* from[] = {a + j * n + i, y + j * n + i, z + j * n + i};
        for (int k = 0; k < 3; k++)
            if (of_label)
                for (Index q = 0; q < size; q++) taken[k][q] = from[k][q * n + labels[j + q]];
            else
                std::copy(from[k], from[k] + size, taken[k]);
        Costs::LOSS[cost]((size + WHOLE - 1) / WHOLE * WHOLE, taken[0], taken[1], taken[2], parameter, of_elements);
        for (Index q = 0, column = 0; q < size; column++)
            for (Index k = 0; k < of_column && q < size; k++) sums[column] += of_elements[q++];
    }

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
