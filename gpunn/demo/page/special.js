// Functions that activations need and JavaScript does not have.

/** aᵢ = exp(zᵢ − max z) / Σ exp(zⱼ − max z). */
export function softmax(z) {
  const most = Math.max(...z);
  const e = z.map((x) => Math.exp(x - most));
  const total = e.reduce((a, b) => a + b);
  return e.map((x) => x / total);
}

/** erf x = 2/√π e^(−x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!. All terms have the same sign; erf x rounds to ±1 beyond 6. */
export function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let [term, total] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}
