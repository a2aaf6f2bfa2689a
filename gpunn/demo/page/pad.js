// The canvas to draw on with a mouse, a pen or a finger. The ink is the alpha channel.

const SIDE = 560; // width of the canvas, in its own pixels
const PEN = 0.08; // stroke width as a fraction of SIDE: MNIST's, if the digit fills most of the canvas

export class Pad {
  constructor(canvas, [height, width], changed) {
    [canvas.width, canvas.height] = [SIDE, Math.round((SIDE * height) / width)];
    this.canvas = canvas;
    this.changed = changed;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    Object.assign(this.context, { lineWidth: SIDE * Math.max(PEN, 1 / width), lineCap: "round", lineJoin: "round" });
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.draw(event));
    for (const ended of ["pointerup", "pointercancel"]) canvas.addEventListener(ended, () => (this.last = null));
  }

  begin(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    this.canvas.setPointerCapture(event.pointerId);
    const [x, y] = this.place(event);
    this.last = [x, y - 0.1]; // a line of no length would leave no dot
    this.draw(event);
  }

  draw(event) {
    if (!this.last || !event.isPrimary) return;
    this.context.beginPath();
    this.context.moveTo(...this.last);
    for (const passed of [...(event.getCoalescedEvents?.() ?? []), event]) {
      this.last = this.place(passed);
      this.context.lineTo(...this.last);
    }
    this.context.stroke();
    this.changed();
  }

  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.changed();
  }

  /** The position of an event on the canvas. */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const { width, height } = this.canvas;
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  }

  /** The drawing: {height, width, data}, where 0 is blank and 255 is ink. */
  get drawing() {
    const { width, height } = this.canvas;
    const rgba = this.context.getImageData(0, 0, width, height).data;
    const data = new Uint8Array(width * height);
    for (let i = 0; i < data.length; i++) data[i] = rgba[4 * i + 3];
    return { width, height, data };
  }
}
