"use strict";
// The page of a store.

const { summary, experiments, plates, schemes } = data;
const channels = summary.channels.map((channel) => channel.name);
const wells = {
  row: unpackBytes(data.wells.row), column: unpackBytes(data.wells.column),
  population: unpackBytes(data.wells.population), sites: unpackBytes(data.wells.sites),
  treatment: unpackWords(data.wells.treatment),
};
const values = data.wells.values.map(({ name, about, channels: of }) => ({ name, about, channels: of.map(unpackScaled) }));
const POPULATIONS = [["negative control", "#0072b2", "n"], ["positive control", "#e69f00", "p"],
  ["treatment", "#aab4bd", ""], ["no label", "#d8dcdf", "?"]];
const cellTypes = [...new Set(experiments.map((experiment) => experiment.cell_type))];
const colourOfCell = (cellType) => colourOf(cellTypes.indexOf(cellType));
const platesOf = experiments.map((_, e) => plates.filter((plate) => plate.experiment === e));
const plateName = (plate) => `${experiments[plate.experiment].name}/${plate.name}`;
const letters = (row) => (row < 26 ? "" : String.fromCharCode(64 + Math.floor(row / 26))) + String.fromCharCode(65 + row % 26);
const wellName = (w) => letters(wells.row[w]) + String(wells.column[w]).padStart(2, "0");
const range = (n) => Array.from({ length: n }, (_, i) => i);

// What it holds.
{
  const { total } = summary;
  const state = summary.finished ? "finished"
    : el("span", { class: "bad" }, summary.n_missing ? `${plural(summary.n_missing, "file")} missing or damaged` : "not finished");
  start(data.title, [el("p", { class: "soft" },
    `${plural(channels.length, "channel")} of ${summary.size.join(" x ")} pixels, ${summary.dtype}, `
    + `${bytesText(summary.bytes)} as ${summary.codec}, `, state)]);
  const card = (value, text) => el("div", { class: "card" }, el("b", {}, value), el("span", {}, text));
  const counted = (n, noun) => [count(n), plural(n, noun).replace(/^[\d,]+ /, "")];
  const cards = [counted(total.experiments, "experiment"), counted(total.plates, "plate"), counted(total.wells, "well"),
    counted(total.sites, "site"), counted(summary.classes, "class"),
    [percent(summary.bytes / Math.max(summary.raw_bytes, 1), 0), `of ${bytesText(summary.raw_bytes)} raw`],
    [count(summary.rejected.sites + summary.rejected.wells), "left out when packed"]];
  const split = Object.entries(summary.datasets).map(([name, n]) => `${name}: ${plural(n.wells, "well")}`).join(", ");
  const byCell = cellTypes.map((cellType) => {
    const n = experiments.filter((experiment) => experiment.cell_type === cellType).length;
    return [cellType, n, colourOfCell(cellType), `${cellType}: ${plural(n, "experiment")}`];
  });
  const perPlate = el("div");
  const showPlates = (e) => perPlate.replaceChildren(
    bars(platesOf[e].map((plate) => [`plate ${plate.name}`, plate.wells, colourOfCell(experiments[e].cell_type)])));
  const chosen = choice("wells of each plate of ", experiments.map((experiment, e) => [e, experiment.name]), showPlates, "wells-of");
  showPlates(0);
  section("holds", "What it holds", el("div", { class: "cards" }, cards.map(([value, text]) => card(value, text))),
    el("p", { class: "soft" }, `Split: ${split}. Channels: ${channels.join(", ")}.`),
    el("div", { class: "two" },
      el("div", {}, el("h3", {}, "Experiments by cell type"), bars(byCell)),
      el("div", {}, el("div", { class: "controls" }, chosen.label), perPlate)));
}

