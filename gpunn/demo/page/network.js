// The network in the browser: a[l] = f(w[l] a[l−1] + b[l]), layer by layer.

import { FUNCTIONS } from "./functions.js"; // f[1]…f[L], which the server writes

/** Fetch the network that the server describes; each layer has its w (column-major) and b. */
export async function load() {
  const [network, bytes] = await Promise.all([
    fetch("network.json").then((response) => response.json()),
    fetch("weights").then((response) => response.arrayBuffer()),
  ]);
  let at = 0;
  const floats = (n) => new Float32Array(bytes, 4 * (at += n) - 4 * n, n); // little-endian, like every browser
  let n_in = network.n_in;
  for (const layer of network.layers) {
    layer.w = floats(layer.n * n_in);
    layer.b = floats(layer.n);
    n_in = layer.n;
  }
  return network;
}

/** Compute [a[0], …, a[L]] from pixels 0…255. */
export function forward(network, pixels) {
  const a = [Float64Array.from(pixels, (x) => x / 255)];
  network.layers.forEach(({ w, b }, l) => a.push(FUNCTIONS[l](affine(w, b, a.at(-1)))));
  return a;
}

/** z = w a + b, skipping the columns of w whose input is 0: most of a drawing is blank. */
function affine(w, b, a) {
  const z = Float64Array.from(b);
  a.forEach((x, j) => {
    if (x !== 0) for (let i = 0, at = j * z.length; i < z.length; i++) z[i] += x * w[at + i];
  });
  return z;
}
