// The curves and samples of training runs.
class Training {
  static async open() {
    if (!blocks.has("training")) return;
    const { panels, more, samples } = await unpack("training");
    Training.fill("curves", panels);
    Training.fill("more-curves", more);
    if (samples.length && byId("samples")) new Samples(samples, byId("samples"));
  }

  static fill(id, panels) {
    const place = byId(id);
    if (place) place.replaceChildren(...panels.map((panel) => new Chart(panel).node));
  }
}
