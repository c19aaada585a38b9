"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const rows = [...at("entries").tBodies[0].rows].filter((row) => !row.classList.contains("up"));
  const link = (row) => row.cells[0].querySelector("a");
  const shownLinks = () => [...at("entries").querySelectorAll("tbody tr:not([hidden]) td.name a")];

  // Filter the rows of this page while the user types; Enter asks the server for all pages.
  const filter = at("filter"), count = at("count"), all = count.textContent;
  const narrow = () => {
    const text = filter.value.trim().toLowerCase();
    let found = 0;
    for (const row of rows) {
      row.hidden = !link(row).textContent.toLowerCase().includes(text);
      found += !row.hidden;
    }
    at("empty").hidden = found > 0;
    count.textContent = text && text !== filter.defaultValue.toLowerCase() ? `${found} of ${rows.length} shown` : all;
  };
  filter.addEventListener("input", narrow);
  if (filter.value !== filter.defaultValue) narrow();

  // Keys.
  const inText = (target) => target.matches("input, textarea, select");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (preview.open) {
      if (event.key === "ArrowLeft" && !event.target.matches("video, audio")) step(-1);
      else if (event.key === "ArrowRight" && !event.target.matches("video, audio")) step(1);
      return;
    }
    if (event.key === "/" && !inText(event.target)) {
      event.preventDefault();
      filter.focus();
      filter.select();
    } else if (event.key === "Escape" && event.target === filter) {
      filter.value = "";
      narrow();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const links = shownLinks(), active = document.activeElement;
      const now = links.indexOf(active);
      if (now < 0 && active !== document.body && active !== filter) return; // such as in the README
      const next = event.key === "ArrowDown" ? now + 1 : now < 0 ? -1 : now - 1;
      const target = next === -1 ? filter : links[next];
      if (!target) return; // behind the last name the page scrolls
      event.preventDefault();
      target.focus();
    }
  });

  // Previews. A click with a modifier, and a kind without preview, follow the link.
  const preview = at("preview"), stage = at("stage");
  const MOST = 262144; // bytes of text
  const made = {
    image: (href, name) => Object.assign(new Image(), { src: href, alt: name }),
    video: (href) => Object.assign(document.createElement("video"), { src: href, controls: true, autoplay: true }),
    audio: (href) => Object.assign(document.createElement("audio"), { src: href, controls: true, autoplay: true }),
    text: (href) => {
      const shown = document.createElement("pre");
      shown.tabIndex = 0;
      fetch(href, { headers: { Range: `bytes=0-${MOST - 1}` } }).then(async (answer) => {
        if (answer.status === 416) return ""; // an empty file
        if (!answer.ok) throw new Error(answer.status);
        const whole = /\/(\d+)$/.exec(answer.headers.get("Content-Range") || "");
        const text = await answer.text();
        return whole && whole[1] > MOST ? `${text}\n…\n(The file goes on: open it to read all.)` : text;
      }).then((text) => { shown.textContent = text; }, () => failed(shown));
      return shown;
    },
  };
  const say = (text) => Object.assign(document.createElement("p"), { textContent: text });
  const failed = (element) => {
    if (element.isConnected) element.replaceWith(say("This file cannot be shown here. Open or download it."));
  };
  const previewable = () => rows.filter((row) => !row.hidden && link(row).dataset.kind in made).map(link);
  let current, opener;
  const show = (anchor) => {
    current = anchor;
    const name = anchor.textContent;
    at("shown").replaceChildren(Object.assign(document.createElement("bdi"), { textContent: name }));
    at("open").href = at("save").href = anchor.href;
    const element = made[anchor.dataset.kind](anchor.href, name);
    element.addEventListener("error", () => failed(element));
    stage.replaceChildren(element);
    const links = previewable(), place = links.indexOf(anchor);
    at("before").disabled = place < 1;
    at("after").disabled = place === links.length - 1;
    if (preview.open) return;
    opener = anchor;
    preview.showModal();
  };
  const step = (by) => {
    const links = previewable(), next = links[links.indexOf(current) + by];
    if (next) show(next);
  };
  at("entries").addEventListener("click", (event) => {
    const anchor = event.target.closest("a");
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);
    if (anchor && plain && anchor.dataset.kind in made) {
      event.preventDefault();
      show(anchor);
    }
  });
  at("before").addEventListener("click", () => step(-1));
  at("after").addEventListener("click", () => step(1));
  at("close").addEventListener("click", () => preview.close());
  preview.addEventListener("click", (event) => { if (event.target === preview) preview.close(); });
  preview.addEventListener("close", () => {
    stage.replaceChildren();
    if (current !== opener) current.focus(); // the browser has put the focus back on the opener
  });
})();
