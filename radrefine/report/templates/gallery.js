"use strict";
// The gallery: filter, sort, page, compare, review. Data files call report.add; report.start draws.
const report = (() => {
  const PAGE = 12;
  // Okabe and Ito's colours, safe for colour-blind readers.
  const COLOURS = { caliper: "#E69F00", dotted_line: "#56B4E9", text: "#009E73", body_marker: "#F0E442", probe_mark: "#0072B2",
    tick: "#D55E00", arrow: "#CC79A7", colour_overlay: "#ffffff", ui_bar: "#999999", outlier: "#ff5252" };
  const items = [];
  const rejected = new Map();
  let page = 0;
  const element = (id) => document.getElementById(id);

  const node = (name, attributes = {}, ...children) => {
    const made = name === "svg" || name === "rect" ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  function chosen() {
    const kind = element("filter-kind").value, label = element("filter-label").value;
    const status = element("filter-status").value, score = Number(element("filter-score").value) || 0;
    const sort = element("sort").value;
    const fits = (item) => (!label || item.label === label) && (!status || item.status === status) &&
      ((!kind && !score) || item.findings.some((found) => (!kind || found.kind === kind) && found.score >= score));
    const order = sort === "path" ? (a, b) => (a.path < b.path ? -1 : 1) : (a, b) => b[sort] - a[sort];
    return items.filter(fits).sort(order);
  }

  function boxes(item) {
    const svg = node("svg", { viewBox: `0 0 ${item.width} ${item.height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const found of item.findings) {
      svg.append(node("rect", { x: found.x - 1, y: found.y - 1, width: found.width + 2, height: found.height + 2, fill: "none",
        stroke: COLOURS[found.kind] || "#fff", "stroke-width": 1.5, "vector-effect": "non-scaling-stroke",
        "stroke-dasharray": found.removed ? "none" : "4 3" }));
    }
    return svg;
  }

  function findingRow(item, found, number) {
    const row = node("li");
    const swatch = node("span", { class: "swatch" });
    swatch.style.background = COLOURS[found.kind] || "#fff";
    row.append(swatch, `${found.kind} ${found.score.toFixed(2)}${found.removed ? "" : " (left in place)"}`);
    if (found.removed) {
      const key = `${item.path}\n${number}`;
      const button = node("button", { type: "button", "aria-pressed": String(rejected.has(key)), "aria-label": `Reject the removal of ${found.kind} ${number + 1}` }, "reject");
      button.addEventListener("click", () => {
        if (!rejected.delete(key)) rejected.set(key, { path: item.path, ...found });
        button.setAttribute("aria-pressed", String(rejected.has(key)));
        element("export").disabled = rejected.size === 0;
      });
      row.append(button);
    }
    return row;
  }

  function card(item) {
    const frame = node("div", { class: "frame" });
    frame.append(node("img", { src: item.after, alt: `${item.path} after refinement`, width: item.width, height: item.height, loading: "lazy" }));
    const list = node("ul", {}, ...item.findings.map((found, number) => findingRow(item, found, number)));
    const caption = node("figcaption", {}, node("strong", {}, item.path), node("br"),
      `${item.label} · ${item.status} · residual ${item.residual.toFixed(2)} · ${(100 * item.mask_fraction).toFixed(2)} % replaced`, list);
    const figure = node("figure", { class: "card" }, frame);
    if (item.before) {
      frame.append(node("img", { class: "before", src: item.before, alt: `${item.path} before refinement`, loading: "lazy" }),
        node("span", { class: "edge" }), node("span", { class: "tag left" }, "before"));
      const slider = node("input", { type: "range", min: "0", max: "100", value: "50", "aria-label": `Compare before and after of ${item.path}` });
      slider.addEventListener("input", () => frame.style.setProperty("--cut", `${slider.value}%`));
      figure.append(slider);
    } else {
      frame.append(node("span", { class: "tag left" }, "source not at hand"));
    }
    frame.append(node("span", { class: "tag right" }, "after"));
    if (item.mask && element("show-mask").checked) frame.append(node("img", { class: "mask", src: item.mask, alt: "replaced pixels" }));
    if (element("show-boxes").checked) frame.append(boxes(item));
    figure.append(caption);
    return figure;
  }

  function draw() {
    const shown = chosen();
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    element("cards").replaceChildren(...shown.slice(page * PAGE, (page + 1) * PAGE).map(card));
    element("status").textContent = `${shown.length.toLocaleString("en")} of ${items.length.toLocaleString("en")} images fit`;
    element("page").textContent = `page ${page + 1} of ${pages}`;
    element("previous").disabled = page === 0;
    element("next").disabled = page === pages - 1;
  }

  function turn(step) { page += step; draw(); }

  function exportReview() {
    const quote = (value) => `"${String(value).replaceAll('"', '""')}"`;
    const columns = ["path", "kind", "x", "y", "width", "height"];
    const lines = [...rejected.values()].map((row) => [...columns.map((name) => quote(row[name])), "reject"].join(","));
    const link = node("a", { download: "review.csv", href: "data:text/csv;charset=utf-8," + encodeURIComponent([[...columns, "decision"].join(","), ...lines, ""].join("\n")) });
    link.click();
  }

  function start(rest) {
    for (const id of ["filter-kind", "filter-label", "filter-status", "filter-score", "sort", "show-boxes", "show-mask"])
      element(id).addEventListener("input", () => { page = 0; draw(); });
    element("previous").addEventListener("click", () => turn(-1));
    element("next").addEventListener("click", () => turn(1));
    element("export").addEventListener("click", exportReview);
    document.addEventListener("keydown", (event) => {
      if (event.target.matches("input, select")) return;
      if (event.key === "ArrowRight") turn(1);
      if (event.key === "ArrowLeft") turn(-1);
    });
    draw();
    // The rest of the data comes one file after the other behind the first screen.
    const load = () => {
      const source = rest.shift();
      if (!source) { draw(); return; }
      const script = node("script", { src: source });
      script.addEventListener("load", load);
      document.body.append(script);
    };
    if (rest.length) load();
  }

  return { add: (more) => items.push(...more), start };
})();
