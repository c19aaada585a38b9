import "./main.css";

// A router of a few lines: the server answers every page's URL with the shell.
async function show() {
  const { notes } = await import("./notes.js");
  const number = /^\/notes\/(\d+)$/.exec(location.pathname)?.[1];
  const page = number === undefined ? notes.join(", ") : notes[number - 1] ?? "no such note";
  document.querySelector("main").innerHTML = "<p></p>";
  document.querySelector("p").textContent = page;
}

document.querySelector("nav").addEventListener("click", (event) => {
  event.preventDefault();
  history.pushState(null, "", event.target.href);
  show();
});
addEventListener("popstate", show);
show();
