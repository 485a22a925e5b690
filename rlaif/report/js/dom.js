// Small things that every part of the page uses. Text of datasets and models reaches the page through textContent alone.
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function make(tag, name, ...inside) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...inside);
  return node;
}

function draw(tag, attributes, ...inside) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...inside);
  return node;
}

function button(text, act) {
  const node = make("button", "", text);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}

const count = (number) => number.toLocaleString("en");

// A number with about three digits that count.
function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

// Lets the browser answer its user between two pieces of work.
const pause = () => new Promise((done) => { setTimeout(done, 0); });
