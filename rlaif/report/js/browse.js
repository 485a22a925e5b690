// The list of judged pairs with its filters, the pair beside it, and the address that leads to both.
class Browser {
  static async open() {
    if (!byId("pairs") || !blocks.has("pairs")) return;
    const pairs = await Pairs.open();
    byId("principle").append(...pairs.about.principles.map((name) => new Option(name, name)));
    const browser = new Browser(pairs);
    await browser.follow();
    pairs.texts.prepare().then(() => { byId("pairs").dataset.searchable = "yes"; });
    for (const name of ["search", "principle", "show", "sort"]) {
      byId(name).addEventListener(name === "search" ? "input" : "change", () => browser.filterSoon(name === "search" ? 120 : 0));
    }
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("export").addEventListener("click", () => browser.download());
    window.addEventListener("hashchange", () => browser.follow());
    window.addEventListener("beforeprint", () => browser.printed());
    window.addEventListener("afterprint", () => byId("printed").replaceChildren());
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.matches("input, select, textarea")) return;
      event.preventDefault();
      byId("search").focus();
    });
  }

  constructor(pairs) {
    this.pairs = pairs;
    this.turn = 0;
    this.view = new PairView(pairs, byId("pair"));
    this.list = new List(byId("pairs"), (row, pair) => this.fill(row, pair), (pair) => this.choose(pair));
    this.waiting = new Set();
  }

  get wanted() {
    const principle = byId("principle").value;
    return {
      search: byId("search").value,
      show: byId("show").value,
      sort: byId("sort").value,
      principle: principle === "" || principle === "overall" ? principle : this.pairs.about.principles.indexOf(principle),
    };
  }

  filterSoon(wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.filter(), wait);
  }

  // wanted: the pair to stay at, where it is among the found ones.
  async filter(wanted) {
    this.turn += 1;
    const turn = this.turn;
    const began = performance.now();
    if (this.wanted.search.trim() && !this.pairs.texts.prepared) byId("count").textContent = "Reading the texts…";
    const found = await this.pairs.filter(this.wanted, () => turn !== this.turn);
    if (turn !== this.turn) return;
    const at = wanted === undefined ? -1 : found.indexOf(wanted);
    this.list.show(found, at);
    byId("count").textContent = `${count(found.length)} of ${count(this.pairs.n)} pairs`;
    byId("export").disabled = found.length === 0;
    byId("pairs").dataset.took = (performance.now() - began).toFixed(1);
    if (at < 0 && found.length) this.list.go(0);
    else if (at >= 0) this.choose(wanted);
    else byId("pair").replaceChildren(make("p", "note", "No pair is like that."));
  }

  fill(row, pair) {
    const { pairs } = this;
    const turned = this.flipped(pair);
    const badges = make("span", "badges");
    if (pairs.others().length && pairs.turned(pair, "")) badges.append(make("span", "badge wrong", "flipped"));
    if (turned) badges.append(make("span", "badge flip", turned === 1 ? "1 flip" : `${turned} flips`));
    if (wrong(pairs.p[pair], pairs.gold[pair])) badges.append(make("span", "badge wrong", "against gold"));
    if (pairs.some(pair, -1, (at) => pairs.failure[at] > 0)) badges.append(make("span", "badge wrong", "failed"));
    const p = [pairs.p[pair], ...pairs.others().map((other) => pairs[`p_${other}`][pair])];
    const asked = make("span", "asked", this.asked(pair));
    row.append(make("span", "p", p.map((value) => value.toFixed(2)).join(" / ")), asked, badges);
    row.title = pairs.ids[pair];
  }

  flipped(pair) {
    let many = 0;
    this.pairs.some(pair, -1, (at) => { many += flips(this.pairs.own_p[at], this.pairs.gap[at]); return false; });
    return many;
  }

  // The conversation's last turn; where its block is not unpacked yet, the row is drawn again when it is.
  asked(pair) {
    const number = this.pairs.prompt[pair];
    const entry = this.pairs.texts.now(number);
    if (entry) return entry[0].at(-1)?.[1].slice(0, 200) ?? "";
    if (!this.waiting.has(number)) {
      this.waiting.add(number);
      this.pairs.texts.entry(number).then(() => { this.waiting.delete(number); this.list.later(); });
    }
    return "…";
  }

  choose(pair) {
    this.view.show(pair);
    const address = new URLSearchParams({ pair: this.pairs.ids[pair] });
    for (const name of ["search", "principle", "show", "sort"]) {
      const control = byId(name);
      if (control.value && control.value !== control.dataset.usual) address.set(name, control.value);
    }
    history.replaceState(null, "", `#${address}`);
  }

  // Go where the page's address says.
  async follow() {
    const address = new URLSearchParams(location.hash.slice(1));
    for (const name of ["search", "principle", "show", "sort"]) {
      const control = byId(name);
      const value = address.get(name) ?? control.dataset.usual;
      control.value = name === "search" || [...control.options].some((option) => option.value === value) ? value : control.dataset.usual;
    }
    const pair = this.pairs.ids.indexOf(address.get("pair"));
    await this.filter(pair < 0 ? undefined : pair);
    if (pair >= 0) byId("judged").scrollIntoView();
  }

  async download() {
    const lines = [];
    for (const [at, pair] of [...this.list.items].entries()) {
      lines.push(`${JSON.stringify(await this.pairs.exported(pair))}\n`);
      if (at % 500 === 499) await pause();
    }
    const link = make("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
    link.download = "pairs.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  // On paper there is nothing to scroll: the first pairs of the list as a table.
  printed() {
    const { pairs, list } = this;
    const lines = [...list.items.slice(0, 100)].map((pair) => make(
      "tr", "", make("td", "", pairs.p[pair].toFixed(2)), make("td", "", pairs.ids[pair]), make("td", "words", this.asked(pair)),
    ));
    const more = list.items.length - lines.length;
    byId("printed").replaceChildren(make("table", "failures", make("tbody", "", ...lines)));
    if (more > 0) byId("printed").append(make("p", "note", `${count(more)} more are not printed.`));
  }
}
