// Functions of a number in the scalar type T, written so that the compiler can vectorise a loop over them. The
// spellings of activations, costs and rules call them by the names of <cmath>.

#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#define INLINE [[gnu::always_inline]] static inline  // a loop over a call is not vectorised

namespace gpunn {

typedef std::ptrdiff_t Index;

using std::fabs;
using std::pow;
using std::sqrt;

#ifdef DOUBLE
typedef std::uint64_t Bits;
constexpr int MANTISSA = 52, TERMS = 13;
constexpr T LOW = -708, HIGH = 709.78;
constexpr T LN2_HIGH = 6.93147180369123816490e-01, LN2_LOW = 1.90821492927058770002e-10;  // together ln 2
#else
typedef std::uint32_t Bits;
constexpr int MANTISSA = 23, TERMS = 7;
constexpr T LOW = -86.6f, HIGH = 88.72f;
constexpr T LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
#endif

template <class To, class From>
INLINE To bits_of(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    std::memcpy(&y, &x, sizeof y);
    return y;
}

constexpr T reciprocal_factorial(int k) { return k < 2 ? T(1) : reciprocal_factorial(k - 1) / T(k); }

template <int K = 0>
INLINE T taylor(T r) {  // the terms of e^r from r^K on, divided by r^K
    constexpr T factor = reciprocal_factorial(K);  // clang would otherwise compute it in each call
    if constexpr (K == TERMS)
        return factor;
    else
        return factor + r * taylor<K + 1>(r);
}

// e^x = 2^n e^r with |r| <= ln 2 / 2 (Cody and Waite 1980). 0 below LOW.
INLINE T exp(T x) {
    constexpr T magic = T(Bits(3) << (MANTISSA - 1));  // the last bit of such a number counts 1
    const T bounded = x < LOW ? LOW : x > HIGH ? HIGH : x;
    const T shifted = bounded * T(1.4426950408889634) + magic, n = shifted - magic;
    const T r = (bounded - n * LN2_HIGH) - n * LN2_LOW;
    const Bits half = bits_of<Bits>(T(0.5));
    const T power = bits_of<T>((bits_of<Bits>(shifted) << MANTISSA) + half);  // 2^(n - 1)
    const T found = 2 * (taylor(r) * power);
    return x < LOW ? T(0) : x > HIGH ? std::numeric_limits<T>::infinity() : found;
}

// ln x = k ln 2 + ln(1 + f) with x = 2^k (1 + f) and 1 + f around 1 (Sun's fdlibm, 1993).
INLINE T log(T x) {
#ifdef DOUBLE
    constexpr T L[] = {6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
                       1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01};
    constexpr Bits root = 0x3fe6a09e667f3bcd;  // of the square root of 1/2
    constexpr T high = LN2_HIGH, low = LN2_LOW;
#else
    constexpr T L[] = {6.6666662693e-1f, 4.0000972152e-1f, 2.8498786688e-1f, 2.4279078841e-1f};
    constexpr Bits root = 0x3f3504f3;
    constexpr T high = 6.9313812256e-1f, low = 9.0580006145e-6f;
#endif
    constexpr T infinity = std::numeric_limits<T>::infinity(), two = T(Bits(1) << MANTISSA);
    const Bits one = bits_of<Bits>(T(1)), moved = bits_of<Bits>(x) + (one - root);
    const T k = bits_of<T>((moved >> MANTISSA) | bits_of<Bits>(two)) - (two + T(one >> MANTISSA));
    const T f = bits_of<T>((moved & ((Bits(1) << MANTISSA) - 1)) + root) - 1;
    const T s = f / (2 + f), square = s * s;
    T series = 0;
    for (int i = int(sizeof L / sizeof *L) - 1; i >= 0; i--) series = square * (L[i] + series);
    const T found = f - s * (f - series) + k * low + k * high;
    return x > 0 ? (x < infinity ? found : x) : x == 0 ? -infinity : std::numeric_limits<T>::quiet_NaN();
}

// What 1 + x loses of x is made up for by the quotient (Kahan, in Higham 2002, section 1.14.1).
INLINE T log1p(T x) {
    const T u = 1 + x, found = log(u), lost = u - 1;
    return lost == 0 ? x : u < std::numeric_limits<T>::infinity() ? found * (x / lost) : found;
}

// 2^n (e^r - 1) + (2^n - 1), with n and r as in exp
INLINE T expm1(T x) {
    constexpr T magic = T(Bits(3) << (MANTISSA - 1));
    const T bounded = x < LOW ? LOW : x > HIGH ? HIGH : x;
    const T shifted = bounded * T(1.4426950408889634) + magic, n = shifted - magic;
    const T r = (bounded - n * LN2_HIGH) - n * LN2_LOW;
    const T power = bits_of<T>((bits_of<Bits>(shifted) << MANTISSA) + bits_of<Bits>(T(0.5)));  // 2^(n - 1)
    const T found = 2 * (power * (r * taylor<1>(r)) + (power - T(0.5)));
    return x > HIGH ? std::numeric_limits<T>::infinity() : found;
}

// By a rational function near 0, by e^2x elsewhere (Moshier, Cephes).
INLINE T tanh(T x) {
    const T square = x * x, size = fabs(x);
#ifdef DOUBLE
    const T above = (T(-9.64399179425052238628e-1) * square + T(-9.92877231001918586564e1)) * square +
                    T(-1.61468768441708447952e3);
    const T below = ((square + T(1.12811678491632931402e2)) * square + T(2.23548839060100448583e3)) * square +
                    T(4.84406305325125486048e3);
    const T near = x + x * square * (above / below);
#else
    const T series = (((T(-5.70498872745e-3) * square + T(2.06390887954e-2)) * square + T(-5.37397155531e-2)) * square +
                      T(1.33314422036e-1)) * square + T(-3.33332819422e-1);
    const T near = x + x * square * series;
#endif
    const T far = 1 - 2 / (exp(2 * size) + 1);
    return size < T(0.625) ? near : x < 0 ? -far : far;
}

// a x + b y: a compiler may otherwise choose which of two products it rounds, differently in each copy of a loop.
INLINE T sum_of_products(T a, T x, T b, T y) {
#if defined(__FMA__) || defined(__aarch64__)
    return std::fma(a, x, b * y);
#else
    return a * x + b * y;
#endif
}

INLINE T above_zero(T x) { return x < TINY ? TINY : x; }
INLINE T inside(T x) { return x < TINY ? TINY : x > 1 - EPSNEG ? 1 - EPSNEG : x; }

}  // namespace gpunn
