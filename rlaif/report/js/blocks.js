// The page's column store: blocks of gzip in base64, unpacked when they are asked for (rlaif/report/columns.py writes them).
const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array, f4: Float32Array };
let blocks = blocksOf(document);

function blocksOf(page) {
  const nodes = [...page.querySelectorAll("script[data-block]")];
  return new Map(nodes.map((node) => [node.dataset.block, node]));
}

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
}

async function unpack(name) {
  const node = blocks.get(name);
  const stream = new DecompressionStream("gzip");
  const writer = stream.writable.getWriter();
  writer.write(bytesOf(node.textContent));
  writer.close();
  const plain = new Response(stream.readable);
  if (node.dataset.kind === "json") return JSON.parse(await plain.text());
  return new ARRAYS[node.dataset.kind](await plain.arrayBuffer());
}
