"use strict";
// The page of one run, or of several side by side.

const { runs } = data;
const last = (all) => all[all.length - 1];
const FIGURES = [["train_loss", "training"], ["val_loss", "validation"]];
const figure = (run, best, name) => run.epochs.find((epoch) => epoch.epoch === best?.epoch)?.figures[name];
const hours = (seconds) => (seconds >= 3600 ? `${(seconds / 3600).toFixed(1)} h` : seconds >= 60 ? `${(seconds / 60).toFixed(1)} min` : `${seconds.toFixed(1)} s`);

// What came of them.
{
  const second = runs.some((run) => run.name.includes("/")) ? "; second steps stand below the first, by their cell types" : "";
  start(data.title, [el("p", { class: "soft" },
    `${runs[0].model}, ${plural(runs[0].classes, "class")}, ${runs.every((run) => run.finished) ? "finished" : "not finished"}${second}`)]);
  const row = (run) => {
    const { best_loss: loss, best_accuracy: accuracy } = run;
    const seconds = run.epochs.reduce((sum, epoch) => sum + (epoch.figures.seconds ?? 0), 0);
    const share = (value) => (value === undefined ? "–" : percent(value));
    return { cells: [run.name, run.model, `${last(run.epochs)?.epoch ?? 0}${run.finished ? "" : ", not finished"}`,
      run.diverged ? el("span", { class: "bad" }, `NaN in epoch ${run.diverged}`) : loss ? `${number(loss.value)} (${loss.epoch})` : "–", accuracy ? `${percent(accuracy.value)} (${accuracy.epoch})` : "–",
      share(figure(run, accuracy, "val_top5_well")), share(last(run.epochs)?.figures.chance), hours(seconds)] };
  };
  section("results", "What came of it",
    table(["run", "\u0001network", "epochs", "least loss (epoch)", "wells right (epoch)", "top 5", "chance", "time"], runs.map(row), { id: "results-table" }),
    el("p", { class: "soft" }, "Of the wells that validate. Both best epochs choose a network; they are seldom the same."));
}

// Curves.
function curves(title, of, options) {
  const all = runs.flatMap((run, r) => of(run).map(({ name, points, dash }) => ({ run, r, name, points, dash })))
    .filter(({ points }) => points.some(([, value]) => Number.isFinite(value)));
  if (!all.length) return null;
  const flat = all.flatMap(({ points }) => points).filter(([, value]) => Number.isFinite(value));
  const [xs, ys] = [flat.map(([x]) => x), flat.map(([, y]) => y)];
  const low = options.zero ? 0 : Math.min(...ys);
  const pad = (Math.max(...ys) - low) * 0.05 || Math.abs(low) * 0.05 || 0.05;
  const made = lines({ ...options, x: [Math.min(...xs), Math.max(Math.max(...xs), Math.min(...xs) + 1)],
    y: [options.zero ? 0 : low - pad, Math.max(...ys) + pad] },
    all.map(({ run, r, name, points, dash }) => ({ name: `${run.name}, ${name}`, colour: colourOf(r), dash, points })));
  for (const { run, r, points, name } of all) {
    for (const [best, shape] of options.marks?.(run, name) ?? []) {
      const point = points.find(([x]) => x === best?.epoch);
      if (!point || !Number.isFinite(point[1])) continue;
      const [x, y] = [made.atX(point[0]), made.atY(point[1])];
      const about = `${run.name}: ${shape === "loss" ? "least loss" : "most wells right"}, epoch ${best.epoch}`;
      made.chart.append(shape === "loss"
        ? draw("path", { d: `M${x} ${y - 7}L${x + 6} ${y - 17}L${x - 6} ${y - 17}Z`, fill: colourOf(r), stroke: "var(--paper)", "data-tip": about, "data-mark": "loss" })
        : draw("rect", { x: x - 5, y: y - 5, width: 10, height: 10, fill: colourOf(r), stroke: "var(--paper)", "data-tip": about, "data-mark": "accuracy" }));
    }
  }
  return el("div", {}, el("h3", {}, title), made.chart);
}
{
  const of = (names) => (run) => names.map(([key, name], i) => ({ name, dash: i === names.length - 1 ? undefined : name === "sites" ? "1 3" : "6 4",
    points: run.epochs.map((epoch) => [epoch.epoch, epoch.figures[key] ?? NaN]) }));
  const whole = (value) => (Number.isInteger(value) ? String(value) : "");
  const marks = (run, name) => (name === "training" ? [] : [[run.best_loss, "loss"], [run.best_accuracy, "accuracy"]]);
  const loss = curves("Loss", of(FIGURES), { xLabel: "epoch", xText: whole, marks });
  const accuracy = curves("Accuracy", of([["train_accuracy", "training"], ["val_accuracy_site", "sites"], ["val_accuracy_well", "wells"]]),
    { xLabel: "epoch", xText: whole, zero: true, yText: (share) => `${short(100 * share)} %`,
      marks: (run, name) => (name === "wells" ? marks(run, name) : []) });
  const rate = curves("Learning rate", of([["lr", "rate"]]), { xLabel: "epoch", xText: whole, zero: true });
  const steps = curves("Loss of each step", (run) => [{ name: "training", points: run.losses }], { xLabel: "step" });
  const legend = el("div", { class: "legend" }, runs.map((run, r) => swatch(colourOf(r), run.name)),
    el("span", {}, "– – training"), el("span", {}, "··· sites"), el("span", {}, "— validation"), el("span", {}, "▼ least loss"), el("span", {}, "■ most wells right"));
  section("curves", "Curves", legend, el("div", { class: "two" }, [loss, accuracy, steps, rate]));
}

