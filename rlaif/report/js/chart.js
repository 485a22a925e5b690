// Curves as SVG: axes, lines, marks on the time line, and the values under the pointer (or the arrow keys).
const COLOURS = 8;
const EDGE = { left: 52, right: 10, top: 8, bottom: 34 };

// panel: { title, note, x, stacked, series: [{ name, x, y, style }], marks: [{ x, text }] }; style: line, dots or dashed.
class Chart {
  constructor(panel) {
    this.panel = panel;
    this.svg = draw("svg", { class: "chart", tabindex: "0", role: "img" });
    this.legend = make("ul", "legend");
    const values = make("details", "values", make("summary", "", "values"));
    values.addEventListener("toggle", () => {
      if (values.open && values.childElementCount === 1) values.append(this.table());
    });
    this.node = make("figure", "panel", make("figcaption", "", panel.title), this.legend, this.svg);
    if (panel.note) this.node.append(make("p", "note", panel.note));
    this.node.append(values);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.look(null));
    this.svg.addEventListener("blur", () => this.look(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.render()).observe(this.svg);
    this.svg.setAttribute("aria-label", this.told());
  }

  render() {
    const width = Math.max(240, this.svg.clientWidth || 520);
    if (width === this.width) return;
    this.width = width;
    this.height = 210;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    const layers = stacked(this.panel);
    const xs = layers.flatMap((one) => one.x);
    const ys = layers.flatMap((one) => [...one.top, ...one.base]).filter((y) => y !== null);
    const sides = extent(xs);
    const rows = ticks(...extent(ys), 5, true);
    this.across = scale(ticks(...sides, width < 400 ? 4 : 6, false), sides, EDGE.left, width - EDGE.right);
    this.up = scale(rows, extent(rows), this.height - EDGE.bottom, EDGE.top);
    this.layers = layers;
    this.steps = [...new Set(xs)].sort((a, b) => a - b);
    this.pointer = draw("g", { class: "pointer" });
    this.svg.replaceChildren(this.axes(), ...this.marks(), ...layers.map((one, at) => this.curve(one, at)), this.pointer);
    this.look(null);
  }

  axes() {
    const { across, up, height, width } = this;
    const lines = up.ticks.map((y) => draw("line", { x1: EDGE.left, x2: width - EDGE.right, y1: up(y), y2: up(y), class: "grid" }));
    const left = up.ticks.map((y) => draw("text", { x: EDGE.left - 6, y: up(y) + 4, class: "tick left" }, short(y)));
    const below = across.ticks.map((x) => draw("text", { x: across(x), y: height - EDGE.bottom + 16, class: "tick" }, short(x)));
    const name = draw("text", { x: width - EDGE.right, y: height - 3, class: "tick name" }, this.panel.x);
    return draw("g", {}, ...lines, ...left, ...below, name);
  }

  marks() {
    return (this.panel.marks ?? []).map(({ x, text, kind }) => {
      const line = { x1: this.across(x), x2: this.across(x), y1: EDGE.top, y2: this.height - EDGE.bottom, class: `mark ${kind}` };
      return draw("line", line, draw("title", {}, text));
    });
  }

  curve(layer, at) {
    const { across, up } = this;
    const colour = `series ${colourOf(layer, at)}`;
    const known = layer.x.map((x, number) => [x, layer.top[number], layer.base[number]]).filter(([, y]) => y !== null);
    const points = known.map(([x, y]) => `${across(x).toFixed(1)},${up(y).toFixed(1)}`);
    if (layer.style === "dots" || known.length === 1) {
      return draw("g", { class: colour }, ...known.map(([x, y]) => draw("circle", { cx: across(x), cy: up(y), r: 2.5 })));
    }
    if (!this.panel.stacked) return draw("polyline", { points: points.join(" "), class: `${colour} ${layer.style ?? "line"}` });
    const back = known.map(([x, , base]) => `${across(x).toFixed(1)},${up(base).toFixed(1)}`).reverse();
    return draw("polygon", { points: [...points, ...back].join(" "), class: `${colour} area` });
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const x = this.across.back(((event.clientX - box.left) / box.width) * this.width);
    let nearest = this.steps[0];
    for (const step of this.steps) if (Math.abs(step - x) < Math.abs(nearest - x)) nearest = step;
    this.look(nearest);
  }

