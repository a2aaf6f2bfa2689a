// The complementary error function in the scalar type T, without branches: the compiler can vectorise a loop over it.

#pragma once
#include "numbers.hpp"

namespace gpunn {

// The polynomial of x with these coefficients, the highest first.
template <class... C>
INLINE T polynomial(T x, T sum, C... more) {
    ((sum = sum * x + T(more)), ...);
    return sum;
}

constexpr T NEAR = sizeof(T) == 8 ? T(1) : T(0.6);  // where the rational function has this accuracy

// 1 - erf x near 0, e^(-x^2) times a rational function elsewhere (Moshier, Cephes)
INLINE T erfc(T x) {
    const T size = fabs(x), square = x * x, lost = sum_of_products(x, x, T(-1), square);
    const T near_p = polynomial(square, 9.60497373987051638749E0, 9.00260197203842689217E1,
                                2.23200534594684319226E3, 7.00332514112805075473E3, 5.55923013010394962768E4);
    const T near_q = polynomial(square, 1, 3.35617141647503099647E1, 5.21357949780152679795E2,
                                4.59432382970980127987E3, 2.26290000613890934246E4, 4.92673942608635921086E4);
    const T p = polynomial(size, 2.46196981473530512524E-10, 5.64189564831068821977E-1, 7.46321056442269912687E0,
                           4.86371970985681366614E1, 1.96520832956077098242E2, 5.26445194995477358631E2,
                           9.34528527171957607540E2, 1.02755188689515710272E3, 5.57535335369399327526E2);
    const T q = polynomial(size, 1, 1.32281951154744992508E1, 8.67072140885989742329E1, 3.54937778887819891062E2,
                           9.75708501743205489753E2, 1.82390916687909736289E3, 2.24633760818710981792E3,
                           1.65666309194161350182E3, 5.57535340817727675546E2);
    const T far_p = polynomial(size, 5.64189583547755073984E-1, 1.27536670759978104416E0, 5.01905042251180477414E0,
                               6.16021097993053585195E0, 7.40974269950448939160E0, 2.97886665372100240670E0);
    const T far_q = polynomial(size, 1, 2.26052863220117276590E0, 9.39603524938001434673E0,
                               1.20489539808096656605E1, 1.70814450747565897222E1, 9.60896809063285878198E0,
                               3.36907645100081516050E0);
    const T near = 1 - x * (near_p / near_q), factor = size < 8 ? p / q : far_p / far_q;
    const T bell = exp(-square), tail = (bell - bell * lost) * factor;  // e^(-x^2) with x^2 = square + lost
    return size < NEAR ? near : square > -LOW ? (x < 0 ? T(2) : T(0)) : x < 0 ? 2 - tail : tail;
}

}  // namespace gpunn
