// The judged pairs as columns (rlaif/report/pairs.py): verdicts of each, filters, orders, and rows to export.
const flips = (p, gap) => (p + gap / 2 - 0.5) * (p - gap / 2 - 0.5) < 0; // never true of NaN
const wrong = (p, gold) => Boolean(gold) && (p - 0.5) * gold <= 0;

class Pairs {
  static async open() {
    const pairs = new Pairs();
    const [about, first] = await Promise.all([unpack("pairs"), unpack("texts")]);
    Object.assign(pairs, { about, n: about.n, texts: new Texts(first) });
    await pairs.load(/^(?!texts|pairs$|training$|ask_)/);
    pairs.lower = pairs.ids.map((id) => id.toLowerCase());
    return pairs;
  }

  async load(pattern) {
    const names = [...blocks.keys()].filter((name) => pattern.test(name));
    const columns = await Promise.all(names.map(unpack));
    names.forEach((name, at) => { this[name] = columns[at]; });
  }

  // The columns of what the critic was asked, which nothing but a pair in full needs.
  asks() {
    this.asked ??= this.load(/^ask_/);
    return this.asked;
  }

  // Calls `look` with the place of each verdict on the pair that concerns the principle (-1: all).
  some(pair, principle, look) {
    for (let at = this.start[pair]; at < this.start[pair + 1]; at += 1) {
      if ((principle < 0 || this.principle[at] === principle) && look(at)) return true;
    }
    return false;
  }

  // principle: a number, "" for any, "overall".
  shows(kind, principle) {
    const which = principle === "" || principle === "overall" ? -1 : principle;
    const verdicts = principle !== "overall";
    const overall = which < 0;
    const any = (look) => (pair) => verdicts && this.some(pair, which, look);
    return {
      all: which < 0 ? () => true : any(() => true),
      flips: any((at) => flips(this.own_p[at], this.gap[at])),
      disagreements: (pair) => (overall && wrong(this.p[pair], this.gold[pair]))
        || any((at) => wrong(this.verdict_p[at], this.verdict_gold[at]))(pair),
      failures: any((at) => this.failure[at] > 0),
      split: any((at) => this.verdict_p[at] < 0.5),
      turned: (pair) => this.turned(pair, principle),
    }[kind];
  }

  // Whether another run, laid beside this one, prefers the other response.
  turned(pair, principle) {
    return this.others().some((other) => {
      if (principle === "" || principle === "overall") return (this.p[pair] - 0.5) * (this[`p_${other}`][pair] - 0.5) < 0;
      return this.some(pair, principle, (at) => (this.verdict_p[at] - 0.5) * (this[`verdict_p_${other}`][at] - 0.5) < 0);
    });
  }

  others() {
    return (this.about.runs ?? []).slice(1).map((_, at) => at + 1);
  }

  async filter({ search, show, principle, sort }, stale) {
    const shown = this.shows(show, principle);
    let found = new Uint32Array(this.n);
    let size = 0;
    for (let pair = 0; pair < this.n; pair += 1) if (shown(pair)) found[size++] = pair;
    found = found.subarray(0, size);
    for (const quoted of search.toLowerCase().match(/"[^"]+"|\S+/g) ?? []) {
      const word = /^".+"$/.test(quoted) ? quoted.slice(1, -1) : quoted; // a phrase stands in quotes
      const holds = await this.texts.holding(word, stale);
      if (stale()) return found;
      found = found.filter((pair) => holds[this.prompt[pair]] || holds[this.chosen[pair]] || holds[this.rejected[pair]]
        || this.lower[pair].includes(word));
    }
    return this.sorted(found, sort, principle);
  }

  sorted(found, sort, principle) {
    const which = principle === "" || principle === "overall" ? -1 : principle;
    const measure = {
      sure: (pair) => -Math.abs(this.judged(pair, which) - 0.5),
      unsure: (pair) => Math.abs(this.judged(pair, which) - 0.5),
      gap: (pair) => -this.widest(pair, which),
      turned: (pair) => -this.apart(pair, which),
    }[sort];
    if (!measure) return found;
    // One number for each pair, of its measure and then its place: numbers are sorted far faster than by a comparison.
    const places = 2 ** 29;
    const keys = new Float64Array(found.length);
    for (let place = 0; place < found.length; place += 1) {
      const value = measure(found[place]);
      keys[place] = (Number.isNaN(value) ? 8e6 : Math.round((value + 4) * 1e6)) * places + place; // what is not known comes last
    }
    keys.sort();
    const sorted = new Uint32Array(found.length);
    for (let place = 0; place < found.length; place += 1) sorted[place] = found[keys[place] % places];
    return sorted;
  }

  judged(pair, which) {
    if (which < 0) return this.p[pair];
    for (let at = this.start[pair]; at < this.start[pair + 1]; at += 1) if (this.principle[at] === which) return this.verdict_p[at];
    return NaN;
  }

  widest(pair, which) {
    let most = -1;
    for (let at = this.start[pair]; at < this.start[pair + 1]; at += 1) {
      if (which < 0 || this.principle[at] === which) most = Math.max(most, Math.abs(this.gap[at]) || 0);
    }
    return most;
  }

  // By how much the runs' probabilities differ; those that prefer different responses before all others.
  apart(pair, which) {
    const mine = this.judged(pair, which);
    return Math.max(...this.others().map((other) => {
      let theirs = this[`p_${other}`][pair];
      if (which >= 0) this.some(pair, which, (at) => { theirs = this[`verdict_p_${other}`][at]; return true; });
      return (Math.abs(mine - theirs) || 0) + ((mine - 0.5) * (theirs - 0.5) < 0 ? 1 : 0);
    }));
  }

  // A row as preferences.jsonl has it, as far as the page holds it.
  async exported(pair) {
    const texts = await Promise.all(["prompt", "chosen", "rejected"].map((name) => this.texts.entry(this[name][pair])));
    const turns = texts.map(([said]) => said.map(([role, content]) => ({ role, content })));
    const principles = [];
    this.some(pair, -1, (at) => {
      principles.push({
        id: this.about.principles[this.principle[at]],
        p: figure(this.verdict_p[at]),
        gap: figure(this.gap[at]),
        weight: figure(this.weight[at]),
        mass: figure(this.mass[at]),
        failure: this.failure[at] ? this.about.failures[this.failure[at] - 1] : null,
      });
      return false;
    });
    return {
      id: this.ids[pair],
      prompt: turns[0],
      chosen: turns[1],
      rejected: turns[2],
      p_chosen: figure(this.p[pair]),
      margin: figure(2 * this.p[pair] - 1),
      principles,
      row: this.row[pair],
      chosen_index: this.chosen_index[pair],
      rejected_index: this.rejected_index[pair],
      ...(texts.some(([, more]) => more?.cut) ? { shortened: true } : {}),
    };
  }
}

const figure = (value) => (Number.isNaN(value) ? null : Number(value.toFixed(6)));