// All experiments, with a filter.
{
  const row = (experiment, e) => {
    const n = [0, 0, 0, 0];
    let [nWells, nSites] = [0, 0];
    for (const plate of platesOf[e]) {
      nWells += plate.wells;
      for (let w = plate.first; w < plate.first + plate.wells; w += 1) { n[wells.population[w]] += 1; nSites += wells.sites[w]; }
    }
    const datasets = [...new Set(platesOf[e].map((plate) => plate.dataset))].join(", ") || "–";
    const open = el("a", { href: "#plates", onclick: () => showExperiment(e) }, experiment.name);
    return { "data-text": `${experiment.name} ${experiment.cell_type} ${datasets}`.toLowerCase(),
      cells: [open, experiment.cell_type, datasets, count(platesOf[e].length), count(nWells), count(nSites), ...n.map(count)] };
  };
  const made = table(["experiment", "\u0001cell type", "\u0001dataset", "plates", "wells", "sites", "negative", "positive", "treatments", "no label"],
    experiments.map(row), { id: "experiments-table" });
  const shown = el("span", { class: "soft", id: "shown" }, `${experiments.length} of ${experiments.length}`);
  const filter = el("input", { id: "filter", type: "search", placeholder: "HUVEC, test, ...", oninput: () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    let n = 0;
    for (const tr of made.querySelectorAll("tbody tr")) {
      tr.hidden = !words.every((word) => tr.dataset.text.includes(word));
      n += tr.hidden ? 0 : 1;
    }
    shown.textContent = `${n} of ${experiments.length}`;
  } });
  section("experiments", "Experiments", el("div", { class: "controls" }, el("label", {}, "filter ", filter), shown), made);
}

// Plate maps.
const KINDS = [["population", "population"], ["control", "positive control"], ["treatment", "class"],
  ...values.map(({ name, about }) => [name, about])];
const controlNames = [...new Set(range(wells.row.length).filter((w) => wells.population[w] === 1).map((w) => wells.treatment[w]))]
  .sort((a, b) => a - b);