  key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const at = this.at === null ? this.steps.length : this.steps.indexOf(this.at);
    this.look(this.steps[Math.max(0, Math.min(this.steps.length - 1, at + moves[event.key]))]);
  }

  // Show the values at x in the legend; without one, the last.
  look(x) {
    this.at = x;
    const { across, up } = this;
    const shown = [];
    this.legend.replaceChildren(...this.layers.map((layer, number) => {
      const place = x === null ? lastKnown(layer.y) : nearestKnown(layer, x);
      if (x !== null && place >= 0) {
        shown.push(draw("circle", { cx: across(layer.x[place]), cy: up(layer.top[place]), r: 3.5, class: `series ${colourOf(layer, number)}` }));
      }
      const value = layer.silent ? "" : ` ${short(place < 0 ? null : layer.y[place])}`;
      return make("li", "", make("i", `swatch ${colourOf(layer, number)} ${layer.style ?? "line"}`), layer.name, make("b", "", value));
    }));
    if (x !== null) {
      this.legend.append(make("li", "where", `${this.panel.x} ${short(x)}`));
      shown.unshift(draw("line", { x1: across(x), x2: across(x), y1: EDGE.top, y2: this.height - EDGE.bottom, class: "cursor" }));
    }
    this.pointer.replaceChildren(...shown);
  }

  // The curves in words, for those who cannot see them.
  told() {
    const parts = this.panel.series.filter((one) => !one.silent).map((one) => {
      const known = one.y.filter((y) => y !== null);
      return known.length ? `${one.name}: from ${short(known[0])} to ${short(known.at(-1))}` : `${one.name}: no values`;
    });
    return `${this.panel.title} by ${this.panel.x}. ${parts.join("; ")}`;
  }

  table() {
    const series = this.panel.series.filter((one) => !one.silent);
    const at = new Map();
    series.forEach((one, column) => one.x.forEach((x, number) => {
      if (!at.has(x)) at.set(x, series.map(() => null));
      at.get(x)[column] = one.y[number];
    }));
    const head = make("tr", "", ...[this.panel.x, ...series.map((one) => one.name)].map((name) => make("th", "", name)));
    const rows = [...at].sort(([a], [b]) => a - b).map(([x, values]) => make(
      "tr", "", make("th", "", short(x)), ...values.map((value) => make("td", "", value === null ? "" : short(value))),
    ));
    const box = make("div", "scroll short", make("table", "", make("thead", "", head), make("tbody", "", ...rows)));
    box.tabIndex = 0;
    return box;
  }
}

const colourOf = (layer, number) => `c${(layer.colour ?? number) % COLOURS}`;

// Each series with its top and base; one on the other where the panel is stacked.
function stacked(panel) {
  const below = new Map();
  return panel.series.map((one) => {
    if (!panel.stacked) return { ...one, top: one.y, base: one.y.map(() => null) };
    const base = one.x.map((x) => below.get(x) ?? 0);
    const top = one.y.map((y, at) => base[at] + (y ?? 0));
    one.x.forEach((x, at) => below.set(x, top[at]));
    return { ...one, top, base };
  });
}

// Round numbers that span low to high. spread: whether a flat curve gets some room.
function ticks(low, high, most, spread) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low === high) [low, high] = spread ? [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1] : [low, high + 1];
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
  const from = spread ? Math.floor(low / step) : Math.ceil(low / step);
  const to = spread ? Math.ceil(high / step) : Math.floor(high / step);
  return Array.from({ length: to - from + 1 }, (_, at) => Number(((from + at) * step).toPrecision(12)));
}

// A linear scale from values to pixels.
function scale(marks, [low, high], start, end) {
  const range = high - low || 1;
  const place = (value) => start + ((value - low) / range) * (end - start);
  place.back = (pixel) => low + ((pixel - start) / (end - start)) * range;
  place.ticks = marks;
  return place;
}

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

const lastKnown = (values) => values.findLastIndex((value) => value !== null);

function nearestKnown(layer, x) {
  let best = -1;
  layer.x.forEach((each, at) => {
    if (layer.y[at] !== null && (best < 0 || Math.abs(each - x) < Math.abs(layer.x[best] - x))) best = at;
  });
  return best;
}
