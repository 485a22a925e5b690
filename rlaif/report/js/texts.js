// Conversations and responses by number, and the search in them. An entry is [turns] or [turns, more]; a turn is [role, content].
class Texts {
  constructor(first) {
    this.first = first; // of each block, the number of its first text
    this.kept = new Map(); // blocks that were unpacked last
    this.plain = []; // of each block, its texts in lower case, one after the other
    this.found = new Map(); // by word, which texts hold it
  }

  blockOf(number) {
    let [low, high] = [0, this.first.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.first[middle] <= number) low = middle; else high = middle - 1;
    }
    return low;
  }

  // The entry where its block is unpacked, else undefined.
  now(number) {
    const block = this.blockOf(number);
    return this.kept.get(block)?.[number - this.first[block]];
  }

  async entry(number) {
    const block = this.blockOf(number);
    return (await this.load(block))[number - this.first[block]];
  }

  async load(block) {
    const entries = this.kept.get(block) ?? await unpack(`texts/${block}`);
    this.kept.delete(block);
    this.kept.set(block, entries);
    if (this.kept.size > 256) this.kept.delete(this.kept.keys().next().value);
    return entries;
  }

  // Unpack everything once for the search, in pieces between which the page stays usable.
  prepare() {
    this.prepared ??= this.#prepare();
    return this.prepared;
  }

  async #prepare() {
    const TOGETHER = 8; // blocks, so that none waits for the other to be unpacked
    for (let begin = 0; begin < this.first.length; begin += TOGETHER) {
      const numbers = Array.from(this.first.subarray(begin, begin + TOGETHER), (_, at) => begin + at);
      const unpacked = await Promise.all(numbers.map((block) => this.kept.get(block) ?? unpack(`texts/${block}`)));
      unpacked.forEach((entries, at) => this.plain.push(plain(entries, this.first[numbers[at]])));
      await pause();
    }
  }

  get size() {
    const last = this.plain[this.plain.length - 1];
    return last ? last.first + last.starts.length - 1 : 0;
  }

  // For each text, whether it holds the word. `stale` says when nobody waits for the answer any more.
  async holding(word, stale) {
    await this.prepare();
    if (this.found.has(word)) return this.found.get(word);
    const shorter = [...this.found.keys()].filter((known) => word.includes(known));
    const among = shorter.length ? this.found.get(shorter[shorter.length - 1]) : null;
    const holds = new Uint8Array(this.size);
    let began = performance.now();
    for (const block of this.plain) {
      if (!among || block.starts.some((_, at) => among[block.first + at])) mark(block, word, holds);
      if (performance.now() - began > 12) {
        await pause();
        if (stale()) return holds;
        began = performance.now();
      }
    }
    if (this.found.size > 32) this.found.delete(this.found.keys().next().value);
    this.found.set(word, holds);
    return holds;
  }
}

// A block's texts in lower case, one after the other.
function plain(entries, first) {
  const starts = new Uint32Array(entries.length + 1);
  const parts = entries.map(([turns]) => `${turns.map((turn) => turn[1]).join("\n")}\n`.toLowerCase());
  parts.forEach((part, at) => { starts[at + 1] = starts[at] + part.length; });
  return { text: parts.join(""), starts, first };
}

function mark({ text, starts, first }, word, holds) {
  let number = 0;
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, starts[number + 1])) {
    while (starts[number + 1] <= at) number += 1;
    holds[first + number] = 1;
  }
}
