// The page: compute the network's layers from the drawing, here in the browser, and show them.

import { forward, load } from "./network.js";
import { Pad } from "./pad.js";
import { prepare } from "./picture.js";
import { Grid, gridOf } from "./grid.js";

const $ = (id) => document.getElementById(id);
const network = await load();
const [height, width] = network.image_shape;

$("about").textContent = about();
$("thing").textContent = network.digit ? "digit" : "picture";
const bars = network.classes.map(bar);
const grids = [{ n: network.n_in }, ...network.layers.slice(0, -1)].map(grid);
const pad = new Pad($("pad"), network.image_shape, showSoon);
let frame = 0;
$("clear").addEventListener("click", () => pad.clear());
addEventListener("keydown", (event) => ["Escape", "Backspace", "Delete"].includes(event.key) && pad.clear());
addEventListener("resize", showSoon);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showSoon);
show();

/** Describe the network in one line. */
function about() {
  const dataset = network.dataset?.split(/[\\/]/).at(-1);
  if (!dataset) return network.name;
  return `${network.name} · ` + (network.accuracy ? `${percent(network.accuracy)} right on ${dataset}` : dataset);
}

/** Add a class's row to the chart. */
function bar(name) {
  const row = document.createElement("li");
  row.innerHTML = '<span class="name"></span><span class="track"><span class="bar"></span></span><span class="value"></span>';
  row.querySelector(".name").textContent = name;
  $("bars").append(row);
  return row;
}

/** Add a figure of a layer's activations: the input in the shape of its image, other layers as they fit. */
function grid({ n, f }, l) {
  const figure = document.createElement("figure");
  const caption = l === 0 ? `what the network sees` : `layer ${l}, ${n} × ${f}`;
  figure.append(Object.assign(document.createElement("figcaption"), { textContent: caption }));
  const canvas = figure.appendChild(document.createElement("canvas"));
  $("layers").append(figure);
  return new Grid(canvas, l === 0 ? [height, width] : gridOf(n));
}

/** Show at most once per frame, however often the pointer moves. */
function showSoon() {
  frame ||= requestAnimationFrame(show);
}

function show() {
  frame = 0;
  const picture = prepare(pad.drawing, network.image_shape, network.digit);
  const a = picture && forward(network, picture.data);
  $("hint").hidden = Boolean(picture);
  grids.forEach((grid, l) => grid.show(a?.[l]));
  showOutputs(a?.at(-1));
}

/** Show the last layer's outputs; a single output stands for two classes. */
function showOutputs(outputs) {
  let values = outputs && [...outputs];
  if (values?.length === 1) values = [2 * network.threshold - values[0], values[0]];
  const most = values ? Math.max(...values) : NaN;
  const scale = network.probabilities ? 1 : Math.max(most, 1e-9);
  const say = network.probabilities ? percent : (x) => x.toFixed(2);
  bars.forEach((row, k) => {
    row.classList.toggle("most", values?.[k] === most);
    row.querySelector(".bar").style.setProperty("--share", values ? Math.max(values[k], 0) / scale : 0);
    row.querySelector(".value").textContent = values ? say(values[k]) : "";
  });
  $("label").textContent = values ? network.classes[values.indexOf(most)] : "";
  $("sure").textContent = values ? say(most) : "";
}

function percent(x) {
  return `${(100 * x).toFixed(1)} %`;
}