function ends(numbers) {
  const known = Float32Array.from(numbers.filter((value) => !Number.isNaN(value))).sort();
  if (!known.length) return [0, 1];
  const [lower, upper] = [known[known.length >> 2], known[(known.length * 3) >> 2]];
  const fence = 1.5 * (upper - lower);
  return [Math.max(known[0], lower - fence), Math.min(known[known.length - 1], upper + fence)];
}
function plateMap(plate, colourOfWell, textOfWell) {
  const [cell, left, top] = [20, 24, 34];
  const width = left + plate.columns * cell;
  const map = draw("svg", { viewBox: `0 0 ${width} ${top + plate.rows * cell}`, role: "img", style: `max-width:${width * 1.4}px` },
    draw("text", { class: "name", x: left, y: 12 }, plateName(plate)));
  const every = plate.columns > 24 ? 4 : plate.columns > 12 ? 2 : 1;
  for (let c = 1; c <= plate.columns; c += every) {
    map.append(draw("text", { x: left + (c - 0.5) * cell, y: 28, "text-anchor": "middle" }, c));
  }
  for (let r = 0; r < plate.rows; r += 1) {
    map.append(draw("text", { x: left - 5, y: top + (r + 0.7) * cell, "text-anchor": "end" }, letters(r)));
  }
  for (let w = plate.first; w < plate.first + plate.wells; w += 1) {
    const [x, y] = [left + (wells.column[w] - 1) * cell, top + wells.row[w] * cell];
    const [colour, mark, tipText] = colourOfWell(w);
    map.append(draw("rect", { x: x + 0.5, y: y + 0.5, width: cell - 1.5, height: cell - 1.5, rx: 2, fill: colour, "data-tip": tipText,
      "data-well": wellName(w) }));
    if (mark) map.append(draw("text", { x: x + cell / 2 - 0.2, y: y + cell * 0.7, "text-anchor": "middle", style: `fill:${textOfWell(colour)};font-size:${mark.length > 2 ? 7 : 11}px;pointer-events:none` }, mark));
  }
  return map;
}
function inkOn(colour) {
  const [r, g, b] = colour.startsWith("#") ? [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)) : colour.match(/\d+/g).map(Number);
  return 299 * r + 587 * g + 114 * b > 140000 ? "#1c1f23" : "#ffffff";
}
const shown = { experiment: 0, kind: "population", channel: 0, own: false };
const about = (w) => {
  const name = data.wells.treatments[wells.treatment[w]];
  return `${wellName(w)}: ${POPULATIONS[wells.population[w]][0]}${name ? ` ${name}` : ""}, ${plural(wells.sites[w], "site")}`;
};
const maps = el("div", { class: "grid", id: "maps" });
const key = el("div", { class: "legend", id: "key" });
function showPlates() {
  const of = platesOf[shown.experiment];
  const { kind, channel } = shown;
  const value = values.find(({ name }) => name === kind);
  let colourOfWell;
  if (value) {
    const all = value.channels[channel];
    const [low, high] = ends(shown.own ? of.flatMap((plate) => [...all.subarray(plate.first, plate.first + plate.wells)]) : [...all]);
    colourOfWell = (w) => {
      const found = all[w];
      const mark = found > high ? "+" : found < low ? "–" : "";
      const colour = Number.isNaN(found) ? "#8c8c8c" : viridis((found - low) / (high - low || 1));
      return [colour, mark, `${about(w)}\n${channels[channel]}: ${value.about} ${number(found)}`];
    };
    key.replaceChildren(ramp(number(low), number(high)), el("span", {}, "+ above, – below"),
      el("span", {}, shown.own ? "scaled by these plates" : "scaled by all plates of the store"));
  } else if (kind === "population") {
    colourOfWell = (w) => [POPULATIONS[wells.population[w]][1], POPULATIONS[wells.population[w]][2], about(w)];
    const known = [...new Set(wells.population)].sort();
    key.replaceChildren(...known.map((p) => swatch(POPULATIONS[p][1], `${POPULATIONS[p][2]} ${POPULATIONS[p][0]}`.trim())));
  } else if (kind === "control") {
    const colour = placeOf;
    colourOfWell = (w) => {
      const i = wells.population[w] === 1 ? controlNames.indexOf(wells.treatment[w]) : -1;
      return i < 0 ? ["#d8dcdf", "", about(w)] : [colour(i), String(i + 1), about(w)];
    };
    key.replaceChildren(...controlNames.map((t, i) => swatch(colour(i), `${i + 1} ${data.wells.treatments[t]}`)));
  } else {
    const classes = data.wells.classes.filter((c) => c !== null);
    const most = Math.max(...classes, 1);
    colourOfWell = (w) => {
      const c = data.wells.classes[wells.treatment[w]];
      return c === null ? ["#d8dcdf", "", about(w)] : [viridis(c / most), String(c), `${about(w)}\nclass ${c}`];
    };
    key.replaceChildren(ramp("class 0", String(most)));
  }
  maps.replaceChildren(...of.map((plate) => plateMap(plate, colourOfWell, inkOn)));
}
let experimentChoice;
function showExperiment(e) {
  shown.experiment = (Number(e) + experiments.length) % experiments.length;
  experimentChoice.select.value = shown.experiment;
  showPlates();
}
{
  experimentChoice = choice("experiment", experiments.map((experiment, e) => [e, experiment.name]), showExperiment, "experiment");
  const channel = choice("channel", channels.map((name, c) => [c, name]), (c) => { shown.channel = Number(c); showPlates(); }, "channel");
  const kind = choice("coloured by", KINDS, (name) => { shown.kind = name; showPlates(); ofValues(); }, "kind");
  const own = el("input", { type: "checkbox", onchange: () => { shown.own = own.checked; showPlates(); } });
  const ownLabel = el("label", {}, own, "scale by these plates");
  const ofValues = () => {
    for (const label of [channel.label, ownLabel]) label.hidden = !values.some(({ name }) => name === shown.kind);
  };
  section("plates", "Plate maps",
    el("p", { class: "soft" }, "The plates of an experiment side by side. Point at a well for what it was given and its value."),
    el("div", { class: "controls" },
      el("button", { type: "button", id: "previous", "aria-label": "previous experiment", onclick: () => showExperiment(shown.experiment - 1) }, "‹"),
      experimentChoice.label,
      el("button", { type: "button", id: "next", "aria-label": "next experiment", onclick: () => showExperiment(shown.experiment + 1) }, "›"),
      kind.label, channel.label, ownLabel), key, maps);
  showPlates();
  ofValues();
}

