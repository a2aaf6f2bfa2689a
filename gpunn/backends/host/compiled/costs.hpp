// Losses of a column and their gradients: loops over the functions that costs spell, those of costs that couple outputs
// or tell them apart, and tables of them.

#pragma once
#include "functions.hpp"

namespace gpunn {

// The losses of any number of elements
template <class Cost>
static void loss(Index n, const T* a, const T* y, const T* z, T parameter, T* losses) {
#pragma omp simd
    for (Index i = 0; i < n; i++) losses[i] = Cost::of(a[i], y[i], z[i], parameter);
}

// error = dC/da, of any number of elements
template <class Gradient>
static void cost_gradient(Index n, const T* a, const T* y, T parameter, T* error) {
#pragma omp simd
    for (Index i = 0; i < n; i++) error[i] = Gradient::of(a[i], y[i], parameter);
}

// a - right + 1 for the other classes, 0 for the class itself; a single output: 1 - a for class 1, 1 + a for 0
static inline T margin(Index n, T a, T y, T right) { return n == 1 ? 1 - (2 * y - 1) * a : a - right + 1 - y; }

static T right_output(Index n, const T* a, const T* y) {
    T right = 0;
    for (Index i = 0; i < n; i++) right += a[i] * y[i];
    return right;
}

static T hinge(Index n, const T* a, const T* y, const T*, T) {
    const T right = right_output(n, a, y);
    T sum = 0;
    for (Index i = 0; i < n; i++) {
        const T above = margin(n, a[i], y[i], right);
        sum += above <= 0 ? T(0) : above;
    }
    return sum;
}

static void hinge_gradient(Index n, const T* a, const T* y, T, T* error) {
    const T right = right_output(n, a, y);
    T count = 0;
    for (Index i = 0; i < n; i++) count += error[i] = T(margin(n, a[i], y[i], right) > 0);
    for (Index i = 0; i < n; i++) error[i] = n == 1 ? -(2 * y[i] - 1) * count : error[i] - y[i] * count;
}

// 1/2 - tau of output i of n, whose taus are evenly spaced around 1/2
static inline T lean(Index n, Index i, T spread) { return n == 1 ? T(0) : spread * (T(0.5) - T(i) / T(n - 1)); }

static T quantiles(Index n, const T* a, const T* y, const T*, T spread) {
    T sum = 0;
    for (Index i = 0; i < n; i++) sum += fabs(a[i] - y[i]) / 2 + lean(n, i, spread) * (a[i] - y[i]);
    return sum;
}

static void quantiles_gradient(Index n, const T* a, const T* y, T spread, T* error) {
    for (Index i = 0; i < n; i++) error[i] = (T(a[i] > y[i]) - T(a[i] < y[i])) / 2 + lean(n, i, spread);
}

template <class... F>
struct Losses {
    static constexpr Index SPELLED = sizeof...(F);  // the others are those of a whole column
    static constexpr void (*LOSS[])(Index, const T*, const T*, const T*, T, T*) = {loss<F>...};
    static constexpr T (*COLUMN_LOSS[])(Index, const T*, const T*, const T*, T) = {hinge, quantiles};
};

template <class... F>
struct CostGradients {
    static constexpr Index ELEMENTWISE = sizeof...(F);  // the others take one column
    static constexpr void (*COST_GRADIENT[])(Index, const T*, const T*, T, T*) = {cost_gradient<F>..., hinge_gradient,
                                                                                  quantiles_gradient};
};

struct Costs : Losses<LOSSES>, CostGradients<COST_GRADIENTS> {};

}  // namespace gpunn
