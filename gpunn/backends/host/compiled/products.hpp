// Products of column-major matrices, by tiles of C that stay in registers.
//
// A tile is up to PANEL vectors of rows high. Its sums run over k in blocks, each of which is a chain of fused
// multiply-adds: an element of C has the same bits in whichever tile, and on whichever thread, it is computed.

#pragma once
#include "numbers.hpp"

#include <algorithm>
#include <cstring>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace gpunn {

#if defined(__AVX512F__)
constexpr int BYTES = 64, PANEL = 4;
#elif defined(__AVX__)
constexpr int BYTES = 32, PANEL = 2;
#elif defined(__aarch64__)
constexpr int BYTES = 16, PANEL = 4;
#else
constexpr int BYTES = 16, PANEL = 2;
#endif

typedef T Vector __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
constexpr int LANES = BYTES / sizeof(T), ROWS = PANEL * LANES;
constexpr Index BLOCK = 2048 / sizeof(T);  // of k
constexpr Index SHORT = BLOCK / 4;         // if B's rows are read, which lie apart
constexpr Index COLUMNS = 504;       // of B that stay in the cache with a block of k
constexpr Index PACK_COLUMNS = 48;   // more pay for a copy of A
constexpr Index PACK_STEP = 2048;    // bytes between columns of A that make reading in place slow

// How many columns a tile of R vectors has: as many as the registers hold.
constexpr int width(int R) { return PANEL == 2 ? (R == 1 ? 8 : 6) : R == 1 ? 12 : R == 2 ? 12 : R == 3 ? 8 : 6; }

// What becomes of C: C = A B, C = C + A B, or C = alpha A B + beta C.
struct Into {
    enum Kind { SET, ADD, UPDATE } kind;
    T alpha = 1, beta = 1;
};

// Element (p, q) is at[p * down + q * right].
struct Operand {
    const T* at;
    Index down, right;
    Operand from(Index p, Index q) const { return {at + p * down + q * right, down, right}; }
};

// The first n elements of a vector, 0 < n < LANES, from and to memory that may end behind them.
struct Part {
#if defined(__AVX512F__)
    explicit Part(Index n) : mask((1u << n) - 1) {}
#ifdef DOUBLE
    Vector load(const T* at) const { return (Vector)_mm512_maskz_loadu_pd(__mmask8(mask), at); }
    void store(T* at, Vector v) const { _mm512_mask_storeu_pd(at, __mmask8(mask), (__m512d)v); }
#else
    Vector load(const T* at) const { return (Vector)_mm512_maskz_loadu_ps(__mmask16(mask), at); }
    void store(T* at, Vector v) const { _mm512_mask_storeu_ps(at, __mmask16(mask), (__m512)v); }
#endif
  private:
    unsigned mask;
#elif defined(__AVX__)
    explicit Part(Index n) {
        for (Index i = 0; i < LANES; i++) mask[i] = i < n ? ~Bits(0) : 0;
    }
#ifdef DOUBLE
    Vector load(const T* at) const { return (Vector)_mm256_maskload_pd(at, (__m256i)mask); }
    void store(T* at, Vector v) const { _mm256_maskstore_pd(at, (__m256i)mask, (__m256d)v); }
#else
    Vector load(const T* at) const { return (Vector)_mm256_maskload_ps(at, (__m256i)mask); }
    void store(T* at, Vector v) const { _mm256_maskstore_ps(at, (__m256i)mask, (__m256)v); }
#endif
  private:
    typedef Bits Mask __attribute__((vector_size(BYTES)));
    Mask mask;
#else
    explicit Part(Index n) : n(n) {}
    Vector load(const T* at) const {
        Vector v{};
        for (Index i = 0; i < n; i++) v[i] = at[i];
        return v;
    }
    void store(T* at, Vector v) const {
        for (Index i = 0; i < n; i++) at[i] = v[i];
    }

  private:
    Index n;
#endif
};