// Where treatments lie.
if (data.wells.treatments.length > 1) {
  const counted = new Map();
  wells.treatment.forEach((t, w) => { if (t) { if (!counted.has(t)) counted.set(t, []); counted.get(t).push(w); } });
  const names = [...counted.keys()];
  const picture = el("div");
  const words = el("p", { class: "soft" });
  const rows = Math.max(...plates.map((plate) => plate.rows));
  const columns = Math.max(...plates.map((plate) => plate.columns));
  const show = (chosen) => {
    const of = chosen.flatMap((t) => counted.get(t));
    const places = new Map();
    for (const w of of) places.set(wellName(w), [...(places.get(wellName(w)) ?? []), w]);
    const most = Math.max(...[...places.values()].map((all) => all.length), 1);
    const whole = { experiment: 0, name: "", rows, columns, first: 0, wells: 0 };
    const map = plateMap(whole, () => [], inkOn);
    map.querySelector(".name").textContent = "positions over all plates";
    for (const [name, all] of places) {
      const [w] = all;
      map.append(draw("rect", { x: 24 + (wells.column[w] - 1) * 20 + 0.5, y: 34 + wells.row[w] * 20 + 0.5, width: 18.5, height: 18.5, rx: 2,
        fill: viridis(most > 1 ? (all.length - 1) / (most - 1) : 1), "data-tip": `${name}: ${plural(all.length, "well")} of ${of.length}` }));
    }
    words.textContent = `${plural(of.length, "well")} at ${plural(places.size, "position")}; at one position at most ${most}.`;
    picture.replaceChildren(map, el("div", { class: "legend" }, ramp("1 well", String(most))));
  };
  const find = el("input", { id: "treatment", list: "treatments", placeholder: "a treatment", oninput: () => {
    const t = data.wells.treatments.indexOf(find.value);
    if (counted.has(t)) show([t]);
  } });
  const list = el("datalist", { id: "treatments" }, names.map((t) => el("option", { value: data.wells.treatments[t] })));
  section("positions", "Where treatments lie",
    el("p", { class: "soft" }, "Random by design, it should look so: a treatment that always lies at one place cannot be told from that place."),
    el("div", { class: "controls" }, el("label", {}, "treatment ", find, list),
      controlNames.length ? el("button", { type: "button", onclick: () => show(controlNames) }, "all positive controls") : null), words,
    el("div", { class: "two" }, picture));
  show(controlNames.length ? controlNames : [names[0]]);
}

// What batches change.
{
  const state = { scheme: 0, channel: 0, cellType: "" };
  const histograms = el("div");
  const means = el("div");
  const legend = el("div", { class: "legend" }, cellTypes.map((cellType) => swatch(colourOfCell(cellType), cellType)));
  const isShown = (e) => !state.cellType || experiments[e].cell_type === state.cellType;
  const show = () => {
    const scheme = schemes[state.scheme];
    const [low, high] = scheme.ranges[state.channel];
    const unit = scheme.name === "none" ? "grey level" : "normalised level";
    const series = experiments.map((experiment, e) => {
      const bins = unpackBytes(scheme.bins[e][state.channel]);
      const width = (high - low) / bins.length;
      return { name: experiment.name, colour: colourOfCell(experiment.cell_type), width: 1.2, shown: isShown(e),
        // The ends have all that is beyond them.
        points: [...bins].map((n, i) => [low + (i + 0.5) * width, (n / 255) * 4 - 4]).slice(1, -1) };
    });
    const made = lines({ x: [low, high], y: [-4, 0], xLabel: `${channels[state.channel]}: ${unit}`,
      yLabel: "pixels, of the fullest bin", yText: (power) => (Number.isInteger(power) ? `${100 * 10 ** power} %`.replace("0.01 %", "0") : "") },
      series.filter((one) => one.shown));
    histograms.replaceChildren(made.chart);
    if (!scheme.plate_means.length) {
      means.replaceChildren(el("p", { class: "soft" }, "Each image has mean 0 by itself."));
      return;
    }
    const of = scheme.plate_means.map((all) => all[state.channel]);
    const known = of.filter((_, p) => isShown(plates[p].experiment));
    const pad = (Math.max(...known) - Math.min(...known)) * 0.06 || 0.5;
    const chosen = range(experiments.length).filter(isShown);
    const plot = frame({ x: [-0.5, chosen.length - 0.5], y: [Math.min(...known) - pad, Math.max(...known) + pad],
      xLabel: "experiments, a dot a plate", yLabel: `mean ${unit}`,
      xSteps: chosen.length <= 8 ? range(chosen.length) : [], xText: (at) => experiments[chosen[at]].name });
    plates.forEach((plate, p) => {
      const at = chosen.indexOf(plate.experiment);
      if (at < 0) return;
      const within = platesOf[plate.experiment];
      const shift = (within.indexOf(plate) + 0.5) / within.length - 0.5;
      plot.chart.append(draw("circle", { cx: plot.atX(at + shift * 0.6), cy: plot.atY(of[p]), r: 3, fill: colourOfCell(experiments[plate.experiment].cell_type),
        "data-tip": `${plateName(plate)}: ${number(of[p])}` }));
    });
    means.replaceChildren(plot.chart);
  };
  const scheme = choice("normalised", schemes.map((one, i) => [i, `${one.name}: ${one.about}`]), (i) => { state.scheme = Number(i); show(); }, "scheme");
  const channel = choice("channel", channels.map((name, c) => [c, name]), (c) => { state.channel = Number(c); show(); }, "effect-channel");
  const cell = choice("cell type", [["", "all"], ...cellTypes.map((cellType) => [cellType, cellType])], (name) => { state.cellType = name; show(); }, "effect-cell");
  const shares = table(["normalised", ...channels], schemes.map((one) => ({
    cells: [one.name, ...one.between_experiments.map((share) => (share === null ? "–" : percent(share, 0)))] })), {});
  section("batches", "What batches change",
    el("p", { class: "soft" }, "Levels of each experiment before and after each normalisation. Where lines lie apart, a network can learn the batch instead of the treatment."),
    el("div", { class: "controls" }, scheme.label, channel.label, cell.label), legend,
    el("div", { class: "two" }, histograms, means),
    el("h3", {}, "Share of the variance of site means that lies between experiments"), shares);
  show();
}

