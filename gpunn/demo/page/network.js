// The network in the browser: a[l] = f(w[l] a[l−1] + b[l]), layer by layer.

/** The network that the server describes, each layer with its w (column-major) and b. */
export async function load() {
  const [network, bytes] = await Promise.all([
    fetch("network.json").then((response) => response.json()),
    fetch("weights").then((response) => response.arrayBuffer()),
  ]);
  let at = 0;
  const floats = (n) => new Float32Array(bytes, 4 * (at += n) - 4 * n, n); // little-endian, as browsers are
  let n_in = network.n_in;
  for (const layer of network.layers) {
    layer.w = floats(layer.n * n_in);
    layer.b = floats(layer.n);
    n_in = layer.n;
  }
  return network;
}

/** [a[0], …, a[L]] for pixels 0…255. */
export function forward(network, pixels) {
  const a = [Float64Array.from(pixels, (x) => x / 255)];
  for (const { w, b, f } of network.layers) a.push(FUNCTIONS[f](affine(w, b, a.at(-1))));
  return a;
}

/** z = w a + b, a column of w for each input that is not 0: most of a drawing is paper. */
function affine(w, b, a) {
  const z = Float64Array.from(b);
  a.forEach((x, j) => {
    if (x !== 0) for (let i = 0, at = j * z.length; i < z.length; i++) z[i] += x * w[at + i];
  });
  return z;
}

const each = (f) => (z) => z.map((x) => f(x));

const FUNCTIONS = {
  sigmoid: each((z) => 1 / (1 + Math.exp(-z))),
  tanh: each(Math.tanh),
  relu: each((z) => Math.max(z, 0)),
  "leaky relu": each((z) => Math.max(z, 0.01 * z)),
  elu: each((z) => (z > 0 ? z : Math.expm1(z))),
  gelu: each((z) => (z * (1 + erf(z / Math.SQRT2))) / 2),
  softplus: each((z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)))),
  exp: each(Math.exp),
  identity: (z) => z,
  softmax(z) {
    const most = Math.max(...z);
    const e = z.map((x) => Math.exp(x - most));
    const total = e.reduce((a, b) => a + b);
    return e.map((x) => x / total);
  },
};

/** 2/√π e^(−x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!, whose terms have all one sign; 1 to the last bit from 6 on. */
function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let [term, total] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}
