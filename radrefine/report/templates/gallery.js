// The gallery: filter, sort, page, compare, review. Data files call gallery.add.
const gallery = (() => {
  const PAGE = 12;
  const FILTERS = ["filter-kind", "filter-label", "filter-status", "filter-score", "filter-review", "sort", "view", "show-boxes", "show-mask"];
  const items = [];
  let page = 0;
  let drawn = "";

  function fits(item, wanted) {
    if (wanted.label && item.label !== wanted.label) return false;
    if (wanted.status && item.status !== wanted.status) return false;
    if (wanted.kind || wanted.score) {
      if (!item.findings.some((found) => (!wanted.kind || found.kind === wanted.kind) && found.score >= wanted.score)) return false;
    }
    if (!wanted.review) return true;
    return item.findings.some((found) => (review.of(item.path, found) || (found.removed ? "open" : "")) === wanted.review);
  }

  function chosen() {
    const value = (id) => element(id).value;
    const wanted = { kind: value("filter-kind"), label: value("filter-label"), status: value("filter-status"),
      score: Number(value("filter-score")) || 0, review: value("filter-review") };
    const sort = value("sort");
    const order = sort === "path" ? (a, b) => (a.path < b.path ? -1 : 1) : (a, b) => (b[sort] ?? -1) - (a[sort] ?? -1);
    return items.filter((item) => fits(item, wanted)).sort(order);
  }

  function box(item, found, number) {
    const share = (part, whole) => `${(100 * part) / whole}%`;
    // The number of a box at the upper edge stands below it.
    const place = `${found.removed ? "" : " left"}${found.y < 0.07 * item.height ? " high" : ""}`;
    const made = node("span", { class: `box kind-${found.kind}${place}` }, node("b", {}, String(number + 1)));
    Object.assign(made.style, { left: share(found.x - 1, item.width), top: share(found.y - 1, item.height),
      width: share(found.width + 2, item.width), height: share(found.height + 2, item.height) });
    return made;
  }

  function markRow(item, found, number, drawn) {
    const name = readable(found.kind);
    const row = node("li", { tabindex: "-1", "data-mark": String(number) },
      node("span", { class: `badge kind-${found.kind}`, "aria-hidden": "true" }, String(number + 1)),
      node("span", { class: "what" }, name, node("small", {}, ` ${found.score.toFixed(2)}${found.removed ? "" : " · left in place"}`)));
    const buttons = ["remove", "leave"].map((decision) => {
      const button = node("button", { type: "button", class: decision, "aria-label": `${decision} ${name} ${number + 1}` }, decision);
      button.addEventListener("click", () => apply(review.of(item.path, found) === decision ? "" : decision));
      return button;
    });
    const show = () => {
      const decision = review.of(item.path, found);
      buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.className === decision)));
      drawn?.classList.toggle("left", decision ? decision === "leave" : !found.removed);
    };
    const apply = (decision) => { review.decide(item.path, found, decision); show(); };
    row.decide = apply;
    for (const [event, hot] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]])
      row.addEventListener(event, () => drawn?.classList.toggle("hot", hot));
    row.append(node("span", { class: "buttons" }, ...buttons));
    show();
    return row;
  }

  function frameOf(item) {
    const frame = node("div", { class: "frame" });
    frame.style.aspectRatio = `${item.width} / ${item.height}`;
    frame.append(node("img", { src: item.after, alt: item.status === "clean" ? item.path : `${item.path} after refinement`, width: item.width, height: item.height }));
    if (!item.before) {
      frame.append(node("span", { class: "tag left" }, item.status === "clean" ? "unchanged" : "after; the source is not at hand"));
      return frame;
    }
    const slider = node("input", { type: "range", min: "0", max: "100", value: element("view").value,
      "aria-label": `Share of ${item.path} shown as before refinement` });
    const cut = () => { frame.style.setProperty("--cut", `${slider.value}%`); slider.setAttribute("aria-valuetext", `${slider.value}\u00a0% before`); };
    slider.addEventListener("input", cut);
    cut();
    frame.append(node("img", { class: "before", src: item.before, alt: `${item.path} before refinement` }), slider,
      node("span", { class: "edge", "aria-hidden": "true" }), node("span", { class: "tag left" }, "before"), node("span", { class: "tag right" }, "after"));
    return frame;
  }

  function card(item) {
    const frame = frameOf(item);
    if (item.mask && element("show-mask").checked)
      frame.append(node("div", { class: "mask" }, node("img", { src: item.mask, alt: `Replaced pixels of ${item.path}` })));
    const boxes = element("show-boxes").checked ? item.findings.map((found, number) => box(item, found, number)) : [];
    frame.append(...boxes);
    const cutAt = item.path.lastIndexOf("/") + 1;
    const large = node("button", { type: "button", class: "large", "aria-pressed": "false", "aria-label": `Enlarge ${item.path}` }, "⤢");
    const figure = node("figure", { class: "card", "data-path": item.path }, frame, node("figcaption", {},
      node("div", { class: "title" }, node("strong", {}, node("small", {}, item.path.slice(0, cutAt)), item.path.slice(cutAt)), large),
      node("p", { class: "note" }, node("span", { class: `state ${item.status}` }, item.status),
        ` ${readable(item.label)}`,
        item.residual === null ? "" : ` · residual ${item.residual.toFixed(2)}`,
        item.mask_fraction ? ` · ${(100 * item.mask_fraction).toFixed(2)}\u00a0% replaced` : ""),
      node("ol", {}, ...item.findings.map((found, number) => markRow(item, found, number, boxes[number])))));
    large.addEventListener("click", () => large.setAttribute("aria-pressed", String(figure.classList.toggle("wide"))));
    return figure;
  }

  // Cards that are shown again keep their size, and a mark that has the keyboard keeps it.
  function redraw(now) {
    const figures = () => [...element("cards").children];
    const wide = new Set(figures().filter((figure) => figure.classList.contains("wide")).map((figure) => figure.dataset.path));
    const row = document.activeElement.closest("#cards [data-mark]");
    const path = row?.closest("figure").dataset.path;
    element("cards").replaceChildren(...now.map(card));
    for (const figure of figures()) {
      if (wide.has(figure.dataset.path)) figure.querySelector(".large").click();
      if (figure.dataset.path === path) figure.querySelector(`[data-mark="${row.dataset.mark}"]`)?.focus({ preventScroll: true });
    }
  }

  function draw() {
    const shown = chosen();
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const now = shown.slice(page * PAGE, (page + 1) * PAGE);
    const state = JSON.stringify([now.map((item) => item.path), ...["view", "show-boxes", "show-mask"].map((id) => [element(id).value, element(id).checked])]);
    // What is shown already stays, and with it the place of the keyboard.
    if (state !== drawn) redraw(now);
    drawn = state;
    element("status").textContent = shown.length ? `${shown.length.toLocaleString("en")} of ${many(items.length, "image")} fit` : "no image fits these filters";
    element("page").textContent = `page ${page + 1} of ${pages}`;
    element("previous").disabled = page === 0;
    element("next").disabled = page === pages - 1;
  }

  function turn(step) {
    const before = page;
    page += step;
    draw();
    return page !== before;
  }

  // Go to the next or previous mark, over the edge of the page where need be.
  function step(by) {
    const marks = () => [...document.querySelectorAll("#cards [data-mark]")];
    const here = marks().indexOf(document.activeElement.closest("[data-mark]"));
    let next = here < 0 ? (by > 0 ? 0 : marks().length - 1) : here + by;
    while (!marks()[next]) {
      if (!turn(by)) return;
      next = by > 0 ? 0 : marks().length - 1;
    }
    marks()[next].focus();
  }

  function decide(decision) {
    const row = document.activeElement.closest("[data-mark]");
    if (!row) return;
    row.decide(decision);
    if (decision) step(1);
  }

  const KEYS = {
    ArrowRight: () => turn(1), ArrowLeft: () => turn(-1), n: () => step(1), p: () => step(-1),
    r: () => decide("remove"), l: () => decide("leave"), u: () => decide(""),
    m: () => element("show-mask").click(), o: () => element("show-boxes").click(),
    b: () => { const view = element("view"); view.selectedIndex = (view.selectedIndex + 1) % 3; draw(); },
  };

  function start() {
    for (const id of FILTERS)
      element(id).addEventListener("input", () => { if (!["view", "show-boxes", "show-mask"].includes(id)) page = 0; draw(); });
    element("filters").addEventListener("submit", (event) => event.preventDefault());
    element("previous").addEventListener("click", () => turn(-1));
    element("next").addEventListener("click", () => turn(1));
    element("export").addEventListener("click", review.download);
    element("forget").addEventListener("click", () => { if (confirm("Forget all decisions of this review?")) { review.forget(); drawn = ""; draw(); } });
    if (matchMedia("(max-width: 40rem)").matches) element("filter-box").open = false;
    draw();
  }

  return { add: (more) => items.push(...more), start, draw, keys: KEYS };
})();
