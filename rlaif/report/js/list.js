// A list of any length of which only the rows in sight are in the document. One row is the current one; keys move it.
class List {
  // fill(node, item): make the row of an item. chosen(item): it has become the current one.
  constructor(node, fill, chosen) {
    Object.assign(this, { node, fill, chosen, items: [], at: -1 });
    this.space = make("div", "space");
    this.space.role = "presentation";
    node.append(this.space);
    node.addEventListener("scroll", () => this.later(), { passive: true });
    node.addEventListener("keydown", (event) => this.key(event));
    node.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) this.go(Number(row.dataset.at));
    });
    new ResizeObserver(() => this.later()).observe(node);
  }

  get height() {
    return parseFloat(getComputedStyle(this.node).getPropertyValue("--row"));
  }

  show(items, at) {
    this.items = items;
    this.at = at;
    this.space.style.height = `${items.length * this.height}px`;
    if (at >= 0) this.reveal(); else this.node.scrollTop = 0;
    this.render();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => { this.frame = undefined; this.render(); });
  }

  render() {
    const { height, items } = this;
    const first = Math.max(0, Math.floor(this.node.scrollTop / height) - 4);
    const last = Math.min(items.length, first + Math.ceil(this.node.clientHeight / height) + 8);
    const rows = [];
    for (let at = first; at < last; at += 1) {
      const row = make("div", "row");
      row.role = "option";
      row.id = `row-${at}`;
      row.dataset.at = at;
      row.ariaSelected = String(at === this.at);
      row.ariaPosInSet = at + 1;
      row.ariaSetSize = items.length;
      row.style.top = `${at * height}px`;
      this.fill(row, items[at]);
      rows.push(row);
    }
    this.space.replaceChildren(...rows);
    if (this.at >= first && this.at < last) this.node.setAttribute("aria-activedescendant", `row-${this.at}`);
    else this.node.removeAttribute("aria-activedescendant");
  }

  reveal() {
    const top = this.at * this.height;
    const { scrollTop, clientHeight } = this.node;
    if (top < scrollTop) this.node.scrollTop = top;
    else if (top + this.height > scrollTop + clientHeight) this.node.scrollTop = top + this.height - clientHeight;
  }

  go(at) {
    if (!this.items.length) return;
    this.at = Math.max(0, Math.min(this.items.length - 1, at));
    this.reveal();
    this.render();
    this.chosen(this.items[this.at]);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.node.clientHeight / this.height) - 1);
    const moves = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.go(this.at < 0 ? 0 : this.at + moves[event.key]);
  }
}