// C (R vectors of rows, of which the last has `rest` elements; N columns) from A (·, k) and B (k, N).
template <int R, int N>
static void tile(Index k, const T* a, Index step, Operand b, T* c, Index ld, Index rest, Into into) {
    Vector sum[R][N] = {};
    const Part part(rest == LANES ? 1 : rest);
    const Index past = LANES - rest;  // elements that a full load reads after the end of a column
    const Index whole = past ? std::max<Index>(0, k - (past + step - 1) / step) : k;
    const auto add = [&](Index p, const Vector* column) {
        for (int q = 0; q < N; q++) {
            const T x = b.at[p * b.down + q * b.right];
            for (int r = 0; r < R; r++) sum[r][q] += column[r] * x;
        }
    };
    for (Index p = 0; p < whole; p++) {
        Vector column[R];
        for (int r = 0; r < R; r++) column[r] = *(const Vector*)(a + p * step + r * LANES);
        add(p, column);
    }
    for (Index p = whole; p < k; p++) {
        Vector column[R];
        for (int r = 0; r < R - 1; r++) column[r] = *(const Vector*)(a + p * step + r * LANES);
        column[R - 1] = part.load(a + p * step + (R - 1) * LANES);
        add(p, column);
    }
    for (int q = 0; q < N; q++)
        for (int r = 0; r < R; r++) {
            T* at = c + q * ld + r * LANES;
            const bool whole = r < R - 1 || rest == LANES;
            Vector found = sum[r][q];
            if (into.kind != Into::SET) {
                const Vector old = whole ? *(Vector*)at : part.load(at);
                found = into.kind == Into::ADD ? old + found : into.alpha * found + into.beta * old;
            }
            if (whole)
                *(Vector*)at = found;
            else
                part.store(at, found);
        }
}

// The last n columns, fewer than N.
template <int R, int N>
static void narrow(Index n, Index k, const T* a, Index step, Operand b, T* c, Index ld, Index rest, Into into) {
    if constexpr (N > 0) {
        if (n == N)
            tile<R, N>(k, a, step, b, c, ld, rest, into);
        else
            narrow<R, N - 1>(n, k, a, step, b, c, ld, rest, into);
    }
}

template <int R>
static void panel(Index n, Index k, const T* a, Index step, Operand b, T* c, Index ld, Index rest, Into into) {
    constexpr int N = width(R);
    Index q = 0;
    for (; q + N <= n; q += N) tile<R, N>(k, a, step, b.from(0, q), c + q * ld, ld, rest, into);
    narrow<R, N - 1>(n - q, k, a, step, b.from(0, q), c + q * ld, ld, rest, into);
}

template <int R = PANEL>
static void panel_of(int vectors, Index n, Index k, const T* a, Index step, Operand b, T* c, Index ld, Index rest, Into into) {
    if constexpr (R > 0) {
        if (vectors == R)
            panel<R>(n, k, a, step, b, c, ld, rest, into);
        else
            panel_of<R - 1>(vectors, n, k, a, step, b, c, ld, rest, into);
    }
}

// Copy a panel of A, (rows, k), so that its columns lie one after the other, filled up with zeros.
static void pack(Index rows, Index k, Operand a, T* out) {
    const Index height = (rows + LANES - 1) / LANES * LANES;
    if (a.down == 1) {
        for (Index p = 0; p < k; p++) {
            std::memcpy(out + p * height, a.at + p * a.right, rows * sizeof(T));
            for (Index i = rows; i < height; i++) out[p * height + i] = 0;
        }
        return;
    }
    for (Index i = 0; i < rows; i++)
        for (Index p = 0; p < k; p++) out[p * height + i] = a.at[i * a.down + p * a.right];
    for (Index i = rows; i < height; i++)
        for (Index p = 0; p < k; p++) out[p * height + i] = 0;
}

// C (m, n) from A (m, k) and B (k, n), on one thread. A's columns are contiguous, or else its rows.
static void multiply(Index m, Index n, Index k, Operand a, Operand b, T* c, Index ld, Into into) {
    alignas(BYTES) static thread_local T packed[ROWS * BLOCK];
    const Index block = b.down == 1 ? BLOCK : SHORT;
    const bool packs = a.down != 1 || (n >= PACK_COLUMNS && a.right * Index(sizeof(T)) > PACK_STEP);
    for (Index q = 0; q < n; q += COLUMNS)
        for (Index p = 0; p < k; p += block) {
            const Index depth = std::min(block, k - p), columns = std::min(COLUMNS, n - q);
            Into now = into;
            if (p > 0) now = into.kind == Into::UPDATE ? Into{Into::UPDATE, into.alpha, 1} : Into{Into::ADD};
            for (Index i = 0; i < m; i += ROWS) {
                const Index rows = std::min<Index>(ROWS, m - i), rest = rows - (rows - 1) / LANES * LANES;
                const int vectors = (rows + LANES - 1) / LANES;
                const Operand part = a.from(i, p);
                T* at = c + i + q * ld;
                if (packs) pack(rows, depth, part, packed);
                const T* columns_of_a = packs ? packed : part.at;
                panel_of(vectors, columns, depth, columns_of_a, packs ? vectors * LANES : a.right, b.from(p, q), at, ld, rest, now);
            }
        }
}

}  // namespace gpunn
