// Batch normalisation, forwards and backwards, and the activation that follows it. A member normalises its
// own rows, in strips, and activates whole columns.

#pragma once
#include "functions.hpp"
#include "sharing.hpp"

namespace gpunn {

template <class Work>
static void by_strips(Index n, const Member& member, const Work& work) {
    const Span own = features(n, member);
    for (Index i = own.begin; i < own.end; i += STRIP) work(i, std::min(STRIP, own.end - i));
}

// z = gamma (z - mean)/sqrt(variance + epsilon) + beta, by the mini-batch's mean and variance, towards which the
// running ones move, or by the running ones. For the way back: normalised, without gamma and beta, and gain.
struct Normalise {
    Index n, m, by_batch;
    double epsilon, momentum;
    T *z, *normalised, *gain, *mean, *variance;
    const T *gamma, *beta;

    void operator()(const Member& member, const Position&) const {
        by_strips(n, member, [this](Index first, Index rows) { strip(first, rows); });
    }

  private:
    void strip(Index first, Index rows) const {
        T mu[STRIP], inverse[STRIP];
        for (Index i = 0; i < rows; i++) mu[i] = mean[first + i], inverse[i] = variance[first + i];
        if (by_batch) moments(first, rows, mu, inverse);
        for (Index i = 0; i < rows; i++) {
            inverse[i] = 1 / sqrt(inverse[i] + T(epsilon));
            gain[first + i] = gamma[first + i] * inverse[i];
        }
        for (Index j = 0; j < m; j++) {
            T *column = z + first + j * n, *into = normalised + first + j * n;
#pragma omp simd
            for (Index i = 0; i < rows; i++) {
                into[i] = (column[i] - mu[i]) * inverse[i];
                column[i] = into[i] * gamma[first + i] + beta[first + i];
            }
        }
    }

    void moments(Index first, Index rows, T* mu, T* sigma) const {
        T sum[STRIP] = {}, squares[STRIP] = {};
        for (Index j = 0; j < m; j++)
#pragma omp simd
            for (Index i = 0; i < rows; i++) sum[i] += z[first + i + j * n];
        for (Index i = 0; i < rows; i++) mu[i] = sum[i] / T(m);
        for (Index j = 0; j < m; j++)
#pragma omp simd
            for (Index i = 0; i < rows; i++) {
                const T centred = z[first + i + j * n] - mu[i];
                squares[i] += centred * centred;
            }
        const T now = momentum, unbiased = momentum * m / (m > 1 ? m - 1 : 1), before = 1 - momentum;
        for (Index i = 0; i < rows; i++) {
            sigma[i] = squares[i] / T(m);
            mean[first + i] = sum_of_products(before, mean[first + i], now, mu[i]);
            variance[first + i] = sum_of_products(before, variance[first + i], unbiased, sigma[i]);
        }
    }
};

// a = f(z)
struct Activate {
    Index n, m, f;
    const T* z;
    T *a, *ones;  // ones: as Forward's

    void operator()(const Member& member, const Position&) const {
        const Span own = share(m, 1, member);
        for (Index j = own.begin; j < own.end; j++) {
            const Index at = j * n;
            if (f == SOFTMAX)
                softmax(n, 1, z + at, a + at);
            else
                Spelled::ACTIVATE[f](n, z + at, a + at);
            if (ones) std::memcpy(ones + j * (n + 1), a + at, n * sizeof(T));
        }
    }
};

// [gamma beta] = alpha [sum delta normalised, sum delta] + keep [gamma beta], and delta back through Normalise.
struct NormError {
    Index n, m, by_batch;
    const T *alpha, *keep, *normalised, *gain;
    T *delta, *gamma, *beta;

    void operator()(const Member& member, const Position&) const {
        by_strips(n, member, [this](Index first, Index rows) { strip(first, rows); });
    }

  private:
    void strip(Index first, Index rows) const {
        T slope[STRIP] = {}, sum[STRIP] = {};
        for (Index j = 0; j < m; j++)
#pragma omp simd
            for (Index i = 0; i < rows; i++) {
                const T error = delta[first + i + j * n];
                slope[i] += error * normalised[first + i + j * n];
                sum[i] += error;
            }
        for (Index i = 0; i < rows; i++) {
            gamma[first + i] = sum_of_products(*keep, gamma[first + i], *alpha, slope[i]);
            beta[first + i] = sum_of_products(*keep, beta[first + i], *alpha, sum[i]);
            slope[i] = by_batch ? slope[i] / T(m) : T(0);
            sum[i] = by_batch ? sum[i] / T(m) : T(0);
        }
        for (Index j = 0; j < m; j++)
#pragma omp simd
            for (Index i = 0; i < rows; i++) {
                T& error = delta[first + i + j * n];
                error = (error - normalised[first + i + j * n] * slope[i] - sum[i]) * gain[first + i];
            }
    }
};

}  // namespace gpunn