// Accuracy by group.
{
  const kinds = ["cell-type", "experiment", "plate"].filter((kind) => runs.some((run) => run.groups.some((group) => group.kind === kind)));
  const parts = el("div", { class: "two" });
  const show = (kind) => {
    const known = runs.flatMap((run) => run.groups.filter((group) => group.kind === kind));
    const names = [...new Set(known.map((group) => group.name))];
    const most = Math.max(...known.map((group) => group.accuracy));
    parts.replaceChildren(...names.map((name) => {
      const rows = runs.flatMap((run, r) => run.groups.filter((group) => group.kind === kind && group.name === name)
        .map((group) => [run.name, group.accuracy, colourOf(r), `${run.name}: ${percent(group.accuracy)} of ${plural(group.wells, "well")}, top 5 ${percent(group.top5)}`]));
      return el("div", {}, el("h3", {}, name), bars(rows, { text: (share) => percent(share), most }));
    }));
  };
  const kind = choice("by", kinds.map((name) => [name, name.replace("-", " ")]), show, "group-kind");
  if (kinds.length) {
    section("groups", "Accuracy by group",
      el("p", { class: "soft" }, "Wells right at the epoch with most of them."),
      el("div", { class: "controls" }, kind.label), parts);
    show(kinds[0]);
  }
}

// What is confused.
if (runs.some((run) => run.confused.length)) {
  const of = (run) => el("div", {}, el("h3", {}, run.name),
    el("p", { class: "soft" }, `${count(run.n_right)} of ${plural(run.n_answers, "well")} are right.`),
    el("div", { class: "far" }, run.confused.map((pair) => el("figure", {},
      el("div", { class: "tiles" }, pair.images.map((src, i) => (src ? el("img", { src, alt: pair.wells[i], "data-tip": pair.wells[i], style: "width:76px" }) : null))),
      el("figcaption", {}, el("b", {}, pair.treatment), " taken for ", el("b", {}, pair.taken_for), el("br"),
        `${pair.n} of ${plural(pair.of, "well")}${pair.back ? `, and back ${pair.back}` : ""}`)))));
  section("confused", "Most confused treatments",
    el("p", { class: "soft" }, "Left a well that was taken for the other, right a well of the other, each by its own contrast."),
    runs.filter((run) => run.confused.length).map(of));
}

// Recipes.
{
  const rows = runs[0].recipe.map(([key], i) => {
    const values = runs.map((run) => run.recipe[i]?.[1] ?? "");
    const differs = values.some((value) => value !== values[0]);
    return { "data-differs": differs ? "true" : "false",
      cells: [key, ...values.map((value) => el("td", { class: differs ? "text different" : "text" }, value || "–"))] };
  });
  const made = table(["key", ...runs.map((run) => `\u0001${run.name}`)], rows, { id: "recipes-table" });
  const only = el("input", { type: "checkbox", id: "only-different", onchange: () => {
    for (const tr of made.querySelectorAll("tbody tr")) tr.hidden = only.checked && tr.dataset.differs === "false";
  } });
  section("recipes", "Recipes", runs.length > 1 ? el("div", { class: "controls" }, el("label", {}, only, "only what differs")) : null, made);
}

// Split and how it was started.
{
  const split = (run) => Object.entries(run.split).map(([part, experiments]) => {
    const names = Object.keys(experiments);
    return { cells: [run.name, part, count(Object.values(experiments).reduce((sum, n) => sum + n, 0)), names.join(", ")] };
  });
  section("split", "Split", table(["run", "\u0001part", "wells", "\u0001experiments"], runs.flatMap(split), {}));
  section("command", "How it was begun", runs.map((run) => el("p", {}, el("code", {}, run.command || "not known"), el("span", { class: "soft" }, ` on ${run.device || "an unknown device"}`))));
}
finish();
