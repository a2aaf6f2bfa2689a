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

#ifdef __clang__
#define UNROLLED _Pragma("unroll")
#else
#define UNROLLED _Pragma("GCC unroll 16")
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
constexpr Index WIDEST = 12;                // columns of a tile: a multiple of every tile's
constexpr Index BLOCK = 256;                // of k
constexpr Index SHORT = 128;                // if B's rows are read, which lie apart
constexpr Index COLUMNS = 288;              // of B that stay in the cache with a block of k
constexpr Index PACK_COLUMNS = 48;          // more pay for a copy of A
constexpr Index PACK_STEP = 2048;           // bytes between columns of A that make reading in place slow
constexpr Index PACK_PANELS = 4;            // more pay for a copy of B's rows
constexpr Index DEEP = 64;                  // k from which on a tile of C is fetched ahead
constexpr Index THIN = 4;                   // k up to which a tile may be twice as high

// How many columns a tile of R vectors has: as many as the registers hold.
constexpr int width(int R) {
    if (R > PANEL) return 2;
    return PANEL == 4 && R <= 2 ? 12 : 6;
}

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

// a b + c, with one rounding if the processor can. A compiler may fuse either product of a b + c d, and not the same in
// every tile.
static inline Vector fused(T a, Vector b, Vector c) {
    const Vector all = Vector{} + a;
#if defined(__AVX512F__) && defined(DOUBLE)
    return (Vector)_mm512_fmadd_pd((__m512d)all, (__m512d)b, (__m512d)c);
#elif defined(__AVX512F__)
    return (Vector)_mm512_fmadd_ps((__m512)all, (__m512)b, (__m512)c);
#elif defined(__FMA__) && defined(DOUBLE)
    return (Vector)_mm256_fmadd_pd((__m256d)all, (__m256d)b, (__m256d)c);
#elif defined(__FMA__)
    return (Vector)_mm256_fmadd_ps((__m256)all, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    Vector found;
    for (int i = 0; i < LANES; i++) found[i] = std::fma(all[i], b[i], c[i]);
    return found;
#else
    return all * b + c;
#endif
}

// C (R vectors of rows, of which the last has `rest` elements; N columns) from A (·, k) and B (k, N).
template <int R, int N>
static void tile(Index k, const T* a, Index step, Operand b, T* c, Index ld, Index rest, Into into) {
    Vector sum[R][N] = {};
    const Part part(rest == LANES ? 1 : rest);
    const Index past = LANES - rest;  // elements that a full load reads after the end of a column
    const Index whole = past ? std::max<Index>(0, k - (past + step - 1) / step) : k;
    if (k >= DEEP)  // C arrives while the sums are computed
        UNROLLED for (int q = 0; q < N; q++)
            UNROLLED for (int r = 0; r < R; r++) __builtin_prefetch(c + q * ld + r * LANES, 1);
    const auto add = [&](Index p, const Vector* column) {
        UNROLLED for (int q = 0; q < N; q++) {
            const T x = b.at[p * b.down + q * b.right];
            UNROLLED for (int r = 0; r < R; r++) sum[r][q] += column[r] * x;
        }
    };
    for (Index p = 0; p < whole; p++) {
        Vector column[R];
        UNROLLED for (int r = 0; r < R; r++) column[r] = *(const Vector*)(a + p * step + r * LANES);
        add(p, column);
    }
    for (Index p = whole; p < k; p++) {
        Vector column[R];
        UNROLLED for (int r = 0; r < R - 1; r++) column[r] = *(const Vector*)(a + p * step + r * LANES);
        column[R - 1] = part.load(a + p * step + (R - 1) * LANES);
        add(p, column);
    }
    // All of C is read before any is written: a load waits for a masked store next to it.
    const auto last = [&](int r) { return r == R - 1 && rest < LANES; };
    if (into.kind != Into::SET)
        UNROLLED for (int q = 0; q < N; q++)
            UNROLLED for (int r = 0; r < R; r++) {
                const T* at = c + q * ld + r * LANES;
                const Vector old = last(r) ? part.load(at) : *(const Vector*)at;
                sum[r][q] = into.kind == Into::ADD ? old + sum[r][q] : fused(into.alpha, sum[r][q], into.beta * old);
            }
    UNROLLED for (int q = 0; q < N; q++)
        UNROLLED for (int r = 0; r < R; r++) {
            T* at = c + q * ld + r * LANES;
            if (last(r))
                part.store(at, sum[r][q]);
            else
                *(Vector*)at = sum[r][q];
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

// C (rows, n) from A (rows, k) and B (k, n)
template <int R = 2 * PANEL>
static void panel_of(Index rows, Index n, Index k, Operand a, Operand b, T* c, Index ld, Into into) {
    if constexpr (R > 0) {
        if (rows > (R - 1) * LANES)
            panel<R>(n, k, a.at, a.right, b, c, ld, rows - (R - 1) * LANES, into);
        else
            panel_of<R - 1>(rows, n, k, a, b, c, ld, into);
    }
}

// Transpose a square of LANES by LANES elements by exchanging ever larger blocks; from's rows and to's columns lie apart.
static void transpose(const T* from, Index apart, T* to, Index step) {
#ifndef __clang__
    typedef Bits Lanes __attribute__((vector_size(BYTES)));
    Vector rows[LANES];
    UNROLLED for (int i = 0; i < LANES; i++) rows[i] = *(const Vector*)(from + i * apart);
    UNROLLED for (int size = 1; size < LANES; size *= 2) {
        Lanes first, second;
        UNROLLED for (int l = 0; l < LANES; l++) {
            first[l] = l & size ? LANES + l - size : l;
            second[l] = l & size ? LANES + l : l + size;
        }
        UNROLLED for (int i = 0; i < LANES; i++)
            if (!(i & size)) {
                const Vector above = rows[i], below = rows[i + size];
                rows[i] = __builtin_shuffle(above, below, first);
                rows[i + size] = __builtin_shuffle(above, below, second);
            }
    }
    UNROLLED for (int i = 0; i < LANES; i++) *(Vector*)(to + i * step) = rows[i];
#else
    for (int i = 0; i < LANES; i++)
        for (int l = 0; l < LANES; l++) to[l * step + i] = from[i * apart + l];
#endif
}

// Copy a panel of A, (rows, k), so that its columns lie one after the other, filled up with zeros.
static Operand pack(Index rows, Index k, Operand a, T* out) {
    const Index height = (rows + LANES - 1) / LANES * LANES;
    if (a.down == 1) {
        for (Index p = 0; p < k; p++) std::memcpy(out + p * height, a.at + p * a.right, rows * sizeof(T));
    } else {
        const Index squares = rows / LANES * LANES, wide = k / LANES * LANES;
        for (Index i = 0; i < squares; i += LANES)
            for (Index p = 0; p < wide; p += LANES)
                transpose(a.at + i * a.down + p, a.down, out + p * height + i, height);
        for (Index i = 0; i < rows; i++)
            for (Index p = i < squares ? wide : 0; p < k; p++) out[p * height + i] = a.at[i * a.down + p];
    }
    for (Index p = 0; p < k; p++)
        for (Index i = rows; i < height; i++) out[p * height + i] = 0;
    return {out, 1, height};
}

// Copy rows of B, (k, columns), so that a tile reads them one after the other.
static void pack_rows(Index k, Index columns, Operand b, T* out) {
    for (Index p = 0; p < k; p++)
        for (Index q = 0; q < columns; q += WIDEST)
            std::memcpy(out + q * k + p * WIDEST, b.at + p * b.down + q, std::min(WIDEST, columns - q) * sizeof(T));
}

// The length of equal parts of n, of which each has at most `most` and all but the last have whole units.
static Index part_of(Index n, Index most, Index unit = 1) {
    if (!n) return 1;
    const Index parts = (n + most - 1) / most;
    return ((n + parts - 1) / parts + unit - 1) / unit * unit;
}

// C (m, n) from A (m, k) and B (k, n), on one thread. A's columns are contiguous, or else its rows.
static void multiply(Index m, Index n, Index k, Operand a, Operand b, T* c, Index ld, Into into) {
    if (!m || !n || !k) return;
    alignas(64) static thread_local T panel[ROWS * BLOCK], rows_of_b[BLOCK * COLUMNS];
    const bool packs_a = a.down != 1 || (n >= PACK_COLUMNS && a.right * Index(sizeof(T)) > PACK_STEP);
    const bool packs_b = b.down != 1 && m >= PACK_PANELS * ROWS;
    // of few sums, a tile may be higher: they cost less than a second way through C
    const Index height = into.kind == Into::UPDATE && k <= THIN ? 2 * ROWS : ROWS;
    const Index width = part_of(n, COLUMNS, WIDEST), block = part_of(k, b.down == 1 || packs_b ? BLOCK : SHORT);
    for (Index q = 0; q < n; q += width)
        for (Index p = 0; p < k; p += block) {
            const Index depth = std::min(block, k - p), columns = std::min(width, n - q);
            const Index group = packs_b ? WIDEST : columns;
            Into now = into;
            if (p > 0) now = into.kind == Into::UPDATE ? Into{Into::UPDATE, into.alpha, 1} : Into{Into::ADD};
            if (packs_b) pack_rows(depth, columns, b.from(p, q), rows_of_b);
            for (Index i = 0; i < m; i += height) {
                const Index rows = std::min(height, m - i);
                Operand part = a.from(i, p);
                if (packs_a) part = pack(rows, depth, part, panel);
                for (Index j = 0; j < columns; j += group) {
                    const Operand right = packs_b ? Operand{rows_of_b + j * depth, WIDEST, 1} : b.from(p, q);
                    panel_of(rows, std::min(group, columns - j), depth, part, right, c + i + (q + j) * ld, ld, now);
                }
            }
        }
}

}  // namespace gpunn
