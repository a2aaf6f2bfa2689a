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

// Compute a column's softmax; z and a may be the same.
static void softmax(Index n, const T* z, T* a) {
    T most = z[0], sum = 0;
    for (Index i = 1; i < n; i++) most = z[i] > most ? z[i] : most;
#pragma omp simd
    for (Index i = 0; i < n; i++) a[i] = exp(z[i] - most);
    for (Index i = 0; i < n; i++) sum += a[i];
    for (Index i = 0; i < n; i++) a[i] /= sum;
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
