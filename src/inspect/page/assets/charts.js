"use strict";
// What pages of stores and of runs share: elements, numbers, colours, charts. All texts are set as texts, never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}
const el = (name, attributes, ...children) => build(document.createElement(name), attributes, children);
const draw = (name, attributes, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

// Numbers.
const count = (n) => Math.round(n).toLocaleString("en-US");
const agree = (n, one, several) => (n === 1 ? one : several);
const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : noun.endsWith("s") ? "es" : "s"}`;
const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 0 : size >= 1 ? 2 : 4);
}
function bytesText(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 999.5 && unit < 4) { n /= 1000; unit += 1; }
  return `${unit && n < 99.95 ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}
const unpackBytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
function unpackWords(text) {
  return new Uint32Array(unpackBytes(text).buffer);
}
function unpackScaled({ low, high, values }) {
  const words = new Uint16Array(unpackBytes(values).buffer);
  return Float32Array.from(words, (word) => (word === 65535 ? NaN : low + (word / 65534) * (high - low)));
}

// Colours that people who tell few apart can read: viridis, and the palette of Okabe and Ito.
const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"]
  .map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
function viridis(share) {
  const at = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const mixed = [0, 1, 2].map((c) => Math.round(VIRIDIS[i][c] + (at - i) * (VIRIDIS[i + 1][c] - VIRIDIS[i][c])));
  return `rgb(${mixed.join(",")})`;
}
const OKABE_ITO = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#b8a800"];
// Beyond these, hues far apart by the golden angle.
const colourOf = (i) => OKABE_ITO[i] ?? `hsl(${Math.round(i * 137.5) % 360} 65% ${i % 2 ? 38 : 58}%)`;
const placeOf = (i) => viridis((i * 0.618033988749895) % 1);
const swatch = (colour, text) => el("span", {}, el("i", { class: "swatch", style: `background:${colour}` }), text);
function ramp(low, high) {
  const stops = VIRIDIS.map((_, i) => viridis(i / (VIRIDIS.length - 1))).join(",");
  return el("span", {}, low, el("i", { class: "ramp", style: `background:linear-gradient(90deg,${stops})` }), high);
}

// What is below the pointer, or has the focus, says more.
const tip = el("div", { id: "tip", role: "status" });
document.body.append(tip);
function showTip(target, x, y) {
  const from = target?.closest?.("[data-tip]");
  tip.style.display = from ? "block" : "none";
  if (!from) return;
  tip.textContent = from.dataset.tip;
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 10 : y + 18}px`;
}
document.addEventListener("mousemove", (event) => showTip(event.target, event.clientX, event.clientY));
document.addEventListener("focusin", (event) => {
  const box = event.target.getBoundingClientRect();
  showTip(event.target, box.left, box.top);
});
document.addEventListener("scroll", () => { tip.style.display = "none"; }, { passive: true });

// Parts of a page.
const main = el("main");
const links = el("div");
function section(id, title, ...children) {
  links.append(el("a", { href: `#${id}` }, title));
  const made = el("section", { id }, el("h2", {}, title), ...children);
  main.append(made);
  return made;
}
function start(title, about) {
  const theme = el("button", { id: "theme", type: "button", onclick: () => {
    const isDark = getComputedStyle(document.documentElement).colorScheme === "dark"
      || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = isDark ? "light" : "dark";
  } }, "light / dark");
  document.body.prepend(el("header", {}, el("h1", {}, title), ...about), el("nav", {}, links), main);
  links.append(theme);
}
function finish() {
  links.append(document.getElementById("theme"));
  main.append(el("footer", {}, `Made by cellshard ${data.tool_version}. This page needs nothing from elsewhere.`));
}
function choice(label, options, change, id) {
  const select = el("select", { id, onchange: () => change(select.value) },
    options.map(([value, text]) => el("option", { value }, text)));
  return { select, label: el("label", {}, label, select) };
}
function table(head, rows, attributes) {
  // Columns of texts are marked by a character that no name has.
  const isText = (i) => (head[i].startsWith("\u0001") ? "text" : undefined);
  const name = (text) => text.replace(/^\u0001/, "");
  return el("div", { class: "scroll" }, el("table", attributes,
    el("thead", {}, el("tr", {}, head.map((text, i) => el("th", { class: isText(i) }, name(text))))),
    el("tbody", {}, rows.map(({ cells, ...rest }) => el("tr", rest, cells.map((cell, i) =>
      (cell instanceof Node && cell.nodeName === "TD" ? cell : el("td", { class: isText(i) }, cell))))))));
}