// Plates with equal layouts.
section("layouts", "Equal layouts",
  el("p", { class: "soft" }, "Plates with the same treatments at the same wells: what a network learns of the place, it can use on both."
    + (data.n_unknown_layouts ? ` ${plural(data.n_unknown_layouts, "plate")} of which not all is known ${agree(data.n_unknown_layouts, "is", "are")} left out.` : "")),
  data.layouts.length
    ? table(["plates", "\u0001which"], data.layouts.map((group) => ({
      cells: [count(group.length), group.map((p) => plateName(plates[p])).join(", ")] })), {})
    : el("p", {}, data.n_unknown_layouts < plates.length ? "No two plates are alike." : "Nothing is known of what wells were given."));

// Sites far from their plate.
{
  const WHAT = { dark: "dark", bright: "bright", saturated: "saturated", "out-of-focus": "out of focus" };
  const card = ({ site, about: what, what: kind, channel, value, median, distance, image }) => el("figure", { "data-kind": kind },
    image ? el("img", { src: image, alt: site }) : el("div", { class: "none" }),
    el("figcaption", {}, el("b", {}, WHAT[kind]), `, ${channels[channel]}`, el("br"), site, el("br"), what, el("br"),
      `${number(value)}, its plate ${number(median)} (${number(distance)} σ)`));
  const cards = el("div", { class: "far", id: "far-sites" }, data.far.map(card));
  const kinds = choice("show", [["", "all"], ...Object.entries(WHAT).filter(([kind]) => data.far.some((far) => far.what === kind))],
    (kind) => { for (const figure of cards.children) figure.hidden = kind !== "" && figure.dataset.kind !== kind; }, "far-kind");
  section("far", "Sites that stand out",
    data.damaged.length ? el("div", {}, el("p", { class: "bad" }, `${plural(data.damaged.length, "site")} cannot be read:`),
      table(["site", "\u0001why"], data.damaged.slice(0, 1000).map(({ site, why }) => ({ cells: [site, why] })), {})) : null,
    el("p", { class: "soft" }, (data.n_far ? `${plural(data.n_far, "site")} ${agree(data.n_far, "lies", "lie")} 6 robust standard deviations or more from the median of their plate`
      + (data.n_far > data.far.length ? `; the furthest are shown, at most two of a plate and a kind.` : ".") : "No site lies 6 robust standard deviations from the median of its plate.")
      + (data.pixels ? "" : " Focus and saturation were not measured (--quick).")),
    data.far.length ? el("div", { class: "controls" }, kinds.label) : null, cards);
}

// Replicates.
if (data.sheets.length) {
  section("replicates", "Replicates",
    el("p", { class: "soft" }, "The same treatment in each experiment, all tiles of a row with the same contrast. Other treatments: cellshard inspect STORE --sheet TREATMENT --out FILE."),
    data.sheets.map((sheet) => el("div", {}, el("h3", {}, sheet.title), sheet.bands.map((band) => el("div", {},
      el("p", { class: "soft" }, `${band.name}: ${band.about}`),
      el("div", { class: "tiles" }, band.images.map((src, i) => el("figure", {},
        el("img", { src, alt: sheet.tiles[i], "data-tip": sheet.tiles[i] }), el("figcaption", {}, sheet.tiles[i].split("/")[0])))))))));
}
finish();
