// Duplicates and label conflicts, side by side; the data is read when the page is first opened.
const alike = (() => {
  const PAGE = 8;
  const NAMES = { bytes: "same bytes", pixels: "same pixels", near: "near-duplicates", marks: "with and without marks" };
  const sets = [];
  let page = 0;
  let asked = false;

  function card(set) {
    const pictures = set.images.map((image) => node("figure", {},
      image.picture ? node("img", { src: image.picture, alt: image.path, loading: "lazy" }) : node("p", { class: "note" }, "the picture is missing"),
      node("figcaption", {}, node("span", { class: "label" }, readable(image.label)), node("small", {}, image.path))));
    return node("article", { class: `panel pair${set.conflict ? " conflict" : ""}` },
      node("h3", {}, set.conflict ? node("span", { class: "state failed" }, "labels differ") : "", ` ${NAMES[set.sort] || set.sort}`, node("small", {}, set.note ? ` · ${set.note}` : "")),
      node("div", { class: "pictures" }, ...pictures));
  }

  function draw() {
    const sort = element("alike-sort").value, label = element("alike-label").value;
    const shown = sets.filter((set) => (!sort || (sort === "conflict" ? set.conflict : set.sort === sort)) &&
      (!label || set.images.some((image) => image.label === label)));
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    element("alike-sets").replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map(card));
    element("alike-status").textContent = shown.length ? `${shown.length.toLocaleString("en")} of ${many(sets.length, "set")} fit` : "nothing to show";
    element("alike-page").textContent = `page ${page + 1} of ${pages}`;
    element("alike-previous").disabled = page === 0;
    element("alike-next").disabled = page === pages - 1;
  }

  function turn(step) { page += step; draw(); }

  function open() {
    if (asked || !element("alike")) return;
    asked = true;
    loadScript("data/alike.js", () => {
      const labels = [...new Set(sets.flatMap((set) => set.images.map((image) => image.label)))].sort();
      element("alike-label").append(...labels.map((label) => node("option", { value: label }, readable(label))));
      for (const id of ["alike-sort", "alike-label"]) element(id).addEventListener("input", () => { page = 0; draw(); });
      element("alike-filters").addEventListener("submit", (event) => event.preventDefault());
      element("alike-previous").addEventListener("click", () => turn(-1));
      element("alike-next").addEventListener("click", () => turn(1));
      draw();
    });
  }

  return { add: (more) => sets.push(...more), open, keys: { ArrowRight: () => turn(1), ArrowLeft: () => turn(-1) } };
})();
