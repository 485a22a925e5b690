// One judged pair in full: its texts, the verdicts, and on demand what the critic read and answered.
class PairView {
  constructor(pairs, node) {
    Object.assign(this, { pairs, node });
  }

  async show(pair) {
    const { pairs } = this;
    this.pair = pair;
    const entries = await Promise.all(["prompt", "chosen", "rejected"].map((name) => pairs.texts.entry(pairs[name][pair])));
    const rationale = pairs.rationale[pair] ? await pairs.texts.entry(pairs.rationale[pair] - 1) : null;
    await pairs.asks();
    if (this.pair !== pair) return; // another one was asked for while this one was unpacked
    const link = make("a", "", pairs.ids[pair]);
    link.href = `#${new URLSearchParams({ pair: pairs.ids[pair] })}`;
    link.title = "A link to this pair";
    const head = make("h3", "pair-head", link);
    const sides = make("div", "sides", said("Chosen", "chosen", entries[1]), said("Rejected", "rejected", entries[2]));
    const body = [head, said("Conversation", "", entries[0]), sides];
    if (rationale) body.push(said("Rationale", "", rationale));
    this.node.replaceChildren(...body, this.verdicts(pair, entries));
    this.node.scrollTop = 0;
  }

  verdicts(pair, entries) {
    const { pairs } = this;
    const rows = make("div", "verdicts");
    pairs.some(pair, -1, (at) => {
      rows.append(this.verdict({
        name: pairs.about.principles[pairs.principle[at]],
        p: pairs.verdict_p[at],
        own: pairs.own_p[at],
        gap: pairs.gap[at],
        gold: pairs.verdict_gold[at],
        failure: pairs.failure[at] ? pairs.about.failures[pairs.failure[at] - 1] : null,
        others: pairs.others().map((other) => pairs[`verdict_p_${other}`][at]),
      }, pairs.ask_start[at + 1] > pairs.ask_start[at] ? () => this.asked(at, entries) : null));
      return false;
    });
    const others = pairs.others().map((other) => pairs[`p_${other}`][pair]);
    rows.append(this.verdict({ name: "overall", p: pairs.p[pair], own: NaN, gap: NaN, gold: pairs.gold[pair], failure: null, others }));
    return rows;
  }

  // own: the critic's p before calibration, which the orders' gap goes with.
  verdict({ name, p, own, gap, gold, failure, others }, read) {
    const line = make("div", name === "overall" ? "verdict total" : "verdict", make("span", "name", name));
    const remarks = make("span", "aside");
    if (Number.isNaN(p)) {
      remarks.textContent = `no verdict: ${failure}`;
      line.append(make("div", "bar"), make("span", "number", "–"), remarks);
    } else {
      const ends = Number.isNaN(gap) ? [] : [own - gap / 2, own + gap / 2];
      const told = [];
      if (flips(own, gap)) told.push(gap > 0 ? "flips to first" : "flips to last");
      if (gold) told.push(wrong(p, gold) ? "against gold" : "agrees with gold");
      remarks.classList.add(gold ? (wrong(p, gold) ? "wrong" : "right") : "plain");
      remarks.textContent = told.join(", ");
      line.append(bar(p, ends), make("span", "number", p.toFixed(2)), remarks);
    }
    if (read) line.append(this.more(line, read));
    const all = make("div", "", line);
    others.forEach((other, number) => all.append(this.beside(other, p, this.pairs.about.runs[number + 1])));
    return all;
  }

  // What another run says of the same.
  beside(other, p, run) {
    const line = make("div", "verdict beside", make("span", "name", run));
    const known = !Number.isNaN(other);
    const turned = known && (p - 0.5) * (other - 0.5) < 0;
    line.append(known ? bar(other, []) : make("div", "bar"), make("span", "number", known ? other.toFixed(2) : "–"));
    line.append(make("span", turned ? "aside wrong" : "aside", turned ? "prefers the other" : known ? "" : "no verdict"));
    return line;
  }

  more(line, read) {
    const open = button("prompt", async () => {
      const shown = open.ariaExpanded === "true";
      open.ariaExpanded = String(!shown);
      if (shown) line.nextElementSibling.remove(); else line.after(await read());
    });
    open.className = "quiet";
    open.ariaExpanded = "false";
    open.title = "What the critic read, and the log-probabilities of its answer";
    return open;
  }

  async asked(at, entries) {
    const { pairs } = this;
    const block = make("div", "asked-in-full");
    if (pairs.about.untold) block.append(make("p", "note", pairs.about.untold));
    for (let ask = pairs.ask_start[at]; ask < pairs.ask_start[at + 1]; ask += 1) {
      const order = pairs.about.orders[pairs.ask_order[ask]];
      const wrote = pairs.ask_wrote[ask] ? (await pairs.texts.entry(pairs.ask_wrote[ask] - 1))[0][0][1] : "";
      const slots = [fenced(entries[0], false), ...[0, 1].map((place) => (place in order ? fenced(entries[1 + order[place]], true) : "")), wrote];
      const names = order.map((side) => (side ? "rejected" : "chosen"));
      block.append(make("h4", "small", `${names.join(" first, then ")}${pairs.about.critics > 1 ? `, critic ${pairs.ask_critic[ask] + 1}` : ""}`));
      block.append(make("p", "answer", answer(pairs, ask)));
      for (const [role, parts] of pairs.about.prompts[pairs.ask_prompt[ask]]) {
        block.append(make("p", "role", role));
        block.append(make("pre", "", ...parts.map((part) => (typeof part === "number" ? make("span", "untrusted", slots[part]) : part))));
      }
    }
    return block;
  }
}

function answer(pairs, ask) {
  const { choices, said } = pairs.about;
  const told = [];
  choices.forEach((choice, at) => {
    const value = pairs.ask_logprobs[ask * choices.length + at];
    if (value !== -32768) told.push(`log P(${choice}) = ${value === -32767 ? "below −32.7" : (value / 1000).toFixed(3)}`);
  });
  const word = said[pairs.ask_said[ask]];
  if (word) told.push(`it would have said ${JSON.stringify(word)}`);
  return told.join(" · ") || "no answer is kept";
}

// Turns as they stand in a prompt.
function fenced([turns, more], response) {
  if (more?.fenced !== undefined) return more.fenced;
  if (response && turns.length === 1 && turns[0][0] === "assistant") return turns[0][1];
  return turns.map(([role, content]) => `<${role}>\n${content}\n</${role}>`).join("\n");
}

function said(title, name, [turns], level = "h4") {
  const block = make("div", `said ${name}`, make(level, "small", title));
  for (const [role, content] of turns) {
    if (turns.length > 1 || !["assistant", "user", "critic"].includes(role)) block.append(make("p", "role", role));
    block.append(make("pre", "", content));
  }
  return block;
}

// From the middle (undecided) towards the side that the critic prefers; ticks for the two orders.
function bar(p, ends) {
  const fill = make("i", p < 0.5 ? "against" : "");
  fill.style.left = `${100 * Math.min(0.5, p)}%`;
  fill.style.width = `${100 * Math.abs(p - 0.5)}%`;
  const ticks = ends.map((end) => {
    const tick = make("b");
    tick.style.left = `${100 * Math.min(1, Math.max(0, end))}%`;
    return tick;
  });
  return make("div", "bar", fill, ...ticks);
}