// Charts. A scale with a few round steps.
function steps(low, high, most = 5) {
  const rough = (high - low || 1) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const n = Math.max(Math.floor(high / step + 1e-6) - first + 1, 0);
  return Array.from({ length: n }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
const short = (value) => (Math.abs(value) < 1e-12 ? "0" : String(Number(value.toPrecision(4))));

function frame({ width = 640, height = 300, x, y, xLabel, yLabel, yText = short, xText = short, xSteps }) {
  const box = { left: 56, right: 12, top: 10, bottom: 40 };
  const [w, h] = [width - box.left - box.right, height - box.top - box.bottom];
  const atX = (value) => box.left + ((value - x[0]) / (x[1] - x[0] || 1)) * w;
  const atY = (value) => box.top + h - ((value - y[0]) / (y[1] - y[0] || 1)) * h;
  const chart = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  for (const value of steps(y[0], y[1])) {
    chart.append(draw("line", { class: "gridline", x1: box.left, x2: width - box.right, y1: atY(value), y2: atY(value) }),
      draw("text", { x: box.left - 7, y: atY(value) + 4, "text-anchor": "end" }, yText(value)));
  }
  for (const value of xSteps ?? steps(x[0], x[1], 8)) {
    chart.append(draw("text", { x: atX(value), y: box.top + h + 16, "text-anchor": "middle" }, xText(value)));
  }
  chart.append(draw("line", { class: "axis", x1: box.left, x2: width - box.right, y1: box.top + h, y2: box.top + h }));
  if (xLabel) chart.append(draw("text", { x: box.left + w / 2, y: height - 6, "text-anchor": "middle" }, xLabel));
  if (yLabel) {
    chart.append(draw("text", { x: 12, y: box.top + h / 2, "text-anchor": "middle",
      transform: `rotate(-90 12 ${box.top + h / 2})` }, yLabel));
  }
  return { chart, atX, atY, box, width, height };
}

// Lines: `series` of { name, colour, dash, points: [[x, y], ...], tip }.
function lines(options, series) {
  const made = frame(options);
  for (const { colour, dash, points, name, tip: text, width = 1.8 } of series) {
    const isKnown = ([, value]) => value !== null && Number.isFinite(value);
    const known = points.filter(isKnown);
    // What is not known leaves a gap.
    const path = points.map((point, i) => (isKnown(point)
      ? `${i && isKnown(points[i - 1]) ? "L" : "M"}${made.atX(point[0]).toFixed(1)} ${made.atY(point[1]).toFixed(1)}` : ""));
    made.chart.append(draw("path", { d: path.join(""), fill: "none", stroke: colour, "stroke-width": width,
      "stroke-dasharray": dash, "stroke-linejoin": "round", "data-tip": text ?? name, "data-series": name }));
    if (known.length === 1) {
      made.chart.append(draw("circle", { cx: made.atX(known[0][0]), cy: made.atY(known[0][1]), r: 3, fill: colour,
        "data-tip": text ?? name }));
    }
  }
  return made;
}

// Horizontal bars: [name, value, colour, tip].
function bars(rows, { text = count, width = 640, most = Math.max(...rows.map(([, value]) => value)) } = {}) {
  const left = 16 + 6.6 * Math.min(26, Math.max(...rows.map(([name]) => name.length)));
  const room = width - left - 70;
  const chart = draw("svg", { viewBox: `0 0 ${width} ${rows.length * 24 + 4}`, role: "img", style: `max-width:${width * 1.2}px` });
  const fitting = (name) => (name.length > 26 ? `${name.slice(0, 12)}…${name.slice(-13)}` : name);
  rows.forEach(([name, value, colour, about], i) => {
    const y = i * 24 + 4;
    chart.append(
      draw("text", { class: "name", x: left - 8, y: y + 14, "text-anchor": "end", "data-tip": name }, fitting(name)),
      draw("rect", { x: left, y, width: (value / (most || 1)) * room, height: 18, rx: 2, fill: colour ?? "var(--accent)",
        "data-tip": about ?? `${name}: ${text(value)}` }),
      draw("text", { x: left + (value / (most || 1)) * room + 6, y: y + 14 }, text(value)));
  });
  return chart;
}
