// What the policy said to the same prompts, step by step, and what of it changed.
class Samples {
  constructor(prompts, node) {
    Object.assign(this, { prompts, node });
    const choice = make("select");
    prompts.forEach((one, at) => choice.append(new Option(`${at + 1}. ${(one.prompt.at(-1)?.[1] ?? "").slice(0, 90)}`, at)));
    const against = make("select");
    against.append(new Option("the step before", "before"), new Option("the first step", "first"), new Option("nothing", "none"));
    choice.value = String(Math.min(Samples.at, prompts.length - 1));
    against.value = Samples.against;
    choice.addEventListener("change", () => { Samples.at = Number(choice.value); this.show(); });
    against.addEventListener("change", () => { Samples.against = against.value; this.show(); });
    const controls = make("div", "filters two", make("label", "wide", "Prompt", choice), make("label", "", "Marked: what differs from", against));
    this.body = make("div", "samples");
    node.replaceChildren(controls, this.body);
    this.show();
  }

  show() {
    const { prompt, steps } = this.prompts[Math.min(Samples.at, this.prompts.length - 1)];
    const list = make("ol", "steps");
    steps.forEach((step, at) => {
      const other = { before: steps[at - 1], first: at ? steps[0] : undefined, none: undefined }[Samples.against];
      const words = other ? difference(other.response, step.response) : [["same", step.response]];
      const text = make("pre", "", ...words.map(([kind, piece]) => (kind === "same" ? piece : make(kind === "new" ? "ins" : "del", "", piece))));
      if (!step.ended) text.append(make("span", "aside", " … cut at --max-tokens"));
      const scores = Object.entries(step.scores).map(([name, value]) => make("span", "score", `${name} `, make("b", "", short(value))));
      list.append(make("li", "", make("div", "step-head", make("b", "", `step ${count(step.step)}`), ...scores), text));
    });
    this.body.replaceChildren(said("Prompt", "", [prompt], "h3"), list);
  }
}
Samples.at = 0;
Samples.against = "before";

// Words of two texts as [kind, text]: same, new (in the second alone) or old; by the longest common subsequence of words.
// Texts that share little are shown as one after the other.
function difference(before, after) {
  const [old, fresh] = [before, after].map((text) => text.match(/\s*\S+\s*$|\s*\S+/g) ?? []);
  const apart = [["old", before], ["same", before && after ? "\n" : ""], ["new", after]];
  if (old.length * fresh.length > 4e6) return apart;
  const [mine, theirs] = [old, fresh].map((words) => words.map((word) => word.trim()));
  const width = fresh.length + 1;
  const common = new Uint16Array((old.length + 1) * width);
  for (let a = old.length - 1; a >= 0; a -= 1) {
    for (let b = fresh.length - 1; b >= 0; b -= 1) {
      common[a * width + b] = mine[a] === theirs[b]
        ? common[(a + 1) * width + b + 1] + 1
        : Math.max(common[(a + 1) * width + b], common[a * width + b + 1]);
    }
  }
  if (common[0] < 0.3 * Math.max(old.length, fresh.length)) return apart;
  const parts = [];
  const put = (kind, word) => {
    if (parts.length && parts.at(-1)[0] === kind) parts.at(-1)[1] += word; else parts.push([kind, word]);
  };
  let [a, b] = [0, 0];
  while (a < old.length || b < fresh.length) {
    if (a < old.length && b < fresh.length && mine[a] === theirs[b]) { put("same", fresh[b]); a += 1; b += 1; }
    else if (b >= fresh.length || (a < old.length && common[(a + 1) * width + b] >= common[a * width + b + 1])) { put("old", old[a]); a += 1; }
    else { put("new", fresh[b]); b += 1; }
  }
  return parts;
}
