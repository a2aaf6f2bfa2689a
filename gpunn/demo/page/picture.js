// Turn a drawing into an image like those that the network was trained on. The steps and their order are those
// of gpunn/datasets/images.py for a photographed digit; the resampling is Pillow's bicubic.
// A picture is {height, width, data}, row by row.

const MIN_CONTRAST = 16; // of 255; a fainter drawing counts as blank
const FAINT = 0.2; // of the darkest ink; fainter pixels do not extend the bounding box
const MNIST_PLACE = [20 / 28, 0.5]; // fraction of the side that a digit fills, and the shift of its centre
const UCI_DIGITS_PLACE = [1, 0]; // of 8×8

/** Turn a drawing (0…255, where 0 is blank) into an image of integers 0…255; null if it is blank. */
export function prepare(drawing, shape, digit) {
  if (greatest(drawing.data) < MIN_CONTRAST) return null;
  return digit ? placeDigit(drawing, shape) : resize(drawing, ...shape, (x) => clip(Math.round(x), 0, 255));
}

/** Scale the ink into its box, and move its centre of mass to the centre, keeping it inside the image. */
function placeDigit(drawing, [height, width]) {
  let ink = cropToInk(drawing);
  const [part, shift] = height === 8 && width === 8 ? UCI_DIGITS_PLACE : MNIST_PLACE;
  const scale = Math.min((part * height) / ink.height, (part * width) / ink.width);
  const scaled = (length) => Math.max(1, roundEven(scale * length));
  ink = resize(ink, scaled(ink.height), scaled(ink.width));
  const brightest = greatest(ink.data); // averaging makes thin strokes faint
  const data = ink.data.map((x) => clip(x / brightest, 0, 1));
  const [row, column] = centreOfMass({ ...ink, data });
  const top = clip(roundEven((height - 1) / 2 + shift - row), 0, height - ink.height);
  const left = clip(roundEven((width - 1) / 2 + shift - column), 0, width - ink.width);
  const placed = new Float32Array(height * width);
  data.forEach((x, i) => {
    const y = Math.floor(i / ink.width);
    placed[(top + y) * width + left + (i % ink.width)] = roundEven(255 * x);
  });
  return { height, width, data: placed };
}

/** Crop the drawing to the ink's bounding box, and stretch its values to 0…1. */
function cropToInk({ height, width, data }) {
  const brightest = greatest(data);
  let [top, bottom, left, right] = [height, 0, width, 0];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (data[y * width + x] > FAINT * brightest) {
        top = Math.min(top, y);
        bottom = y + 1;
        left = Math.min(left, x);
        right = Math.max(right, x + 1);
      }
  const crop = { height: bottom - top, width: right - left };
  crop.data = new Float32Array(crop.height * crop.width);
  for (let y = 0; y < crop.height; y++)
    for (let x = 0; x < crop.width; x++)
      crop.data[y * crop.width + x] = data[(top + y) * width + left + x] / brightest;
  return crop;
}

/** Resample along the rows first, then along the columns; each new pixel averages the pixels that it covers.
 *  kept: applied to each sum; Pillow rounds sums to bytes if the pixels are bytes. */
function resize({ height, width, data }, newHeight, newWidth, kept = (x) => x) {
  const across = new Float32Array(height * newWidth);
  contributions(width, newWidth).forEach(({ first, weights }, x) => {
    for (let y = 0; y < height; y++)
      across[y * newWidth + x] = kept(sum(weights, (w, k) => w * data[y * width + first + k]));
  });
  const resized = new Float32Array(newHeight * newWidth);
  contributions(height, newHeight).forEach(({ first, weights }, y) => {
    for (let x = 0; x < newWidth; x++)
      resized[y * newWidth + x] = kept(sum(weights, (w, k) => w * across[(first + k) * newWidth + x]));
  });
  return { height: newHeight, width: newWidth, data: resized };
}

/** For each of n new pixels, the first old pixel that it covers, and the weights from there on. */
function contributions(length, n) {
  const scale = length / n;
  const spread = Math.max(scale, 1);
  return Array.from({ length: n }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * spread + 0.5));
    const end = Math.min(length, Math.trunc(centre + 2 * spread + 0.5));
    const covered = Array.from({ length: end - first }, (_, k) => bicubic((first + k - centre + 0.5) / spread));
    const total = sum(covered, (w) => w);
    return { first, weights: covered.map((w) => w / total) };
  });
}

/** Keys' kernel with a = −½. */
function bicubic(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** [row, column], rounded to a thousandth of a pixel, so that symmetric ink lies at exactly a half. */
function centreOfMass({ width, data }) {
  const mass = sum(data, (x) => x);
  const centres = [sum(data, (x, i) => x * Math.floor(i / width)), sum(data, (x, i) => x * (i % width))];
  return centres.map((moment) => roundEven((1000 * moment) / mass) / 1000);
}

/** Round halves to the even number, as NumPy and Python do. */
function roundEven(x) {
  return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}

const clip = (x, low, high) => Math.min(Math.max(x, low), high);
const greatest = (xs) => xs.reduce((a, b) => Math.max(a, b), 0);

function sum(xs, f) {
  let total = 0;
  for (let i = 0; i < xs.length; i++) total += f(xs[i], i);
  return total;
}
