// Loops over the functions that activations and rules spell, and tables of them.

#pragma once
#include "erfc.hpp"
#include "spellings.hpp"

namespace gpunn {

constexpr Index SOFTMAX = -1, PAIRED = -1, IDENTITY = 0;  // places: see source.py

// a = f(z); they may share their memory.
template <class Activation>
static void activate(Index n, const T* z, T* a) {
#pragma omp simd
    for (Index i = 0; i < n; i++) a[i] = Activation::f(z[i]);
}

// error *= f'(z)
template <class Activation>
static void derive(Index n, const T* a, const T* z, T* error) {
#pragma omp simd
    for (Index i = 0; i < n; i++) error[i] *= Activation::prime(a[i], z[i]);
}

constexpr Index TOGETHER = 8;  // columns whose maxima and sums do not wait for each other

template <Index COLUMNS>
static void softmax_of(Index n, const T* z, T* a) {
    T most[COLUMNS], sum[COLUMNS] = {};
    for (Index j = 0; j < COLUMNS; j++) most[j] = z[j * n];
    for (Index i = 1; i < n; i++)
        for (Index j = 0; j < COLUMNS; j++) most[j] = z[i + j * n] > most[j] ? z[i + j * n] : most[j];
    for (Index j = 0; j < COLUMNS; j++)
        for (Index i = 0; i < n; i++) a[i + j * n] = z[i + j * n] - most[j];
#pragma omp simd
    for (Index i = 0; i < n * COLUMNS; i++) a[i] = exp(a[i]);
    for (Index i = 0; i < n; i++)
        for (Index j = 0; j < COLUMNS; j++) sum[j] += a[i + j * n];
    for (Index j = 0; j < COLUMNS; j++)
        for (Index i = 0; i < n; i++) a[i + j * n] /= sum[j];
}

// Compute the softmax of columns; z and a may be the same.
static void softmax(Index n, Index columns, const T* z, T* a) {
    Index j = 0;
    for (; j + TOGETHER <= columns; j += TOGETHER) softmax_of<TOGETHER>(n, z + j * n, a + j * n);
    for (; j < columns; j++) softmax_of<1>(n, z + j * n, a + j * n);
}

// One step of a rule with its constants, the step's number, and the states that it has.
template <class Rule>
static void move(Index n, const double* constants, double step, double eta, T* x, const T* g, T* first, T* second) {
    double paces[2];
    Rule::pace(constants[0], constants[1], constants[2], step, eta, paces);
    const T n0 = T(constants[0]), n1 = T(constants[1]), n2 = T(constants[2]), r0 = T(paces[0]), r1 = T(paces[1]);
#pragma omp simd
    for (Index i = 0; i < n; i++) {
        T s0 = Rule::states > 0 ? first[i] : T(0), s1 = Rule::states > 1 ? second[i] : T(0), theta = x[i];
        Rule::move(theta, g[i], s0, s1, n0, n1, n2, r0, r1);
        x[i] = theta;
        if (Rule::states > 0) first[i] = s0;
        if (Rule::states > 1) second[i] = s1;
    }
}

template <class... F>
struct Activations {
    static constexpr void (*ACTIVATE[])(Index, const T*, T*) = {activate<F>...};
    static constexpr void (*DERIVE[])(Index, const T*, const T*, T*) = {derive<F>...};
};

template <class... F>
struct Rules {
    static constexpr void (*MOVE[])(Index, const double*, double, double, T*, const T*, T*, T*) = {move<F>...};
};

struct Spelled : Activations<ACTIVATIONS>, Rules<RULES> {};

}  // namespace gpunn
