// `rlaif watch`: asks for the page again as long as the run goes on, and takes over what has changed.
class Live {
  static open() {
    if (document.body.dataset.live) setTimeout(() => Live.ask(), Live.EVERY);
  }

  static async ask() {
    const state = byId("live");
    try {
      const answer = await fetch("/", { headers: { "If-None-Match": Live.seen ?? "" }, cache: "no-store" });
      if (answer.status === 200) {
        Live.seen = answer.headers.get("ETag");
        await Live.take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      }
      if (state) byId("live").textContent = `live, looked ${new Date().toLocaleTimeString()}`;
    } catch {
      if (state) byId("live").textContent = "rlaif watch does not answer; is it still running?";
    }
    Live.open();
  }

  // A run that has ended is shown by the page that was made for it.
  static async take(page) {
    if (page.body.dataset.page !== document.body.dataset.page || !page.body.dataset.live) {
      location.reload();
      return;
    }
    const open = [...document.querySelectorAll("details[id][open]")].map((node) => node.id);
    blocks = blocksOf(page);
    for (const name of ["header", "main"]) document.querySelector(name).replaceWith(document.adoptNode(page.querySelector(name)));
    for (const id of open) if (byId(id)) byId(id).open = true;
    document.title = page.title;
    await Training.open();
  }
}
Live.EVERY = 2000;
