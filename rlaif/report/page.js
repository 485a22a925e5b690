"use strict";
// Text of datasets and models reaches the page through textContent alone.
(() => {
  const list = document.getElementById("pairs");
  if (!list) return;
  const { texts, pairs } = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 25;
  const control = (id) => document.getElementById(id);
  const plain = texts.map((turns) => turns.map((turn) => turn[1]).join("\n").toLowerCase());
  let found = [];
  let at = 0;

  const flips = (verdict) => verdict.p !== null && verdict.gap !== null
    && (verdict.p + verdict.gap / 2 - 0.5) * (verdict.p - verdict.gap / 2 - 0.5) < 0;
  const wrong = (verdict) => verdict.p !== null && Boolean(verdict.gold) && (verdict.p - 0.5) * verdict.gold <= 0;

  for (const pair of pairs) {
    pair.verdicts = pair.principles.map(([id, p, gap, weight, failure, gold]) => ({ id, p, gap, weight, failure, gold }));
    pair.overall = { id: "overall", p: pair.p, gap: null, failure: null, gold: pair.gold };
  }

  const concerned = (pair, principle) => {
    if (principle === "overall") return [pair.overall];
    return principle ? pair.verdicts.filter((verdict) => verdict.id === principle) : [...pair.verdicts, pair.overall];
  };
  const SHOW = {
    all: (verdicts, principle) => !principle || verdicts.length > 0,
    flips: (verdicts) => verdicts.some(flips),
    disagreements: (verdicts) => verdicts.some(wrong),
    failures: (verdicts) => verdicts.some((verdict) => verdict.failure !== null),
    split: (verdicts) => verdicts.some((verdict) => verdict.p !== null && verdict.p < 0.5),
  };
  const sureness = (pair, principle) => {
    const known = concerned(pair, principle || "overall").filter((verdict) => verdict.p !== null);
    return known.length ? Math.abs(known[0].p - 0.5) : NaN;
  };
  const widest = (pair, principle) =>
    Math.max(-1, ...concerned(pair, principle).map((verdict) => (verdict.gap === null ? -1 : Math.abs(verdict.gap))));
  const by = (key, sign) => (a, b) => {
    const [x, y] = [key(a), key(b)];
    return Number.isNaN(x) - Number.isNaN(y) || sign * (x - y) || 0;
  };

  function filter() {
    const words = control("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const principle = control("principle").value;
    const show = SHOW[control("show").value];
    found = pairs.filter((pair) => {
      if (!show(concerned(pair, principle), principle)) return false;
      const here = [plain[pair.prompt], plain[pair.chosen], plain[pair.rejected], pair.id.toLowerCase()];
      return words.every((word) => here.some((text) => text.includes(word)));
    });
    const sort = control("sort").value;
    if (sort === "sure") found.sort(by((pair) => sureness(pair, principle), -1));
    if (sort === "unsure") found.sort(by((pair) => sureness(pair, principle), 1));
    if (sort === "gap") found.sort(by((pair) => widest(pair, principle), -1));
    at = 0;
    draw();
  }

  function draw() {
    const page = found.slice(at, at + PAGE);
    list.replaceChildren(...page.map(item));
    const range = found.length ? `${(at + 1).toLocaleString("en")}–${(at + page.length).toLocaleString("en")} of ` : "";
    control("count").textContent = `${range}${found.length.toLocaleString("en")} pairs`;
    control("previous").disabled = at === 0;
    control("next").disabled = at + PAGE >= found.length;
  }

  function make(tag, name, text) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function item(pair) {
    const details = make("details");
    const summary = make("summary");
    const badges = make("span", "badges");
    const turned = pair.verdicts.filter(flips).length;
    const failed = pair.verdicts.filter((verdict) => verdict.failure !== null).length;
    if (turned) badges.append(make("span", "badge flip", turned === 1 ? "1 flip" : `${turned} flips`));
    if (wrong(pair.overall)) badges.append(make("span", "badge wrong", "against gold"));
    if (failed) badges.append(make("span", "badge wrong", `${failed} failed`));
    badges.append(make("span", "badge", pair.id));
    const turns = texts[pair.prompt];
    const asked = turns.length ? turns[turns.length - 1][1].slice(0, 300) : "";
    summary.append(make("span", "p", pair.p.toFixed(2)), make("span", "asked", asked), badges);
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) details.append(body(pair));
    });
    const entry = make("li");
    entry.append(details);
    return entry;
  }

  function body(pair) {
    const whole = make("div", "body");
    const sides = make("div", "sides");
    sides.append(said("Chosen", "chosen", pair.chosen), said("Rejected", "rejected", pair.rejected));
    whole.append(said("Conversation", "", pair.prompt), sides);
    if (pair.rationale) {
      const reasons = make("div", "said");
      reasons.append(make("h3", "", "Rationale"), make("pre", "", pair.rationale));
      whole.append(reasons);
    }
    const verdicts = make("div", "verdicts");
    verdicts.append(...pair.verdicts.map(row), row(pair.overall));
    whole.append(verdicts);
    return whole;
  }

  function said(title, name, place) {
    const turns = texts[place];
    const block = make("div", `said ${name}`);
    block.append(make("h3", "", title));
    for (const [role, content] of turns) {
      if (turns.length > 1 || (role !== "assistant" && role !== "user")) block.append(make("p", "role", role));
      block.append(make("pre", "", content));
    }
    return block;
  }

  function row(verdict) {
    const line = make("div", verdict.id === "overall" ? "verdict total" : "verdict");
    const bar = make("div", "bar");
    const aside = make("span", "aside");
    line.append(make("span", "", verdict.id), bar);
    if (verdict.p === null) {
      line.append(make("span", "number", "–"), aside);
      aside.textContent = `no verdict: ${verdict.failure}`;
      return line;
    }
    const fill = make("i", verdict.p < 0.5 ? "against" : "");
    fill.style.left = `${100 * Math.min(0.5, verdict.p)}%`;
    fill.style.width = `${100 * Math.abs(verdict.p - 0.5)}%`;
    bar.append(fill);
    if (verdict.gap !== null) {
      for (const sign of [-1, 1]) {
        const tick = make("b");
        tick.style.left = `${100 * Math.min(1, Math.max(0, verdict.p + (sign * verdict.gap) / 2))}%`;
        bar.append(tick);
      }
    }
    line.append(make("span", "number", verdict.p.toFixed(2)), aside);
    const remarks = [];
    if (flips(verdict)) remarks.push(verdict.gap > 0 ? "flips to first" : "flips to last");
    if (verdict.gold) {
      remarks.push(wrong(verdict) ? "against gold" : "agrees with gold");
      aside.className = wrong(verdict) ? "aside wrong" : "aside right";
    }
    aside.textContent = remarks.join(", ");
    return line;
  }

  let waiting = 0;
  control("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 150);
  });
  for (const id of ["principle", "show", "sort"]) control(id).addEventListener("change", filter);
  control("filters").addEventListener("submit", (event) => event.preventDefault());
  control("previous").addEventListener("click", () => { at -= PAGE; draw(); });
  control("next").addEventListener("click", () => { at += PAGE; draw(); });
  filter();
})();
