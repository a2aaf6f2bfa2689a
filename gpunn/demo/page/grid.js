// A grid of cells that shows a layer's activations by brightness.

const GAP = 0.12; // between cells, as a fraction of a cell, unless cells are tiny
const LARGEST = 1.75; // side of the largest cell, in rem

/** [rows, columns] for n cells: about twice as wide as high, and with a full last row if possible. */
export function gridOf(n) {
  const wanted = Math.sqrt(2 * n);
  const full = [...Array(n).keys()].map((k) => k + 1).filter((k) => n % k === 0 && k < 2 * wanted && k > wanted / 2);
  const nearest = full.sort((j, k) => Math.abs(j - wanted) - Math.abs(k - wanted))[0];
  const columns = nearest ?? Math.ceil(wanted);
  return [Math.ceil(n / columns), columns];
}

export class Grid {
  constructor(canvas, [rows, columns]) {
    Object.assign(this, { canvas, rows, columns });
    canvas.style.aspectRatio = `${columns} / ${rows}`;
    const widest = LARGEST * columns;
    Object.assign(canvas.parentElement.style, { maxWidth: `${widest}rem`, flexBasis: `min(20rem, ${widest}rem)` });
  }

  /** Show activations row by row, the largest at full brightness; without any, all cells are dark. */
  show(a) {
    const { canvas, rows, columns } = this;
    const side = Math.max(1, Math.floor((canvas.clientWidth * devicePixelRatio) / columns));
    const gap = side >= 6 ? Math.max(1, Math.round(GAP * side)) : 0;
    [canvas.width, canvas.height] = [columns * side, rows * side];
    const context = canvas.getContext("2d");
    const [cell, above, below] = ["--cell", "--above", "--below"].map((name) => this.colour(name));
    const most = a ? a.reduce((m, x) => Math.max(m, Math.abs(x)), 1e-9) : 1;
    for (let i = 0; i < (a?.length ?? rows * columns); i++) {
      const x = a ? a[i] / most : 0;
      context.fillStyle = mixed(cell, x > 0 ? above : below, Math.abs(x));
      context.fillRect((i % columns) * side, Math.floor(i / columns) * side, side - gap, side - gap);
    }
  }

  /** [red, green, blue] of one of the page's colours, which are written as #rrggbb. */
  colour(name) {
    const hex = getComputedStyle(this.canvas).getPropertyValue(name).trim();
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  }
}

function mixed(from, to, share) {
  return `rgb(${from.map((x, k) => Math.round(x + share * (to[k] - x))).join(" ")})`;
}
