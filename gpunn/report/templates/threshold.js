"use strict";
// Let the confusion matrix and the metrics by class follow the slider.
const section = document.getElementById("threshold");
const { hits, alarms, totals } = JSON.parse(section.dataset.counts);
const [slider, shown, line] = ["input", "output", ".metrics"].map((name) => section.querySelector(name));
const cells = [...document.querySelectorAll("#confusion .matrix tbody td")];
const rows = [...document.querySelectorAll("#classes tbody tr")];
const percent = (share) => `${(100 * share).toFixed(2)}%`;
const ratio = (part, whole) => (whole ? part / whole : 0);

function show() {
  const k = Number(slider.value);
  const [right, wrong] = [hits[k], alarms[k]];
  const matrix = [totals[0] - wrong, wrong, totals[1] - right, right]; // by row: true class, then predicted
  const [tn, fp, fn, tp] = matrix;
  const most = Math.max(fp, fn, 1);
  cells.forEach((cell, i) => {
    const [n, correct] = [matrix[i], i === 0 || i === 3];
    cell.textContent = n || "·";
    cell.className = n ? (correct ? "right" : "wrong") : "";
    cell.style.setProperty("--share", correct ? ratio(n, i ? tp + fn : tn + fp) : n / most);
  });
  const metrics = [[tn, tn + fn, tn + fp], [tp, tp + fp, tp + fn]];
  metrics.forEach(([n, found, support], i) => {
    const values = [ratio(n, found), ratio(n, support), ratio(2 * n, found + support)];
    values.forEach((value, j) => (rows[i].children[1 + j].textContent = percent(value)));
  });
  const [accuracy, balanced] = [(tn + tp) / (tn + fp + fn + tp), (ratio(tn, tn + fp) + ratio(tp, tp + fn)) / 2];
  shown.textContent = (k / (hits.length - 1)).toFixed(3);
  line.textContent = `accuracy ${percent(accuracy)}, balanced accuracy ${percent(balanced)}`;
}

section.hidden = false;
slider.addEventListener("input", show);
