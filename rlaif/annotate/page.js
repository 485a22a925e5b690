"use strict";
// What the server sends is text of a dataset: it is only ever put into the page as text.
const token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
const at = (id) => document.getElementById(id);
let number = null;
let waiting = false;

function turns(place, listed) {
  const alone = listed.length === 1;
  place.replaceChildren(...listed.flatMap(([who, text]) => {
    const said = document.createElement("p");
    said.className = "text";
    said.dir = "auto";
    said.textContent = text;
    if (alone) return [said];
    const name = document.createElement("p");
    name.className = "who";
    name.textContent = who;
    return [name, said];
  }));
  place.scrollTop = 0;
}

function show(state) {
  number = state.number;
  at("progress").textContent = `${state.annotator}: ${state.done} of ${state.total} answered`;
  at("bar").max = Math.max(1, state.total);
  at("bar").value = state.done;
  at("words").textContent = state.words;
  const done = number === null;
  at("pair").hidden = done;
  at("question").textContent = done ? "All are answered. Close this page, and end the command with Ctrl-C." : state.question;
  at("principle").hidden = done || !state.principle;
  at("principle").textContent = state.principle || "";
  if (done) return;
  turns(at("prompt"), state.prompt);
  turns(at("first"), state.first);
  turns(at("second"), state.second);
}

async function ask(path, body) {
  if (waiting) return;
  waiting = true;
  document.body.setAttribute("aria-busy", "true");
  try {
    const request = { headers: { authorization: `Bearer ${token}` } };
    if (body) Object.assign(request, { method: "POST", body: JSON.stringify(body) });
    const answer = await fetch(path, request);
    const state = await answer.json();
    at("trouble").textContent = answer.ok ? "" : `Not saved: ${state.detail}`;
    if (answer.ok) show(state);
    else if (answer.status === 409) setTimeout(() => ask("/api/state"), 1500);
  } catch (error) {
    at("trouble").textContent = "Not saved: the command has ended, or does not answer. Start it again; what was saved is kept.";
  } finally {
    waiting = false;
    document.body.removeAttribute("aria-busy");
  }
}

function press(key) {
  if (key === "u") ask("/api/undo", {});
  else if (number !== null && ["1", "2", "t", "s"].includes(key)) ask("/api/answer", { number, key });
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  press(event.key.toLowerCase());
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-key]");
  if (button) press(button.dataset.key);
});
ask("/api/state");
