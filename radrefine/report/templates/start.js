// One section at a time, chosen by the address; without scripts all of them are shown below each other.
function start(rest, key) {
  const sections = [...document.querySelectorAll("main > section")];
  let current = "gallery";

  function show() {
    const wanted = location.hash.slice(1);
    if (sections.some((section) => section.id === wanted)) current = wanted;
    for (const section of sections) section.hidden = section.id !== current;
    for (const link of document.querySelectorAll(".tabs a")) {
      if (link.hash === `#${current}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (current === "alike") alike.open();
  }

  // A click on a page of the report changes the section, and leaves the place on the screen as it is.
  for (const link of document.querySelectorAll(".tabs a"))
    link.addEventListener("click", (event) => {
      event.preventDefault();
      history.replaceState(null, "", link.hash);
      show();
    });
  addEventListener("hashchange", show);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const writes = event.target.matches("select, input:not([type=checkbox])");
    if (writes && (event.key.startsWith("Arrow") || event.target.type !== "range")) return;
    const keys = { gallery: gallery.keys, alike: alike.keys }[current] || {};
    if (Object.hasOwn(keys, event.key)) { event.preventDefault(); keys[event.key](); }
  });

  review.open(key);
  show();
  gallery.start();
  // The rest of the data comes one file after the other behind the first screen.
  const load = () => {
    const source = rest.shift();
    if (source) loadScript(source, load);
    else gallery.draw();
  };
  if (rest.length) load();
}
